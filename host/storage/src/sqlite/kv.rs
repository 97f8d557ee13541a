//! Pairs of actors' key-value stores, as rows.

use bytes::Bytes;
use greenroom_model::{KvPage, KvQuery, KvSpan};
use rusqlite::{Connection, OptionalExtension, params};

use crate::record::ActorRow;

/// The values of these keys, all as of one moment.
pub(super) fn get(
    connection: &Connection,
    actor: ActorRow,
    keys: &[Bytes],
) -> rusqlite::Result<Vec<Option<Bytes>>> {
    // Without it, the writer could finish a transaction between one key and the next.
    let is_needed = keys.len() > 1;
    let _moment = is_needed
        .then(|| connection.unchecked_transaction())
        .transpose()?;
    let sql = "SELECT value FROM kv WHERE row = ?1 AND key = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let value = |key: &Bytes| {
        let value = statement.query_row(params![actor.0, &key[..]], |row| row.get(0));
        Ok(value.optional()?.map(|value: Vec<u8>| Bytes::from(value)))
    };
    keys.iter().map(value).collect()
}

/// The first pairs, or the last, within the bounds.
pub(super) fn list(
    connection: &Connection,
    actor: ActorRow,
    query: &KvQuery,
    bytes_max: usize,
) -> rusqlite::Result<KvPage> {
    let order = if query.reverse { "DESC" } else { "ASC" };
    let filter = filter(&query.span);
    let sql = format!("SELECT key, value FROM kv WHERE {filter} ORDER BY key {order}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![
        actor.0,
        &query.span.start[..],
        query.span.end.as_deref()
    ])?;
    let mut page = KvPage::default();
    let mut bytes = 0;
    // Rows come one by one, in the order of the table: what is beyond the bounds is never read.
    while let Some(row) = rows.next()? {
        bytes += row.get_ref(0)?.as_blob()?.len() + row.get_ref(1)?.as_blob()?.len();
        let fits = page.pairs.is_empty() || bytes <= bytes_max;
        if page.pairs.len() >= query.count_max || !fits {
            page.has_more = true;
            break;
        }
        let blob = |column| row.get(column).map(|blob: Vec<u8>| Bytes::from(blob));
        page.pairs.push((blob(0)?, blob(1)?));
    }
    Ok(page)
}

/// Removes the spans, then writes the pairs; by how many bytes the pairs have grown.
pub(super) fn change(
    connection: &Connection,
    actor: ActorRow,
    spans: &[KvSpan],
    pairs: &[(Bytes, Option<Bytes>)],
) -> rusqlite::Result<i64> {
    let mut grown = 0;
    for span in spans {
        grown -= remove_span(connection, actor, span)?;
    }
    for (key, value) in pairs {
        grown += match value {
            Some(value) => put(connection, actor, key, value)?,
            None => -remove(connection, actor, key)?,
        };
    }
    Ok(grown)
}

pub(super) fn remove_all(connection: &Connection, actor: ActorRow) -> rusqlite::Result<()> {
    let sql = "DELETE FROM kv WHERE row = ?1";
    connection.prepare_cached(sql)?.execute([actor.0])?;
    Ok(())
}

/// By how many bytes the pairs have grown.
fn put(
    connection: &Connection,
    actor: ActorRow,
    key: &Bytes,
    value: &Bytes,
) -> rusqlite::Result<i64> {
    // SQLite knows how long a value is without reading it.
    let sql = "SELECT length(value) FROM kv WHERE row = ?1 AND key = ?2";
    let replaced: Option<i64> = connection
        .prepare_cached(sql)?
        .query_row(params![actor.0, &key[..]], |row| row.get(0))
        .optional()?;
    let sql = "INSERT INTO kv (row, key, value) VALUES (?1, ?2, ?3)
               ON CONFLICT (row, key) DO UPDATE SET value = excluded.value";
    connection
        .prepare_cached(sql)?
        .execute(params![actor.0, &key[..], &value[..]])?;
    Ok(match replaced {
        Some(replaced) => length(value) - replaced,
        None => length(key) + length(value),
    })
}

/// How many bytes went.
fn remove(connection: &Connection, actor: ActorRow, key: &Bytes) -> rusqlite::Result<i64> {
    let sql = "DELETE FROM kv WHERE row = ?1 AND key = ?2 RETURNING length(key) + length(value)";
    let gone: Option<i64> = connection
        .prepare_cached(sql)?
        .query_row(params![actor.0, &key[..]], |row| row.get(0))
        .optional()?;
    Ok(gone.unwrap_or(0))
}

/// How many bytes went.
fn remove_span(connection: &Connection, actor: ActorRow, span: &KvSpan) -> rusqlite::Result<i64> {
    let filter = filter(span);
    let span = params![actor.0, &span.start[..], span.end.as_deref()];
    // Not RETURNING, which would hold a row for each pair in memory, and read every value.
    let sql =
        format!("SELECT coalesce(sum(length(key) + length(value)), 0) FROM kv WHERE {filter}");
    let gone = connection
        .prepare_cached(&sql)?
        .query_row(span, |row| row.get(0))?;
    let sql = format!("DELETE FROM kv WHERE {filter}");
    connection.prepare_cached(&sql)?.execute(span)?;
    Ok(gone)
}

/// One text for each case, so that each can use the key of the table.
const fn filter(span: &KvSpan) -> &'static str {
    match span.end {
        Some(_) => "row = ?1 AND key >= ?2 AND key < ?3",
        None => "row = ?1 AND key >= ?2 AND ?3 IS NULL",
    }
}

fn length(bytes: &Bytes) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}
