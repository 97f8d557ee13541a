//! The tables, and the numbered steps that led to them. `docs/storage-format.md` explains each field.

use rusqlite::Connection;

use crate::{Error, Result};

/// Step `n` (from 0) brings a database from format `n` to format `n + 1`. Steps that have been released
/// never change.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE actors (
    row        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         BLOB    NOT NULL UNIQUE,
    namespace  TEXT    NOT NULL,
    type       TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    created_ms INTEGER NOT NULL,
    UNIQUE (namespace, type, key)
) STRICT;

CREATE INDEX actors_of_a_type ON actors (namespace, type, id);

CREATE TABLE actor_data (
    row        INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    head       INTEGER NOT NULL,
    revision   INTEGER,
    state      BLOB,
    input      BLOB
) STRICT;

CREATE TABLE revisions (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    component   TEXT    NOT NULL,
    number      INTEGER NOT NULL,
    hash        BLOB    NOT NULL,
    size_bytes  INTEGER NOT NULL,
    description TEXT    NOT NULL,
    created_ms  INTEGER NOT NULL,
    UNIQUE (component, number)
) STRICT;

CREATE TABLE component_bytes (
    hash  BLOB PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE actor_types (
    type      TEXT PRIMARY KEY,
    component TEXT NOT NULL
) STRICT;
",
    "
CREATE TABLE connections (
    row     INTEGER NOT NULL,
    id      BLOB    NOT NULL,
    kind    INTEGER NOT NULL,
    params  BLOB    NOT NULL,
    request TEXT,
    state   BLOB,
    PRIMARY KEY (row, id)
) STRICT, WITHOUT ROWID;
",
];

/// Brings the database to the newest format.
///
/// # Errors
///
/// [`Error::Format`] if a newer release has written it; nothing was touched then.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(Error::engine)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let done = usize::try_from(found)
        .ok()
        .filter(|done| *done <= MIGRATIONS.len());
    let Some(done) = done else {
        return Err(Error::Format { found, known });
    };
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(done) {
        let transaction = connection.transaction().map_err(Error::engine)?;
        transaction.execute_batch(sql).map_err(Error::engine)?;
        let version = i64::try_from(step + 1).unwrap_or(i64::MAX);
        transaction
            .pragma_update(None, "user_version", version)
            .map_err(Error::engine)?;
        transaction.commit().map_err(Error::engine)?;
    }
    Ok(())
}
