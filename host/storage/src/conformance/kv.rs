//! Promises about pairs.

use std::collections::BTreeMap;

use bytes::Bytes;
use greenroom_model::{KvQuery, KvSpan};

use super::Awake;
use super::data::EVERYTHING;
use crate::{ActorRow, DataChanges, Storage, StoredPairs};

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put(pairs: &[(&str, &str)]) -> DataChanges {
    let pairs = pairs.iter();
    DataChanges {
        pairs: pairs.map(|(k, v)| (bytes(k), Some(bytes(v)))).collect(),
        ..DataChanges::default()
    }
}

fn span(start: &str, end: Option<&str>) -> KvSpan {
    KvSpan {
        start: bytes(start),
        end: end.map(bytes),
    }
}

/// The keys, joined, and a `+` if there are more.
async fn keys(storage: &dyn Storage, actor: ActorRow, query: KvQuery, bytes_max: usize) -> String {
    let page = storage.kv_list(actor, query, bytes_max).await.unwrap();
    let mut keys: String = page
        .pairs
        .iter()
        .map(|(key, _)| std::str::from_utf8(key).unwrap())
        .collect();
    if page.upto.is_some() {
        keys.push('+');
    }
    keys
}

pub(super) async fn pairs_are_read_as_they_were_committed(storage: &dyn Storage) {
    let mut awake = Awake::new(storage, "kv", "x").await;
    let row = awake.actor.row;
    assert_eq!(storage.kv_get(row, Vec::new(), 0).await.unwrap(), []);
    let kept = awake
        .commit(put(&[("b", "2"), ("a", "one"), ("c", "")]))
        .await;
    assert_eq!(kept.kv_bytes, Some(7));
    let wanted = ["c", "missing", "a", "a"].map(bytes).to_vec();
    let one = Some(bytes("one"));
    let all = [Some(bytes("")), None, one.clone(), one];
    // All of them, or as far as there is room.
    for (bytes_max, count) in [(6, 4), (5, 3), (2, 2)] {
        let found = storage.kv_get(row, wanted.clone(), bytes_max).await;
        assert_eq!(found.unwrap(), all[..count], "{bytes_max} bytes");
    }

    let mut changes = put(&[("a", "longer"), ("c", "x")]);
    changes.pairs.push((bytes("b"), None));
    changes.pairs.push((bytes("missing"), None));
    let kept = awake.commit(changes).await;
    assert_eq!(kept.kv_bytes, Some(9));
    let found = storage.kv_get(row, ["a", "b", "c"].map(bytes).to_vec(), 100);
    let wanted = [Some(bytes("longer")), None, Some(bytes("x"))];
    assert_eq!(found.await.unwrap(), wanted);
    assert_eq!(awake.again().await.kv_bytes, 9);
}

pub(super) async fn several_keys_are_read_as_of_one_moment(storage: &dyn Storage) {
    let mut awake = Awake::new(storage, "kv-moment", "x").await;
    let row = awake.actor.row;
    let is_over = std::cell::Cell::new(false);
    let write = async {
        for number in 0..100 {
            let number = number.to_string();
            awake.commit(put(&[("a", &number), ("b", &number)])).await;
        }
        is_over.set(true);
    };
    let read = async {
        while !is_over.get() {
            let found = storage
                .kv_get(row, ["a", "b"].map(bytes).to_vec(), 100)
                .await;
            let found = found.unwrap();
            assert_eq!(found[0], found[1]);
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(write, read);
}

pub(super) async fn spans_are_removed_before_pairs_are_written(storage: &dyn Storage) {
    let mut awake = Awake::new(storage, "kv-spans", "x").await;
    let row = awake.actor.row;
    let all = || KvQuery {
        span: EVERYTHING,
        reverse: false,
        count_max: 100,
    };
    let five = [("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1")];
    awake.commit(put(&five)).await;
    let changes = DataChanges {
        spans: vec![span("b", Some("c")), span("d", None)],
        ..put(&[("d", "another")])
    };
    let kept = awake.commit(changes).await;
    assert_eq!(keys(storage, row, all(), 100).await, "acd");
    assert_eq!(kept.kv_bytes, Some(2 + 2 + 8));

    let nothing = ["c", "b"].map(|end| span("c", Some(end)));
    let changes = DataChanges {
        spans: nothing.to_vec(),
        ..DataChanges::default()
    };
    let kept = awake.commit(changes).await;
    assert_eq!(keys(storage, row, all(), 100).await, "acd");
    assert_eq!(kept.kv_bytes, None);
    for span in nothing {
        let empty = KvQuery { span, ..all() };
        assert_eq!(keys(storage, row, empty, 100).await, "");
    }
}

pub(super) async fn actors_do_not_see_each_others_pairs(storage: &dyn Storage) {
    let mut actors = Vec::new();
    for key in ["1", "2", "3"] {
        let mut awake = Awake::new(storage, "kv-actors", key).await;
        awake.commit(put(&[("a", key), ("z", key)])).await;
        actors.push(awake);
    }
    let changes = DataChanges {
        spans: vec![EVERYTHING],
        ..DataChanges::default()
    };
    assert_eq!(actors[1].commit(changes).await.kv_bytes, Some(0));
    for (index, wanted) in ["az", "", "az"].into_iter().enumerate() {
        for reverse in [false, true] {
            let query = KvQuery {
                span: EVERYTHING,
                reverse,
                count_max: 100,
            };
            let found = keys(storage, actors[index].actor.row, query, 100).await;
            let found: Vec<char> = found.chars().collect();
            assert_eq!(found.len(), wanted.len(), "{found:?}");
            assert!(found.iter().all(|key| wanted.contains(*key)));
        }
        assert_eq!(
            actors[index].again().await.kv_bytes,
            2 * wanted.len() as u64
        );
    }
}

pub(super) async fn a_listing_keeps_to_its_bounds(storage: &dyn Storage) {
    let mut awake = Awake::new(storage, "kv-list", "x").await;
    let five = [
        ("a", "1"),
        ("b", "1"),
        ("c", "1"),
        ("d", "1"),
        ("e", "long"),
    ];
    awake.commit(put(&five)).await;
    let (all, middle) = (span("", None), span("b", Some("d")));
    for (span, count_max, bytes_max, forward, backward) in [
        (&all, 100, 100, "abcde", "edcba"),
        (&all, 5, 100, "abcde", "edcba"),
        (&all, 4, 100, "abcd+", "edcb+"),
        (&all, 100, 13, "abcde", "edcba"),
        (&all, 100, 12, "abcd+", "edcb+"),
        (&all, 100, 8, "abcd+", "ed+"),
        (&all, 100, 1, "a+", "e+"),
        (&all, 100, 0, "a+", "e+"),
        (&middle, 100, 100, "bc", "cb"),
        (&middle, 1, 100, "b+", "c+"),
        (&span("d", None), 100, 100, "de", "ed"),
        (&span("", Some("b")), 100, 100, "a", "a"),
        (&span("f", None), 100, 0, "", ""),
    ] {
        for (reverse, wanted) in [(false, forward), (true, backward)] {
            let query = KvQuery {
                span: span.clone(),
                reverse,
                count_max,
            };
            let described = format!("{query:?} {bytes_max}");
            let found = keys(storage, awake.actor.row, query, bytes_max).await;
            assert_eq!(found, wanted, "{described}");
        }
    }
}

/// Made-up numbers, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        // Knuth's, of which the upper half is good.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn key(&mut self) -> Bytes {
        let len = 1 + self.below(3);
        (0..len)
            .map(|_| [0, 1, 0x7f, 0xff][self.below(4)])
            .collect()
    }

    fn value(&mut self) -> Bytes {
        // Some do not fit a page of SQLite.
        let len = [0, 1, 40, 20_000][self.below(4)];
        vec![b'v'; len].into()
    }

    fn span(&mut self) -> KvSpan {
        let end = (self.below(4) > 0).then(|| self.key());
        KvSpan {
            start: self.key(),
            end,
        }
    }
}

pub(super) async fn pairs_and_their_bytes_are_exact_whatever_happens(storage: &dyn Storage) {
    let mut awake = Awake::new(storage, "kv-dice", "x").await;
    let mut dice = Dice(7);
    let mut model: BTreeMap<Bytes, Bytes> = BTreeMap::new();
    let mut bytes: u64 = 0;
    for step in 0..200 {
        let spans: Vec<KvSpan> = (0..dice.below(2)).map(|_| dice.span()).collect();
        for span in &spans {
            model.retain(|key, _| !span.has(key));
        }
        let mut pairs = BTreeMap::new();
        for _ in 0..dice.below(12) {
            let value = (dice.below(3) > 0).then(|| dice.value());
            pairs.insert(dice.key(), value);
        }
        for (key, value) in pairs.clone() {
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
        }
        let changes = DataChanges {
            spans,
            pairs: pairs.into_iter().collect(),
            ..DataChanges::default()
        };
        let kept = awake.commit(changes).await;
        let after = model.iter().map(|(k, v)| (k.len() + v.len()) as u64).sum();
        let changed = (after != bytes).then_some(after);
        assert_eq!(kept.kv_bytes, changed, "in step {step}");
        bytes = after;

        let query = KvQuery {
            span: dice.span(),
            reverse: dice.below(2) == 1,
            count_max: 1 + dice.below(20),
        };
        let wanted = expect(&model, &query);
        let row = awake.actor.row;
        let page = storage
            .kv_list(row, query.clone(), usize::MAX)
            .await
            .unwrap();
        assert_eq!(page, wanted, "in step {step}, {query:?}");
        if step % 20 == 0 {
            assert_eq!(awake.again().await.kv_bytes, bytes);
        }
    }
}

fn expect(model: &BTreeMap<Bytes, Bytes>, query: &KvQuery) -> StoredPairs {
    let inside = model.iter().filter(|(key, _)| query.span.has(key));
    let mut pairs: Vec<_> = inside.map(|(k, v)| (k.clone(), v.clone())).collect();
    if query.reverse {
        pairs.reverse();
    }
    let has_more = pairs.len() > query.count_max;
    pairs.truncate(query.count_max);
    let upto = pairs
        .last()
        .filter(|_| has_more)
        .map(|(key, _)| key.clone());
    StoredPairs { pairs, upto }
}
