//! The embedded engine: one SQLite file for the host, in write-ahead mode, flushed on every commit.
//!
//! SQLite blocks, so it never meets the async side. Three threads own a connection each: the
//! [`writer`] commits for many actors at once, the [`reader`] looks things up, the [`checkpoint`]er
//! moves the log into the database beside the writer's path, where it used to cost a p99.

mod alarms;
mod checkpoint;
mod commit;
mod conns;
mod discarded;
mod fault;
mod kv;
mod messages;
mod pins;
mod reader;
mod replaced;
mod revisions;
mod row;
mod schedule;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use greenroom_model::{ActorId, ActorName, ComponentHash, ComponentName, KvQuery, Millis};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::record::{
    ActorRecord, ActorRow, Alarm, Commit, ComponentRecord, Created, Kept, ListQuery, Migrated,
    NewActor, NewRevision, Opened, Page, Pin, PinnedActor, PutRevision, RevisionId, RevisionRecord,
    StateSeen, StoredPairs, Switch,
};
use crate::{Actors, Alarms, Components, Directory, Error, Pins, Result};

/// The engine, open. Dropping it waits for its threads; what was acknowledged is on disk before.
#[derive(Debug)]
pub struct Sqlite {
    writer: Option<mpsc::Sender<writer::Command>>,
    reader: Option<mpsc::Sender<reader::Look>>,
    threads: Vec<JoinHandle<()>>,
    /// Told to stop by being dropped.
    checkpoints: Option<std::sync::mpsc::Sender<()>>,
    /// Held for as long as the database is open, so that no second process opens it.
    _lock: File,
}

type Reply<T> = oneshot::Sender<Result<T>>;

impl Sqlite {
    /// Opens the database in `folder`, which is made if need be, and brings it to the newest format.
    /// Blocks on the disk.
    ///
    /// At most `queue_max` commands wait for each of its threads.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] if another process has it open, [`Error::Format`] if a newer release wrote it,
    /// [`Error::Engine`] if the disk or the file is not in order.
    pub fn open(folder: &Path, queue_max: usize) -> Result<Self> {
        let faults = fault::Faults::from_environment()?;
        std::fs::create_dir_all(folder).map_err(Error::engine)?;
        let lock = File::create(folder.join("lock")).map_err(Error::engine)?;
        lock.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => Error::InUse,
            std::fs::TryLockError::Error(error) => Error::engine(error),
        })?;
        let path: Arc<Path> = folder.join("greenroom.sqlite").into();
        let mut connection = connect(&path)?;
        schema::migrate(&mut connection)?;

        let (writer, commands) = mpsc::channel(queue_max);
        let writes = spawn("store-writer", move || {
            writer::run(connection, commands, &faults);
        })?;
        let connection = connect(&path)?;
        let (reader, looks) = mpsc::channel(queue_max);
        let reads = spawn("store-reader", move || reader::run(&connection, looks))?;
        let connection = connect(&path)?;
        let (checkpoints, stopped) = std::sync::mpsc::channel();
        let moves = spawn("store-checkpoint", move || {
            checkpoint::run(&connection, &path, &stopped);
        })?;
        Ok(Self {
            writer: Some(writer),
            reader: Some(reader),
            threads: vec![writes, reads, moves],
            checkpoints: Some(checkpoints),
            _lock: lock,
        })
    }

    async fn write<T>(&self, command: impl FnOnce(Reply<T>) -> writer::Command) -> Result<T> {
        send(self.writer.as_ref(), command).await
    }

    /// Writes what is too rare to be a command of its own.
    async fn change<T: Send + 'static>(
        &self,
        change: impl Fn(&Connection) -> rusqlite::Result<Result<T>> + Send + 'static,
    ) -> Result<T> {
        let command = |reply| {
            writer::Command::Other(Box::new(writer::Change {
                change,
                result: None,
                reply,
            }))
        };
        self.write(command).await
    }

    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let look = |reply: Reply<T>| -> reader::Look {
            Box::new(move |connection| {
                // Whoever asked may have gone away.
                _ = reply.send(look(connection).map_err(Error::engine));
            })
        };
        send(self.reader.as_ref(), look).await
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // The threads end when nobody can send to them any more.
        self.writer = None;
        self.reader = None;
        self.checkpoints = None;
        for thread in self.threads.drain(..) {
            // A panic in it has been reported by the panic hook.
            _ = thread.join();
        }
    }
}

async fn send<C, T>(
    thread: Option<&mpsc::Sender<C>>,
    command: impl FnOnce(Reply<T>) -> C,
) -> Result<T> {
    let (reply, answer) = oneshot::channel();
    let ended = || Error::Engine(anyhow::anyhow!("the store's thread has ended"));
    let thread = thread.ok_or_else(ended)?;
    thread
        .try_send(command(reply))
        .map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded,
            mpsc::error::TrySendError::Closed(_) => ended(),
        })?;
    answer.await.unwrap_or_else(|_| Err(ended()))
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(run).map_err(Error::engine)
}

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path).map_err(Error::engine)?;
    let set = || -> rusqlite::Result<()> {
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "cache_size", -65_536)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(())
    };
    set().map_err(Error::engine)?;
    Ok(connection)
}

#[async_trait]
impl Directory for Sqlite {
    async fn resolve(&self, name: &ActorName) -> Result<Option<ActorRecord>> {
        let name = name.clone();
        self.read(move |connection| reader::resolve(connection, &name))
            .await
    }

    async fn find(&self, id: ActorId) -> Result<Option<ActorRecord>> {
        self.read(move |connection| reader::find(connection, id))
            .await
    }

    async fn create(&self, actor: NewActor) -> Result<Created> {
        self.write(|reply| writer::Command::Create(actor, reply))
            .await
    }

    async fn list(&self, query: ListQuery) -> Result<Page> {
        self.read(move |connection| reader::list(connection, &query))
            .await
    }
}

#[async_trait]
impl Actors for Sqlite {
    async fn open(&self, actor: ActorRow) -> Result<Opened> {
        self.write(|reply| writer::Command::Open(actor, reply))
            .await
    }

    async fn peek(&self, actor: ActorRow) -> Result<Opened> {
        let peeked = self.read(move |connection| writer::peek(connection, actor));
        peeked.await?.ok_or(Error::Gone)
    }

    async fn replaced(&self, actor: ActorRow) -> Result<Option<(RevisionId, u32, Bytes)>> {
        self.read(move |connection| replaced::state(connection, actor))
            .await
    }

    async fn restore(&self, actor: ActorRow) -> Result<bool> {
        self.change(move |connection| replaced::restore(connection, actor).map(Ok))
            .await
    }

    /// Waits for room, unlike the others: an actor has at most one commit under way, and refusing it would
    /// cost the activation.
    async fn commit(&self, commit: Commit) -> Result<Kept> {
        let (reply, answer) = oneshot::channel();
        let ended = || Error::Engine(anyhow::anyhow!("the store's thread has ended"));
        let writer = self.writer.as_ref().ok_or_else(ended)?;
        let sent = writer.send(writer::Command::Commit(commit, reply)).await;
        sent.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    async fn kv_get(
        &self,
        actor: ActorRow,
        keys: Vec<Bytes>,
        bytes_max: usize,
    ) -> Result<Vec<Option<Bytes>>> {
        self.read(move |connection| kv::get(connection, actor, &keys, bytes_max))
            .await
    }

    async fn kv_list(
        &self,
        actor: ActorRow,
        query: KvQuery,
        bytes_max: usize,
    ) -> Result<StoredPairs> {
        self.read(move |connection| kv::list(connection, actor, &query, bytes_max))
            .await
    }

    async fn destroy(&self, actor: ActorRow) -> Result<bool> {
        self.change(move |connection| writer::destroy(connection, actor).map(Ok))
            .await
    }
}

#[async_trait]
impl Alarms for Sqlite {
    async fn due_alarms(
        &self,
        now: Millis,
        after: Option<(Millis, ActorRow)>,
        count_max: usize,
    ) -> Result<Vec<Alarm>> {
        self.read(move |connection| alarms::due(connection, now, after, count_max))
            .await
    }

    async fn next_alarm(&self, after: Millis) -> Result<Option<Millis>> {
        self.read(move |connection| alarms::next(connection, after))
            .await
    }

    async fn pull_alarms(&self, set_after: Millis, now: Millis, count_max: usize) -> Result<usize> {
        self.change(move |connection| alarms::pull(connection, set_after, now, count_max).map(Ok))
            .await
    }
}

#[async_trait]
impl Components for Sqlite {
    async fn put_revision(&self, new: NewRevision) -> Result<PutRevision> {
        self.change(move |connection| revisions::put(connection, &new))
            .await
    }

    async fn components(&self) -> Result<Vec<ComponentRecord>> {
        self.read(revisions::components).await
    }

    async fn switch(&self, switch: Switch) -> Result<()> {
        self.change(move |connection| revisions::switch(connection, &switch).map(Ok))
            .await
    }

    async fn revision(&self, id: RevisionId) -> Result<Option<RevisionRecord>> {
        self.read(move |connection| revisions::by_id(connection, id))
            .await
    }

    async fn revisions(&self, component: &ComponentName) -> Result<Vec<RevisionRecord>> {
        let component = component.clone();
        self.read(move |connection| revisions::of(connection, &component))
            .await
    }

    async fn component_bytes(&self, hash: ComponentHash) -> Result<Option<Bytes>> {
        self.read(move |connection| revisions::bytes(connection, hash))
            .await
    }

    async fn migrated(&self, by: RevisionId, count_max: usize) -> Result<Migrated> {
        self.read(move |connection| replaced::migrated(connection, by, count_max))
            .await
    }

    async fn forget_replaced(&self, by: RevisionId, count_max: usize) -> Result<usize> {
        self.change(move |connection| replaced::forget(connection, by, count_max).map(Ok))
            .await
    }
}

#[async_trait]
impl Pins for Sqlite {
    async fn pin(&self, actor: ActorRow, pin: Pin, seen: Option<StateSeen>) -> Result<bool> {
        self.change(move |connection| pins::put(connection, actor, &pin, seen))
            .await
    }

    async fn unpin(&self, actor: ActorRow, refused: Option<RevisionId>) -> Result<bool> {
        self.change(move |connection| pins::remove(connection, actor, refused).map(Ok))
            .await
    }

    async fn pinned(
        &self,
        component: &ComponentName,
        after: Option<ActorRow>,
        count_max: usize,
    ) -> Result<Vec<PinnedActor>> {
        let component = component.clone();
        self.read(move |connection| pins::list(connection, &component, after, count_max))
            .await
    }
}
