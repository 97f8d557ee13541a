//! The way in.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use greenroom_model::{
    ActorError, ActorSpecifier, ConnId, ConnKind, Generation, Lineage, Message, MessageId, Opening,
    QueueMessage, Scheduled, ScheduledRun, codes,
};
use greenroom_runtime::{HttpRequest, HttpResponse};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, SetOnce, mpsc, oneshot};
use tokio::time::Instant;

use crate::conn::Conn;
use crate::orders::{Order, Orders};
use crate::revisions::Placed;
use crate::waiters::Waiting;

/// Why a call has no output, and so whether it may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The mailbox is full. Nothing has begun.
    #[error("the actor has as many calls waiting as it may hold")]
    Overloaded,

    /// The activation ended first. Nothing has begun; the next activation can take it.
    #[error("the actor left memory before the call began")]
    NotBegun(Box<What>),

    /// It failed, or its activation could not start, or ended midway.
    #[error(transparent)]
    Failed(#[from] ActorError),
}

/// What somebody wants of an actor.
#[derive(Debug)]
pub enum What {
    /// An action.
    Action {
        /// Who calls.
        from: Caller,
        /// Its name.
        action: String,
        /// Its arguments (a CBOR array).
        args: Bytes,
    },
    /// To be let in.
    Connect(Arc<Conn>),
    /// To hear an event, or not any more.
    Subscribe {
        /// Who.
        conn: Arc<Conn>,
        /// The event's name.
        event: String,
        /// Whether it wants to.
        is_wanted: bool,
    },
    /// To hand over a raw message.
    Message(Arc<Conn>, Message),
    /// An answer to a raw request.
    Request(Arc<Opening>, Box<HttpRequest>),
    /// To put a message into a queue.
    Send {
        /// Who.
        from: Short,
        /// The queue's name.
        queue: String,
        /// The message (CBOR).
        body: Bytes,
        /// Whether somebody is to wait for its completion.
        is_waited_for: bool,
    },
    /// To look at what the actor keeps besides its state, or to put it in order.
    Inspect(Inspect),
}

/// What an operator wants to know, or to have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspect {
    /// The messages that wait or are taken.
    Queue,
    /// The messages that were given up.
    DeadLetters,
    /// A dead letter is to be put back.
    PutBack(MessageId),
    /// A dead letter is to be removed.
    Discard(MessageId),
    /// What is scheduled, and what has run.
    Schedule,
    /// An entry of the schedule is to be removed.
    Unschedule(String),
}

/// What an operator is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspected {
    /// Messages, oldest first.
    Messages(Vec<QueueMessage>),
    /// Entries, next first; runs, oldest first.
    Schedule(Vec<Scheduled>, Vec<ScheduledRun>),
    /// Whether there was something to be done.
    Done(bool),
    /// The new name of the message that was put back, if there was one.
    PutBack(Option<MessageId>),
}

/// Who calls an action.
#[derive(Debug)]
pub enum Caller {
    /// A client or another actor, without a connection of its own.
    Short(Short),
    /// A realtime connection, with the client's number for the call. Its answer goes there.
    Conn(Arc<Conn>, u64),
}

/// How a short connection begins, made only if its guest is told of it: most are not.
pub struct Short(Box<dyn FnOnce() -> Opening + Send>);

impl Short {
    /// One that is made by this.
    pub fn new(make: impl FnOnce() -> Opening + Send + 'static) -> Self {
        Self(Box::new(make))
    }

    /// One of which there is nothing to say.
    #[must_use]
    pub fn plain() -> Self {
        Self::new(|| Opening::plain(ConnKind::Call))
    }

    pub(crate) fn open(self) -> Arc<Opening> {
        Arc::new(self.0())
    }
}

impl fmt::Debug for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Short")
    }
}

/// What it came to.
#[derive(Debug)]
pub enum Output {
    /// It is done, or has begun and will be answered otherwise.
    Done,
    /// An action's result (CBOR).
    Value(Bytes),
    /// A guest's response; `None` if its type answers no raw requests.
    Response(Option<Box<HttpResponse>>),
    /// A message is in its queue, and there is a place to wait for its completion if that was wanted. `None`: there is
    /// no such queue.
    Sent(Option<Waiting>),
    /// What an operator is told.
    Inspected(Inspected),
    /// What a state of an older version has become. Nobody is answered with it.
    Migrated(Bytes),
}

/// Answers whoever called.
pub(crate) type Reply = oneshot::Sender<Result<Output, CallError>>;

/// One request to an actor. Dropping it hands it back to the router, which enters it again.
#[derive(Debug)]
pub(crate) struct Call {
    /// On whose behalf.
    pub(crate) lineage: Lineage,
    /// Its number among the calls of the activation.
    pub(crate) number: u64,
    parts: Option<(What, Reply)>,
}

impl Call {
    fn new(number: u64, lineage: Lineage, what: What, reply: Reply) -> Self {
        Self {
            lineage,
            number,
            parts: Some((what, reply)),
        }
    }

    /// Takes it on: from now on it is not handed back.
    pub(crate) fn take(mut self) -> (What, Reply, Lineage, u64) {
        let (what, reply) = self.parts.take().expect("it is taken apart once");
        let lineage = std::mem::take(&mut self.lineage);
        (what, reply, lineage, self.number)
    }

    /// Answers with an error instead of beginning.
    pub(crate) fn refuse(mut self, error: ActorError) {
        if let Some((_, reply)) = self.parts.take() {
            refuse(reply, error);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some((what, reply)) = self.parts.take() {
            // A caller that has hung up needs nothing.
            _ = reply.send(Err(CallError::NotBegun(Box::new(what))));
        }
    }
}

/// The way to an activation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    mailbox: mpsc::Sender<Call>,
    pub(crate) orders: Orders,
    generation: AtomicU64,
    began: Instant,
    /// Milliseconds from `began` to when it last had nothing to do; [`BUSY`] while it has.
    idle_since_ms: AtomicU64,
    started: SetOnce<()>,
    ended: SetOnce<()>,
    /// Connections and requests that are over, for the loop to take. As many as there are.
    gone: Mutex<Vec<ConnId>>,
    /// Told when there are.
    pub(crate) is_gone: Notify,
    calls: AtomicU64,
    /// Whether the loop wants to know of callers that have gone.
    wants_abandoned: AtomicBool,
    /// The numbers of calls whose callers have. As many as there are.
    abandoned: Mutex<Vec<u64>>,
    /// The host itself stops.
    is_closing: AtomicBool,
    /// What it runs on, since its data was opened.
    placed: Mutex<Option<Arc<Placed>>>,
}

const BUSY: u64 = u64::MAX;

impl Handle {
    pub(crate) fn new(mailbox: mpsc::Sender<Call>) -> Self {
        Self(Arc::new(Shared {
            mailbox,
            orders: Orders::default(),
            generation: AtomicU64::new(0),
            began: Instant::now(),
            idle_since_ms: AtomicU64::new(BUSY),
            started: SetOnce::new(),
            ended: SetOnce::new(),
            gone: Mutex::default(),
            is_gone: Notify::new(),
            calls: AtomicU64::new(0),
            wants_abandoned: AtomicBool::new(false),
            abandoned: Mutex::default(),
            is_closing: AtomicBool::new(false),
            placed: Mutex::default(),
        }))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// Enters a call and waits for what it comes to.
    ///
    /// Never waits for room: a full mailbox fails the call at once, while the client still cares.
    /// Dropping the future does not stop what has begun, unless the actor's type asks to be told.
    ///
    /// # Errors
    ///
    /// [`CallError`] says whether it has begun.
    pub async fn enter(&self, lineage: Lineage, what: What) -> Result<Output, CallError> {
        let (reply, answer) = oneshot::channel();
        let number = self.0.calls.fetch_add(1, Ordering::Relaxed);
        let call = Call::new(number, lineage, what, reply);
        match self.0.mailbox.try_send(call) {
            Ok(()) => {
                let mut caller = Present {
                    shared: &self.0,
                    number: Some(number),
                };
                let answered = answer.await;
                caller.number = None;
                answered.unwrap_or_else(|_| Err(CallError::Failed(aborted())))
            }
            Err(TrySendError::Full(call)) => {
                drop(call.take());
                Err(CallError::Overloaded)
            }
            Err(TrySendError::Closed(call)) => Err(CallError::NotBegun(Box::new(call.take().0))),
        }
    }

    /// Says that the client of a connection is gone.
    pub fn set_gone(&self, id: ConnId) {
        self.0.set_gone(id);
    }

    /// Tells the activation to do something about its own end. Does not wait for it.
    pub fn order(&self, order: Order) {
        self.0.orders.give(order);
    }

    /// Puts the actor to sleep because the host stops. What it was doing by itself is taken up when the host is back.
    pub fn close(&self) {
        self.0.is_closing.store(true, Ordering::Release);
        self.0.orders.give(Order::Sleep);
    }

    /// What the actor runs on; `None` while it opens its data.
    #[must_use]
    pub fn placed(&self) -> Option<Arc<Placed>> {
        self.0.placed().clone()
    }

    /// Whether it has an [`Order::Upgrade`] that has not been carried out, or has not served since.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.0.orders.is_moving()
    }

    /// Waits until no [`Order::Upgrade`] is left to be carried out and the instance after it has started, or the activation
    /// has ended. Cancel-safe.
    pub async fn upgraded(&self) {
        let started = async {
            self.0.orders.no_upgrade().await;
            self.0.orders.started().await;
        };
        tokio::select! {
            () = started => {}
            _ = self.0.ended.wait() => {}
        }
    }

    /// Whether it takes no more calls.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.mailbox.is_closed()
    }

    /// The activation's generation; 0 before it has opened its data.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.0.generation()
    }

    /// For how long it has had nothing to do that cannot wait for its next start; `None` while it has.
    #[must_use]
    pub fn idle_for(&self) -> Option<Duration> {
        match self.0.idle_since_ms.load(Ordering::Relaxed) {
            BUSY => None,
            since => Some(
                self.0
                    .began
                    .elapsed()
                    .saturating_sub(Duration::from_millis(since)),
            ),
        }
    }

    /// Says that the activation has ended and another may begin. Whoever runs the activation calls it,
    /// once everything that knew of it has been told.
    pub fn set_ended(&self) {
        // It ends once; a second time changes nothing.
        _ = self.0.ended.set(());
    }

    /// Waits until the actor serves, or has ended before that. Cancel-safe.
    pub async fn started(&self) {
        tokio::select! {
            _ = self.0.started.wait() => {}
            _ = self.0.ended.wait() => {}
        }
    }

    /// Waits until the activation has ended and another may begin. Cancel-safe.
    pub async fn ended(&self) {
        self.0.ended.wait().await;
    }

    /// Whether this is the way to the same activation.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A caller that waits. Dropped with the number, it has gone away.
struct Present<'a> {
    shared: &'a Shared,
    number: Option<u64>,
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number
            && self.shared.wants_abandoned.load(Ordering::Relaxed)
        {
            self.shared.abandoned().push(number);
            self.shared.is_gone.notify_one();
        }
    }
}

impl Shared {
    /// Whether the loop wants to know of callers that have gone.
    pub(crate) fn want_abandoned(&self, is_wanted: bool) {
        self.wants_abandoned.store(is_wanted, Ordering::Relaxed);
    }

    pub(crate) fn take_abandoned(&self) -> Vec<u64> {
        std::mem::take(&mut self.abandoned())
    }

    fn abandoned(&self) -> MutexGuard<'_, Vec<u64>> {
        // A list is never left half changed.
        self.abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    pub(crate) fn set_placed(&self, placed: Option<Placed>) {
        *self.placed() = placed.map(Arc::new);
    }

    fn placed(&self) -> MutexGuard<'_, Option<Arc<Placed>>> {
        // It is replaced whole.
        self.placed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls wait in the mailbox.
    pub(crate) fn waiting(&self) -> usize {
        self.mailbox.max_capacity() - self.mailbox.capacity()
    }

    pub(crate) fn set_gone(&self, id: ConnId) {
        self.gone().push(id);
        self.is_gone.notify_one();
    }

    pub(crate) fn take_gone(&self) -> Vec<ConnId> {
        std::mem::take(&mut self.gone())
    }

    fn gone(&self) -> MutexGuard<'_, Vec<ConnId>> {
        // A list is never left half changed.
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Relaxed))
    }

    pub(crate) fn set_generation(&self, generation: Generation) {
        self.generation.store(generation.0, Ordering::Relaxed);
    }

    pub(crate) fn set_started(&self) {
        // A second instance of the same activation changes nothing.
        _ = self.started.set(());
        if let Some(placed) = &*self.placed() {
            placed.set_serving();
        }
        self.orders.set_started();
    }

    /// Says whether it may be put to sleep to make room, from now on.
    pub(crate) fn set_idle(&self, is_idle: bool) {
        let was_idle = self.idle_since_ms.load(Ordering::Relaxed) != BUSY;
        match (was_idle, is_idle) {
            (true, false) => self.idle_since_ms.store(BUSY, Ordering::Relaxed),
            (false, true) => {
                let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(BUSY - 1);
                self.idle_since_ms.store(since, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

/// Answers with an error. A caller that has hung up does not undo the turn.
pub(crate) fn refuse(reply: Reply, error: ActorError) {
    _ = reply.send(Err(CallError::Failed(error)));
}

/// The way back to a caller whose call has begun. Whatever happens here, it is answered once.
#[derive(Debug)]
pub(crate) struct Begun(Option<Waiter>);

#[derive(Debug)]
enum Waiter {
    Reply(Reply),
    Conn(Arc<Conn>, u64, ActorSpecifier),
    /// Nobody waits, but the turn counts like any other.
    Nobody,
}

impl Begun {
    pub(crate) const fn reply(reply: Reply) -> Self {
        Self(Some(Waiter::Reply(reply)))
    }

    /// A call of a realtime connection, whose answer goes there.
    pub(crate) fn conn(conn: Arc<Conn>, call: u64, actor: ActorSpecifier) -> Self {
        conn.begin_call();
        Self(Some(Waiter::Conn(conn, call, actor)))
    }

    /// Whether nobody is there any more to be answered.
    pub(crate) fn has_gone(&self) -> bool {
        match &self.0 {
            Some(Waiter::Reply(reply)) => reply.is_closed(),
            _ => false,
        }
    }

    /// Whether it is a call of this connection.
    pub(crate) fn is_of(&self, id: ConnId) -> bool {
        matches!(&self.0, Some(Waiter::Conn(conn, ..)) if conn.id() == id)
    }

    pub(crate) const fn nobody() -> Self {
        Self(Some(Waiter::Nobody))
    }

    /// Answers. A caller that has hung up does not undo the turn.
    pub(crate) fn answer(mut self, output: Result<Output, ActorError>) {
        self.give(output);
    }

    fn give(&mut self, output: Result<Output, ActorError>) {
        match self.0.take() {
            Some(Waiter::Reply(reply)) => _ = reply.send(output.map_err(CallError::Failed)),
            Some(Waiter::Conn(conn, call, actor)) => {
                let output = output.map(|output| match output {
                    Output::Value(value) => value,
                    _ => Bytes::from_static(&[0xf7]),
                });
                conn.answer(call, output, actor);
            }
            Some(Waiter::Nobody) | None => {}
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.give(Err(aborted()));
    }
}

/// The error for calls that had begun when their activation ended.
pub(crate) fn aborted() -> ActorError {
    ActorError::new(
        codes::ABORTED,
        "the actor was stopped while this call was running; whether its writes were kept is not known",
    )
}
