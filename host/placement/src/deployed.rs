//! A revision of a component, loaded as far as it is needed.

use std::sync::Arc;

use greenroom_actor::ActiveType;
use greenroom_model::{
    ActorError, ActorType, ActorTypeDescription, ComponentDescription, Millis, codes,
};
use greenroom_runtime::{Compiled, Engine};
use greenroom_storage::{RevisionId, RevisionRecord};
use tokio::sync::OnceCell;

use crate::Foundation;
use crate::directory::storage_error;
use crate::registry::internal;

/// One revision.
pub(crate) struct Deployed {
    pub(crate) record: RevisionRecord,
    pub(crate) description: ComponentDescription,
    /// Loaded when it is first needed.
    compiled: OnceCell<Compiled>,
    /// One for each of its actor types.
    active: Vec<OnceCell<Arc<ActiveType>>>,
}

impl Deployed {
    pub(crate) fn new(
        record: RevisionRecord,
        description: ComponentDescription,
        compiled: Option<Compiled>,
    ) -> Self {
        let active = description.actor_types.iter();
        Self {
            active: active.map(|_| OnceCell::new()).collect(),
            record,
            description,
            compiled: OnceCell::new_with(compiled),
        }
    }

    /// # Errors
    ///
    /// An internal error if what the store has of it does not parse.
    pub(crate) fn from_record(record: RevisionRecord) -> Result<Self, ActorError> {
        let description = parse(&record)?;
        Ok(Self::new(record, description, None))
    }

    pub(crate) const fn id(&self) -> RevisionId {
        self.record.id
    }

    /// The names have been checked when the component was described.
    pub(crate) fn actor_types(&self) -> impl Iterator<Item = ActorType> {
        let types = self.description.actor_types.iter();
        types.filter_map(|t| ActorType::new(&t.name).ok())
    }

    fn index(&self, actor_type: &ActorType) -> Option<usize> {
        let mut types = self.description.actor_types.iter();
        types.position(|t| t.name == actor_type.as_str())
    }

    pub(crate) fn of_type(&self, actor_type: &ActorType) -> Option<&ActorTypeDescription> {
        let index = self.index(actor_type)?;
        self.description.actor_types.get(index)
    }

    /// What actors of this type run on; `None` if it has no such type.
    ///
    /// # Errors
    ///
    /// An internal error if it cannot be loaded.
    pub(crate) async fn active(
        &self,
        actor_type: &ActorType,
        foundation: &Foundation,
    ) -> Result<Option<Arc<ActiveType>>, ActorError> {
        let Some(index) = self.index(actor_type) else {
            return Ok(None);
        };
        let active = self.active[index].get_or_try_init(async || {
            Ok::<_, ActorError>(Arc::new(ActiveType {
                description: self.description.actor_types[index].clone(),
                compiled: self.load(foundation).await?,
                revision_id: self.record.id,
                revision: self.record.number,
            }))
        });
        active.await.cloned().map(Some)
    }

    /// # Errors
    ///
    /// An internal error if its code is not there, or damaged.
    pub(crate) async fn load(&self, foundation: &Foundation) -> Result<Compiled, ActorError> {
        let loaded = self.compiled.get_or_try_init(async || {
            let hash = self.record.hash;
            let stored = foundation.storage.component_bytes(hash);
            let stored = stored.await.map_err(storage_error)?;
            let bytes = stored.filter(|bytes| Engine::hash(bytes) == hash);
            let missing = || internal("the stored component is missing or damaged");
            let bytes = bytes.ok_or_else(missing)?;
            foundation.engine.compile(bytes).await.map_err(internal)
        });
        loaded.await.cloned()
    }
}

/// A revision, as operators see it.
#[derive(Debug, Clone)]
pub struct RevisionInfo {
    /// What the store knows of it.
    pub record: RevisionRecord,
    /// What it says of itself.
    pub description: ComponentDescription,
    /// What it is to its component.
    pub status: RevisionStatus,
}

/// What a revision is to its component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisionStatus {
    /// Actors run on it, but for those that go over to another, or are pinned.
    Current,
    /// A rollout leads to it.
    RollingOut,
    /// It was gone back from.
    RolledBack,
    /// Another came after it.
    Superseded,
}

pub(crate) fn parse(record: &RevisionRecord) -> Result<ComponentDescription, ActorError> {
    serde_json::from_str(&record.description).map_err(internal)
}

pub(crate) fn type_not_found(actor_type: &ActorType) -> ActorError {
    let text =
        format!("no deployed component has an actor type {actor_type}; see `greenroom components`");
    ActorError::new(codes::TYPE_NOT_FOUND, text)
}

impl RevisionInfo {
    /// When it was deployed.
    #[must_use]
    pub const fn created_at(&self) -> Millis {
        self.record.created_at
    }
}
