//! Pairs that were removed and are still in their table.
//!
//! Removing many pairs takes long, and everybody's commits would wait for it. So a commit, or a destruction, that removes
//! more than a few notes only where they are; the notes take part in the commit like everything else, readers leave out
//! what they name ([`GONE`]), and the writer sweeps it away between other things, a little at a time.
//!
//! Each pair has the head that the commit made which wrote it, and each note that of the commit which removed: what is
//! older than a note is gone, what has been written into the same span since is there. The notes of an actor do not
//! overlap, so that whoever looks at a pair looks at one note: a new one takes over what it has in common with older ones.

use std::cmp::Ordering;

use greenroom_model::{Head, KvSpan};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::row::number;
use crate::record::ActorRow;

/// Whether a row of `kv` is there only to be swept away.
pub(super) const GONE: &str =
    "coalesce((SELECT kv.head < d.head AND (d.\"end\" IS NULL OR kv.key < d.\"end\")
    FROM discarded d WHERE d.row = kv.row AND d.start <= kv.key ORDER BY d.start DESC LIMIT 1), 0)";

/// The same, and its bytes do not count any more.
pub(super) const FREED: &str =
    "coalesce((SELECT kv.head < d.freed AND (d.\"end\" IS NULL OR kv.key < d.\"end\")
    FROM discarded d WHERE d.row = kv.row AND d.start <= kv.key ORDER BY d.start DESC LIMIT 1), 0)";

/// Pairs that are removed at once; more are noted.
const AT_ONCE: usize = 256;
/// Pairs whose bytes are counted when they are removed; those of more stop counting as they are swept away.
const COUNTED_MAX: usize = 1_024;
/// Pairs that are removed at once, or swept away at a time, in bytes. It takes a few milliseconds.
const BYTES_MAX: i64 = 256 << 10;
/// Pairs that are swept away at a time.
const SWEEP_MAX: usize = 1_024;

/// One text for each case, so that each can use the key of the table.
pub(super) const fn filter(span: &KvSpan) -> &'static str {
    match span.end {
        Some(_) => "row = ?1 AND key >= ?2 AND key < ?3",
        None => "row = ?1 AND key >= ?2 AND ?3 IS NULL",
    }
}

/// Removes the pairs in `span`; by how many bytes there are fewer.
pub(super) fn span(
    connection: &Connection,
    (actor, head): (ActorRow, Head),
    span: &KvSpan,
) -> rusqlite::Result<i64> {
    let filter = filter(span);
    let bounds = params![actor.0, &span.start[..], span.end.as_deref()];
    let sql = format!(
        "SELECT length(key) + length(value), {FREED} FROM kv WHERE {filter} LIMIT {}",
        COUNTED_MAX + 1
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(bounds)?;
    let (mut count, mut all, mut freed) = (0, 0, 0);
    while let Some(row) = rows.next()? {
        let bytes: i64 = row.get(0)?;
        count += 1;
        all += bytes;
        freed += if row.get(1)? { 0 } else { bytes };
    }
    if count > COUNTED_MAX {
        note(connection, (actor, head), span, false)?;
        return Ok(0);
    }
    if count > AT_ONCE || all > BYTES_MAX {
        note(connection, (actor, head), span, true)?;
        return Ok(freed);
    }
    let sql = format!("DELETE FROM kv WHERE {filter}");
    connection.prepare_cached(&sql)?.execute(bounds)?;
    Ok(freed)
}

/// Removes all pairs of an actor that is destroyed.
pub(super) fn all(connection: &Connection, actor: ActorRow) -> rusqlite::Result<()> {
    let everything = KvSpan {
        start: bytes::Bytes::new(),
        end: None,
    };
    span(connection, (actor, Head(u64::MAX)), &everything)?;
    Ok(())
}

/// Whether pairs of an actor have still to be swept away.
pub(super) fn has_any(connection: &Connection, actor: ActorRow) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM discarded WHERE row = ?1)";
    connection
        .prepare_cached(sql)?
        .query_row([actor.0], |row| row.get(0))
}

/// Something that was removed, as far as it is still there.
#[derive(Debug, Clone)]
struct Note {
    start: Vec<u8>,
    /// `None` is to the end.
    end: Option<Vec<u8>>,
    /// What is older is gone.
    head: i64,
    /// What is older than that does not count either.
    freed: i64,
}

const NOTE_COLUMNS: &str = "start, \"end\", head, freed";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Note> {
    Ok(Note {
        start: row.get(0)?,
        end: row.get(1)?,
        head: row.get(2)?,
        freed: row.get(3)?,
    })
}

/// Notes a span, and takes over what older notes have of it.
fn note(
    connection: &Connection,
    (actor, head): (ActorRow, Head),
    span: &KvSpan,
    is_counted: bool,
) -> rusqlite::Result<()> {
    let head = number(head.0);
    let new = Note {
        start: span.start.to_vec(),
        end: span.end.as_ref().map(|end| end.to_vec()),
        head,
        freed: if is_counted { head } else { 0 },
    };
    let older = overlapping(connection, actor, &new)?;
    let mut delete =
        connection.prepare_cached("DELETE FROM discarded WHERE row = ?1 AND start = ?2")?;
    for note in &older {
        delete.execute(params![actor.0, note.start])?;
    }
    let sql =
        "INSERT INTO discarded (row, start, \"end\", head, freed) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = connection.prepare_cached(sql)?;
    for note in over(&new, &older) {
        insert.execute(params![
            actor.0, note.start, note.end, note.head, note.freed
        ])?;
    }
    Ok(())
}

/// The notes that have something in common with a new one, in order.
fn overlapping(
    connection: &Connection,
    actor: ActorRow,
    new: &Note,
) -> rusqlite::Result<Vec<Note>> {
    // Of those that begin before it, only the last can reach into it.
    let sql = format!(
        "SELECT {NOTE_COLUMNS} FROM discarded WHERE row = ?1 AND start <= ?2 ORDER BY start DESC LIMIT 1"
    );
    let before = connection
        .prepare_cached(&sql)?
        .query_row(params![actor.0, new.start], from_row)
        .optional()?;
    let reaches = |note: &Note| note.end.as_ref().is_none_or(|end| *end > new.start);
    let mut notes: Vec<Note> = before.into_iter().filter(reaches).collect();
    let sql = format!(
        "SELECT {NOTE_COLUMNS} FROM discarded
         WHERE row = ?1 AND start > ?2 AND (?3 IS NULL OR start < ?3) ORDER BY start"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    for note in statement.query_map(params![actor.0, new.start, new.end], from_row)? {
        notes.push(note?);
    }
    Ok(notes)
}

/// A new note over older ones that it meets, as notes that do not overlap. Pure.
fn over(new: &Note, older: &[Note]) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut upto = Some(new.start.clone());
    let piece = |start: &Vec<u8>, end: Option<Vec<u8>>, freed: i64| Note {
        start: start.clone(),
        end,
        head: new.head,
        freed,
    };
    for old in older {
        if old.start < new.start {
            notes.push(Note {
                end: Some(new.start.clone()),
                ..old.clone()
            });
        }
        let start = old.start.clone().max(new.start.clone());
        if let Some(from) = upto.filter(|from| *from < start) {
            notes.push(piece(&from, Some(start.clone()), new.freed));
        }
        let end = match by_end(&old.end, &new.end) {
            Ordering::Greater => new.end.clone(),
            _ => old.end.clone(),
        };
        // What did not count before does not count now.
        notes.push(piece(&start, end.clone(), new.freed.max(old.freed)));
        if let (Some(end), Ordering::Greater) = (&new.end, by_end(&old.end, &new.end)) {
            notes.push(Note {
                start: end.clone(),
                ..old.clone()
            });
        }
        upto = end;
    }
    if let Some(from) = upto.filter(|from| new.end.as_ref().is_none_or(|end| from < end)) {
        notes.push(piece(&from, new.end.clone(), new.freed));
    }
    notes
}

/// Which of two spans ends first.
fn by_end(one: &Option<Vec<u8>>, other: &Option<Vec<u8>>) -> Ordering {
    match (one, other) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(one), Some(other)) => one.cmp(other),
    }
}

/// Sweeps some of it away, in a transaction of its own; whether there may be more. The actor after `last` has its turn,
/// which becomes the last.
pub(super) fn sweep(connection: &mut Connection, last: &mut ActorRow) -> rusqlite::Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sql = format!(
        "SELECT {NOTE_COLUMNS}, row FROM discarded WHERE row > ?1 ORDER BY row, start LIMIT 1"
    );
    let mut next = transaction.prepare_cached(&sql)?;
    let mut after = |row: ActorRow| {
        let found = |row: &Row<'_>| Ok((ActorRow(row.get(4)?), from_row(row)?));
        next.query_row([row.0], found).optional()
    };
    let found = match after(*last)? {
        None => after(ActorRow(i64::MIN))?,
        found => found,
    };
    drop(next);
    let Some((actor, note)) = found else {
        return Ok(false);
    };
    *last = actor;
    sweep_note(&transaction, actor, &note)?;
    transaction.commit()?;
    Ok(true)
}

fn sweep_note(connection: &Connection, actor: ActorRow, note: &Note) -> rusqlite::Result<()> {
    let sql = "SELECT key, length(key) + length(value), head FROM kv
               WHERE row = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3) ORDER BY key LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let limit = number(SWEEP_MAX as u64);
    let mut rows = statement.query(params![actor.0, note.start, note.end, limit])?;
    let (mut count, mut bytes, mut freed) = (0, 0, 0);
    let mut upto: Option<Vec<u8>> = None;
    let mut gone = Vec::new();
    while bytes <= BYTES_MAX
        && let Some(row) = rows.next()?
    {
        let key: Vec<u8> = row.get(0)?;
        let head: i64 = row.get(2)?;
        count += 1;
        if head < note.head {
            let size: i64 = row.get(1)?;
            bytes += size;
            freed += if head < note.freed { 0 } else { size };
            gone.push(key.clone());
        }
        upto = Some(key);
    }
    let is_over = count < SWEEP_MAX && bytes <= BYTES_MAX;
    let mut delete = connection.prepare_cached("DELETE FROM kv WHERE row = ?1 AND key = ?2")?;
    for key in gone {
        delete.execute(params![actor.0, key])?;
    }
    let sql = "UPDATE actor_data SET kv_bytes = max(kv_bytes - ?2, 0) WHERE row = ?1";
    connection.prepare_cached(sql)?.execute([actor.0, freed])?;
    if is_over {
        let sql = "DELETE FROM discarded WHERE row = ?1 AND start = ?2";
        connection
            .prepare_cached(sql)?
            .execute(params![actor.0, note.start])?;
    } else if let Some(upto) = upto {
        // What is before it need not be looked at again, though its last key is.
        let sql = "UPDATE discarded SET start = ?3 WHERE row = ?1 AND start = ?2";
        connection
            .prepare_cached(sql)?
            .execute(params![actor.0, note.start, upto])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use greenroom_model::KvQuery;

    use crate::conformance::Awake;
    use crate::{ActorRow, Actors, DataChanges, Sqlite};

    use super::*;

    const PAIRS: usize = 3_000;
    const EVERYTHING: KvSpan = KvSpan {
        start: Bytes::new(),
        end: None,
    };

    fn key(number: usize) -> Bytes {
        Bytes::from(format!("{number:05}"))
    }

    fn put(numbers: impl Iterator<Item = usize>, value: &'static str) -> DataChanges {
        let value = Bytes::from_static(value.as_bytes());
        let pairs = numbers.map(|number| (key(number), Some(value.clone())));
        DataChanges {
            pairs: pairs.collect(),
            ..DataChanges::default()
        }
    }

    async fn listed(sqlite: &Sqlite, actor: ActorRow, reverse: bool) -> Vec<(Bytes, Bytes)> {
        let mut span = EVERYTHING;
        let mut all = Vec::new();
        loop {
            let query = KvQuery {
                span: span.clone(),
                reverse,
                count_max: 700,
            };
            let page = sqlite.kv_list(actor, query, 1 << 20).await.unwrap();
            all.extend(page.pairs);
            match page.upto {
                None => return all,
                Some(upto) if reverse => span.end = Some(upto),
                Some(upto) => span.start = [&upto[..], &[0]].concat().into(),
            }
        }
    }

    /// Waits until everything has been swept away.
    async fn swept(folder: &std::path::Path) {
        let connection = Connection::open(folder.join("greenroom.sqlite")).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        let count = || -> i64 {
            let sql = "SELECT count(*) FROM discarded";
            connection.query_row(sql, [], |row| row.get(0)).unwrap()
        };
        while count() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_large_span_is_gone_at_once_and_what_is_written_into_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(folder.path(), 64).unwrap();
        let mut awake = Awake::new(&sqlite, "discarded", "x").await;
        let mut other = Awake::new(&sqlite, "discarded", "y").await;
        let (row, others) = (awake.actor.row, other.actor.row);
        awake.commit(put(0..PAIRS, "old")).await;
        other.commit(put(0..PAIRS, "mine")).await;
        let mut changes = put([7, 1_000].into_iter(), "new");
        changes.spans = vec![KvSpan {
            start: key(5),
            end: Some(key(2_990)),
        }];
        awake.commit(changes).await;
        awake.commit(put(std::iter::once(8), "newer")).await;
        let old = |number| (key(number), Bytes::from_static(b"old"));
        let mut wanted: Vec<_> = (0..5).map(old).collect();
        let new = Bytes::from_static(b"new");
        wanted.extend([
            (key(7), new.clone()),
            (key(8), Bytes::from_static(b"newer")),
        ]);
        wanted.push((key(1_000), new));
        wanted.extend((2_990..PAIRS).map(old));
        // At once, and at the end.
        for _ in 0..2 {
            assert_eq!(listed(&sqlite, row, false).await, wanted);
            let mut backwards = listed(&sqlite, row, true).await;
            backwards.reverse();
            assert_eq!(backwards, wanted);
            let some = [4, 5, 7, 9].map(key).to_vec();
            let found = sqlite.kv_get(row, some, 1_000).await.unwrap();
            let found: Vec<bool> = found.iter().map(Option::is_some).collect();
            assert_eq!(found, [true, false, true, false]);
            swept(folder.path()).await;
        }
        let bytes = wanted.iter().map(|(key, value)| key.len() + value.len());
        let bytes = bytes.sum::<usize>() as u64;
        assert_eq!(counted(&mut awake).await, bytes);
        assert_eq!(awake.again().await.kv_bytes, bytes);
        assert_eq!(listed(&sqlite, others, false).await.len(), PAIRS);
    }

    async fn counted(awake: &mut Awake<'_>) -> u64 {
        let counting = DataChanges {
            counts_pairs: true,
            ..DataChanges::default()
        };
        awake.commit(counting).await.kv_bytes.unwrap()
    }

    #[tokio::test]
    async fn bytes_are_exact_in_the_end_and_for_moderate_spans_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(folder.path(), 64).unwrap();
        let mut awake = Awake::new(&sqlite, "discarded", "bytes").await;
        let removing = |from: usize, to: usize, more: DataChanges| DataChanges {
            spans: vec![KvSpan {
                start: key(from),
                end: Some(key(to)),
            }],
            ..more
        };
        let none = DataChanges::default;
        awake.commit(put(0..1_000, "12345")).await;
        assert_eq!(counted(&mut awake).await, 10_000);
        // Noted and counted; then some of it is written anew, removed again by itself, and noted once more.
        awake.commit(removing(0, 900, none())).await;
        assert_eq!(counted(&mut awake).await, 1_000);
        awake.commit(put(0..400, "1")).await;
        assert_eq!(counted(&mut awake).await, 1_000 + 400 * 6);
        let gone = DataChanges {
            pairs: (0..100).chain(800..850).map(|n| (key(n), None)).collect(),
            ..none()
        };
        awake.commit(gone).await;
        assert_eq!(counted(&mut awake).await, 1_000 + 300 * 6);
        awake
            .commit(removing(100, 2_000, put(0..PAIRS, "12345")))
            .await;
        assert_eq!(counted(&mut awake).await, 10 * PAIRS as u64);
        // More than is counted.
        awake.commit(removing(0, 2_500, put(0..5, "1"))).await;
        awake.commit(removing(0, 3, none())).await;
        let left = (2 * 6 + 500 * 10) as u64;
        assert!(counted(&mut awake).await >= left);
        swept(folder.path()).await;
        assert_eq!(counted(&mut awake).await, left);
        assert_eq!(listed(&sqlite, awake.actor.row, false).await.len(), 502);
    }

    #[tokio::test]
    async fn what_a_destroyed_actor_leaves_is_swept_away_also_by_the_next_host() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(folder.path(), 64).unwrap();
        let mut awake = Awake::new(&sqlite, "discarded", "x").await;
        awake.commit(put(0..PAIRS, "old")).await;
        assert!(sqlite.destroy(awake.actor.row).await.unwrap());
        let row = awake.actor.row;
        assert!(listed(&sqlite, row, false).await.is_empty());
        let again = Awake::new(&sqlite, "discarded", "x").await;
        assert_ne!(again.actor.row, row);
        assert_eq!(again.opened.kv_bytes, 0);
        drop(sqlite);
        let _sqlite = Sqlite::open(folder.path(), 64).unwrap();
        swept(folder.path()).await;
        let connection = Connection::open(folder.path().join("greenroom.sqlite")).unwrap();
        let sql = "SELECT count(*) FROM kv";
        let left: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_new_note_takes_over_what_it_has_in_common_with_older_ones() {
        let note = |start: &str, end: &str, head, freed| Note {
            start: start.into(),
            end: (!end.is_empty()).then(|| end.into()),
            head,
            freed,
        };
        let shown = |notes: Vec<Note>| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let shown = notes.into_iter().map(|n| {
                let end = n.end.map_or(String::new(), |end| text(&end));
                format!("{}-{end}:{}/{}", text(&n.start), n.head, n.freed)
            });
            shown.collect::<Vec<_>>().join(" ")
        };
        let older = [
            note("b", "d", 1, 1),
            note("f", "h", 2, 0),
            note("k", "", 3, 3),
        ];
        let put_over = |new: Note, older: &[Note]| shown(over(&new, older));
        assert_eq!(put_over(note("a", "z", 9, 9), &[]), "a-z:9/9");
        assert_eq!(
            put_over(note("c", "l", 9, 0), &older),
            "b-c:1/1 c-d:9/1 d-f:9/0 f-h:9/0 h-k:9/0 k-l:9/3 l-:3/3"
        );
        assert_eq!(
            put_over(note("", "", 9, 9), &older),
            "-b:9/9 b-d:9/9 d-f:9/9 f-h:9/9 h-k:9/9 k-:9/9"
        );
        assert_eq!(
            put_over(note("c", "d", 9, 0), &older[..1]),
            "b-c:1/1 c-d:9/1"
        );
        assert_eq!(
            put_over(note("m", "n", 9, 9), &older[2..]),
            "k-m:3/3 m-n:9/9 n-:3/3"
        );
    }

    #[tokio::test]
    async fn many_spans_of_one_commit_are_gone_together() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(folder.path(), 64).unwrap();
        let mut awake = Awake::new(&sqlite, "discarded", "many").await;
        // Each span has more than is removed at once.
        const SPANS: usize = 60;
        let name = |span: usize, n: usize| Bytes::from(format!("{span:03}-{n:03}"));
        for span in 0..SPANS {
            let pairs = (0..300).map(|n| (name(span, n), Some(Bytes::from_static(b"1"))));
            awake
                .commit(DataChanges {
                    pairs: pairs.collect(),
                    ..DataChanges::default()
                })
                .await;
        }
        let spans = (0..SPANS).map(|span| KvSpan {
            start: name(span, 0),
            end: Some(name(span, 999)),
        });
        awake
            .commit(DataChanges {
                spans: spans.collect(),
                ..DataChanges::default()
            })
            .await;
        assert!(listed(&sqlite, awake.actor.row, false).await.is_empty());
        swept(folder.path()).await;
        assert_eq!(counted(&mut awake).await, 0);
    }
}
