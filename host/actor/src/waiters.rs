//! Senders that wait for their messages to be completed. They wait at the host, so that they outlive activations: an
//! actor may sleep, move to new code or crash between a message and its completion.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use greenroom_model::{ActorError, ActorId, Completion, MessageId};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::handle::aborted;

type Key = (ActorId, MessageId);
type Table = BTreeMap<Key, oneshot::Sender<Option<Bytes>>>;

/// All of them. Each belongs to a request under way, and there are only so many of those.
#[derive(Debug, Default)]
pub struct Waiters {
    table: Mutex<Table>,
}

/// The place of one sender. Dropping it gives up.
#[derive(Debug)]
pub struct Waiting {
    waiters: Arc<Waiters>,
    key: Key,
    completion: oneshot::Receiver<Option<Bytes>>,
}

impl Waiters {
    pub(crate) fn wait_for(self: &Arc<Self>, actor: ActorId, id: MessageId) -> Waiting {
        let (completed, completion) = oneshot::channel();
        let key = (actor, id);
        self.lock().insert(key, completed);
        Waiting {
            waiters: self.clone(),
            key,
            completion,
        }
    }

    /// Tells whoever waits, if somebody does.
    pub(crate) fn complete(&self, actor: ActorId, id: MessageId, reply: Option<Bytes>) {
        let waiter = self.lock().remove(&(actor, id));
        if let Some(waiter) = waiter {
            // It may have given up just now.
            _ = waiter.send(reply);
        }
    }

    pub(crate) fn is_waited_for(&self, actor: ActorId, id: MessageId) -> bool {
        self.lock().contains_key(&(actor, id))
    }

    /// The actor is no more: nothing will be completed.
    pub fn forget(&self, actor: ActorId) {
        let all = (actor, MessageId(0))..=(actor, MessageId(u64::MAX));
        let mut table = self.lock();
        let keys: Vec<Key> = table.range(all).map(|(key, _)| *key).collect();
        for key in keys {
            table.remove(&key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // A map is never left half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Waits, at most so long.
    ///
    /// # Errors
    ///
    /// `actor.aborted` if the actor was destroyed meanwhile.
    pub async fn wait(mut self, within: Duration) -> Result<Completion, ActorError> {
        match timeout(within, &mut self.completion).await {
            Ok(Ok(reply)) => Ok(Completion::Completed(reply)),
            Ok(Err(_)) => Err(aborted()),
            Err(_) => Ok(Completion::TimedOut),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.waiters.lock().remove(&self.key);
    }
}
