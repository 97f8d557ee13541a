//! An actor, awake on this host, and the loop that owns it.
//!
//! Everything that can happen to an awake actor is one of the few [`Event`]s below. They are taken one at
//! a time, which is why nothing in this file needs a lock. Calls into the guest run at the same time,
//! interleaving wherever the guest waits; a *turn* is one of them, from its call to its commit.
//!
//! A commit keeps the state as it is when the commit begins, with what unfinished turns have put so far:
//! state belongs to the actor, not to the turn.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use greenroom_model::{ActorError, ActorTypeOptions, ConnId, Generation, Head, Limits, Scheduled};
use greenroom_runtime::{Barrier, Crash, Failure, Guest, Identity};
use greenroom_storage::{ActorRow, Error as StorageError, Kept, Storage};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tracing::error;

use crate::conn::{Conn, Sockets};
use crate::conns::Conns;
use crate::data::Data;
use crate::entry::{Ended, Entry, Work, enter};
use crate::gate::{Gate, Held};
use crate::handle::{Call, Output, Shared};
use crate::orders::Order;
use crate::persist::{Committing, next_kept};
use crate::revisions::{ActiveType, Report, Revisions};
use crate::turns::{TurnId, Turns};
use crate::waiters::Waiters;

/// With so much waiting for a commit, begin one even though more could be added to it.
const WAITING_MAX: usize = 256;

/// Goodbyes under way at once.
const GOODBYES_MAX: usize = 64;

/// How often it is told that an actor does something.
const TELL_BUSY_EVERY: Duration = Duration::from_secs(1);

/// How often the state is looked at while the guest changes it by itself, without anybody having asked for anything.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why an instance ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The actor goes to sleep.
    Sleep,
    /// Another instance takes over, in the same activation.
    Upgrade,
    /// So it does because this one could not start, on code that the actor does not stay on.
    Again,
    /// The actor is to be removed for good.
    Destroy,
    /// The actor does not exist.
    Gone,
    /// Its writes cannot be kept, or it had to be cut off. Calls that wait can go to the next activation.
    Lost,
    /// Its guest broke down. Calls that had begun are told this; those that wait can go to the next
    /// activation.
    Crashed(ActorError),
    /// It could not start. Everybody who waited for that is told.
    Failed(FailedStart),
}

/// Why an instance could not start.
#[derive(Debug)]
pub(crate) struct FailedStart {
    /// What callers are told.
    pub(crate) error: ActorError,
    /// What operators are told, if it is the code's own fault.
    pub(crate) reason: Option<String>,
}

/// One awake actor on one instance.
pub(crate) struct Activation<'a> {
    pub(crate) actor: ActorRow,
    pub(crate) identity: &'a Arc<Identity>,
    pub(crate) active: &'a ActiveType,
    /// Who is told how the actor gets on with it.
    pub(crate) revisions: &'a Arc<dyn Revisions>,
    /// The version of the state that was found, if it is not the one that the code has.
    pub(crate) from_version: Option<u32>,
    /// What that state has become, until it is committed.
    pub(crate) migrated: Option<Bytes>,
    /// The commit under way is the one that keeps it.
    pub(crate) is_keeping_migrated: bool,
    pub(crate) storage: &'a Arc<dyn Storage>,
    pub(crate) limits: &'a Limits,
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) sockets: &'a Sockets,
    pub(crate) waiters: &'a Arc<Waiters>,
    /// What the actor keeps besides its state.
    pub(crate) data: &'a Arc<Data>,
    pub(crate) mailbox: &'a mut mpsc::Receiver<Call>,
    /// Calls that were taken out of the mailbox by an instance that did not begin them.
    pub(crate) left: &'a mut VecDeque<Call>,
    pub(crate) barriers: mpsc::Receiver<Barrier>,
    pub(crate) barrier_sender: mpsc::Sender<Barrier>,
    /// Told when turns have sent something.
    pub(crate) effects: Arc<Notify>,
    /// The long connections that the guest has let in.
    pub(crate) conns: Conns,
    /// Those that it is asked to let in.
    pub(crate) opening: HashMap<ConnId, BeingOpened>,
    /// Scheduled actions that run, and are not overdue.
    pub(crate) scheduled: HashMap<TurnId, Scheduled>,
    /// What the guest has still to be told of connections that are over. There may be many at once, and they wait for room
    /// like everybody else.
    pub(crate) goodbyes: VecDeque<Goodbye>,
    /// The turns in which the guest is being told of some, and which are not overdue.
    pub(crate) saying: HashSet<TurnId>,
    /// Raw requests whose responses are on their way, and whether the guest knows of their connections.
    pub(crate) requests: HashMap<ConnId, bool>,
    pub(crate) turns: &'a Turns,
    pub(crate) gate: Gate,
    pub(crate) generation: Generation,
    pub(crate) head: Head,
    pub(crate) commit: Option<Committing>,
    /// A commit was refused: nothing more can be kept.
    pub(crate) is_fenced: bool,
    /// Create or wake has returned.
    pub(crate) is_started: bool,
    /// What broke the instance, if anything has.
    pub(crate) broken_by: OnceLock<Crash>,
    /// The guest has been told that it stops, and has returned.
    pub(crate) is_stopped: bool,
    /// When whoever deploys last heard that the actor does something.
    pub(crate) told_busy: Option<Instant>,
    /// It was to be destroyed before this instance was made.
    pub(crate) is_doomed: bool,
    /// Guest code has run since the state was last looked at.
    pub(crate) is_touched: bool,
}

/// A connection that the guest is asked to let in.
pub(crate) struct BeingOpened {
    pub(crate) conn: Arc<Conn>,
    /// Its state, as far as the guest has said.
    pub(crate) state: Option<Bytes>,
}

/// A connection that is over, of which the guest has still to be told.
pub(crate) struct Goodbye {
    pub(crate) id: ConnId,
    /// How it went, if it is a raw WebSocket.
    pub(crate) closed: Option<(u16, String)>,
}

/// What can happen to an awake actor. To learn what drives one, read this.
pub(crate) enum Event {
    /// It has to stop, in one way or another: it was told to, or nothing has happened for as long as its
    /// type allows.
    Stop(Order),
    /// A turn has returned from the guest.
    Ended(Ended),
    /// The commit under way is durable, or is not.
    Committed(Result<Kept, StorageError>),
    /// A turn wants to be sure of its writes before it goes on.
    Waits(Barrier),
    /// A turn has sent something.
    Sent,
    /// A client of a connection, of a request, or of a call that can be abandoned, is gone.
    Gone,
    /// Turns have become overdue: scheduled actions, and calls of a type that wants to know.
    Overdue(Vec<TurnId>),
    /// The guest has changed something of what it keeps besides its state, or begun or ended to do something by itself.
    Changed,
    /// Something that was scheduled, or delayed, is due.
    Due,
    /// A client, or another actor, wants something done.
    Called(Call),
    /// There is nothing else to do at once: a good moment to commit.
    Settle,
    /// The time for what was begun is over.
    GraceOver,
}

/// The turns inside the guest.
pub(crate) type Running<'g> = FuturesUnordered<BoxFuture<'g, Ended>>;

impl Activation<'_> {
    /// Serves the actor until it has to leave memory; returns why.
    pub(crate) async fn serve(
        &mut self,
        guest: &Guest<'_>,
        state: Option<Bytes>,
        input: Option<Bytes>,
    ) -> End {
        let mut running = Running::new();
        running.push(enter(guest, self.identity, self.start(state, input)));
        let options = &self.active.description.options;
        let sleep_after =
            ActorTypeOptions::or_default(options.sleep_after_ms, self.limits.sleep_after);
        let mut idle = std::pin::pin!(tokio::time::sleep(sleep_after));
        let mut look = std::pin::pin!(tokio::time::sleep(LOOK_EVERY));
        let mut was_idle = false;
        loop {
            self.say_goodbyes(guest, &mut running);
            let is_idle = was_idle && !options.no_sleep;
            let has_started = self.is_serving();
            let is_full = running.len() >= self.limits.turns_max
                || self.goodbyes.len() >= self.limits.actor_conns_max
                || self.is_loaded();
            let has_room = has_started && !is_full;
            let is_due = self.gate.waiting() >= WAITING_MAX || self.migrated.is_some();
            let must_settle = is_due && self.commit.is_none();
            let event = tokio::select! {
                // The order is the priority. A stop must not wait behind a busy client; what was begun
                // makes the room that new work waits for; and a commit begins when nothing else can be
                // done at once, so that it covers as much as possible.
                biased;
                // A start is finished first, so that what was called before the order can be answered.
                order = self.shared.orders.stronger(None), if has_started => {
                    Event::Stop(order)
                }
                () = std::future::ready(()), if must_settle => Event::Settle,
                Some(ended) = running.next() => Event::Ended(ended),
                kept = next_kept(&mut self.commit) => Event::Committed(kept),
                Some(barrier) = self.barriers.recv() => Event::Waits(barrier),
                () = self.effects.notified() => Event::Sent,
                () = self.shared.is_gone.notified(), if self.is_started => Event::Gone,
                turns = self.turns.overdue() => Event::Overdue(turns),
                () = self.data.changed.notified() => Event::Changed,
                () = self.data.due(), if has_room => Event::Due,
                Some(call) = next_call(self.left, self.mailbox), if has_room => Event::Called(call),
                () = std::future::ready(()), if self.can_settle() => Event::Settle,
                () = &mut look, if self.data.is_working() => {
                    look.as_mut().reset(Instant::now() + LOOK_EVERY);
                    self.is_touched = true;
                    Event::Changed
                }
                // Unless the run loop has gone on to something else by itself.
                () = &mut idle, if is_idle => if self.is_idle() {
                    Event::Stop(Order::Sleep)
                } else {
                    Event::Changed
                },
            };
            match event {
                Event::Called(call) => {
                    if let Some(entry) = self.begin(call) {
                        running.push(enter(guest, self.identity, entry));
                    }
                }
                Event::Stop(order) => return self.stop(guest, running, order).await,
                other => match self.handle(guest, &mut running, other).await {
                    ControlFlow::Break(end) => return end,
                    ControlFlow::Continue(entries) => self.enter_all(guest, &mut running, entries),
                },
            }
            let can_make_room = self.can_make_room();
            self.shared.set_idle(can_make_room);
            let is_idle = can_make_room && !self.conns.keep_awake();
            if is_idle && !was_idle {
                idle.as_mut().reset(Instant::now() + sleep_after);
            }
            was_idle = is_idle;
        }
    }

    /// Enters what has come up by itself.
    pub(crate) fn enter_all<'g>(
        &mut self,
        guest: &'g Guest<'_>,
        running: &mut Running<'g>,
        entries: Vec<Entry>,
    ) where
        Self: 'g,
    {
        let entries = entries.into_iter();
        running.extend(entries.map(|entry| enter(guest, self.identity, entry)));
        self.say_goodbyes(guest, running);
    }

    /// Enters goodbyes, a few at a time: calls want to get in as well, and what the guest sends has to leave.
    pub(crate) fn say_goodbyes<'g>(&mut self, guest: &'g Guest<'_>, running: &mut Running<'g>)
    where
        Self: 'g,
    {
        while self.saying.len() < GOODBYES_MAX
            && !self.is_loaded()
            && let Some(Goodbye { id, closed }) = self.goodbyes.pop_front()
        {
            let timeout = self.limits.request_timeout;
            let turn = self.turns.begin_alone_within(timeout);
            self.saying.insert(turn);
            running.push(enter(guest, self.identity, Entry::Leave(turn, id, closed)));
        }
    }

    /// Whether so much waits in the gate that one turn more could put so much into it that the actor would be ended.
    fn is_loaded(&self) -> bool {
        self.gate.bytes() > self.limits.outbox_bytes_max / 4
    }

    /// Whether the guest has started, and what that has migrated is kept.
    ///
    /// A migrated state is committed by itself, with what the start has changed and nothing else, so that it can be told
    /// whether anything was changed since. Nobody is served before it is kept: if it is refused, because the actor was
    /// pinned meanwhile, all who have called go to where the pin says.
    pub(crate) fn is_serving(&self) -> bool {
        self.has_settled() && !self.is_keeping_migrated
    }

    /// Whether the guest has started, and what that has migrated is kept or being kept. Before, breaking down is not being
    /// able to start.
    pub(crate) fn has_settled(&self) -> bool {
        self.is_started && self.migrated.is_none()
    }

    fn start(&self, state: Option<Bytes>, input: Option<Bytes>) -> Entry {
        if self.head == Head(0) {
            Entry::Create(input)
        } else {
            Entry::Wake(state, self.from_version, self.conns.to_restored())
        }
    }

    /// Whether nobody waits for the actor to do or keep anything.
    fn is_idle(&self) -> bool {
        self.can_make_room() && !self.conns.keep_awake()
    }

    /// Whether nobody would lose anything if the actor slept now to make room for another. Clients of whom it only
    /// wants to stay awake stay connected.
    fn can_make_room(&self) -> bool {
        self.is_started
            && self.commit.is_none()
            && self.gate.is_empty()
            && !self.is_touched
            && !self.turns.has_callers()
            && self.goodbyes.is_empty()
            && self.requests.is_empty()
            && !self.conns.would_lose()
            && !self.data.keeps_awake()
    }

    pub(crate) fn can_settle(&self) -> bool {
        self.commit.is_none() && self.is_touched
    }

    /// Everything that may happen at any time, also while stopping. What it leads to is to be entered.
    pub(crate) async fn handle(
        &mut self,
        guest: &Guest<'_>,
        running: &mut Running<'_>,
        event: Event,
    ) -> ControlFlow<End, Vec<Entry>> {
        // What was sent comes before whatever has happened since.
        if let Some(end) = self.take_effects(guest) {
            return ControlFlow::Break(end);
        }
        self.take_completed();
        let end = match event {
            Event::Ended((_, Err(crash))) => Some(self.crashed(&crash)),
            Event::Ended((work, Ok(output))) => return self.ended(work, output),
            Event::Committed(kept) => self.committed(kept),
            Event::Waits(barrier) => {
                self.is_touched = true;
                self.gate.hold(Held::Pass(barrier));
                None
            }
            Event::Gone => return ControlFlow::Continue(self.take_gone()),
            Event::Overdue(turns) => {
                return ControlFlow::Continue(self.take_overdue(turns));
            }
            Event::Due => return ControlFlow::Continue(self.begin_due()),
            Event::Changed => {
                self.is_touched |= self.data.is_changed();
                None
            }
            Event::Settle => return self.settle(guest, running).await,
            Event::Sent | Event::Called(_) | Event::Stop(_) | Event::GraceOver => None,
        };
        end.map_or(ControlFlow::Continue(Vec::new()), ControlFlow::Break)
    }

    pub(crate) fn ended(
        &mut self,
        work: Work,
        output: Result<Output, Failure>,
    ) -> ControlFlow<End, Vec<Entry>> {
        self.is_touched = true;
        if work.is_for_a_client() {
            self.tell_busy();
        }
        let next = match (work, output) {
            (Work::Start, output) => return self.started(output),
            (Work::Action(turn, short), output) => {
                let output = output.map_err(|failure| self.public(failure));
                if let Some(caller) = self.turns.end(turn) {
                    self.gate.hold(Held::Answer(caller, output));
                }
                if let Some(id) = short {
                    self.leave_short(id);
                }
                None
            }
            (Work::Request(turn, id, is_told), output) => {
                self.responded(turn, id, is_told, output);
                None
            }
            (Work::Connect(turn, conn), output) => self.connected(turn, conn, output),
            (Work::Websocket(turn, conn), output) => {
                let output = output.map_err(|failure| self.public(failure));
                if output.is_err() {
                    self.leave(conn.id());
                }
                if let Some(caller) = self.turns.end(turn) {
                    self.gate.hold(Held::Answer(caller, output));
                }
                None
            }
            (Work::Subscribe(turn, conn, event, is_allowed), output) => {
                self.subscribed(turn, &conn, event, is_allowed, output);
                None
            }
            (Work::Message(turn), output) => {
                self.ended_alone(turn, output);
                None
            }
            (Work::Leave(turn, id), output) => {
                self.saying.remove(&turn);
                self.ended_alone(turn, output);
                self.conns.remove(id);
                None
            }
            (Work::Send(turn, short, message), output) => {
                self.sent(turn, short, message, output);
                None
            }
            (Work::Scheduled(turn, entry), output) => {
                self.ran(turn, &entry, output);
                None
            }
            (Work::Run, output) => {
                self.ended_running(output);
                None
            }
            (Work::Told, _) => None,
            (Work::Stop, output) => {
                self.is_stopped = true;
                if let Err(failure) = output {
                    // Told to the log only: a hook that fails does not stop the stop.
                    self.public(failure);
                }
                None
            }
        };
        ControlFlow::Continue(next.into_iter().collect())
    }

    /// The run loop is over; the actor goes on without it, and its failure is told to the log only.
    fn ended_running(&self, output: Result<Output, Failure>) {
        self.data.set_running(false);
        if let Err(Failure::Public(error)) = &output {
            let Identity { id, actor_type, .. } = &**self.identity;
            error!(actor_id = %id, %actor_type, %error, "the run loop failed");
        } else if let Err(failure) = output {
            self.public(failure);
        }
    }

    /// Whoever deploys wants to know how many actors do something with the code.
    pub(crate) fn tell_busy(&mut self) {
        let every = TELL_BUSY_EVERY.min(self.limits.rollout_window / 4);
        if self.told_busy.is_none_or(|told| told.elapsed() > every) {
            self.told_busy = Some(Instant::now());
            let revision = self.active.revision_id;
            self.revisions
                .report(self.identity.id, revision, Report::Busy);
        }
    }

    /// A turn that nobody waits for has ended; its failure is told to the log only.
    fn ended_alone(&self, turn: TurnId, output: Result<Output, Failure>) {
        if let Err(failure) = output {
            self.public(failure);
        }
        if let Some(caller) = self.turns.end(turn) {
            caller.answer(Ok(Output::Done));
        }
    }

    /// What callers may know of a failure. The rest goes to the log, here and nowhere else.
    pub(crate) fn public(&self, failure: Failure) -> ActorError {
        match failure {
            Failure::Public(error) => error,
            Failure::Internal(text) => {
                let Identity { id, actor_type, .. } = &**self.identity;
                error!(actor_id = %id, %actor_type, error = text, "a turn failed");
                ActorError::internal()
            }
        }
    }
}

/// The next call that waits: those that an earlier instance has left come first. Cancel-safe.
async fn next_call(left: &mut VecDeque<Call>, mailbox: &mut mpsc::Receiver<Call>) -> Option<Call> {
    match left.pop_front() {
        Some(call) => Some(call),
        None => mailbox.recv().await,
    }
}
