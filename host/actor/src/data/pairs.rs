//! Pairs that were written and are not in the store yet. Pure: the store's part is handed in.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use greenroom_model::{ActorError, KvSpan, codes};
use greenroom_storage::Kept;

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 2 << 10;
/// The longest value, in bytes.
const VALUE_BYTES_MAX: usize = 128 << 10;
/// What may wait to be committed, in bytes of keys and values.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// What a change costs besides its bytes, so that small ones are bounded, too.
const CHANGE_BYTES: usize = 256;

/// Changes, in two layers: those that wait, over those that are being committed.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    waiting: Layer,
    committing: Layer,
    /// Bytes of all pairs in the store, as far as is known: it sweeps away by and by what was removed.
    stored_bytes: u64,
    /// Somebody was refused for that, and what it is now is wanted.
    wants_count: bool,
    /// Something may be left to be swept away.
    may_shrink: bool,
    bytes_max: u64,
}

/// Removed spans, and over them single pairs. A pair is always newer than a span that has it: removing a span
/// takes the pairs in it out of the layer.
#[derive(Debug, Default)]
struct Layer {
    /// From where to where; they do not overlap.
    spans: BTreeMap<Bytes, Option<Bytes>>,
    pairs: BTreeMap<Bytes, Option<Bytes>>,
    bytes: usize,
}

impl Layer {
    /// What this layer says of a key: nothing, or that it is gone, or its value.
    fn get(&self, key: &[u8]) -> Option<Option<Bytes>> {
        let pair = self.pairs.get(key).cloned();
        pair.or_else(|| self.has_removed(key).then_some(None))
    }

    fn has_removed(&self, key: &[u8]) -> bool {
        let upto = (Bound::Unbounded, Bound::Included(key));
        let span = self.spans.range::<[u8], _>(upto).next_back();
        span.is_some_and(|(_, end)| end.as_ref().is_none_or(|end| key < &end[..]))
    }

    /// Adds a span, joined with those that it meets.
    fn remove_span(&mut self, mut span: KvSpan) {
        loop {
            // The last that begins before this one ends; those before it end even sooner.
            let upto = span.end.clone().map_or(Bound::Unbounded, Bound::Included);
            let last = self.spans.range((Bound::Unbounded, upto)).next_back();
            let meeting = last.filter(|(_, end)| end.as_ref().is_none_or(|end| *end >= span.start));
            let Some(start) = meeting.map(|(start, _)| start.clone()) else {
                break;
            };
            let end = self.spans.remove(&start).flatten();
            span.start = span.start.min(start);
            span.end = span.end.zip(end).map(|(one, other)| one.max(other));
        }
        self.spans.insert(span.start, span.end);
    }

    fn spans(&self) -> impl Iterator<Item = KvSpan> + '_ {
        self.spans.iter().map(|(start, end)| KvSpan {
            start: start.clone(),
            end: end.clone(),
        })
    }

    fn put(&mut self, key: Bytes, value: Option<Bytes>) {
        let size = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        self.bytes += size(&value);
        let bytes = key.len() + CHANGE_BYTES;
        match self.pairs.insert(key, value) {
            Some(old) => self.bytes -= size(&old),
            None => self.bytes += bytes,
        }
    }
}

/// What is known of a span without the store.
#[derive(Debug)]
pub(crate) struct Written {
    /// Pairs that were written, and keys that were removed.
    pub(crate) pairs: BTreeMap<Bytes, Option<Bytes>>,
    /// Where everything else was removed.
    pub(crate) removed: Removed,
}

/// Spans in which nothing is left of what the store has.
#[derive(Debug, Default)]
pub(crate) struct Removed(Layer);

impl Removed {
    pub(crate) fn has(&self, key: &[u8]) -> bool {
        self.0.has_removed(key)
    }
}

impl Pairs {
    pub(crate) fn new(stored_bytes: u64, bytes_max: u64) -> Self {
        Self {
            stored_bytes,
            bytes_max,
            may_shrink: true,
            ..Self::default()
        }
    }

    pub(crate) fn put(&mut self, pairs: Vec<(Bytes, Bytes)>) -> Result<(), ActorError> {
        let mut bytes = 0;
        for (key, value) in &pairs {
            if key.is_empty() || key.len() > KEY_BYTES_MAX {
                let found = key.len();
                let text = format!("a key has {found} bytes; 1 to {KEY_BYTES_MAX} are allowed");
                return Err(ActorError::new(codes::KV_KEY_TOO_LARGE, text));
            }
            if value.len() > VALUE_BYTES_MAX {
                let found = value.len();
                let text = format!("a value has {found} bytes; at most {VALUE_BYTES_MAX} are kept");
                return Err(ActorError::new(codes::KV_VALUE_TOO_LARGE, text));
            }
            bytes += key.len() + value.len() + CHANGE_BYTES;
        }
        self.has_room(bytes)?;
        // Counted as if every pair were new; the store says how it is once they are committed.
        let waiting = (self.waiting.bytes + self.committing.bytes + bytes) as u64;
        if self.stored_bytes + waiting > self.bytes_max {
            self.wants_count = self.may_shrink;
            let most = self.bytes_max;
            let text = format!("the actor's key-value store holds at most {most} bytes");
            return Err(ActorError::new(codes::KV_FULL, text));
        }
        for (key, value) in pairs {
            self.waiting.put(key, Some(value));
        }
        Ok(())
    }

    pub(crate) fn delete(&mut self, keys: Vec<Bytes>) -> Result<(), ActorError> {
        let bytes = keys.iter().map(|key| key.len() + CHANGE_BYTES).sum();
        self.has_room(bytes)?;
        for key in keys {
            // What is not a key is not there.
            if !key.is_empty() && key.len() <= KEY_BYTES_MAX {
                self.waiting.put(key, None);
            }
        }
        Ok(())
    }

    pub(crate) fn delete_span(&mut self, span: KvSpan) -> Result<(), ActorError> {
        if span.end.as_ref().is_some_and(|end| *end <= span.start) {
            return Ok(());
        }
        let bytes = span.start.len() + span.end.as_ref().map_or(0, Bytes::len) + CHANGE_BYTES;
        self.has_room(bytes)?;
        let mut freed = 0;
        self.waiting.pairs.retain(|key, value| {
            let is_kept = !span.has(key);
            if !is_kept {
                freed += key.len() + CHANGE_BYTES + value.as_ref().map_or(0, Bytes::len);
            }
            is_kept
        });
        self.waiting.bytes = self.waiting.bytes - freed + bytes;
        self.waiting.remove_span(span);
        self.may_shrink = true;
        Ok(())
    }

    /// A guest that writes more than may wait without giving control back is told so: nothing here can wait.
    fn has_room(&self, bytes: usize) -> Result<(), ActorError> {
        if self.waiting.bytes + bytes <= WAITING_BYTES_MAX {
            return Ok(());
        }
        let text = format!(
            "{WAITING_BYTES_MAX} bytes of changes to the key-value store wait to be committed, as many as may; \
             save before going on"
        );
        Err(ActorError::new(codes::KV_FULL, text))
    }

    /// What is known of a key without the store: nothing, or that it is gone, or its value.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<Bytes>> {
        let waiting = self.waiting.get(key);
        waiting.or_else(|| self.committing.get(key))
    }

    /// What of `span` is not in the store yet.
    pub(crate) fn written(&self, span: &KvSpan) -> Written {
        let mut pairs: BTreeMap<Bytes, Option<Bytes>> = BTreeMap::new();
        for layer in [&self.committing, &self.waiting] {
            for (key, _) in layer.pairs.range::<Bytes, _>(bounds(span)) {
                pairs.insert(key.clone(), self.get(key).flatten());
            }
        }
        let mut removed = Removed::default();
        let spans = self.committing.spans().chain(self.waiting.spans());
        for gone in spans.filter(|gone| meets(gone, span)) {
            removed.0.remove_span(gone);
        }
        Written { pairs, removed }
    }

    pub(crate) fn is_unchanged(&self) -> bool {
        self.waiting.spans.is_empty() && self.waiting.pairs.is_empty() && !self.wants_count
    }

    /// Whether the next commit is to say how many bytes there are. Asked once.
    pub(crate) const fn take_wants_count(&mut self) -> bool {
        std::mem::replace(&mut self.wants_count, false)
    }

    /// What is to be committed now. There is no commit under way.
    pub(crate) fn take_changes(&mut self) -> (Vec<KvSpan>, Vec<(Bytes, Option<Bytes>)>) {
        self.committing = std::mem::take(&mut self.waiting);
        let pairs = self.committing.pairs.iter();
        let pairs = pairs.map(|(key, value)| (key.clone(), value.clone()));
        (self.committing.spans().collect(), pairs.collect())
    }

    /// The commit under way is durable.
    pub(crate) fn committed(&mut self, kept: Kept) {
        self.committing = Layer::default();
        if let Some(is_shrinking) = kept.is_shrinking {
            self.may_shrink = is_shrinking || !self.waiting.spans.is_empty();
        }
        self.stored_bytes = kept.kv_bytes.unwrap_or(self.stored_bytes);
    }
}

/// Whether two spans have anything in common.
fn meets(one: &KvSpan, other: &KvSpan) -> bool {
    let begins_before =
        |end: &Option<Bytes>, start: &Bytes| end.as_ref().is_none_or(|end| start < end);
    begins_before(&one.end, &other.start) && begins_before(&other.end, &one.start)
}

/// A span as a map's range takes it; one that ends before it starts is empty.
fn bounds(span: &KvSpan) -> (Bound<Bytes>, Bound<Bytes>) {
    let start = Bound::Included(span.start.clone());
    let end = match &span.end {
        None => Bound::Unbounded,
        Some(end) => Bound::Excluded(end.max(&span.start).clone()),
    };
    // A map panics at a range that excludes what it includes.
    if end == Bound::Excluded(span.start.clone()) {
        return (
            Bound::Included(span.start.clone()),
            Bound::Excluded(after(&span.start)),
        );
    }
    (start, end)
}

fn after(key: &Bytes) -> Bytes {
    let mut next = key.to_vec();
    next.push(0);
    next.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn span(start: &str, end: Option<&str>) -> KvSpan {
        KvSpan {
            start: bytes(start),
            end: end.map(bytes),
        }
    }

    fn kept(kv_bytes: u64, is_shrinking: Option<bool>) -> Kept {
        Kept {
            kv_bytes: Some(kv_bytes),
            is_shrinking,
        }
    }

    #[test]
    fn who_is_full_asks_again_for_as_long_as_something_is_swept_away() {
        let mut pairs = Pairs::new(900, 1_000);
        pairs.delete_span(span("a", Some("z"))).unwrap();
        let refused = |pairs: &mut Pairs| {
            let full = pairs.put(vec![(bytes("k"), Bytes::from(vec![0; 300]))]);
            assert!(full.unwrap_err().is(codes::KV_FULL));
            pairs.take_wants_count()
        };
        assert!(refused(&mut pairs));
        pairs.take_changes();
        pairs.committed(kept(900, Some(true)));
        assert!(refused(&mut pairs), "nothing is swept away yet");
        pairs.committed(kept(900, Some(false)));
        assert!(!refused(&mut pairs), "it will be no less");
        pairs.delete_span(span("a", Some("b"))).unwrap();
        assert!(refused(&mut pairs));
    }

    fn put(pairs: &mut Pairs, key: &str, value: &str) {
        pairs.put(vec![(bytes(key), bytes(value))]).unwrap();
    }

    #[test]
    fn what_was_written_last_is_read_before_during_and_after_a_commit() {
        let mut pairs = Pairs::new(0, 1 << 20);
        put(&mut pairs, "a", "1");
        pairs.delete(vec![bytes("b")]).unwrap();
        let (spans, changes) = pairs.take_changes();
        assert!(spans.is_empty());
        assert_eq!(
            changes,
            [(bytes("a"), Some(bytes("1"))), (bytes("b"), None)]
        );
        assert_eq!(pairs.get(b"a"), Some(Some(bytes("1"))));
        assert_eq!(pairs.get(b"b"), Some(None));
        put(&mut pairs, "a", "2");
        assert_eq!(pairs.get(b"a"), Some(Some(bytes("2"))), "over the commit");
        pairs.committed(kept(2, None));
        assert_eq!(pairs.get(b"b"), None, "the store knows");
        assert_eq!(pairs.get(b"a"), Some(Some(bytes("2"))));
    }

    #[test]
    fn a_removed_span_hides_what_is_older_and_nothing_newer() {
        let mut pairs = Pairs::new(0, 1 << 20);
        put(&mut pairs, "k1", "old");
        pairs.take_changes();
        put(&mut pairs, "k2", "old");
        pairs.delete_span(span("k", Some("l"))).unwrap();
        put(&mut pairs, "k3", "new");
        assert_eq!(pairs.get(b"k1"), Some(None));
        assert_eq!(pairs.get(b"k2"), Some(None));
        assert_eq!(pairs.get(b"k3"), Some(Some(bytes("new"))));
        assert_eq!(pairs.get(b"l"), None, "beyond the span");
        let Written { pairs: known, .. } = pairs.written(&span("", None));
        let there = known.iter().filter(|(_, value)| value.is_some());
        assert_eq!(there.map(|(key, _)| key).collect::<Vec<_>>(), ["k3"]);
        let backwards = pairs.written(&span("z", Some("a")));
        assert!(backwards.pairs.is_empty());
    }

    #[test]
    fn what_is_removed_again_leaves_its_room() {
        let mut pairs = Pairs::new(0, 1 << 30);
        for round in 0..20_u8 {
            for n in 0..60_u8 {
                let value = Bytes::from(vec![round; 131_072]);
                let key = Bytes::from(vec![b'k', n]);
                pairs.put(vec![(key, value)]).unwrap();
            }
            pairs.delete_span(span("k", Some("l"))).unwrap();
        }
    }

    #[test]
    fn spans_that_meet_are_one() {
        let mut pairs = Pairs::new(0, 1 << 20);
        for (start, end) in [("a", "c"), ("e", "g"), ("x", "y"), ("b", "e"), ("q", "q")] {
            pairs.delete_span(span(start, Some(end))).unwrap();
        }
        let (spans, _) = pairs.take_changes();
        assert_eq!(spans, [span("a", Some("g")), span("x", Some("y"))]);
        for (key, is_removed) in [
            ("a", true),
            ("f", true),
            ("g", false),
            ("x", true),
            ("z", false),
        ] {
            assert_eq!(pairs.get(key.as_bytes()).is_some(), is_removed, "{key}");
        }
        pairs.delete_span(span("m", None)).unwrap();
        assert_eq!(pairs.get(b"z"), Some(None));
    }

    #[test]
    fn bounds_are_told_and_nothing_is_written() {
        let mut pairs = Pairs::new(0, 1_000);
        let long = Bytes::from(vec![0; 2_049]);
        let large = Bytes::from(vec![0; 131_073]);
        for (key, value, code) in [
            (bytes(""), bytes(""), codes::KV_KEY_TOO_LARGE),
            (long, bytes(""), codes::KV_KEY_TOO_LARGE),
            (bytes("k"), large, codes::KV_VALUE_TOO_LARGE),
            (bytes("k"), Bytes::from(vec![0; 1_000]), codes::KV_FULL),
        ] {
            let refused = pairs.put(vec![(bytes("first"), bytes("1")), (key, value)]);
            assert!(refused.unwrap_err().is(code));
        }
        // Some of that may have been swept away meanwhile, which the store will say.
        assert!(pairs.take_wants_count());
        assert!(pairs.is_unchanged());
        let mut pairs = Pairs::new(0, 1 << 30);
        let value = Bytes::from(vec![0; 131_072]);
        let full = (0..200_u32).find_map(|n| {
            let pair = (Bytes::from(n.to_be_bytes().to_vec()), value.clone());
            pairs.put(vec![pair]).err()
        });
        assert!(full.unwrap().is(codes::KV_FULL), "16 MiB wait at most");
    }
}
