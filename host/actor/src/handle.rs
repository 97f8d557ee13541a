//! The way in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use greenroom_model::{ActorError, Generation, Lineage, codes};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{SetOnce, mpsc, oneshot};
use tokio::time::Instant;

use crate::orders::{Order, Orders};

/// Why a call has no output, and so whether it may be tried again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The mailbox is full. The action did not begin.
    #[error("the actor has as many calls waiting as it may hold")]
    Overloaded,

    /// The activation ended first. The action did not begin; the next activation can take it.
    #[error("the actor left memory before the action began")]
    NotBegun,

    /// The action failed, or its activation could not start, or ended midway.
    #[error(transparent)]
    Failed(#[from] ActorError),
}

/// Answers whoever called.
pub(crate) type Reply = oneshot::Sender<Result<Bytes, CallError>>;

/// One request to run an action.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) action: String,
    pub(crate) args: Bytes,
    /// On whose behalf.
    pub(crate) lineage: Lineage,
    pub(crate) reply: Reply,
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
    ended: SetOnce<()>,
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
            ended: SetOnce::new(),
        }))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// Calls an action and waits for its output.
    ///
    /// Never waits for room: a full mailbox fails the call at once, while the client still cares.
    /// Dropping the future does not stop an action that has begun.
    ///
    /// # Errors
    ///
    /// [`CallError`] says whether the action has begun.
    pub async fn call(
        &self,
        lineage: Lineage,
        action: String,
        args: Bytes,
    ) -> Result<Bytes, CallError> {
        let (reply, answer) = oneshot::channel();
        match self.0.mailbox.try_send(Call {
            action,
            args,
            lineage,
            reply,
        }) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(CallError::NotBegun)),
            Err(TrySendError::Full(_)) => Err(CallError::Overloaded),
            Err(TrySendError::Closed(_)) => Err(CallError::NotBegun),
        }
    }

    /// Tells the activation to do something about its own end. Does not wait for it.
    pub fn order(&self, order: Order) {
        self.0.orders.give(order);
    }

    /// Whether it takes no more calls.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.mailbox.is_closed()
    }

    /// The activation's generation; 0 before it has opened its data.
    #[must_use]
    pub fn generation(&self) -> Generation {
        Generation(self.0.generation.load(Ordering::Relaxed))
    }

    /// For how long it has had nothing to do; `None` while it has.
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

impl Shared {
    /// How many calls wait in the mailbox.
    pub(crate) fn waiting(&self) -> usize {
        self.mailbox.max_capacity() - self.mailbox.capacity()
    }

    pub(crate) fn set_generation(&self, generation: Generation) {
        self.generation.store(generation.0, Ordering::Relaxed);
    }

    pub(crate) fn set_busy(&self) {
        self.idle_since_ms.store(BUSY, Ordering::Relaxed);
    }

    pub(crate) fn set_idle(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(BUSY - 1);
        self.idle_since_ms.store(since, Ordering::Relaxed);
    }
}

/// Answers with an error. A caller that has hung up does not undo the turn.
pub(crate) fn refuse(reply: Reply, error: ActorError) {
    _ = reply.send(Err(CallError::Failed(error)));
}

/// A call that never began goes back to the router, which enters it again.
pub(crate) fn hand_back(call: Call) {
    // A caller that has hung up needs nothing.
    _ = call.reply.send(Err(CallError::NotBegun));
}

/// The way back to a caller whose action has begun.
///
/// A reply that is dropped says that the call never began, and such a call is entered again. This one says
/// something when it is dropped, so that whatever happens here, no action runs twice.
#[derive(Debug)]
pub(crate) struct Begun(Option<Reply>);

impl Begun {
    pub(crate) const fn new(reply: Reply) -> Self {
        Self(Some(reply))
    }

    /// Answers. A caller that has hung up does not undo the turn.
    pub(crate) fn answer(mut self, output: Result<Bytes, ActorError>) {
        if let Some(reply) = self.0.take() {
            _ = reply.send(output.map_err(CallError::Failed));
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            refuse(reply, aborted());
        }
    }
}

/// The error for calls that had begun when their activation ended.
pub(crate) fn aborted() -> ActorError {
    ActorError::new(
        codes::ABORTED,
        "the actor was stopped while this call was running; whether its writes were kept is not known",
    )
}
