//! The calls that go up: traits that a lower layer calls and a higher one implements.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{ActorError, ActorId, ActorName, Lineage, Namespace, Outgoing, Target};

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

/// How an actor reaches the client of a long connection. The actor calls it; the server implements it.
pub trait ConnSink: Send + Sync + std::fmt::Debug + 'static {
    /// Puts something into the connection's queue, without waiting.
    ///
    /// Order is kept. When the queue is full, the connection is closed instead of anybody waiting; what is sent
    /// to a connection that is closed is dropped.
    fn send(&self, outgoing: Outgoing);
}
