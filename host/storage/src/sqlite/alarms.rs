//! When actors must be awake, as rows: one for each actor that has to be at some time.
//!
//! Many may have to be at the same time, every day at noon perhaps. So that each batch begins where the one
//! before ended, and does not run through all of them, the table is without a rowid: in an index where the row
//! is the rowid, SQLite does not search for time and row together.

use greenroom_model::Millis;
use rusqlite::{Connection, OptionalExtension, params};
use tracing::error;

use super::row::{ACTOR_COLUMNS, actor, is_damage};
use crate::record::{ActorRow, Alarm, NewAlarm};

/// The alarm of one actor.
pub(super) fn read(connection: &Connection, actor: ActorRow) -> rusqlite::Result<Option<Millis>> {
    let sql = "SELECT at_ms FROM alarms WHERE row = ?1";
    connection
        .prepare_cached(sql)?
        .query_row([actor.0], |row| row.get(0).map(Millis))
        .optional()
}

pub(super) fn change(
    connection: &Connection,
    actor: ActorRow,
    alarm: NewAlarm,
) -> rusqlite::Result<()> {
    match alarm.at {
        Some(at) => {
            let sql = "INSERT OR REPLACE INTO alarms (row, at_ms, set_ms) VALUES (?1, ?2, ?3)";
            let values = [actor.0, at.0, alarm.set_at.0];
            connection.prepare_cached(sql)?.execute(values)?;
        }
        None => remove(connection, actor)?,
    }
    Ok(())
}

pub(super) fn remove(connection: &Connection, actor: ActorRow) -> rusqlite::Result<()> {
    let sql = "DELETE FROM alarms WHERE row = ?1";
    connection.prepare_cached(sql)?.execute([actor.0])?;
    Ok(())
}

/// The alarms that are due, earliest first.
///
/// A row of `actors` that does not parse is skipped, and does not count: a batch that is short of `count_max`
/// means that there are no more, so damaged rows must not make it short.
pub(super) fn due(
    connection: &Connection,
    now: Millis,
    after: Option<(Millis, ActorRow)>,
    count_max: usize,
) -> rusqlite::Result<Vec<Alarm>> {
    // CROSS JOIN keeps SQLite from beginning with all actors there are.
    let sql = format!(
        "SELECT {ACTOR_COLUMNS}, at_ms FROM alarms CROSS JOIN actors USING (row)
         WHERE at_ms <= ?1 AND (at_ms, alarms.row) > (?2, ?3) ORDER BY at_ms, alarms.row"
    );
    // Rows of actors are positive.
    let (after, row) = after.map_or((i64::MIN, 0), |(at, row)| (at.0, row.0));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![now.0, after, row])?;
    let mut due = Vec::new();
    while due.len() < count_max {
        let Some(row) = rows.next()? else {
            break;
        };
        match actor(row) {
            Ok(actor) => {
                let at = Millis(row.get(6)?);
                due.push(Alarm { at, actor });
            }
            Err(error) if is_damage(&error) => {
                let row: i64 = row.get(0)?;
                error!(row, %error, "an actor with an alarm does not parse; it is not woken");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(due)
}

/// Makes alarms due that were set later than `set_after`; how many.
pub(super) fn pull(
    connection: &Connection,
    set_after: Millis,
    now: Millis,
    count_max: usize,
) -> rusqlite::Result<usize> {
    // There is no index for that: it is asked for when the host starts and when the clock was set back.
    let sql = "UPDATE alarms SET at_ms = ?2, set_ms = ?2
               WHERE row IN (SELECT row FROM alarms WHERE set_ms > ?1 AND at_ms > ?2 LIMIT ?3)";
    let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
    connection
        .prepare_cached(sql)?
        .execute([set_after.0, now.0, count_max])
}

/// The first alarm after `after`.
pub(super) fn next(connection: &Connection, after: Millis) -> rusqlite::Result<Option<Millis>> {
    let sql = "SELECT at_ms FROM alarms WHERE at_ms > ?1 ORDER BY at_ms LIMIT 1";
    connection
        .prepare_cached(sql)?
        .query_row([after.0], |row| row.get(0).map(Millis))
        .optional()
}
