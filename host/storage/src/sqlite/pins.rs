//! Which actors stay on a revision of their own.

use greenroom_model::{ComponentName, Head, Millis};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row::{ACTOR_COLUMNS, actor, number};
use crate::record::{ActorRow, Pin, PinnedActor, RevisionId, StateSeen};
use crate::{Error, Result};

const PIN_COLUMNS: &str = "revision, refused, reason, at_ms";

fn from_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Pin> {
    Ok(Pin {
        revision: RevisionId(row.get(first)?),
        refused: row.get::<_, Option<i64>>(first + 1)?.map(RevisionId),
        reason: row.get(first + 2)?,
        at: Millis(row.get(first + 3)?),
    })
}

pub(super) fn read(connection: &Connection, row: ActorRow) -> rusqlite::Result<Option<Pin>> {
    let sql = format!("SELECT {PIN_COLUMNS} FROM pins WHERE row = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    statement
        .query_row([row.0], |row| from_row(row, 0))
        .optional()
}

/// `false` if it may not be made.
pub(super) fn put(
    connection: &Connection,
    row: ActorRow,
    pin: &Pin,
    seen: Option<StateSeen>,
) -> rusqlite::Result<Result<bool>> {
    let sql =
        "SELECT iif(state IS NULL, NULL, state_version), state_head FROM actor_data WHERE row = ?1";
    let stands = |row: &Row<'_>| Ok((row.get(0)?, Head(row.get(1)?)));
    let stands = connection.prepare_cached(sql)?.query_row([row.0], stands);
    let Some((version, head)) = stands.optional()? else {
        return Ok(Err(Error::Gone));
    };
    if seen.is_some_and(|seen| !seen.is_so(version, head)) {
        return Ok(Ok(false));
    }
    let sql = "INSERT OR REPLACE INTO pins (row, revision, refused, reason, at_ms)
               SELECT ?1, ?2, ?3, ?4, ?5
               WHERE CASE WHEN ?3 IS NULL
                   THEN EXISTS (SELECT 1 FROM revisions JOIN component_bytes USING (hash) WHERE id = ?2)
                   ELSE NOT EXISTS (SELECT 1 FROM pins WHERE row = ?1 AND refused IS NULL)
                       AND EXISTS (SELECT 1 FROM components WHERE current = ?3 OR target = ?3)
                   END";
    let refused = pin.refused.map(|refused| refused.0);
    let values = params![row.0, pin.revision.0, refused, pin.reason, pin.at.0];
    Ok(Ok(connection.prepare_cached(sql)?.execute(values)? == 1))
}

/// Whether an operator wants the actor on another revision than this.
pub(super) fn is_elsewhere(
    connection: &Connection,
    row: ActorRow,
    revision: RevisionId,
) -> rusqlite::Result<bool> {
    let sql =
        "SELECT EXISTS (SELECT 1 FROM pins WHERE row = ?1 AND refused IS NULL AND revision <> ?2)";
    let values = [row.0, revision.0];
    connection
        .prepare_cached(sql)?
        .query_row(values, |row| row.get(0))
}

/// `false` if it was not pinned, or not because of that.
pub(super) fn remove(
    connection: &Connection,
    row: ActorRow,
    refused: Option<RevisionId>,
) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM pins WHERE row = ?1 AND (?2 IS NULL OR refused = ?2)";
    let values = params![row.0, refused.map(|refused| refused.0)];
    Ok(connection.prepare_cached(sql)?.execute(values)? == 1)
}

pub(super) fn list(
    connection: &Connection,
    component: &ComponentName,
    after: Option<ActorRow>,
    count_max: usize,
) -> rusqlite::Result<Vec<PinnedActor>> {
    let sql = format!(
        "SELECT {ACTOR_COLUMNS}, {PIN_COLUMNS} FROM
         (SELECT * FROM pins WHERE row > ?2
          AND revision IN (SELECT id FROM revisions WHERE component = ?1) ORDER BY row LIMIT ?3)
         JOIN actors USING (row) ORDER BY row"
    );
    let after = after.map_or(0, |row| row.0);
    let mut statement = connection.prepare_cached(&sql)?;
    let values = params![component.as_str(), after, number(count_max as u64)];
    let pinned = |row: &Row<'_>| {
        Ok(PinnedActor {
            actor: actor(row)?,
            pin: from_row(row, 6)?,
        })
    };
    statement.query_map(values, pinned)?.collect()
}
