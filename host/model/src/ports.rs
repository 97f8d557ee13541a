//! The calls that go up: traits that a lower layer calls and a higher one implements.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    ActorError, ActorId, ActorName, Completion, KvPage, KvQuery, KvSpan, Lineage, MessageId,
    Namespace, NewScheduled, Outgoing, QueueMessage, Scheduled, ScheduledRun, Target, Wait, Wanted,
    WorkKind,
};
use std::time::Duration;

/// How a guest reaches other actors. The runtime calls it by way of the actor, which fills in the lineage;
/// placement implements it.
#[async_trait]
pub trait Outbound: Send + Sync + 'static {
    /// Runs `action` with `args` (a CBOR array) on `target` and waits for its result (CBOR).
    ///
    /// `lineage` says on whose behalf; an instance does not know, and passes an empty one. Only actors of
    /// namespace `from` can be reached, by whatever kind of target. Dropping the
    /// future does not stop an action that has begun.
    ///
    /// # Errors
    ///
    /// What the called action failed with, or why it could not run.
    async fn call(
        &self,
        from: &Namespace,
        lineage: Lineage,
        target: Target,
        action: String,
        args: Bytes,
    ) -> Result<Bytes, ActorError>;

    /// Sends a message to a queue of `target`, and waits for its completion if `wait` says so. Without that, the
    /// result is `Completed(None)` once it is in its queue, durably.
    ///
    /// # Errors
    ///
    /// `queue.*`, `auth.forbidden`, or why it could not be sent.
    async fn send(
        &self,
        from: &Namespace,
        lineage: Lineage,
        target: Target,
        queue: String,
        body: Bytes,
        wait: Wait,
    ) -> Result<Completion, ActorError>;

    /// Creates the actor of this name, with `input` (CBOR).
    ///
    /// # Errors
    ///
    /// `actor.duplicate_key` if there is one already.
    async fn create(&self, name: ActorName, input: Option<Bytes>) -> Result<ActorId, ActorError>;

    /// The id of `target`, which is created first if it says so.
    ///
    /// # Errors
    ///
    /// `actor.not_found` if there is no such actor in namespace `from`.
    async fn resolve(&self, from: &Namespace, target: Target) -> Result<ActorId, ActorError>;
}

/// What an actor has besides its state, as its guest gets at it. The runtime calls it; the actor implements it.
///
/// Reading sees what was written before. What is written waits for the actor's next commit; nothing here waits for
/// that.
#[async_trait]
pub trait ActorData: Send + Sync + 'static {
    /// Writes pairs: all, or none.
    ///
    /// # Errors
    ///
    /// `kv.key_too_large`, `kv.value_too_large`, `kv.full`.
    fn kv_put(&self, pairs: Vec<(Bytes, Bytes)>) -> Result<(), ActorError>;

    /// Removes the pairs with these keys.
    ///
    /// # Errors
    ///
    /// `kv.full` if too much waits to be committed.
    fn kv_delete(&self, keys: Vec<Bytes>) -> Result<(), ActorError>;

    /// Removes all pairs in `span`.
    ///
    /// # Errors
    ///
    /// `kv.full` if too much waits to be committed.
    fn kv_delete_span(&self, span: KvSpan) -> Result<(), ActorError>;

    /// The values of these keys.
    ///
    /// # Errors
    ///
    /// `actor.invalid_request` for too many keys, or values that are too large together; an error of the store.
    async fn kv_get(&self, keys: Vec<Bytes>) -> Result<Vec<Option<Bytes>>, ActorError>;

    /// The first pairs, or the last.
    ///
    /// # Errors
    ///
    /// An error of the store.
    async fn kv_list(&self, query: KvQuery) -> Result<KvPage, ActorError>;

    /// Sends a message to a queue of the actor's own. `None` if the queue is not declared.
    ///
    /// # Errors
    ///
    /// `queue.full`, `queue.message_too_large`.
    fn send(
        &self,
        queue: String,
        body: Bytes,
        delay: Option<Duration>,
    ) -> Result<Option<MessageId>, ActorError>;

    /// The same, and waits for its completion.
    ///
    /// # Errors
    ///
    /// `queue.full`, `queue.message_too_large`.
    async fn send_and_wait(
        &self,
        queue: String,
        body: Bytes,
        delay: Option<Duration>,
        timeout: Option<Duration>,
    ) -> Result<Completion, ActorError>;

    /// Receives messages. Dropping the future loses none.
    ///
    /// # Errors
    ///
    /// `actor.aborted` when the actor begins to stop.
    async fn receive(&self, wanted: Wanted) -> Result<Vec<QueueMessage>, ActorError>;

    /// Completes a message that was taken, with a reply for whoever waits for it.
    ///
    /// # Errors
    ///
    /// `queue.message_too_large`, `queue.full`: the message is not completed.
    fn complete(&self, id: MessageId, reply: Option<Bytes>) -> Result<(), ActorError>;

    /// Gives a message back that was taken, to come again.
    fn give_back(&self, id: MessageId);

    /// Whether the run loop waits for something else beside messages.
    fn run_waits_for_others(&self, does: bool);

    /// How many messages wait or are taken.
    fn queue_size(&self) -> usize;

    /// The dead letters, oldest first.
    fn dead_letters(&self) -> Vec<QueueMessage>;

    /// Puts a dead letter back into its queue, under a new name; `None` if there is none.
    ///
    /// # Errors
    ///
    /// `queue.full`.
    fn put_back(&self, id: MessageId) -> Result<Option<MessageId>, ActorError>;

    /// Removes a dead letter; `false` if there is none.
    fn discard(&self, id: MessageId) -> bool;

    /// Adds an entry to the schedule, or replaces the one of its name; its name.
    ///
    /// # Errors
    ///
    /// `schedule.invalid`, `schedule.full`.
    fn schedule(&self, entry: NewScheduled) -> Result<String, ActorError>;

    /// The entry of this name.
    fn scheduled(&self, id: &str) -> Option<Scheduled>;

    /// All entries, next first.
    fn schedule_list(&self) -> Vec<Scheduled>;

    /// Removes an entry; `false` if there is none.
    fn unschedule(&self, id: &str) -> bool;

    /// The last runs, oldest first.
    fn schedule_history(&self) -> Vec<ScheduledRun>;

    /// A piece of background work begins.
    fn work_begins(&self, kind: WorkKind);

    /// A piece of background work is over.
    fn work_ends(&self, kind: WorkKind);
}

/// How an actor reaches the client of a long connection. The actor calls it; the server implements it.
pub trait ConnSink: Send + Sync + std::fmt::Debug + 'static {
    /// Puts something into the connection's queue, without waiting.
    ///
    /// Order is kept. When the queue is full, the connection is closed instead of anybody waiting; what is sent
    /// to a connection that is closed is dropped.
    fn send(&self, outgoing: Outgoing);
}
