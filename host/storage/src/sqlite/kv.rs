//! Pairs of actors' key-value stores, as rows.

use bytes::Bytes;
use greenroom_model::{Head, KvQuery, KvSpan};
use rusqlite::{Connection, OptionalExtension, params};

use super::discarded::{self, FREED, GONE, filter};
use super::row::number;
use crate::record::{ActorRow, StoredPairs};

/// Rows that are only waiting to be swept away, and that one listing goes over: others want to read, too.
const SKIPPED_MAX: usize = 1_000;

/// The values of these keys, all as of one moment; fewer, if they would have more bytes than may be.
pub(super) fn get(
    connection: &Connection,
    actor: ActorRow,
    keys: &[Bytes],
    bytes_max: usize,
) -> rusqlite::Result<Vec<Option<Bytes>>> {
    // Without it, the writer could finish a transaction between one key and the next.
    let is_needed = keys.len() > 1;
    let _moment = is_needed
        .then(|| connection.unchecked_transaction())
        .transpose()?;
    let sql = format!("SELECT value FROM kv WHERE row = ?1 AND key = ?2 AND NOT {GONE}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut values = Vec::with_capacity(keys.len());
    let mut bytes = 0;
    for key in keys {
        let value = statement.query_row(params![actor.0, &key[..]], |row| row.get(0));
        let value = value.optional()?.map(|value: Vec<u8>| Bytes::from(value));
        bytes += value.as_ref().map_or(0, Bytes::len);
        if bytes > bytes_max {
            break;
        }
        values.push(value);
    }
    Ok(values)
}

/// The first pairs, or the last, within the bounds.
pub(super) fn list(
    connection: &Connection,
    actor: ActorRow,
    query: &KvQuery,
    bytes_max: usize,
) -> rusqlite::Result<StoredPairs> {
    let order = if query.reverse { "DESC" } else { "ASC" };
    let filter = filter(&query.span);
    // What is gone is not even read.
    let sql = format!(
        "SELECT key, CASE WHEN {GONE} THEN NULL ELSE value END FROM kv WHERE {filter} ORDER BY key {order}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![
        actor.0,
        &query.span.start[..],
        query.span.end.as_deref()
    ])?;
    let mut page = StoredPairs::default();
    let (mut bytes, mut skipped) = (0, 0);
    let mut last = None;
    // Rows come one by one, in the order of the table: what is beyond the bounds is never read.
    while let Some(row) = rows.next()? {
        if page.pairs.len() >= query.count_max || skipped >= SKIPPED_MAX {
            page.upto = last;
            break;
        }
        let key = row.get_ref(0)?.as_blob()?;
        let Some(value) = row.get_ref(1)?.as_blob_or_null()? else {
            skipped += 1;
            last = Some(Bytes::copy_from_slice(key));
            continue;
        };
        bytes += key.len() + value.len();
        if bytes > bytes_max && !page.pairs.is_empty() {
            page.upto = last;
            break;
        }
        let pair = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        last = Some(pair.0.clone());
        page.pairs.push(pair);
    }
    Ok(page)
}

/// Removes the spans, then writes the pairs, in the commit that makes this head; by how many bytes the pairs have grown.
pub(super) fn change(
    connection: &Connection,
    (actor, head): (ActorRow, Head),
    spans: &[KvSpan],
    pairs: &[(Bytes, Option<Bytes>)],
) -> rusqlite::Result<i64> {
    let mut grown = 0;
    for span in spans {
        grown -= discarded::span(connection, (actor, head), span)?;
    }
    for (key, value) in pairs {
        grown += match value {
            Some(value) => put(connection, (actor, head), key, value)?,
            None => -remove(connection, actor, key)?,
        };
    }
    Ok(grown)
}

/// By how many bytes the pairs have grown.
fn put(
    connection: &Connection,
    (actor, head): (ActorRow, Head),
    key: &Bytes,
    value: &Bytes,
) -> rusqlite::Result<i64> {
    // SQLite knows how long a value is without reading it.
    let sql = format!(
        "SELECT CASE WHEN {FREED} THEN NULL ELSE length(value) END FROM kv WHERE row = ?1 AND key = ?2"
    );
    let replaced: Option<Option<i64>> = connection
        .prepare_cached(&sql)?
        .query_row(params![actor.0, &key[..]], |row| row.get(0))
        .optional()?;
    let sql = "INSERT INTO kv (row, key, value, head) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (row, key) DO UPDATE SET value = excluded.value, head = excluded.head";
    connection.prepare_cached(sql)?.execute(params![
        actor.0,
        &key[..],
        &value[..],
        number(head.0)
    ])?;
    Ok(match replaced.flatten() {
        Some(replaced) => length(value) - replaced,
        None => length(key) + length(value),
    })
}

/// By how many bytes there are fewer.
fn remove(connection: &Connection, actor: ActorRow, key: &Bytes) -> rusqlite::Result<i64> {
    let sql = format!(
        "SELECT length(key) + length(value) FROM kv WHERE row = ?1 AND key = ?2 AND NOT {FREED}"
    );
    let freed: Option<i64> = connection
        .prepare_cached(&sql)?
        .query_row(params![actor.0, &key[..]], |row| row.get(0))
        .optional()?;
    let sql = "DELETE FROM kv WHERE row = ?1 AND key = ?2";
    connection
        .prepare_cached(sql)?
        .execute(params![actor.0, &key[..]])?;
    Ok(freed.unwrap_or(0))
}

fn length(bytes: &Bytes) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}
