//! Between SQLite's columns and our types.

use greenroom_model::{
    ActorId, ActorKey, ActorName, ActorType, ComponentHash, ComponentName, Millis, Namespace,
    Revision,
};
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Error, Row};

use crate::record::{ActorRecord, ActorRow, RevisionId, RevisionRecord};

pub(super) const ACTOR_COLUMNS: &str = "row, id, namespace, type, key, created_ms";
pub(super) const REVISION_COLUMNS: &str = "id, component, number, hash, size_bytes, description, \
     created_ms, deployed_by, message, rolled_back, rolled_back_ms, \
     EXISTS (SELECT 1 FROM component_bytes b WHERE b.hash = revisions.hash)";

/// Reads [`ACTOR_COLUMNS`].
pub(super) fn actor(row: &Row<'_>) -> Result<ActorRecord, Error> {
    let text = |column: usize| row.get_ref(column)?.as_str().map_err(Error::from);
    Ok(ActorRecord {
        row: ActorRow(row.get(0)?),
        id: ActorId::from_u128(u128::from_be_bytes(row.get(1)?)),
        name: ActorName {
            namespace: parse(2, Namespace::new(text(2)?))?,
            actor_type: parse(3, ActorType::new(text(3)?))?,
            key: parse(4, ActorKey::from_serialized(text(4)?))?,
        },
        created_at: Millis(row.get(5)?),
    })
}

/// Reads [`REVISION_COLUMNS`].
pub(super) fn revision(row: &Row<'_>) -> Result<RevisionRecord, Error> {
    Ok(RevisionRecord {
        id: RevisionId(row.get(0)?),
        component: parse(1, ComponentName::new(row.get_ref(1)?.as_str()?))?,
        number: Revision(row.get(2)?),
        hash: ComponentHash(row.get(3)?),
        size_bytes: row.get(4)?,
        description: row.get(5)?,
        created_at: Millis(row.get(6)?),
        deployed_by: row.get(7)?,
        message: row.get(8)?,
        rolled_back: row.get(9)?,
        rolled_back_at: row.get::<_, Option<i64>>(10)?.map(Millis),
        is_kept: row.get(11)?,
    })
}

/// Whether an error is that a stored row does not parse: the fault of that row, and not of the database.
pub(super) const fn is_damage(error: &Error) -> bool {
    matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::Utf8Error(..)
    )
}

/// A number as SQLite can hold it. None of ours comes near the bound. What does is not found, which is better
/// than an error, which would take the neighbours in the transaction along.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Stored bytes are as untrusted as any others: what does not parse is an error of the engine.
pub(super) fn parse<T, E>(column: usize, parsed: Result<T, E>) -> Result<T, Error>
where
    E: std::error::Error + Send + Sync + 'static,
{
    parsed.map_err(|error| {
        let error = FromSqlError::Other(Box::new(error));
        Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}
