//! Moves the write-ahead log into the database, on a connection of its own.
//!
//! On the writer's connection a checkpoint would stall every commit behind it. Beside it, a passive
//! checkpoint never finds the quiet moment to start the log anew, so that the log would grow without
//! bound under constant load; past [`LOG_BYTES_MAX`] the writer is made to pause for once.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::Connection;
use tracing::warn;

/// How often the log's size is looked at.
const PERIOD: Duration = Duration::from_millis(100);
/// A log smaller than this is left alone.
const LOG_BYTES_MIN: u64 = 4 << 20;
/// A log larger than this is emptied, the writer waiting meanwhile.
const LOG_BYTES_MAX: u64 = 128 << 20;

/// Runs until the other end of `stopped` is dropped; leaves an empty log behind.
pub(super) fn run(connection: &Connection, database: &Path, stopped: &Receiver<()>) {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
        match std::fs::metadata(&log).map_or(0, |file| file.len()) {
            0..LOG_BYTES_MIN => {}
            LOG_BYTES_MIN..LOG_BYTES_MAX => checkpoint(connection, "PASSIVE"),
            _ => checkpoint(connection, "TRUNCATE"),
        }
    }
    checkpoint(connection, "TRUNCATE");
}

fn checkpoint(connection: &Connection, mode: &str) {
    // The answer is a row (busy, pages in the log, pages moved); being busy now is no fault.
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    if let Err(error) = connection.query_row(&sql, [], |_| Ok(())) {
        warn!(%error, mode, "a checkpoint failed; the log stays longer");
    }
}
