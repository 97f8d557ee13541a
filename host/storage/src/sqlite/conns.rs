//! Connections of actors, as rows.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use greenroom_model::{ConnId, ConnKind, Opening, OpeningRequest};
use rusqlite::types::Type;
use rusqlite::{Connection, Error, Row, params};
use serde_json::{Value, json};

use crate::record::{ActorRow, ConnChange, ConnRecord};

/// The connections of an actor, oldest first (their ids are ordered by time).
pub(super) fn read(connection: &Connection, actor: ActorRow) -> rusqlite::Result<Vec<ConnRecord>> {
    let sql = "SELECT id, kind, params, request, state FROM connections WHERE row = ?1 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([actor.0], record)?;
    rows.collect()
}

pub(super) fn change(
    connection: &Connection,
    actor: ActorRow,
    change: &ConnChange,
) -> rusqlite::Result<()> {
    match change {
        ConnChange::Put(ConnRecord { opening, state }) => {
            let sql = "INSERT INTO connections (row, id, kind, params, request, state)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                       ON CONFLICT (row, id) DO UPDATE SET state = excluded.state";
            connection.prepare_cached(sql)?.execute(params![
                actor.0,
                opening.id.as_u128().to_be_bytes(),
                kind_to_number(opening.kind),
                &opening.params[..],
                opening.request.as_ref().map(request_to_text),
                state.as_deref(),
            ])?;
        }
        ConnChange::Remove(id) => {
            let sql = "DELETE FROM connections WHERE row = ?1 AND id = ?2";
            let values = params![actor.0, id.as_u128().to_be_bytes()];
            connection.prepare_cached(sql)?.execute(values)?;
        }
    }
    Ok(())
}

pub(super) fn remove_all(connection: &Connection, actor: ActorRow) -> rusqlite::Result<()> {
    let sql = "DELETE FROM connections WHERE row = ?1";
    connection.prepare_cached(sql)?.execute([actor.0])?;
    Ok(())
}

fn record(row: &Row<'_>) -> rusqlite::Result<ConnRecord> {
    let text: Option<String> = row.get(3)?;
    let request = text.map(|text| request_from_text(&text).ok_or_else(|| bad(3, Type::Text)));
    let bytes = |bytes: Option<Vec<u8>>| bytes.map(Bytes::from);
    Ok(ConnRecord {
        opening: Arc::new(Opening {
            id: ConnId::from_u128(u128::from_be_bytes(row.get(0)?)),
            kind: kind_from_number(row.get(1)?).ok_or_else(|| bad(1, Type::Integer))?,
            params: Bytes::from(row.get::<_, Vec<u8>>(2)?),
            request: request.transpose()?,
        }),
        state: bytes(row.get(4)?),
    })
}

fn bad(column: usize, found: Type) -> Error {
    let text = "a stored connection is damaged";
    Error::FromSqlConversionFailure(column, found, text.into())
}

const fn kind_to_number(kind: ConnKind) -> i64 {
    match kind {
        ConnKind::Call => 0,
        ConnKind::Realtime => 1,
        ConnKind::Request => 2,
        ConnKind::Websocket => 3,
    }
}

const fn kind_from_number(number: i64) -> Option<ConnKind> {
    Some(match number {
        0 => ConnKind::Call,
        1 => ConnKind::Realtime,
        2 => ConnKind::Request,
        3 => ConnKind::Websocket,
        _ => return None,
    })
}

/// As JSON; values of headers need not be UTF-8.
fn request_to_text(request: &OpeningRequest) -> String {
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| json!([name, STANDARD.encode(value)]));
    json!({
        "method": request.method,
        "url": request.url,
        "headers": headers.collect::<Vec<_>>(),
    })
    .to_string()
}

fn request_from_text(text: &str) -> Option<OpeningRequest> {
    let request: Value = serde_json::from_str(text).ok()?;
    let headers = request["headers"].as_array()?.iter().map(|pair| {
        let value = STANDARD.decode(pair[1].as_str()?).ok()?;
        Some((pair[0].as_str()?.to_owned(), Bytes::from(value)))
    });
    Some(OpeningRequest {
        method: request["method"].as_str()?.to_owned(),
        url: request["url"].as_str()?.to_owned(),
        headers: headers.collect::<Option<_>>()?,
    })
}
