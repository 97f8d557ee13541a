//! Which revision of which component each actor runs on.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use async_trait::async_trait;
use greenroom_actor::{Assignment, Placed, Report, Revisions, Written};
use greenroom_model::{ActorError, ActorId, ActorType, ComponentName, codes};
use greenroom_storage::{
    ActorRecord, Error as StorageError, Opened, Pin, Replaced, RevisionId, RevisionRecord,
};
use tokio::sync::Mutex as AsyncMutex;
use tracing::{error, warn};

use crate::Foundation;
use crate::deployed::{Deployed, RevisionInfo, RevisionStatus, parse, type_not_found};
use crate::directory::storage_error;
use crate::progress::{DeployProgress, Progress};
use crate::rollout::{Component, Health, Who};

/// Revisions in memory besides those that most actors run on.
const OTHERS_MAX: usize = 64;

/// The actor types that can be called, and what they run on.
pub struct Registry {
    pub(crate) foundation: Foundation,
    tables: RwLock<Tables>,
    /// Revisions that pinned actors run on.
    others: Mutex<HashMap<RevisionId, Arc<Deployed>>>,
    /// One deploy at a time: each takes the machine for a while, and is compared with what the one before left.
    pub(crate) deploying: AsyncMutex<()>,
    /// How far that one has got.
    pub(crate) progress: Progress,
    /// One change at a time, so that each sees what the one before did. Held for as long as the store takes.
    pub(crate) changing: AsyncMutex<()>,
}

#[derive(Default)]
struct Tables {
    components: BTreeMap<ComponentName, Arc<Component>>,
    types: HashMap<ActorType, ComponentName>,
    /// The revisions that rollouts lead to.
    watched: HashMap<RevisionId, Arc<Health>>,
}

impl Registry {
    /// Reads from the store what is deployed. Nothing is compiled yet.
    ///
    /// # Errors
    ///
    /// An internal error if the store cannot be read.
    pub async fn open(foundation: Foundation) -> Result<Self, ActorError> {
        let records = foundation.storage.components().await;
        let records = records.map_err(storage_error)?;
        let registry = Self {
            foundation,
            tables: RwLock::default(),
            others: Mutex::default(),
            deploying: AsyncMutex::new(()),
            progress: Progress::default(),
            changing: AsyncMutex::new(()),
        };
        let mut hashes = Vec::new();
        for record in records {
            hashes.push(record.current.hash);
            hashes.extend(record.rollout.as_ref().map(|rollout| rollout.target.hash));
            registry.set(Component::from_record(record, &registry.foundation)?);
        }
        registry.foundation.engine.prune(hashes).await;
        Ok(registry)
    }

    /// Whether there is such an actor type.
    pub fn has_type(&self, actor_type: &ActorType) -> bool {
        self.tables().types.contains_key(actor_type)
    }

    /// The deploy that is being carried out, if one is.
    pub fn deploying(&self) -> Option<DeployProgress> {
        self.progress.get()
    }

    /// The newest revision of every component that is not rolled back.
    ///
    /// # Errors
    ///
    /// An internal error if what the store has does not parse.
    pub fn components(&self) -> Vec<RevisionInfo> {
        let all = self.all();
        let newest = all.iter().map(|component| {
            let newest = component.newest();
            RevisionInfo {
                record: newest.record.clone(),
                description: newest.description.clone(),
                status: status(component, &newest.record),
            }
        });
        newest.collect()
    }

    /// All revisions of a component, newest first.
    ///
    /// # Errors
    ///
    /// `component.not_found`.
    pub async fn revisions(&self, component: &str) -> Result<Vec<RevisionInfo>, ActorError> {
        let component = self.named(component)?;
        let records = self.foundation.storage.revisions(&component.name).await;
        let records = records.map_err(storage_error)?.into_iter();
        let infos = records.map(|record| {
            Ok(RevisionInfo {
                description: parse(&record)?,
                status: status(&component, &record),
                record,
            })
        });
        infos.collect()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Component>> {
        self.tables().components.values().cloned().collect()
    }

    /// # Errors
    ///
    /// `component.not_found`.
    pub(crate) fn named(&self, name: &str) -> Result<Arc<Component>, ActorError> {
        let known = ComponentName::new(name).ok();
        let found = known.and_then(|name| self.component(&name));
        found.ok_or_else(|| {
            let name: String = name.chars().take(100).collect();
            let text = format!("there is no component {name:?}");
            ActorError::new(codes::COMPONENT_NOT_FOUND, text)
        })
    }

    pub(crate) fn component(&self, name: &ComponentName) -> Option<Arc<Component>> {
        self.tables().components.get(name).cloned()
    }

    /// Which of these types another component has, and which component.
    pub(crate) fn taken(
        &self,
        name: &ComponentName,
        mut types: impl Iterator<Item = ActorType>,
    ) -> Option<ActorError> {
        let tables = self.tables();
        types.find_map(|actor_type| {
            let owner = tables
                .types
                .get(&actor_type)
                .filter(|owner| *owner != name)?;
            let owner = owner.clone();
            let taken = StorageError::TypeTaken { actor_type, owner };
            Some(ActorError::new(
                codes::COMPONENT_TYPE_TAKEN,
                taken.to_string(),
            ))
        })
    }

    pub(crate) fn component_of(&self, actor_type: &ActorType) -> Option<Arc<Component>> {
        let tables = self.tables();
        let name = tables.types.get(actor_type)?;
        tables.components.get(name).cloned()
    }

    /// Lets activations begin on what `component` says from now on, and tells who moves the others.
    pub(crate) fn set(&self, component: Component) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let name = component.name.clone();
        tables.types.retain(|_, owner| *owner != name);
        let before = tables.components.remove(&name);
        if let Some(rollout) = before.as_ref().and_then(|before| before.rollout.as_ref()) {
            tables.watched.remove(&rollout.target.id());
        }
        let target = component.rollout.as_ref().map(|rollout| &rollout.target);
        for deployed in target.into_iter().chain([&component.current]) {
            for actor_type in deployed.actor_types() {
                tables.types.insert(actor_type, name.clone());
            }
        }
        if let Some(rollout) = &component.rollout {
            let (id, health) = (rollout.target.id(), rollout.health.clone());
            tables.watched.insert(id, health);
        }
        let changed = component.changed.clone();
        tables.components.insert(name, Arc::new(component));
        drop(tables);
        changed.notify_one();
    }

    fn tables(&self) -> RwLockReadGuard<'_, Tables> {
        // Changes are a few inserts, which do not panic halfway.
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn others(&self) -> MutexGuard<'_, HashMap<RevisionId, Arc<Deployed>>> {
        // A cache: whatever is in it is right.
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A revision of the component, whether most actors run on it or not. `None` if there is none, or its code is no
    /// longer kept.
    pub(crate) async fn deployed(
        &self,
        component: &Component,
        id: RevisionId,
    ) -> Result<Option<Arc<Deployed>>, ActorError> {
        if let Some(deployed) = component.either(id) {
            return Ok(Some(deployed.clone()));
        }
        if let Some(deployed) = self.others().get(&id) {
            return Ok(Some(deployed.clone()));
        }
        let record = self.foundation.storage.revision(id).await;
        let record = record.map_err(storage_error)?;
        let is_usable =
            |record: &RevisionRecord| record.is_kept && record.component == component.name;
        let Some(record) = record.filter(is_usable) else {
            return Ok(None);
        };
        let deployed = Arc::new(Deployed::from_record(record)?);
        let mut others = self.others();
        if others.len() >= OTHERS_MAX {
            others.clear();
        }
        others.insert(id, deployed.clone());
        Ok(Some(deployed))
    }

    /// Whether the state was migrated by a revision that has been rolled back, and has not changed since. One that goes on
    /// on that very revision, because it is pinned to it, keeps its state.
    async fn must_go_back(
        &self,
        component: &Component,
        opened: &Opened,
        wanted: RevisionId,
    ) -> Result<bool, ActorError> {
        let is_unchanged = |r: &Replaced| r.head == opened.state_head && r.by != wanted;
        let Some(replaced) = opened.replaced.filter(is_unchanged) else {
            return Ok(false);
        };
        if component.either(replaced.by).is_some() {
            return Ok(false);
        }
        let by = self.foundation.storage.revision(replaced.by).await;
        let by = by.map_err(storage_error)?;
        Ok(by.is_some_and(|by| by.rolled_back.is_some()))
    }
}

#[async_trait]
impl Revisions for Registry {
    async fn assign(&self, actor: &ActorRecord, opened: &Opened) -> Result<Assignment, ActorError> {
        let actor_type = &actor.name.actor_type;
        let not_found = || type_not_found(actor_type);
        let component = self.component_of(actor_type).ok_or_else(not_found)?;
        let who = Who {
            id: actor.id,
            actor_type,
            key: &actor.name.key,
            stands_on: opened.revision,
            pin: opened.pin.as_ref(),
        };
        let wanted = component.wanted(&who);
        if self.must_go_back(&component, opened, wanted).await? {
            return Ok(Assignment::Restore);
        }
        let goes = component.wanted(&Who { pin: None, ..who });
        let refused = opened.pin.as_ref().and_then(|pin| pin.refused);
        if refused.is_some_and(|refused| refused != goes) {
            // It was about another revision, and this one is tried anew.
            let unpinned = self.foundation.storage.unpin(actor.row, refused).await;
            unpinned.map_err(storage_error)?;
        }
        let deployed = self.deployed(&component, wanted).await?;
        let gone = || {
            warn!(actor_id = %actor.id, "the code of the revision that it is pinned to is no longer kept");
            let text =
                "the code of the revision that the actor is pinned to is no longer kept; unpin it";
            ActorError::new(codes::SERVICE_UNAVAILABLE, text)
        };
        let deployed = deployed.ok_or_else(gone)?;
        let active = deployed.active(actor_type, &self.foundation).await?;
        active.map(Assignment::Run).ok_or_else(not_found)
    }

    fn report(&self, actor: ActorId, on: RevisionId, report: Report<'_>) {
        let health = self.tables().watched.get(&on).cloned();
        if let Some(health) = health {
            health.report(actor, report);
        } else if matches!(report, Report::Failed(_)) {
            let components = self.all().into_iter();
            let left = components.filter(|component| component.current.id() == on);
            for rollout in left.filter_map(|component| component.rollout.clone()) {
                rollout.health.forgive(actor);
            }
        }
    }

    async fn could_not_start(
        &self,
        actor: &ActorRecord,
        written: Written,
        placed: &Placed,
        reason: &str,
    ) -> bool {
        let on = placed.revision;
        if placed.pin.as_ref().is_some_and(|pin| pin.refused.is_none()) {
            // An operator wants it there, and nowhere else.
            return false;
        }
        if self.goes_elsewhere(actor, written, placed) {
            return true;
        }
        let stays = self.where_to_stay(actor, written, on).await;
        let stays = match stays {
            Ok(Some(stays)) => stays,
            Ok(None) => return false,
            Err(error) => {
                error!(actor_id = %actor.id, %error, "it cannot be seen where an actor stays");
                return false;
            }
        };
        let pin = Pin {
            revision: stays,
            refused: Some(on),
            reason: reason.chars().take(1_000).collect(),
            at: self.foundation.clock.now(),
        };
        let ActorRecord { id, name, row, .. } = actor;
        match self.foundation.storage.pin(*row, pin, None).await {
            // Somebody else has said where it goes meanwhile.
            Ok(false) => true,
            Ok(true) => {
                warn!(actor_id = %id, actor_type = %name.actor_type, key = %name.key, reason,
                    "an actor stays on the revision that wrote its state");
                true
            }
            Err(error) => {
                error!(actor_id = %id, %error, "an actor could not be pinned");
                false
            }
        }
    }
}

impl Registry {
    /// Whether the actor is not to go to where it could not start any more: that was rolled back meanwhile, perhaps, and
    /// because of others.
    fn goes_elsewhere(&self, actor: &ActorRecord, written: Written, placed: &Placed) -> bool {
        let actor_type = &actor.name.actor_type;
        let who = Who {
            id: actor.id,
            actor_type,
            key: &actor.name.key,
            stands_on: written.by,
            pin: placed.pin.as_ref(),
        };
        let component = self.component_of(actor_type);
        component.is_some_and(|component| component.wanted(&who) != placed.revision)
    }

    /// On which revision an actor goes on that cannot start on `on`, if there is one.
    async fn where_to_stay(
        &self,
        actor: &ActorRecord,
        written: Written,
        on: RevisionId,
    ) -> Result<Option<RevisionId>, ActorError> {
        let actor_type = &actor.name.actor_type;
        let Some(component) = self.component_of(actor_type) else {
            return Ok(None);
        };
        let Some(failed) = self.deployed(&component, on).await? else {
            return Ok(None);
        };
        let version = |deployed: &Deployed| deployed.of_type(actor_type).map(|t| t.state_version);
        let is_on_the_way = component
            .rollout
            .as_ref()
            .is_some_and(|r| r.target.id() == on);
        let is_other = written.by.is_some() && version(&failed) != Some(written.version);
        if !is_on_the_way && !is_other {
            return Ok(None);
        }
        let current = &component.current;
        let has_it = current.of_type(actor_type).is_some();
        let can_read = written.by.is_none() || version(current) == Some(written.version);
        let stays = if has_it && can_read && current.id() != on {
            Some(current.id())
        } else {
            written.by.filter(|by| *by != on)
        };
        let Some(stays) = stays else {
            return Ok(None);
        };
        let deployed = self.deployed(&component, stays).await?;
        let is_usable = deployed.is_some_and(|d| d.of_type(actor_type).is_some());
        Ok(is_usable.then_some(stays))
    }
}

pub(crate) fn status(component: &Component, record: &RevisionRecord) -> RevisionStatus {
    let is_target = |id| {
        component
            .rollout
            .as_ref()
            .is_some_and(|r| r.target.id() == id)
    };
    if record.id == component.current.id() {
        RevisionStatus::Current
    } else if is_target(record.id) {
        RevisionStatus::RollingOut
    } else if record.rolled_back.is_some() {
        RevisionStatus::RolledBack
    } else {
        RevisionStatus::Superseded
    }
}

pub(crate) fn internal(error: impl std::fmt::Display) -> ActorError {
    error!(%error, "the registry failed");
    ActorError::internal()
}
