//! The thread that looks things up. It sees every transaction that the writer has finished.

use greenroom_model::{ActorId, ActorName, ActorType, Namespace};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::mpsc;

use super::row::{ACTOR_COLUMNS, actor};
use crate::record::{ActorRecord, ListQuery, Page};

/// Looks something up and tells whoever asked.
pub(super) type Look = Box<dyn FnOnce(&Connection) + Send>;

/// Serves who asks until nobody can any more.
pub(super) fn run(connection: &Connection, mut looks: mpsc::Receiver<Look>) {
    while let Some(look) = looks.blocking_recv() {
        look(connection);
    }
}

/// Also the writer's way to find a name that is taken.
pub(super) fn resolve(
    connection: &Connection,
    name: &ActorName,
) -> rusqlite::Result<Option<ActorRecord>> {
    let sql = format!(
        "SELECT {ACTOR_COLUMNS} FROM actors WHERE namespace = ?1 AND type = ?2 AND key = ?3"
    );
    let ActorName {
        namespace,
        actor_type,
        key,
    } = name;
    let name = params![namespace.as_str(), actor_type.as_str(), key.as_serialized()];
    connection
        .prepare_cached(&sql)?
        .query_row(name, actor)
        .optional()
}

pub(super) fn find(connection: &Connection, id: ActorId) -> rusqlite::Result<Option<ActorRecord>> {
    let sql = format!("SELECT {ACTOR_COLUMNS} FROM actors WHERE id = ?1");
    let id = params![id.as_u128().to_be_bytes()];
    connection
        .prepare_cached(&sql)?
        .query_row(id, actor)
        .optional()
}

pub(super) fn list(connection: &Connection, query: &ListQuery) -> rusqlite::Result<Page> {
    let namespace = query.namespace.as_ref().map(Namespace::as_str);
    let actor_type = query.actor_type.as_ref().map(ActorType::as_str);
    // One statement for each case, so that each can use an index.
    let filter = match (namespace, actor_type) {
        (Some(_), Some(_)) => "namespace = ?1 AND type = ?2 AND",
        (Some(_), None) => "namespace = ?1 AND ?2 IS NULL AND",
        (None, Some(_)) => "?1 IS NULL AND type = ?2 AND",
        (None, None) => "?1 IS NULL AND ?2 IS NULL AND",
    };
    let sql =
        format!("SELECT {ACTOR_COLUMNS} FROM actors WHERE {filter} id > ?3 ORDER BY id LIMIT ?4");
    let after = query.after.map_or([0; 16], |id| id.as_u128().to_be_bytes());
    // One more than wanted tells whether there is more.
    let limit = i64::try_from(query.count_max).unwrap_or(i64::MAX - 1) + 1;
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![namespace, actor_type, after, limit], actor)?;
    let mut actors: Vec<ActorRecord> = rows.collect::<rusqlite::Result<_>>()?;
    let has_more = actors.len() > query.count_max;
    actors.truncate(query.count_max);
    Ok(Page { actors, has_more })
}
