//! Schedules of actors and the runs that are remembered, as rows.

use bytes::Bytes;
use greenroom_model::{Millis, Outcome, Scheduled, ScheduledRun};
use rusqlite::types::Type;
use rusqlite::{Connection, Error, Row, params};

use super::row::{number, parse};
use crate::record::{ActorRow, ScheduleChange};

/// The entries of an actor's schedule.
pub(super) fn read(connection: &Connection, actor: ActorRow) -> rusqlite::Result<Vec<Scheduled>> {
    let sql = "SELECT id, action, args, timing, due_ms, try_ms, failures, set_ms
               FROM schedule WHERE row = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([actor.0], entry)?;
    rows.collect()
}

/// The runs that are remembered, oldest first.
pub(super) fn runs(
    connection: &Connection,
    actor: ActorRow,
) -> rusqlite::Result<Vec<ScheduledRun>> {
    let sql = "SELECT number, id, action, due_ms, started_ms, outcome, error
               FROM runs WHERE row = ?1 ORDER BY number";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([actor.0], run)?;
    rows.collect()
}

pub(super) fn change(
    connection: &Connection,
    actor: ActorRow,
    change: &ScheduleChange,
) -> rusqlite::Result<()> {
    match change {
        ScheduleChange::Put(entry) => put(connection, actor, entry)?,
        ScheduleChange::Remove(id) => {
            let sql = "DELETE FROM schedule WHERE row = ?1 AND id = ?2";
            connection
                .prepare_cached(sql)?
                .execute(params![actor.0, id])?;
        }
        ScheduleChange::Ran { run, keep_from } => {
            insert_run(connection, actor, run)?;
            let sql = "DELETE FROM runs WHERE row = ?1 AND number < ?2";
            connection
                .prepare_cached(sql)?
                .execute([actor.0, number(*keep_from)])?;
        }
    }
    Ok(())
}

pub(super) fn remove_all(connection: &Connection, actor: ActorRow) -> rusqlite::Result<()> {
    let entries = "DELETE FROM schedule WHERE row = ?1";
    connection.prepare_cached(entries)?.execute([actor.0])?;
    let runs = "DELETE FROM runs WHERE row = ?1";
    connection.prepare_cached(runs)?.execute([actor.0])?;
    Ok(())
}

fn put(connection: &Connection, actor: ActorRow, entry: &Scheduled) -> rusqlite::Result<()> {
    let timing = serde_json::to_string(&entry.timing)
        .expect("a timing is numbers and texts, which JSON can say");
    let sql = "INSERT OR REPLACE INTO schedule
               (row, id, action, args, timing, due_ms, try_ms, failures, set_ms)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    connection.prepare_cached(sql)?.execute(params![
        actor.0,
        entry.id,
        entry.action,
        &entry.args[..],
        timing,
        entry.due_at.0,
        entry.try_at.0,
        entry.failures,
        entry.set_at.0,
    ])?;
    Ok(())
}

fn insert_run(
    connection: &Connection,
    actor: ActorRow,
    run: &ScheduledRun,
) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO runs
               (row, number, id, action, due_ms, started_ms, outcome, error)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    connection.prepare_cached(sql)?.execute(params![
        actor.0,
        number(run.number),
        run.id,
        run.action,
        run.due_at.0,
        run.started_at.0,
        outcome_to_number(run.outcome),
        run.error,
    ])?;
    Ok(())
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Scheduled> {
    Ok(Scheduled {
        id: row.get(0)?,
        action: row.get(1)?,
        args: Bytes::from(row.get::<_, Vec<u8>>(2)?),
        timing: parse(3, serde_json::from_str(row.get_ref(3)?.as_str()?))?,
        due_at: Millis(row.get(4)?),
        try_at: Millis(row.get(5)?),
        failures: row.get(6)?,
        set_at: Millis(row.get(7)?),
    })
}

fn run(row: &Row<'_>) -> rusqlite::Result<ScheduledRun> {
    let outcome = outcome_from_number(row.get(5)?).ok_or_else(|| {
        let text = "a stored run has an outcome that there is not";
        Error::FromSqlConversionFailure(5, Type::Integer, text.into())
    });
    Ok(ScheduledRun {
        number: row.get(0)?,
        id: row.get(1)?,
        action: row.get(2)?,
        due_at: Millis(row.get(3)?),
        started_at: Millis(row.get(4)?),
        outcome: outcome?,
        error: row.get(6)?,
    })
}

const fn outcome_to_number(outcome: Outcome) -> i64 {
    match outcome {
        Outcome::Done => 0,
        Outcome::Failed => 1,
        Outcome::GivenUp => 2,
    }
}

const fn outcome_from_number(number: i64) -> Option<Outcome> {
    Some(match number {
        0 => Outcome::Done,
        1 => Outcome::Failed,
        2 => Outcome::GivenUp,
        _ => return None,
    })
}
