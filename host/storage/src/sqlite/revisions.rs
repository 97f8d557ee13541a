//! The components that actors run on, and the way from one revision to another.

use bytes::Bytes;
use greenroom_model::{ActorType, ComponentHash, ComponentName, Millis};
use rusqlite::{Connection, OptionalExtension, params};

use super::row::{REVISION_COLUMNS, parse, revision};
use crate::record::{
    ComponentRecord, NewRevision, PutRevision, RevisionId, RevisionRecord, RolloutRecord, Switch,
    overtaken,
};
use crate::{Error, Result};

/// Adds a revision, unless its component is on its bytes, or on the way to them.
pub(super) fn put(
    connection: &Connection,
    new: &NewRevision,
) -> rusqlite::Result<Result<PutRevision>> {
    let component = new.component.as_str();
    if let Some(taken) = taken(connection, new)? {
        return Ok(Err(taken));
    }
    let known = record(connection, component)?;
    let newest = known.as_ref().map(|known| match &known.rollout {
        Some(rollout) => &rollout.target,
        None => &known.current,
    });
    if let Some(newest) = newest.filter(|newest| newest.hash == new.hash) {
        return Ok(Ok(PutRevision {
            revision: newest.clone(),
            is_new: false,
        }));
    }
    let sql = "SELECT coalesce(max(number), 0) + 1 FROM revisions WHERE component = ?1";
    let number: u32 = connection
        .prepare_cached(sql)?
        .query_row([component], |row| row.get(0))?;
    let sql = "INSERT OR IGNORE INTO component_bytes (hash, bytes) VALUES (?1, ?2)";
    connection
        .prepare_cached(sql)?
        .execute(params![new.hash.0, &new.bytes[..]])?;
    let id = insert(connection, new, number)?;
    if let Some(known) = known {
        if let Some(before) = &known.rollout {
            let sql = "UPDATE revisions SET rolled_back = ?2, rolled_back_ms = ?3 WHERE id = ?1";
            let values = params![before.target.id.0, overtaken(number), new.created_at.0];
            connection.prepare_cached(sql)?.execute(values)?;
        }
        let sql = "UPDATE components SET target = ?2, plan = ?3, is_paused = 0, begun_ms = ?4
                   WHERE component = ?1";
        let values = params![component, id, new.plan, new.created_at.0];
        connection.prepare_cached(sql)?.execute(values)?;
    } else {
        let sql = "INSERT INTO components (component, current) VALUES (?1, ?2)";
        let values = params![component, id];
        connection.prepare_cached(sql)?.execute(values)?;
    }
    for actor_type in &new.actor_types {
        own(connection, actor_type, component)?;
    }
    drop_old_bytes(connection, component, number.saturating_sub(new.kept_max))?;
    let revision = by_id(connection, RevisionId(id))?;
    let revision = revision.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok(Ok(PutRevision {
        revision,
        is_new: true,
    }))
}

/// Which of its types is another component's.
fn taken(connection: &Connection, new: &NewRevision) -> rusqlite::Result<Option<Error>> {
    let sql = "SELECT component FROM actor_types WHERE type = ?1 AND component <> ?2";
    let mut statement = connection.prepare_cached(sql)?;
    for actor_type in &new.actor_types {
        let names = [actor_type.as_str(), new.component.as_str()];
        let owner = statement
            .query_row(names, |row| row.get::<_, String>(0))
            .optional()?;
        if let Some(owner) = owner {
            return Ok(Some(Error::TypeTaken {
                actor_type: actor_type.clone(),
                owner: parse(0, ComponentName::new(&owner))?,
            }));
        }
    }
    Ok(None)
}

fn insert(connection: &Connection, new: &NewRevision, number: u32) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO revisions (component, number, hash, size_bytes, description, created_ms,
               deployed_by, message) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    connection.prepare_cached(sql)?.execute(params![
        new.component.as_str(),
        number,
        new.hash.0,
        new.bytes.len() as u64,
        new.description,
        new.created_at.0,
        new.deployed_by,
        new.message,
    ])?;
    Ok(connection.last_insert_rowid())
}

fn own(
    connection: &Connection,
    actor_type: &ActorType,
    component: &str,
) -> rusqlite::Result<usize> {
    let sql = "INSERT OR IGNORE INTO actor_types (type, component) VALUES (?1, ?2)";
    connection
        .prepare_cached(sql)?
        .execute([actor_type.as_str(), component])
}

/// Of the revisions up to this number, unless something runs on them.
fn drop_old_bytes(connection: &Connection, component: &str, number: u32) -> rusqlite::Result<()> {
    let sql = "DELETE FROM component_bytes WHERE hash IN
               (SELECT hash FROM revisions WHERE component = ?1 AND number <= ?2)
               AND hash NOT IN (SELECT hash FROM revisions WHERE component = ?1 AND number > ?2)
               AND hash NOT IN (SELECT hash FROM revisions WHERE id IN
                   (SELECT revision FROM pins UNION SELECT by_revision FROM replaced
                    UNION SELECT current FROM components
                    UNION SELECT target FROM components WHERE target IS NOT NULL))";
    let values = params![component, number];
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub(super) fn switch(connection: &Connection, switch: &Switch) -> rusqlite::Result<()> {
    let component = switch.component.as_str();
    let (target, plan, is_paused) = match &switch.rollout {
        Some((target, plan, is_paused)) => (Some(target.0), Some(plan), *is_paused),
        None => (None, None, false),
    };
    let sql = "UPDATE components SET current = ?2, plan = ?4, is_paused = ?5,
               begun_ms = CASE WHEN ?3 IS NULL THEN NULL
                   WHEN target IS ?3 THEN begun_ms ELSE ?6 END,
               target = ?3 WHERE component = ?1";
    let current = switch.current.0;
    let values = params![component, current, target, plan, is_paused, switch.at.0];
    connection.prepare_cached(sql)?.execute(values)?;
    if let Some((revision, why)) = &switch.rolled_back {
        let sql = "UPDATE revisions SET rolled_back = ?2, rolled_back_ms = ?3 WHERE id = ?1";
        connection
            .prepare_cached(sql)?
            .execute(params![revision.0, why, switch.at.0])?;
        // Who stayed here because of it has nothing to stay away from any more.
        let sql = "DELETE FROM pins WHERE refused = ?1 AND revision = ?2";
        connection
            .prepare_cached(sql)?
            .execute(params![revision.0, current])?;
    }
    let sql = "DELETE FROM actor_types WHERE component = ?1";
    connection.prepare_cached(sql)?.execute([component])?;
    for actor_type in &switch.actor_types {
        own(connection, actor_type, component)?;
    }
    Ok(())
}

pub(super) fn components(connection: &Connection) -> rusqlite::Result<Vec<ComponentRecord>> {
    let sql = "SELECT component FROM components ORDER BY component";
    let mut statement = connection.prepare_cached(sql)?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut found = Vec::new();
    for name in names {
        found.extend(record(connection, &name?)?);
    }
    Ok(found)
}

fn record(connection: &Connection, component: &str) -> rusqlite::Result<Option<ComponentRecord>> {
    let sql = "SELECT current, target, plan, is_paused, begun_ms FROM components
               WHERE component = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let row = statement.query_row([component], |row| {
        let rollout = match row.get::<_, Option<i64>>(1)? {
            Some(target) => Some((target, row.get(2)?, row.get(3)?, row.get(4)?)),
            None => None,
        };
        Ok((row.get(0)?, rollout))
    });
    let Some((current, rollout)) = row.optional()? else {
        return Ok(None);
    };
    let missing = || rusqlite::Error::QueryReturnedNoRows;
    let rollout = match rollout {
        Some((target, plan, is_paused, begun_ms)) => Some(RolloutRecord {
            target: by_id(connection, RevisionId(target))?.ok_or_else(missing)?,
            plan,
            is_paused,
            begun_at: Millis(begun_ms),
        }),
        None => None,
    };
    Ok(Some(ComponentRecord {
        current: by_id(connection, RevisionId(current))?.ok_or_else(missing)?,
        rollout,
    }))
}

pub(super) fn by_id(
    connection: &Connection,
    id: RevisionId,
) -> rusqlite::Result<Option<RevisionRecord>> {
    let sql = format!("SELECT {REVISION_COLUMNS} FROM revisions WHERE id = ?1");
    connection
        .prepare_cached(&sql)?
        .query_row([id.0], revision)
        .optional()
}

/// Newest first.
pub(super) fn of(
    connection: &Connection,
    component: &ComponentName,
) -> rusqlite::Result<Vec<RevisionRecord>> {
    let sql = format!(
        "SELECT {REVISION_COLUMNS} FROM revisions WHERE component = ?1 ORDER BY number DESC"
    );
    connection
        .prepare_cached(&sql)?
        .query_map([component.as_str()], revision)?
        .collect()
}

pub(super) fn bytes(
    connection: &Connection,
    hash: ComponentHash,
) -> rusqlite::Result<Option<Bytes>> {
    let sql = "SELECT bytes FROM component_bytes WHERE hash = ?1";
    let bytes: Option<Vec<u8>> = connection
        .prepare_cached(sql)?
        .query_row([hash.0], |row| row.get(0))
        .optional()?;
    Ok(bytes.map(Bytes::from))
}
