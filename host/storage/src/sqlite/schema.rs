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
    "
ALTER TABLE actor_data ADD COLUMN kv_bytes     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE actor_data ADD COLUMN next_message INTEGER NOT NULL DEFAULT 1;

CREATE TABLE kv (
    row   INTEGER NOT NULL,
    key   BLOB    NOT NULL,
    value BLOB    NOT NULL,
    PRIMARY KEY (row, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    row           INTEGER NOT NULL,
    id            INTEGER NOT NULL,
    queue         TEXT    NOT NULL,
    body          BLOB    NOT NULL,
    sent_ms       INTEGER NOT NULL,
    attempts      INTEGER NOT NULL,
    not_before_ms INTEGER NOT NULL,
    died_ms       INTEGER,
    PRIMARY KEY (row, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE schedule (
    row      INTEGER NOT NULL,
    id       TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    args     BLOB    NOT NULL,
    timing   TEXT    NOT NULL,
    due_ms   INTEGER NOT NULL,
    try_ms   INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    PRIMARY KEY (row, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    row        INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    id         TEXT    NOT NULL,
    action     TEXT    NOT NULL,
    due_ms     INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    outcome    INTEGER NOT NULL,
    error      TEXT,
    PRIMARY KEY (row, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE alarms (
    row   INTEGER NOT NULL PRIMARY KEY,
    at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX alarms_by_time ON alarms (at_ms, row);
",
    "
ALTER TABLE revisions ADD COLUMN deployed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE revisions ADD COLUMN message     TEXT NOT NULL DEFAULT '';
ALTER TABLE revisions ADD COLUMN rolled_back TEXT;
ALTER TABLE revisions ADD COLUMN rolled_back_ms INTEGER;

ALTER TABLE actor_data ADD COLUMN state_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE actor_data ADD COLUMN state_head    INTEGER NOT NULL DEFAULT 0;

CREATE TABLE components (
    component TEXT    PRIMARY KEY,
    current   INTEGER NOT NULL,
    target    INTEGER,
    plan      TEXT,
    is_paused INTEGER NOT NULL DEFAULT 0,
    begun_ms  INTEGER
) STRICT, WITHOUT ROWID;

INSERT INTO components (component, current)
    SELECT component, id FROM revisions r
    WHERE number = (SELECT max(number) FROM revisions WHERE component = r.component);

CREATE TABLE pins (
    row      INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL,
    refused  INTEGER,
    reason   TEXT    NOT NULL,
    at_ms    INTEGER NOT NULL
) STRICT;

CREATE TABLE replaced (
    row           INTEGER PRIMARY KEY,
    by_revision   INTEGER NOT NULL,
    head          INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    state_version INTEGER NOT NULL,
    state         BLOB    NOT NULL
) STRICT;

CREATE INDEX replaced_by ON replaced (by_revision);

ALTER TABLE alarms   ADD COLUMN set_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE schedule ADD COLUMN set_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE actor_data ADD COLUMN is_doomed INTEGER NOT NULL DEFAULT 0;

ALTER TABLE kv ADD COLUMN head INTEGER NOT NULL DEFAULT 0;

CREATE TABLE discarded (
    row   INTEGER NOT NULL,
    start BLOB    NOT NULL,
    \"end\" BLOB,
    head  INTEGER NOT NULL,
    freed INTEGER NOT NULL,
    PRIMARY KEY (row, start)
) STRICT, WITHOUT ROWID;
",
];

/// Brings the database to the newest format.
///
/// # Errors
///
/// [`Error::Format`] if a newer release has written it; nothing was touched then.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    take_steps(connection, MIGRATIONS)
}

fn take_steps(connection: &mut Connection, steps: &[&str]) -> Result<()> {
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(Error::engine)?;
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let done = usize::try_from(found)
        .ok()
        .filter(|done| *done <= steps.len());
    let Some(done) = done else {
        return Err(Error::Format { found, known });
    };
    for (step, sql) in steps.iter().enumerate().skip(done) {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use greenroom_model::{Generation, Head, MessageId};

    use super::*;
    use crate::{ActorRow, Actors, Components, Opened, RevisionId, Sqlite};

    #[tokio::test]
    async fn data_of_format_2_is_opened_and_lacks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("greenroom.sqlite");
        let mut connection = Connection::open(&path).unwrap();
        take_steps(&mut connection, &MIGRATIONS[..2]).unwrap();
        let sql = "INSERT INTO actors VALUES (7, zeroblob(16), 'default', 'thing', 'x', 1);
                   INSERT INTO actor_data VALUES (7, 3, 5, 2, x'f6', NULL);
                   INSERT INTO revisions VALUES (1, 'c', 1, zeroblob(32), 4, '{}', 1);
                   INSERT INTO revisions VALUES (2, 'c', 2, zeroblob(32), 4, '{}', 1);";
        connection.execute_batch(sql).unwrap();
        drop(connection);

        let opened = Sqlite::open(folder.path(), 64).unwrap();
        let found = opened.open(ActorRow(7)).await.unwrap();
        let wanted = Opened {
            generation: Generation(4),
            head: Head(5),
            state: Some(Bytes::from_static(b"\xf6")),
            revision: Some(RevisionId(2)),
            state_version: 1,
            state_head: Head(0),
            replaced: None,
            pin: None,
            input: None,
            conns: Vec::new(),
            kv_bytes: 0,
            messages: Vec::new(),
            next_message: MessageId(1),
            schedule: Vec::new(),
            runs: Vec::new(),
            alarm: None,
            is_doomed: false,
        };
        assert_eq!(found, wanted);
        let components = opened.components().await.unwrap();
        assert_eq!(components.len(), 1);
        assert_eq!(components[0].current.id, RevisionId(2));
        assert_eq!(components[0].rollout, None);
        drop(opened);
        let connection = Connection::open(&path).unwrap();
        let format = connection.pragma_query_value(None, "user_version", |row| row.get(0));
        assert_eq!(format, Ok(4));
    }
}
