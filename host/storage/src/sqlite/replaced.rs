//! States as they were before a newer revision migrated them: one for each actor, until it is put back or forgotten.

use bytes::Bytes;
use greenroom_model::Head;
use rusqlite::{Connection, OptionalExtension, params};

use super::row::{ACTOR_COLUMNS, actor, number};
use crate::record::{ActorRow, Commit, Migrated, Replaced, RevisionId};

/// Keeps what the commit is about to replace. Nothing happens if the commit is not the newest: the update that
/// follows does not match either.
pub(super) fn keep(connection: &Connection, new: &Commit) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO replaced
               (row, by_revision, head, revision, state_version, state)
               SELECT row, ?4, head + 1, revision, state_version, state FROM actor_data
               WHERE row = ?1 AND generation = ?2 AND head = ?3
               AND state IS NOT NULL AND revision IS NOT NULL";
    let (generation, head) = (new.generation.0, new.head.0);
    let values = params![new.actor.0, generation, head, new.revision.0];
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub(super) fn read(connection: &Connection, row: ActorRow) -> rusqlite::Result<Option<Replaced>> {
    let sql = "SELECT by_revision, head FROM replaced WHERE row = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let replaced = |row: &rusqlite::Row<'_>| {
        Ok(Replaced {
            by: RevisionId(row.get(0)?),
            head: Head(row.get(1)?),
        })
    };
    statement.query_row([row.0], replaced).optional()
}

/// What would be put back.
pub(super) fn state(
    connection: &Connection,
    row: ActorRow,
) -> rusqlite::Result<Option<(RevisionId, u32, Bytes)>> {
    let sql = "SELECT r.revision, r.state_version, r.state FROM replaced r
               JOIN actor_data d ON d.row = r.row WHERE r.row = ?1 AND r.head = d.state_head";
    let mut statement = connection.prepare_cached(sql)?;
    let state = |row: &rusqlite::Row<'_>| {
        let state: Vec<u8> = row.get(2)?;
        Ok((RevisionId(row.get(0)?), row.get(1)?, Bytes::from(state)))
    };
    statement.query_row([row.0], state).optional()
}

/// Puts the earlier state back, if it has not changed since.
pub(super) fn restore(connection: &Connection, row: ActorRow) -> rusqlite::Result<bool> {
    let sql = "UPDATE actor_data SET head = actor_data.head + 1, generation = generation + 1,
               state_head = actor_data.head + 1, revision = r.revision, state_version = r.state_version, state = r.state
               FROM replaced r
               WHERE actor_data.row = ?1 AND r.row = ?1 AND r.head = actor_data.state_head";
    let restored = connection.prepare_cached(sql)?.execute([row.0])?;
    if restored == 1 {
        remove(connection, row)?;
    }
    Ok(restored == 1)
}

pub(super) fn remove(connection: &Connection, row: ActorRow) -> rusqlite::Result<()> {
    let sql = "DELETE FROM replaced WHERE row = ?1";
    connection.prepare_cached(sql)?.execute([row.0])?;
    Ok(())
}

pub(super) fn forget(
    connection: &Connection,
    by: RevisionId,
    count_max: usize,
) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM replaced WHERE row IN
               (SELECT row FROM replaced WHERE by_revision = ?1 LIMIT ?2)";
    let most = number(count_max as u64);
    connection.prepare_cached(sql)?.execute([by.0, most])
}

pub(super) fn migrated(
    connection: &Connection,
    by: RevisionId,
    count_max: usize,
) -> rusqlite::Result<Migrated> {
    let sql = "SELECT count(*), coalesce(sum(d.state_head <> r.head), 0) FROM replaced r
               JOIN actor_data d ON d.row = r.row WHERE r.by_revision = ?1";
    let counts = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let (count, committed_count) = connection.prepare_cached(sql)?.query_row([by.0], counts)?;
    let sql = format!(
        "SELECT {ACTOR_COLUMNS} FROM actors WHERE row IN
         (SELECT r.row FROM replaced r JOIN actor_data d ON d.row = r.row
          WHERE r.by_revision = ?1 AND d.state_head <> r.head ORDER BY r.row LIMIT ?2) ORDER BY row"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([by.0, number(count_max as u64)], actor)?;
    Ok(Migrated {
        count,
        committed_count,
        committed: rows.collect::<rusqlite::Result<_>>()?,
    })
}
