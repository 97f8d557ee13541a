//! An actor, awake on this host, and the loop that owns it.
//!
//! Everything that can happen to an awake actor is one of the few [`Event`]s below. They are taken one at
//! a time, which is why nothing in this file needs a lock. Calls into the guest run at the same time,
//! interleaving wherever the guest waits; a *turn* is one of them, from its call to its commit.
//!
//! A commit keeps the state as it is when the commit begins, with what unfinished turns have put so far:
//! state belongs to the actor, not to the turn.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use greenroom_model::{ActorError, ActorTypeOptions, ConnId, Generation, Head, Limits, codes};
use greenroom_runtime::{Barrier, Failure, Guest, Identity, Saved, Snapshot};
use greenroom_storage::{ActorRow, Commit, Error as StorageError, Storage};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tracing::{error, warn};

use crate::activate::{ActiveType, unavailable};
use crate::conn::{Conn, Sockets};
use crate::conns::Conns;
use crate::entry::{Ended, Entry, Work, enter};
use crate::gate::{Gate, Held};
use crate::handle::{Call, Output, Shared, aborted};
use crate::orders::Order;
use crate::turns::{TurnId, Turns};

/// With so much waiting for a commit, begin one even though more could be added to it.
const WAITING_MAX: usize = 256;

/// Why an instance ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The actor goes to sleep.
    Sleep,
    /// Another instance takes over, in the same activation.
    Upgrade,
    /// The actor is to be removed for good.
    Destroy,
    /// The actor does not exist.
    Gone,
    /// Its writes cannot be kept, or it had to be cut off. Calls that wait can go to the next activation.
    Lost,
    /// Its guest broke down. Calls that had begun are told this; those that wait can go to the next
    /// activation.
    Crashed(ActorError),
    /// It could not start. Everybody who waited for that is told this.
    Failed(ActorError),
}

/// One awake actor on one instance.
pub(crate) struct Activation<'a> {
    pub(crate) actor: ActorRow,
    pub(crate) identity: &'a Arc<Identity>,
    pub(crate) active: &'a ActiveType,
    pub(crate) storage: &'a Arc<dyn Storage>,
    pub(crate) limits: &'a Limits,
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) sockets: &'a Sockets,
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
    /// Raw requests whose responses are on their way, and whether the guest knows of their connections.
    pub(crate) requests: HashMap<ConnId, bool>,
    pub(crate) turns: &'a Turns,
    pub(crate) gate: Gate,
    pub(crate) generation: Generation,
    pub(crate) head: Head,
    pub(crate) commit: Option<BoxFuture<'static, Result<(), StorageError>>>,
    /// Create or wake has returned.
    pub(crate) is_started: bool,
    /// The guest has been told that it stops, and has returned.
    pub(crate) is_stopped: bool,
    /// Guest code has run since the state was last looked at.
    pub(crate) is_touched: bool,
}

/// A connection that the guest is asked to let in.
pub(crate) struct BeingOpened {
    pub(crate) conn: Arc<Conn>,
    /// Its state, as far as the guest has said.
    pub(crate) state: Option<Bytes>,
}

/// What can happen to an awake actor. To learn what drives one, read this.
pub(crate) enum Event {
    /// It has to stop, in one way or another: it was told to, or nothing has happened for as long as its
    /// type allows.
    Stop(Order),
    /// A turn has returned from the guest.
    Ended(Ended),
    /// The commit under way is durable, or is not.
    Committed(Result<(), StorageError>),
    /// A turn wants to be sure of its writes before it goes on.
    Waits(Barrier),
    /// A turn has sent something.
    Sent,
    /// A client of a connection, or of a request, is gone.
    Gone,
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
        let start = if self.head == Head(0) {
            Entry::Create(input)
        } else {
            Entry::Wake(state, self.conns.to_restored())
        };
        let mut running = Running::new();
        running.push(enter(guest, self.identity, start));
        let options = &self.active.description.options;
        let sleep_after =
            ActorTypeOptions::or_default(options.sleep_after_ms, self.limits.sleep_after);
        let mut idle = std::pin::pin!(tokio::time::sleep(sleep_after));
        loop {
            let is_idle = self.is_idle() && !options.no_sleep;
            let has_room = self.is_started && running.len() < self.limits.turns_max;
            let must_settle = self.gate.waiting() >= WAITING_MAX && self.commit.is_none();
            let event = tokio::select! {
                // The order is the priority. A stop must not wait behind a busy client; what was begun
                // makes the room that new work waits for; and a commit begins when nothing else can be
                // done at once, so that it covers as much as possible.
                biased;
                // A start is finished first, so that what was called before the order can be answered.
                order = self.shared.orders.stronger(None), if self.is_started => {
                    Event::Stop(order)
                }
                () = std::future::ready(()), if must_settle => Event::Settle,
                Some(ended) = running.next() => Event::Ended(ended),
                kept = next_kept(&mut self.commit) => Event::Committed(kept),
                Some(barrier) = self.barriers.recv() => Event::Waits(barrier),
                () = self.effects.notified() => Event::Sent,
                () = self.shared.is_gone.notified(), if self.is_started => Event::Gone,
                Some(call) = next_call(self.left, self.mailbox), if has_room => Event::Called(call),
                () = std::future::ready(()), if self.can_settle() => Event::Settle,
                () = &mut idle, if is_idle => Event::Stop(Order::Sleep),
            };
            match event {
                Event::Called(call) => {
                    self.shared.set_busy();
                    if let Some(entry) = self.begin(call) {
                        running.push(enter(guest, self.identity, entry));
                    }
                }
                Event::Stop(order) => {
                    return self.stop(guest, running, order).await;
                }
                other => match self.handle(guest, other).await {
                    ControlFlow::Break(end) => return end,
                    ControlFlow::Continue(entries) => {
                        running.extend(
                            entries
                                .into_iter()
                                .map(|entry| enter(guest, self.identity, entry)),
                        );
                    }
                },
            }
            if self.is_idle() {
                self.shared.set_idle();
                idle.as_mut().reset(Instant::now() + sleep_after);
            }
        }
    }

    /// Whether nobody waits for the actor to do or keep anything.
    fn is_idle(&self) -> bool {
        self.is_started
            && self.commit.is_none()
            && self.gate.is_empty()
            && !self.is_touched
            && !self.turns.has_callers()
            && self.requests.is_empty()
            && !self.conns.keep_awake()
    }

    pub(crate) fn can_settle(&self) -> bool {
        self.commit.is_none() && self.is_touched
    }

    /// Everything that may happen at any time, also while stopping. What it leads to is to be entered.
    pub(crate) async fn handle(
        &mut self,
        guest: &Guest<'_>,
        event: Event,
    ) -> ControlFlow<End, Vec<Entry>> {
        // What was sent comes before whatever has happened since.
        if let Some(end) = self.take_effects(guest) {
            return ControlFlow::Break(end);
        }
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
            Event::Settle => self.settle(guest).await,
            Event::Sent | Event::Called(_) | Event::Stop(_) | Event::GraceOver => None,
        };
        end.map_or(ControlFlow::Continue(Vec::new()), ControlFlow::Break)
    }

    fn ended(
        &mut self,
        work: Work,
        output: Result<Output, Failure>,
    ) -> ControlFlow<End, Vec<Entry>> {
        self.is_touched = true;
        let next = match (work, output) {
            (Work::Start, Ok(_)) => {
                self.is_started = true;
                self.turns.end_by(None);
                // Clients that went while the actor was not there.
                let orphans = self.conns.orphans();
                return ControlFlow::Continue(
                    orphans
                        .into_iter()
                        .filter_map(|id| self.leave(id))
                        .collect(),
                );
            }
            (Work::Start, Err(failure)) => {
                return ControlFlow::Break(End::Failed(self.public(failure)));
            }
            (Work::Action(turn, short), output) => {
                let output = output.map_err(|failure| self.public(failure));
                if let Some(caller) = self.turns.end(turn) {
                    self.gate.hold(Held::Answer(caller, output));
                }
                short.map(|id| self.leave_short(id))
            }
            (Work::Request(turn, id, is_told), output) => self.responded(turn, id, is_told, output),
            (Work::Connect(turn, conn), output) => self.connected(turn, conn, output),
            (Work::Websocket(turn, conn), output) => {
                let output = output.map_err(|failure| self.public(failure));
                let next = output.is_err().then(|| self.leave(conn.id())).flatten();
                if let Some(caller) = self.turns.end(turn) {
                    self.gate.hold(Held::Answer(caller, output));
                }
                next
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
                self.ended_alone(turn, output);
                self.conns.remove(id);
                None
            }
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

    /// Looks at the state. What changed is committed, and what waits is covered by that; if nothing changed,
    /// what waits leaves.
    async fn settle(&mut self, guest: &Guest<'_>) -> Option<End> {
        self.is_touched = false;
        if !self.is_started && self.head == Head(0) {
            // The actor is not created before its create has returned: there is nothing to keep yet, and a
            // create that waits for it would wait for itself.
            self.gate.open();
            return None;
        }
        let Saved { state, conns } = match guest.snapshot().await {
            Err(crash) => return Some(self.crashed(&crash)),
            Ok(saved) => saved,
        };
        let state = match state {
            Snapshot::Changed(state) => Some(state),
            Snapshot::Unchanged => None,
        };
        let largest = conns.iter().map(|(_, state)| state.len()).max();
        let bytes = state
            .as_ref()
            .map_or(0, Bytes::len)
            .max(largest.unwrap_or(0));
        if bytes > self.limits.state_bytes_max {
            return Some(End::Crashed(too_large(bytes, self.limits.state_bytes_max)));
        }
        for (id, state) in &conns {
            if let Some(opening) = self.opening.get_mut(id) {
                opening.state = Some(state.clone());
            }
        }
        self.conns.set_states(conns);
        let conns = self.conns.take_changes();
        // An actor exists from its first commit on, whether or not it has a state.
        if state.is_none() && conns.is_empty() && self.head != Head(0) {
            self.gate.open();
            return None;
        }
        let commit = Commit {
            actor: self.actor,
            generation: self.generation,
            head: self.head,
            revision: self.active.revision_id,
            state,
            conns,
        };
        let storage = self.storage.clone();
        self.gate.begin_commit();
        self.commit = Some(Box::pin(async move { storage.commit(commit).await }));
        None
    }

    fn committed(&mut self, kept: Result<(), StorageError>) -> Option<End> {
        match kept {
            Ok(()) => {
                self.head.0 += 1;
                self.gate.end_commit();
                None
            }
            Err(error) => {
                let actor_id = self.identity.id;
                warn!(%actor_id, %error, "a commit failed; the actor goes back to what was kept");
                let told = match error {
                    StorageError::Fenced | StorageError::Gone => aborted(),
                    _ => unavailable(),
                };
                self.gate.refuse_all(&told);
                Some(End::Lost)
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

/// The end of the commit under way; never, if there is none. Cancel-safe.
pub(crate) async fn next_kept(
    commit: &mut Option<BoxFuture<'static, Result<(), StorageError>>>,
) -> Result<(), StorageError> {
    match commit {
        Some(under_way) => {
            let kept = under_way.await;
            *commit = None;
            kept
        }
        None => std::future::pending().await,
    }
}

fn too_large(bytes: usize, most: usize) -> ActorError {
    let text = format!(
        "the actor's state has {bytes} bytes; at most {most} are allowed, so this change was not kept"
    );
    ActorError::new(codes::STATE_TOO_LARGE, text)
}
