//! The output gate: what waits to leave the actor until the writes it may rest on are kept.
//!
//! What is held is in one of two places: *waiting* for a commit that has not begun, or *covered* by the one
//! that is under way. A turn that ended while a commit was under way may have seen what that commit
//! writes, so it waits for it as well, by waiting for the next look at the state.

use std::sync::Arc;

use bytes::Bytes;
use greenroom_model::{ActorError, ActorId, Event, MessageId, Outgoing};
use greenroom_runtime::Barrier;

use crate::conn::Conn;
use crate::handle::{Begun, Output};
use crate::waiters::Waiters;

/// Something that is held back.
#[derive(Debug)]
pub(crate) enum Held {
    /// The answer of a turn that has ended.
    Answer(Begun, Result<Output, ActorError>),
    /// A connection that was let in.
    Open(Arc<Conn>),
    /// Something for one connection.
    Send(Arc<Conn>, Outgoing),
    /// An event for those who had subscribed to it when it was sent.
    Broadcast(Arc<[Arc<Conn>]>, Arc<Event>),
    /// A subscription that is refused.
    Refuse(Arc<Conn>, ActorError),
    /// The end of a connection.
    Close(Arc<Conn>, u16, String),
    /// A message that was completed, for whoever waits for that.
    Complete(Arc<Waiters>, ActorId, MessageId, Option<Bytes>),
    /// A guest's import that goes on once its writes are kept.
    Pass(Barrier),
}

impl Held {
    fn release(self) {
        // Whoever waited may have gone away.
        match self {
            Self::Answer(caller, output) => caller.answer(output),
            Self::Pass(barrier) => _ = barrier.0.send(()),
            Self::Open(conn) => conn.open(),
            Self::Send(conn, outgoing) => conn.send(outgoing),
            Self::Broadcast(conns, event) => conns
                .iter()
                .for_each(|conn| conn.send(Outgoing::Event(event.clone()))),
            Self::Refuse(conn, error) => conn.refuse(error),
            Self::Close(conn, code, reason) => conn.close(code, reason),
            Self::Complete(waiters, actor, id, reply) => waiters.complete(actor, id, reply),
        }
    }

    fn refuse(self, error: &ActorError) {
        match self {
            // Failed or not, it rests on writes that are lost.
            Self::Answer(caller, _) => caller.answer(Err(error.clone())),
            // Dropping a barrier ends the import. What would have told of lost writes is never sent.
            Self::Pass(_)
            | Self::Open(_)
            | Self::Send(..)
            | Self::Broadcast(..)
            | Self::Refuse(..)
            | Self::Close(..)
            | Self::Complete(..) => {}
        }
    }
}

/// What is held, in order.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    waiting: Vec<Held>,
    covered: Vec<Held>,
    /// Bytes of effects in both.
    bytes: usize,
    bytes_covered: usize,
}

impl Gate {
    /// Holds something back until the state has been looked at, and kept if it changed.
    pub(crate) fn hold(&mut self, held: Held) {
        self.waiting.push(held);
    }

    /// Counts bytes of effects that are about to be held; how many there are with them.
    pub(crate) const fn add_bytes(&mut self, bytes: usize) -> usize {
        self.bytes += bytes;
        self.bytes
    }

    /// How many bytes of effects are held.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How much waits for a commit that has not begun.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing is held at all.
    pub(crate) const fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.covered.is_empty()
    }

    /// A commit begins that covers all that waits. There is none under way.
    pub(crate) fn begin_commit(&mut self) {
        debug_assert!(self.covered.is_empty(), "one commit at a time");
        std::mem::swap(&mut self.covered, &mut self.waiting);
        self.bytes_covered = self.bytes;
    }

    /// The commit under way is durable: what it covers leaves.
    pub(crate) fn end_commit(&mut self) {
        self.covered.drain(..).for_each(Held::release);
        self.bytes -= std::mem::take(&mut self.bytes_covered);
    }

    /// There is nothing to commit, and no commit under way: what waits leaves.
    pub(crate) fn open(&mut self) {
        self.waiting.drain(..).for_each(Held::release);
        self.bytes = 0;
    }

    /// The writes are lost: nothing held leaves as it is.
    pub(crate) fn refuse_all(&mut self, error: &ActorError) {
        let held = self.covered.drain(..).chain(self.waiting.drain(..));
        held.for_each(|held| held.refuse(error));
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;
    use crate::handle::CallError;

    fn answer() -> (Held, oneshot::Receiver<Result<Output, CallError>>) {
        let (reply, answer) = oneshot::channel();
        (
            Held::Answer(Begun::reply(reply), Ok(Output::Value(Bytes::from("out")))),
            answer,
        )
    }

    #[test]
    fn an_answer_leaves_when_the_commit_that_covers_it_is_durable() {
        let mut gate = Gate::default();
        let (first, mut first_answer) = answer();
        let (second, mut second_answer) = answer();
        gate.hold(first);
        gate.begin_commit();
        gate.hold(second);
        assert!(matches!(first_answer.try_recv(), Err(TryRecvError::Empty)));
        gate.end_commit();
        assert!(matches!(
            first_answer.try_recv(),
            Ok(Ok(Output::Value(value))) if value == "out"
        ));
        assert!(
            matches!(second_answer.try_recv(), Err(TryRecvError::Empty)),
            "not covered"
        );
        gate.open();
        assert!(second_answer.try_recv().unwrap().is_ok());
        assert!(gate.is_empty());
    }

    #[test]
    fn lost_writes_turn_every_held_answer_into_an_error() {
        let mut gate = Gate::default();
        let (first, mut first_answer) = answer();
        let (second, mut second_answer) = answer();
        let (passed, mut passes) = oneshot::channel();
        gate.hold(first);
        gate.begin_commit();
        gate.hold(second);
        gate.hold(Held::Pass(Barrier(passed)));
        gate.refuse_all(&ActorError::internal());
        assert!(first_answer.try_recv().unwrap().is_err());
        assert!(second_answer.try_recv().unwrap().is_err());
        assert_eq!(passes.try_recv(), Err(TryRecvError::Closed));
    }
}
