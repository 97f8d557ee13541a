//! A commit, inside the writer's transaction.

use greenroom_model::Head;
use rusqlite::{Connection, params};

use super::fault::{Faults, Point};
use super::{alarms, conns, discarded, kv, messages, pins, replaced, schedule};
use crate::record::{ActorRow, Commit, DataChanges, Kept};
use crate::{Error, Result};

/// Carries out everything in the commit, or nothing.
///
/// Nothing here may fail because of what one commit says or what its actor's rows hold: its neighbours in the
/// transaction would be taken back with it.
pub(super) fn commit(
    connection: &Connection,
    new: &Commit,
    faults: &Faults,
) -> rusqlite::Result<Result<Kept>> {
    faults.reach(Point::Before);
    if new.keeps_replaced {
        // Pinned while it was being migrated: there it could not read the new state.
        if pins::is_elsewhere(connection, new.actor, new.revision)? {
            return Ok(Err(Error::Fenced));
        }
        replaced::keep(connection, new)?;
    }
    if !advance(connection, new)? {
        return Ok(Err(Error::Fenced));
    }
    faults.reach(Point::Middle);
    for change in &new.conns {
        conns::change(connection, new.actor, change)?;
    }
    let head = Head(new.head.0 + 1);
    let kept = change_data(connection, (new.actor, head), &new.data)?;
    faults.reach(Point::Written);
    Ok(Ok(kept))
}

/// The one-writer rule is the `WHERE`: no row matches a commit that is not the newest. `false` if it is
/// fenced off.
///
/// Every commit comes through here, and most need no other statement. (So no `RETURNING`, with which this one
/// takes more than twice as long.)
fn advance(connection: &Connection, new: &Commit) -> rusqlite::Result<bool> {
    let Commit {
        actor,
        generation,
        head,
        revision,
        state,
        state_version,
        ..
    } = new;
    let next = messages::next(&new.data.messages);
    let changed = match state {
        Some(state) => {
            let sql = "UPDATE actor_data SET head = head + 1, input = NULL,
                       next_message = max(next_message, ?4), revision = ?5, state = ?6,
                       state_version = ?7, state_head = head + 1 WHERE row = ?1 AND generation = ?2 AND head = ?3";
            let (revision, state) = (revision.0, &state[..]);
            let values = params![
                actor.0,
                generation.0,
                head.0,
                next,
                revision,
                state,
                state_version
            ];
            connection.prepare_cached(sql)?.execute(values)?
        }
        None => {
            let sql = "UPDATE actor_data SET head = head + 1, input = NULL,
                       next_message = max(next_message, ?4)
                       WHERE row = ?1 AND generation = ?2 AND head = ?3";
            let values = params![actor.0, generation.0, head.0, next];
            connection.prepare_cached(sql)?.execute(values)?
        }
    };
    Ok(changed == 1)
}

fn change_data(
    connection: &Connection,
    (actor, head): (ActorRow, Head),
    data: &DataChanges,
) -> rusqlite::Result<Kept> {
    let DataChanges {
        spans,
        pairs,
        messages,
        schedule,
        alarm,
        is_doomed,
        counts_pairs,
    } = data;
    let grown = kv::change(connection, (actor, head), spans, pairs)?;
    let kv_bytes = match grown {
        0 if !counts_pairs => None,
        grown => Some(count(connection, actor, grown)?),
    };
    for change in messages {
        messages::change(connection, actor, change)?;
    }
    for change in schedule {
        schedule::change(connection, actor, change)?;
    }
    if let Some(alarm) = alarm {
        alarms::change(connection, actor, *alarm)?;
    }
    if *is_doomed {
        let sql = "UPDATE actor_data SET is_doomed = 1 WHERE row = ?1";
        connection.prepare_cached(sql)?.execute([actor.0])?;
    }
    let is_shrinking = match counts_pairs {
        true => Some(discarded::has_any(connection, actor)?),
        false => None,
    };
    Ok(Kept {
        kv_bytes,
        is_shrinking,
    })
}

/// How many bytes the pairs have, now that they have grown.
fn count(connection: &Connection, actor: ActorRow, grown: i64) -> rusqlite::Result<u64> {
    let sql = "SELECT kv_bytes FROM actor_data WHERE row = ?1";
    let before: i64 = connection
        .prepare_cached(sql)?
        .query_row([actor.0], |row| row.get(0))?;
    // Out of these bounds there is nothing unless the row was damaged, which is no reason to fail here.
    let after = before.saturating_add(grown).max(0);
    let sql = "UPDATE actor_data SET kv_bytes = ?2 WHERE row = ?1";
    connection.prepare_cached(sql)?.execute([actor.0, after])?;
    Ok(after.unsigned_abs())
}
