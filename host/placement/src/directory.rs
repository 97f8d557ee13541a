//! From a name or an id to an actor: a bounded cache over the store's directory.
//!
//! Only what exists is remembered, so that a creation elsewhere in the host is seen at once. What is
//! destroyed is forgotten before its name can be used again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use greenroom_model::{ActorError, ActorId, ActorName, codes};
use greenroom_storage::{ActorRecord, Created, Error as StorageError, NewActor};
use quick_cache::sync::Cache;
use tracing::error;

use crate::Foundation;

pub(crate) struct Directory {
    foundation: Foundation,
    by_name: Cache<ActorName, Arc<ActorRecord>>,
    by_id: Cache<ActorId, Arc<ActorRecord>>,
    /// Counts what was forgotten, so that a look-up that was on its way meanwhile is not remembered.
    forgotten: AtomicU64,
}

impl Directory {
    pub(crate) fn new(foundation: Foundation) -> Self {
        let names_max = foundation.limits.directory_names_max;
        Self {
            by_name: Cache::new(names_max),
            by_id: Cache::new(names_max),
            forgotten: AtomicU64::new(0),
            foundation,
        }
    }

    pub(crate) async fn resolve(
        &self,
        name: &ActorName,
    ) -> Result<Option<Arc<ActorRecord>>, ActorError> {
        if let Some(actor) = self.by_name.get(name) {
            return Ok(Some(actor));
        }
        let before = self.forgotten.load(Ordering::Acquire);
        let found = self
            .foundation
            .storage
            .resolve(name)
            .await
            .map_err(storage_error)?;
        Ok(found.map(|actor| self.remember(actor, before)))
    }

    pub(crate) async fn find(&self, id: ActorId) -> Result<Option<Arc<ActorRecord>>, ActorError> {
        if let Some(actor) = self.by_id.get(&id) {
            return Ok(Some(actor));
        }
        let before = self.forgotten.load(Ordering::Acquire);
        let found = self
            .foundation
            .storage
            .find(id)
            .await
            .map_err(storage_error)?;
        Ok(found.map(|actor| self.remember(actor, before)))
    }

    /// The actor of this name, which is created unless there is one. Whether it is new comes with it.
    pub(crate) async fn create(
        &self,
        name: ActorName,
        input: Option<Bytes>,
    ) -> Result<(Arc<ActorRecord>, bool), ActorError> {
        let new = NewActor {
            id: ActorId::generate(),
            name,
            input,
            created_at: self.foundation.clock.now(),
        };
        let before = self.forgotten.load(Ordering::Acquire);
        let created = self
            .foundation
            .storage
            .create(new)
            .await
            .map_err(storage_error)?;
        let Created { actor, is_new } = created;
        Ok((self.remember(actor, before), is_new))
    }

    pub(crate) fn forget(&self, actor: &ActorRecord) {
        // Counted first: whoever remembers it after this looks at the count again.
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        self.by_id.remove(&actor.id);
        // Unless the name is another actor's by now.
        self.by_name
            .remove_if(&actor.name, |known| known.id == actor.id);
    }

    /// Remembers what was looked up when `before` had been forgotten.
    fn remember(&self, actor: ActorRecord, before: u64) -> Arc<ActorRecord> {
        let actor = Arc::new(actor);
        self.by_name.insert(actor.name.clone(), actor.clone());
        self.by_id.insert(actor.id, actor.clone());
        if self.forgotten.load(Ordering::Acquire) != before {
            self.by_id.remove(&actor.id);
            self.by_name
                .remove_if(&actor.name, |known| known.id == actor.id);
        }
        actor
    }
}

/// What callers may know when the store fails.
pub(crate) fn storage_error(error: StorageError) -> ActorError {
    match error {
        StorageError::Overloaded => ActorError::new(
            codes::SERVICE_UNAVAILABLE,
            "the host has too much to write; try again",
        ),
        error => {
            error!(error = ?error, "the store failed");
            ActorError::internal()
        }
    }
}
