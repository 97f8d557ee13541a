//! What the writer does to the components that actors run on.

use greenroom_model::Revision;
use rusqlite::{Connection, OptionalExtension, params};

use super::row::{REVISION_COLUMNS, revision};
use crate::record::{NewRevision, PutRevision, RevisionId, RevisionRecord};
use crate::{Error, Result};

/// Adds a revision and makes it the current one, unless its bytes are current already.
pub(super) fn put_revision(
    connection: &Connection,
    new: &NewRevision,
) -> rusqlite::Result<Result<PutRevision>> {
    let component = new.component.as_str();
    for actor_type in &new.actor_types {
        let sql = "SELECT component FROM actor_types WHERE type = ?1 AND component <> ?2";
        let owner: Option<String> = connection
            .prepare_cached(sql)?
            .query_row([actor_type.as_str(), component], |row| row.get(0))
            .optional()?;
        if let Some(owner) = owner {
            let Ok(owner) = greenroom_model::ComponentName::new(&owner) else {
                continue;
            };
            return Ok(Err(Error::TypeTaken {
                actor_type: actor_type.clone(),
                owner,
            }));
        }
    }
    let current = current_revision(connection, component)?;
    if let Some(revision) = current.as_ref().filter(|current| current.hash == new.hash) {
        return Ok(Ok(PutRevision {
            revision: revision.clone(),
            is_new: false,
        }));
    }
    let number = current.map_or(1, |current| current.number.0 + 1);
    insert_revision(connection, new, number)?;
    let revision = RevisionRecord {
        id: RevisionId(connection.last_insert_rowid()),
        component: new.component.clone(),
        number: Revision(number),
        hash: new.hash,
        size_bytes: new.bytes.len() as u64,
        description: new.description.clone(),
        created_at: new.created_at,
    };
    let sql = "INSERT OR IGNORE INTO component_bytes (hash, bytes) VALUES (?1, ?2)";
    connection
        .prepare_cached(sql)?
        .execute(params![new.hash.0, &new.bytes[..]])?;
    connection.execute("DELETE FROM actor_types WHERE component = ?1", [component])?;
    for actor_type in &new.actor_types {
        let sql = "INSERT INTO actor_types (type, component) VALUES (?1, ?2)";
        connection
            .prepare_cached(sql)?
            .execute([actor_type.as_str(), component])?;
    }
    Ok(Ok(PutRevision {
        revision,
        is_new: true,
    }))
}

fn current_revision(
    connection: &Connection,
    component: &str,
) -> rusqlite::Result<Option<RevisionRecord>> {
    let sql = format!(
        "SELECT {REVISION_COLUMNS} FROM revisions WHERE component = ?1 ORDER BY number DESC LIMIT 1"
    );
    connection
        .prepare_cached(&sql)?
        .query_row([component], revision)
        .optional()
}

fn insert_revision(
    connection: &Connection,
    new: &NewRevision,
    number: u32,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO revisions (component, number, hash, size_bytes, description, created_ms)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(sql)?.execute(params![
        new.component.as_str(),
        number,
        new.hash.0,
        new.bytes.len() as u64,
        new.description,
        new.created_at.0,
    ])?;
    Ok(())
}
