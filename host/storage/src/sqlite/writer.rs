//! The one thread that writes: it takes whatever waits, makes it one transaction, flushes once, and only
//! then answers everybody (group commit).
//!
//! A commit that is fenced off changes nothing and does not disturb its neighbours in the transaction.
//! A failure of SQLite itself takes the whole transaction back, and everybody in it is told.

use bytes::Bytes;
use greenroom_model::{Generation, Head, MessageId};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use tokio::sync::mpsc;
use tracing::error;

use super::commit::commit;
use super::fault::{Faults, Point};
use super::row::is_damage;
use super::{Reply, alarms, conns, discarded, messages, pins, reader, replaced, schedule};
use crate::record::{ActorRecord, ActorRow, Commit, Created, Kept, NewActor, Opened, RevisionId};
use crate::{Error, Result};

/// Commands in one transaction. With more, the first would wait for the last for too long.
const BATCH_MAX: usize = 1_024;

/// What can be written: what every actor does, by name, and everything else.
pub(super) enum Command {
    Create(NewActor, Reply<Created>),
    Open(ActorRow, Reply<Opened>),
    Commit(Commit, Reply<Kept>),
    Other(Box<dyn Other>),
}

/// A write that is too rare to need a name here.
pub(super) trait Other: Send {
    /// Does it, inside the transaction. An error takes the whole transaction back.
    fn carry_out(&mut self, connection: &Connection) -> rusqlite::Result<()>;

    /// Tells whoever waits: what it came to or, if the transaction failed, that.
    fn answer(self: Box<Self>, failed: Option<Error>);
}

/// `change`, what it came to, and who wants to know.
pub(super) struct Change<T, F> {
    pub(super) change: F,
    pub(super) result: Option<Result<T>>,
    pub(super) reply: Reply<T>,
}

impl<T, F> Other for Change<T, F>
where
    T: Send,
    F: Fn(&Connection) -> rusqlite::Result<Result<T>> + Send,
{
    fn carry_out(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.result = Some(own((self.change)(connection))?.and_then(|result| result));
        Ok(())
    }

    fn answer(self: Box<Self>, failed: Option<Error>) {
        if let Some(answer) = failed.map(Err).or(self.result) {
            // Whoever asked may have gone away.
            _ = self.reply.send(answer);
        }
    }
}

impl Command {
    /// Whether the transaction must be on disk before this is answered.
    ///
    /// Opening need not: the data has one process, so an opening that a power cut takes back takes the
    /// activation with it, and nothing else can have used its generation.
    const fn needs_flush(&self) -> bool {
        !matches!(self, Self::Open(..))
    }

    /// Whether it may remove so much that some of that is left for later.
    fn may_discard(&self) -> bool {
        match self {
            Self::Create(..) | Self::Open(..) => false,
            Self::Commit(commit, _) => !commit.data.spans.is_empty(),
            Self::Other(_) => true,
        }
    }

    fn refuse(self, error: impl Fn() -> Error) {
        // Whoever asked may have gone away, here and below.
        match self {
            Self::Create(_, reply) => _ = reply.send(Err(error())),
            Self::Open(_, reply) => _ = reply.send(Err(error())),
            Self::Commit(_, reply) => _ = reply.send(Err(error())),
            Self::Other(other) => other.answer(Some(error())),
        }
    }
}

/// A command that has been carried out inside the transaction, waiting for its end.
enum Done {
    Create(Reply<Created>, Result<Created>),
    Open(Reply<Opened>, Result<Box<Opened>>),
    Commit(Reply<Kept>, Result<Kept>),
    Other(Box<dyn Other>),
}

impl Done {
    const fn is_kept_commit(&self) -> bool {
        matches!(self, Self::Commit(_, Ok(_)))
    }

    fn answer(self) {
        match self {
            Self::Create(reply, created) => _ = reply.send(created),
            Self::Open(reply, opened) => _ = reply.send(opened.map(|opened| *opened)),
            Self::Commit(reply, committed) => _ = reply.send(committed),
            Self::Other(other) => other.answer(None),
        }
    }

    fn refuse(self, error: impl Fn() -> Error) {
        match self {
            Self::Create(reply, _) => _ = reply.send(Err(error())),
            Self::Open(reply, _) => _ = reply.send(Err(error())),
            Self::Commit(reply, _) => _ = reply.send(Err(error())),
            Self::Other(other) => other.answer(Some(error())),
        }
    }
}

/// Serves commands until nobody can send any more.
pub(super) fn run(
    mut connection: Connection,
    mut commands: mpsc::Receiver<Command>,
    faults: &Faults,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut done = Vec::with_capacity(BATCH_MAX);
    // As the connection was opened.
    let mut flushes = true;
    // What an earlier host has left, perhaps.
    let mut has_discarded = true;
    let mut swept = ActorRow(i64::MIN);
    while next_batch(&mut commands, &mut batch, has_discarded) {
        has_discarded |= batch.iter().any(Command::may_discard);
        match write(&mut connection, &mut batch, &mut done, &mut flushes, faults) {
            Ok(()) => done.drain(..).for_each(Done::answer),
            Err(failed) => {
                error!(error = %failed, commands = batch.len() + done.len(), "a transaction failed");
                let told = || Error::Engine(anyhow::anyhow!("the transaction failed: {failed}"));
                done.drain(..).for_each(|done| done.refuse(told));
                batch.drain(..).for_each(|command| command.refuse(told));
            }
        }
        if has_discarded {
            // Little by little, so that nobody waits for it.
            has_discarded = discarded::sweep(&mut connection, &mut swept).unwrap_or_else(|error| {
                error!(%error, "what was discarded could not be swept away; the next change tries again");
                false
            });
        }
    }
}

/// Waits for commands, unless there is something else to do; `false` when there will be none any more.
fn next_batch(
    commands: &mut mpsc::Receiver<Command>,
    batch: &mut Vec<Command>,
    has_work: bool,
) -> bool {
    if !has_work {
        return commands.blocking_recv_many(batch, BATCH_MAX) > 0;
    }
    while batch.len() < BATCH_MAX {
        match commands.try_recv() {
            Ok(command) => batch.push(command),
            Err(mpsc::error::TryRecvError::Empty) => break,
            Err(mpsc::error::TryRecvError::Disconnected) => return !batch.is_empty(),
        }
    }
    true
}

/// Moves commands from `batch` to `done`; on error, all of both have had no effect. `flushes` is how the
/// connection commits at present.
fn write(
    connection: &mut Connection,
    batch: &mut Vec<Command>,
    done: &mut Vec<Done>,
    flushes: &mut bool,
    faults: &Faults,
) -> rusqlite::Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let needs_flush = batch.iter().any(Command::needs_flush);
    if needs_flush != *flushes {
        let synchronous = if needs_flush { "FULL" } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", synchronous)?;
        *flushes = needs_flush;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // First come, first served; popping from the end is what leaves the rest in place on failure.
    batch.reverse();
    while let Some(mut command) = batch.pop() {
        match carry_out(&transaction, &mut command, faults) {
            Ok(outcome) => done.push(outcome.of(command)),
            Err(error) => {
                batch.push(command);
                return Err(error);
            }
        }
    }
    transaction.commit()?;
    for _ in done.iter().filter(|done| done.is_kept_commit()) {
        faults.reach(Point::Durable);
    }
    Ok(())
}

/// What a command came to, before it is joined with whom to tell.
enum Outcome {
    Created(Result<Created>),
    Opened(Result<Box<Opened>>),
    Committed(Result<Kept>),
    /// The command has it.
    Other,
}

impl Outcome {
    fn of(self, command: Command) -> Done {
        match (self, command) {
            (Self::Created(created), Command::Create(_, reply)) => Done::Create(reply, created),
            (Self::Opened(opened), Command::Open(_, reply)) => Done::Open(reply, opened),
            (Self::Committed(kept), Command::Commit(_, reply)) => Done::Commit(reply, kept),
            (Self::Other, Command::Other(other)) => Done::Other(other),
            _ => unreachable!("`carry_out` gives each command its own outcome"),
        }
    }
}

fn carry_out(
    connection: &Connection,
    command: &mut Command,
    faults: &Faults,
) -> rusqlite::Result<Outcome> {
    Ok(match command {
        Command::Create(new, _) => Outcome::Created(own(create(connection, new))?),
        Command::Open(actor, _) => {
            let opened = own(open(connection, *actor))?;
            Outcome::Opened(opened.and_then(|opened| opened.map(Box::new).ok_or(Error::Gone)))
        }
        Command::Commit(new, _) => Outcome::Committed(commit(connection, new, faults)?),
        Command::Other(other) => {
            other.carry_out(connection)?;
            Outcome::Other
        }
    })
}

/// A stored row that does not parse is the fault of the command that meets it, not of its neighbours in the
/// transaction. (Such commands look before they write, so that nothing is half done; of an opening only the
/// generation stays, and a generation may be left out.)
fn own<T>(result: rusqlite::Result<T>) -> rusqlite::Result<Result<T>> {
    match result {
        Ok(done) => Ok(Ok(done)),
        Err(error) if is_damage(&error) => Ok(Err(Error::engine(error))),
        Err(error) => Err(error),
    }
}

fn create(connection: &Connection, new: &NewActor) -> rusqlite::Result<Created> {
    if let Some(actor) = reader::resolve(connection, &new.name)? {
        return Ok(Created {
            actor,
            is_new: false,
        });
    }
    let name = &new.name;
    let sql =
        "INSERT INTO actors (id, namespace, type, key, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![
        new.id.as_u128().to_be_bytes(),
        name.namespace.as_str(),
        name.actor_type.as_str(),
        name.key.as_serialized(),
        new.created_at.0,
    ])?;
    let row = ActorRow(connection.last_insert_rowid());
    let sql = "INSERT INTO actor_data (row, generation, head, input) VALUES (?1, 0, 0, ?2)";
    connection
        .prepare_cached(sql)?
        .execute(params![row.0, new.input.as_deref()])?;
    let (id, name, created_at) = (new.id, new.name.clone(), new.created_at);
    Ok(Created {
        actor: ActorRecord {
            row,
            id,
            name,
            created_at,
        },
        is_new: true,
    })
}

/// `None` if there is no such actor.
fn open(connection: &Connection, actor: ActorRow) -> rusqlite::Result<Option<Opened>> {
    let sql = format!(
        "UPDATE actor_data SET generation = generation + 1 WHERE row = ?1 RETURNING {OPENED}"
    );
    opened(connection, actor, &sql)
}

/// What an opening would give, with nothing changed.
pub(super) fn peek(connection: &Connection, actor: ActorRow) -> rusqlite::Result<Option<Opened>> {
    let sql = format!("SELECT {OPENED} FROM actor_data WHERE row = ?1");
    opened(connection, actor, &sql)
}

const OPENED: &str =
    "generation, head, state, revision, input, kv_bytes, next_message, state_version, state_head,
    is_doomed";

fn opened(connection: &Connection, actor: ActorRow, sql: &str) -> rusqlite::Result<Option<Opened>> {
    let bytes = |bytes: Option<Vec<u8>>| bytes.map(Bytes::from);
    let opened = connection.prepare_cached(sql)?.query_row([actor.0], |row| {
        Ok(Opened {
            generation: Generation(row.get(0)?),
            head: Head(row.get(1)?),
            state: bytes(row.get(2)?),
            revision: row.get::<_, Option<i64>>(3)?.map(RevisionId),
            state_version: row.get(7)?,
            state_head: Head(row.get(8)?),
            replaced: None,
            pin: None,
            input: bytes(row.get(4)?),
            conns: Vec::new(),
            kv_bytes: row.get(5)?,
            messages: Vec::new(),
            next_message: MessageId(row.get(6)?),
            schedule: Vec::new(),
            runs: Vec::new(),
            alarm: None,
            is_doomed: row.get(9)?,
        })
    });
    let Some(opened) = opened.optional()? else {
        return Ok(None);
    };
    Ok(Some(Opened {
        replaced: replaced::read(connection, actor)?,
        pin: pins::read(connection, actor)?,
        conns: conns::read(connection, actor)?,
        messages: messages::read(connection, actor)?,
        schedule: schedule::read(connection, actor)?,
        runs: schedule::runs(connection, actor)?,
        alarm: alarms::read(connection, actor)?,
        ..opened
    }))
}

pub(super) fn destroy(connection: &Connection, actor: ActorRow) -> rusqlite::Result<bool> {
    conns::remove_all(connection, actor)?;
    discarded::all(connection, actor)?;
    messages::remove_all(connection, actor)?;
    schedule::remove_all(connection, actor)?;
    alarms::remove(connection, actor)?;
    replaced::remove(connection, actor)?;
    pins::remove(connection, actor, None)?;
    connection
        .prepare_cached("DELETE FROM actor_data WHERE row = ?1")?
        .execute([actor.0])?;
    let gone = connection
        .prepare_cached("DELETE FROM actors WHERE row = ?1")?
        .execute([actor.0])?;
    Ok(gone == 1)
}
