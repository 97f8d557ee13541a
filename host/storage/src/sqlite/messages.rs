//! Messages of actors' queues, as rows.

use bytes::Bytes;
use greenroom_model::{MessageId, Millis, QueueMessage};
use rusqlite::{Connection, Row, params};

use super::row::number;
use crate::record::{ActorRow, MessageChange};

/// The messages of an actor, oldest first (their ids rise).
pub(super) fn read(
    connection: &Connection,
    actor: ActorRow,
) -> rusqlite::Result<Vec<QueueMessage>> {
    let sql = "SELECT id, queue, body, sent_ms, attempts, not_before_ms, died_ms
               FROM messages WHERE row = ?1 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([actor.0], message)?;
    rows.collect()
}

/// What the id of the actor's next message must be at least, after these changes.
pub(super) fn next(changes: &[MessageChange]) -> i64 {
    let inserted = changes.iter().filter_map(|change| match change {
        MessageChange::Insert(message) => Some(number(message.id.0).saturating_add(1)),
        MessageChange::Update { .. } | MessageChange::Remove(_) => None,
    });
    inserted.max().unwrap_or(1)
}

pub(super) fn change(
    connection: &Connection,
    actor: ActorRow,
    change: &MessageChange,
) -> rusqlite::Result<()> {
    match change {
        MessageChange::Insert(message) => insert(connection, actor, message)?,
        MessageChange::Update {
            id,
            attempts,
            not_before,
            died_at,
        } => {
            let sql = "UPDATE messages SET attempts = ?3, not_before_ms = ?4, died_ms = ?5
                       WHERE row = ?1 AND id = ?2";
            connection.prepare_cached(sql)?.execute(params![
                actor.0,
                number(id.0),
                attempts,
                not_before.0,
                died_at.map(|at| at.0),
            ])?;
        }
        MessageChange::Remove(id) => {
            let sql = "DELETE FROM messages WHERE row = ?1 AND id = ?2";
            connection
                .prepare_cached(sql)?
                .execute([actor.0, number(id.0)])?;
        }
    }
    Ok(())
}

pub(super) fn remove_all(connection: &Connection, actor: ActorRow) -> rusqlite::Result<()> {
    let sql = "DELETE FROM messages WHERE row = ?1";
    connection.prepare_cached(sql)?.execute([actor.0])?;
    Ok(())
}

fn insert(
    connection: &Connection,
    actor: ActorRow,
    message: &QueueMessage,
) -> rusqlite::Result<()> {
    // Replacing, because a conflict would be an error, and an error takes the neighbours along.
    let sql = "INSERT OR REPLACE INTO messages
               (row, id, queue, body, sent_ms, attempts, not_before_ms, died_ms)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    connection.prepare_cached(sql)?.execute(params![
        actor.0,
        number(message.id.0),
        message.queue,
        &message.body[..],
        message.sent_at.0,
        message.attempts,
        message.not_before.0,
        message.died_at.map(|at| at.0),
    ])?;
    Ok(())
}

fn message(row: &Row<'_>) -> rusqlite::Result<QueueMessage> {
    Ok(QueueMessage {
        id: MessageId(row.get(0)?),
        queue: row.get(1)?,
        body: Bytes::from(row.get::<_, Vec<u8>>(2)?),
        sent_at: Millis(row.get(3)?),
        attempts: row.get(4)?,
        not_before: Millis(row.get(5)?),
        died_at: row.get::<_, Option<i64>>(6)?.map(Millis),
    })
}
