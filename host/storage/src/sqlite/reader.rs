//! The thread that looks things up. It sees every transaction that the writer has finished.

use bytes::Bytes;
use greenroom_model::{
    ActorId, ActorName, ActorType, ComponentHash, ComponentName, KvPage, KvQuery, Millis, Namespace,
};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::mpsc;

use super::row::{ACTOR_COLUMNS, REVISION_COLUMNS, actor, revision};
use super::{Reply, alarms, kv};
use crate::record::{ActorRecord, ActorRow, Alarm, ListQuery, Page, RevisionRecord};
use crate::{Error, Result};

/// What can be looked up.
#[derive(Debug)]
pub(super) enum Command {
    Resolve(ActorName, Reply<Option<ActorRecord>>),
    Find(ActorId, Reply<Option<ActorRecord>>),
    List(ListQuery, Reply<Page>),
    KvGet(ActorRow, Vec<Bytes>, Reply<Vec<Option<Bytes>>>),
    KvList(ActorRow, KvQuery, usize, Reply<KvPage>),
    DueAlarms(Due, Reply<Vec<Alarm>>),
    NextAlarm(Millis, Reply<Option<Millis>>),
    CurrentRevisions(Reply<Vec<RevisionRecord>>),
    Revisions(ComponentName, Reply<Vec<RevisionRecord>>),
    ComponentBytes(ComponentHash, Reply<Option<Bytes>>),
}

/// Which alarms are wanted.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) now: Millis,
    pub(super) after: Option<(Millis, ActorRow)>,
    pub(super) count_max: usize,
}

/// Serves commands until nobody can send any more.
pub(super) fn run(connection: &Connection, mut commands: mpsc::Receiver<Command>) {
    while let Some(command) = commands.blocking_recv() {
        match command {
            Command::Resolve(name, reply) => answer(reply, resolve(connection, &name)),
            Command::Find(id, reply) => answer(reply, find(connection, id)),
            Command::List(query, reply) => answer(reply, list(connection, &query)),
            Command::KvGet(actor, keys, reply) => answer(reply, kv::get(connection, actor, &keys)),
            Command::KvList(actor, query, bytes_max, reply) => {
                answer(reply, kv::list(connection, actor, &query, bytes_max));
            }
            Command::DueAlarms(due, reply) => answer(reply, alarms::due(connection, &due)),
            Command::NextAlarm(after, reply) => answer(reply, alarms::next(connection, after)),
            Command::CurrentRevisions(reply) => answer(reply, current_revisions(connection)),
            Command::Revisions(component, reply) => {
                answer(reply, revisions(connection, &component));
            }
            Command::ComponentBytes(hash, reply) => {
                answer(reply, component_bytes(connection, hash));
            }
        }
    }
}

fn answer<T>(reply: Reply<T>, result: rusqlite::Result<T>) {
    // Whoever asked may have gone away.
    _ = reply.send(result.map_err(Error::engine) as Result<T>);
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

fn find(connection: &Connection, id: ActorId) -> rusqlite::Result<Option<ActorRecord>> {
    let sql = format!("SELECT {ACTOR_COLUMNS} FROM actors WHERE id = ?1");
    let id = params![id.as_u128().to_be_bytes()];
    connection
        .prepare_cached(&sql)?
        .query_row(id, actor)
        .optional()
}

fn list(connection: &Connection, query: &ListQuery) -> rusqlite::Result<Page> {
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

fn current_revisions(connection: &Connection) -> rusqlite::Result<Vec<RevisionRecord>> {
    let sql = format!(
        "SELECT {REVISION_COLUMNS} FROM revisions r WHERE number =
         (SELECT max(number) FROM revisions WHERE component = r.component) ORDER BY component"
    );
    connection
        .prepare_cached(&sql)?
        .query_map([], revision)?
        .collect()
}

fn revisions(
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

fn component_bytes(
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
