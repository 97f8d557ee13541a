//! Which revision of which component each actor type runs on.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use greenroom_actor::{ActiveType, Revisions};
use greenroom_model::{
    ActorError, ActorType, ComponentDescription, ComponentHash, ComponentName, Millis, codes,
};
use greenroom_runtime::{Compiled, Engine, Refused};
use greenroom_storage::{Error as StorageError, NewRevision, PutRevision, RevisionRecord};
use tokio::sync::{Mutex, OnceCell};
use tracing::{error, info};

use crate::Foundation;
use crate::directory::storage_error;

/// The actor types that can be called, and what they run on.
pub struct Registry {
    foundation: Foundation,
    types: RwLock<HashMap<ActorType, Arc<Slot>>>,
    /// One deploy at a time, so that each sees what the one before did.
    deploying: Mutex<()>,
}

/// An actor type on its current revision.
struct Slot {
    deployed: Arc<Deployed>,
    /// Which of the component's types it is.
    index: usize,
    active: OnceCell<Arc<ActiveType>>,
}

/// The current revision of a component.
struct Deployed {
    record: RevisionRecord,
    description: ComponentDescription,
    /// Loaded when it is first needed.
    compiled: OnceCell<Compiled>,
}

/// A revision, as operators see it.
#[derive(Debug, Clone)]
pub struct RevisionInfo {
    /// Which component.
    pub component: ComponentName,
    /// Which of its revisions.
    pub number: u32,
    /// The hash of its bytes, in hexadecimal.
    pub hash: String,
    /// How many bytes.
    pub size_bytes: u64,
    /// When it was deployed.
    pub created_at: Millis,
    /// What it says of itself.
    pub description: ComponentDescription,
}

/// What became of an upload.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The component's current revision.
    pub revision: RevisionInfo,
    /// Whether it is a new one; otherwise the same bytes were current already.
    pub is_new: bool,
}

impl Registry {
    /// Reads from the store what is deployed. Nothing is compiled yet.
    ///
    /// # Errors
    ///
    /// An internal error if the store cannot be read.
    pub async fn open(foundation: Foundation) -> Result<Self, ActorError> {
        let records = foundation
            .storage
            .current_revisions()
            .await
            .map_err(storage_error)?;
        let registry = Self {
            foundation,
            types: RwLock::default(),
            deploying: Mutex::new(()),
        };
        let hashes = records.iter().map(|record| record.hash).collect();
        registry.foundation.engine.prune(hashes).await;
        for record in records {
            let description = parse(&record)?;
            registry.activate(&Arc::new(Deployed {
                record,
                description,
                compiled: OnceCell::new(),
            }));
        }
        Ok(registry)
    }

    /// Whether there is such an actor type.
    pub fn has_type(&self, actor_type: &ActorType) -> bool {
        self.types().contains_key(actor_type)
    }

    /// The current revision of every component.
    pub async fn components(&self) -> Result<Vec<RevisionInfo>, ActorError> {
        let records = self
            .foundation
            .storage
            .current_revisions()
            .await
            .map_err(storage_error)?;
        records.iter().map(info).collect()
    }

    /// All revisions of a component, newest first.
    ///
    /// # Errors
    ///
    /// `component.not_found`.
    pub async fn revisions(&self, component: &str) -> Result<Vec<RevisionInfo>, ActorError> {
        let not_found = || {
            let text = format!(
                "there is no component {:?}",
                component.chars().take(100).collect::<String>()
            );
            ActorError::new(codes::COMPONENT_NOT_FOUND, text)
        };
        let name = ComponentName::new(component).map_err(|_| not_found())?;
        let records = self
            .foundation
            .storage
            .revisions(&name)
            .await
            .map_err(storage_error)?;
        if records.is_empty() {
            return Err(not_found());
        }
        records.iter().map(info).collect()
    }

    /// Takes an upload: checks, compiles and describes it, keeps it as a new revision of its component, and
    /// lets new activations use it. The actor types that changed come with it.
    ///
    /// # Errors
    ///
    /// `component.*` says what is wrong with it; nothing has changed then.
    pub(crate) async fn deploy(
        &self,
        bytes: Bytes,
    ) -> Result<(Deployment, Vec<ActorType>), ActorError> {
        let _turn = self.deploying.lock().await;
        let hash = Engine::hash(&bytes);
        let taken = self.take(hash, bytes).await;
        if taken.is_err() && !self.is_current(hash) {
            self.foundation.engine.forget(hash).await;
        }
        taken
    }

    async fn take(
        &self,
        hash: ComponentHash,
        bytes: Bytes,
    ) -> Result<(Deployment, Vec<ActorType>), ActorError> {
        let engine = &self.foundation.engine;
        let compiled = engine.compile(bytes.clone()).await;
        let compiled = compiled.map_err(|error| refused(&error))?;
        let description = engine.describe(&compiled).await;
        let description = description.map_err(|error| refused(&error))?;
        let new = NewRevision {
            component: ComponentName::new(&description.name).map_err(internal)?,
            hash,
            bytes,
            actor_types: actor_types(&description),
            description: serde_json::to_string(&description).map_err(internal)?,
            created_at: self.foundation.clock.now(),
        };
        let put = self.foundation.storage.put_revision(new).await;
        let PutRevision {
            revision: record,
            is_new,
        } = put.map_err(not_kept)?;
        let revision = info(&record)?;
        if !is_new {
            return Ok((Deployment { revision, is_new }, Vec::new()));
        }
        info!(component = %record.component, revision = %record.number, "deployed");
        let compiled = OnceCell::new_with(Some(compiled));
        let deployed = Arc::new(Deployed {
            record,
            description,
            compiled,
        });
        Ok((Deployment { revision, is_new }, self.activate(&deployed)))
    }

    fn is_current(&self, hash: ComponentHash) -> bool {
        self.types()
            .values()
            .any(|slot| slot.deployed.record.hash == hash)
    }

    /// Lets new activations use a revision. Gives the actor types that are not what they were: the
    /// component's own, and those that it had before.
    fn activate(&self, deployed: &Arc<Deployed>) -> Vec<ActorType> {
        let mut types = self.types.write().unwrap_or_else(PoisonError::into_inner);
        let is_of_component =
            |slot: &Arc<Slot>| slot.deployed.record.component == deployed.record.component;
        let before = types.extract_if(|_, slot| is_of_component(slot));
        let mut changed: HashSet<ActorType> = before.map(|(actor_type, _)| actor_type).collect();
        for (index, actor_type) in actor_types(&deployed.description).into_iter().enumerate() {
            changed.insert(actor_type.clone());
            let slot = Slot {
                deployed: deployed.clone(),
                index,
                active: OnceCell::new(),
            };
            types.insert(actor_type, Arc::new(slot));
        }
        changed.into_iter().collect()
    }

    fn types(&self) -> std::sync::RwLockReadGuard<'_, HashMap<ActorType, Arc<Slot>>> {
        // Changes are a few inserts, which do not panic halfway.
        self.types.read().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load(&self, deployed: &Deployed) -> Result<Compiled, ActorError> {
        let loaded = deployed.compiled.get_or_try_init(async || {
            let hash = deployed.record.hash;
            let stored = self
                .foundation
                .storage
                .component_bytes(hash)
                .await
                .map_err(storage_error)?;
            let bytes = stored.filter(|bytes| Engine::hash(bytes) == hash);
            let bytes =
                bytes.ok_or_else(|| internal("the stored component is missing or damaged"))?;
            self.foundation
                .engine
                .compile(bytes)
                .await
                .map_err(internal)
        });
        loaded.await.cloned()
    }
}

#[async_trait]
impl Revisions for Registry {
    async fn current(&self, actor_type: &ActorType) -> Result<Arc<ActiveType>, ActorError> {
        let slot = self.types().get(actor_type).cloned();
        let slot = slot.ok_or_else(|| type_not_found(actor_type))?;
        let active = slot.active.get_or_try_init(async || {
            let deployed = &slot.deployed;
            Ok::<_, ActorError>(Arc::new(ActiveType {
                description: deployed.description.actor_types[slot.index].clone(),
                compiled: self.load(deployed).await?,
                revision_id: deployed.record.id,
                revision: deployed.record.number,
            }))
        });
        active.await.cloned()
    }
}

pub(crate) fn type_not_found(actor_type: &ActorType) -> ActorError {
    let text =
        format!("no deployed component has an actor type {actor_type}; see `greenroom components`");
    ActorError::new(codes::TYPE_NOT_FOUND, text)
}

/// The names have been checked when the component was described.
fn actor_types(description: &ComponentDescription) -> Vec<ActorType> {
    description
        .actor_types
        .iter()
        .filter_map(|t| ActorType::new(&t.name).ok())
        .collect()
}

fn parse(record: &RevisionRecord) -> Result<ComponentDescription, ActorError> {
    serde_json::from_str(&record.description).map_err(internal)
}

fn info(record: &RevisionRecord) -> Result<RevisionInfo, ActorError> {
    Ok(RevisionInfo {
        component: record.component.clone(),
        number: record.number.0,
        hash: record.hash.to_string(),
        size_bytes: record.size_bytes,
        created_at: record.created_at,
        description: parse(record)?,
    })
}

fn refused(refused: &Refused) -> ActorError {
    let code = match refused {
        Refused::Invalid(_) => codes::COMPONENT_INVALID,
        Refused::WrongWorld(_) => codes::COMPONENT_WRONG_WORLD,
        Refused::NotGranted(_) => codes::COMPONENT_NOT_GRANTED,
        Refused::TooLarge(_) => codes::COMPONENT_TOO_LARGE,
        Refused::BadDescription(_) => codes::COMPONENT_BAD_DESCRIPTION,
    };
    ActorError::new(code, refused.to_string())
}

fn not_kept(error: StorageError) -> ActorError {
    match error {
        StorageError::TypeTaken { .. } => {
            ActorError::new(codes::COMPONENT_TYPE_TAKEN, error.to_string())
        }
        error => storage_error(error),
    }
}

fn internal(error: impl std::fmt::Display) -> ActorError {
    error!(%error, "the registry failed");
    ActorError::internal()
}
