//! Actors that stay on a revision of their own, and what any actor runs on, as operators see it.

use std::sync::Arc;

use greenroom_actor::Order;
use greenroom_model::{ActorError, ActorId, Millis, Revision, codes};
use greenroom_storage::{
    ActorRecord, ActorRow, Error as StorageError, Opened, Pin, PinnedActor, RevisionId,
    RevisionRecord, StateSeen,
};

use super::Component;
use crate::deployed::{parse, type_not_found};
use crate::directory::storage_error;
use crate::info::ActorInfo;
use crate::router::{Router, not_found};

/// How often a pin is tried that meets a change.
const ATTEMPTS_MAX: usize = 8;

/// Why an actor stays on one revision.
#[derive(Debug, Clone)]
pub struct PinInfo {
    /// Which; none if it is known no longer.
    pub revision: Option<Revision>,
    /// The revision that it could not start on, if it stays because of that.
    pub refused: Option<Revision>,
    /// Whether the host has pinned it, because of that.
    pub is_by_host: bool,
    /// Why, for people.
    pub reason: String,
    /// Since when.
    pub at: Millis,
}

/// What an actor runs on.
#[derive(Debug, Clone)]
pub struct CodeInfo {
    /// The actor.
    pub actor: ActorInfo,
    /// The revision that it runs on, if it is awake and has started there.
    pub runs_on: Option<Revision>,
    /// The revision that wrote its state, if it has one.
    pub written_by: Option<Revision>,
    /// The version of that state's shape.
    pub state_version: Option<u32>,
    /// Where it stays, if it is pinned.
    pub pin: Option<PinInfo>,
}

impl Router {
    /// Pins an actor to a revision of its component; by default, to the one that it has started on, or else the one that
    /// wrote its state. It goes nowhere else until it is unpinned.
    ///
    /// # Errors
    ///
    /// `actor.not_found`, `component.revision_not_found`; `api.bad_request` if that revision cannot read the actor's state.
    pub async fn pin(
        self: &Arc<Self>,
        id: ActorId,
        revision: Option<u32>,
        reason: &str,
    ) -> Result<Revision, ActorError> {
        let (router, reason) = (self.clone(), reason.to_owned());
        self.to_the_end(async move { router.pin_now(id, revision, &reason).await })
            .await
    }

    async fn pin_now(
        &self,
        id: ActorId,
        revision: Option<u32>,
        reason: &str,
    ) -> Result<Revision, ActorError> {
        // The actor may be migrated, or the code be dropped, between the look and the pin.
        for _ in 0..ATTEMPTS_MAX {
            if let Some(number) = self.try_pin(id, revision, reason).await? {
                return Ok(number);
            }
        }
        let text = "the actor changes what it runs on at this moment; try again";
        Err(ActorError::new(codes::SERVICE_UNAVAILABLE, text))
    }

    /// `None` if things have changed since they were looked at.
    async fn try_pin(
        &self,
        id: ActorId,
        revision: Option<u32>,
        reason: &str,
    ) -> Result<Option<Revision>, ActorError> {
        let actor = self.directory.find(id).await?.ok_or_else(not_found)?;
        let component = self.component_of(&actor)?;
        let revisions = self.foundation.storage.revisions(&component.name).await;
        let revisions = revisions.map_err(storage_error)?;
        let opened = self.foundation.storage.peek(actor.row).await;
        let opened = opened.map_err(gone)?;
        let is_kept = |id: &RevisionId| revisions.iter().any(|r| r.id == *id && r.is_kept);
        // Where it is just starting counts only if there is nothing else: it may turn out that it cannot.
        let starts_on = || Some(self.activations.get(id)?.placed()?.revision);
        let written_by = opened.revision;
        let runs_on = self.runs_on(id).or(written_by.filter(is_kept));
        let stands_on = runs_on.or_else(starts_on).or(written_by);
        let is_it = |record: &&RevisionRecord| match (revision, stands_on) {
            (Some(number), _) => record.number.0 == number,
            (None, Some(id)) => record.id == id,
            (None, None) => record.id == component.current.id(),
        };
        let found = revisions.iter().find(is_it).filter(|record| record.is_kept);
        let Some(record) = found else {
            let text = format!(
                "{} has no such revision, or its code is no longer kept",
                component.name
            );
            return Err(ActorError::new(codes::COMPONENT_REVISION_NOT_FOUND, text));
        };
        // A state that will be put back is one that the next commit may do away with; the version of another only changes
        // with the code.
        let written = opened.state.as_ref().map(|_| opened.state_version);
        let (version, seen) = match self.put_back(&actor, &opened, &revisions).await? {
            Some(version) => (Some(version), StateSeen::At(opened.state_head)),
            None => (
                written,
                written.map_or(StateSeen::Nothing, StateSeen::OfVersion),
            ),
        };
        check_fit(record, &actor, version)?;
        let pin = Pin {
            revision: record.id,
            refused: None,
            reason: reason.to_owned(),
            at: self.foundation.clock.now(),
        };
        let storage = &self.foundation.storage;
        let pinned = storage.pin(actor.row, pin, Some(seen)).await;
        if !pinned.map_err(storage_error)? {
            return Ok(None);
        }
        self.move_one(id);
        Ok(Some(record.number))
    }

    /// Lets an actor go with the others again. `false` if it was not pinned.
    ///
    /// # Errors
    ///
    /// `actor.not_found`.
    pub async fn unpin(self: &Arc<Self>, id: ActorId) -> Result<bool, ActorError> {
        let actor = self.directory.find(id).await?.ok_or_else(not_found)?;
        let router = self.clone();
        self.to_the_end(async move {
            let unpinned = router.foundation.storage.unpin(actor.row, None).await;
            let was_pinned = unpinned.map_err(storage_error)?;
            if was_pinned {
                router.move_one(id);
            }
            Ok(was_pinned)
        })
        .await
    }

    /// The version of the state that will be put back when the actor next starts, if one will.
    async fn put_back(
        &self,
        actor: &ActorRecord,
        opened: &Opened,
        revisions: &[RevisionRecord],
    ) -> Result<Option<u32>, ActorError> {
        let by = opened.replaced.map(|replaced| replaced.by);
        let is_by = |record: &&RevisionRecord| Some(record.id) == by;
        let by = revisions.iter().find(is_by);
        if by.is_none_or(|by| by.rolled_back.is_none()) {
            return Ok(None);
        }
        let replaced = self.foundation.storage.replaced(actor.row).await;
        let replaced = replaced.map_err(storage_error)?;
        Ok(replaced.map(|(_, version, _)| version))
    }

    /// Some pinned actors of a component, oldest first: those after `after`, which came with the page before; and where
    /// the next page begins, if there may be one.
    ///
    /// # Errors
    ///
    /// `component.not_found`.
    pub async fn pinned(
        &self,
        component: &str,
        after: Option<i64>,
        count_max: usize,
    ) -> Result<(Vec<(ActorInfo, PinInfo)>, Option<i64>), ActorError> {
        let component = self.registry.named(component)?;
        let after = after.map(ActorRow);
        let storage = &self.foundation.storage;
        let pinned = storage.pinned(&component.name, after, count_max).await;
        let pinned = pinned.map_err(storage_error)?;
        let is_full = pinned.len() >= count_max;
        let last = pinned.last().filter(|_| is_full);
        let last = last.map(|pinned| pinned.actor.row.0);
        let mut shown = Vec::new();
        for PinnedActor { actor, pin } in pinned {
            shown.push((self.info(&actor), self.pin_info(pin).await?));
        }
        Ok((shown, last))
    }

    /// What an actor runs on, and what wrote its state.
    ///
    /// # Errors
    ///
    /// `actor.not_found`.
    pub async fn code_of(&self, id: ActorId) -> Result<CodeInfo, ActorError> {
        let actor = self.directory.find(id).await?.ok_or_else(not_found)?;
        let opened = self.foundation.storage.peek(actor.row).await;
        let opened = opened.map_err(gone)?;
        let runs_on = self.runs_on(id);
        Ok(CodeInfo {
            actor: self.info(&actor),
            runs_on: self.number(runs_on).await?,
            written_by: self.number(opened.revision).await?,
            state_version: opened.state.map(|_| opened.state_version),
            pin: match opened.pin {
                Some(pin) => Some(self.pin_info(pin).await?),
                None => None,
            },
        })
    }

    async fn pin_info(&self, pin: Pin) -> Result<PinInfo, ActorError> {
        Ok(PinInfo {
            revision: self.number(Some(pin.revision)).await?,
            refused: self.number(pin.refused).await?,
            is_by_host: pin.refused.is_some(),
            reason: pin.reason,
            at: pin.at,
        })
    }

    async fn number(&self, id: Option<RevisionId>) -> Result<Option<Revision>, ActorError> {
        let Some(id) = id else {
            return Ok(None);
        };
        let known = self.registry.all();
        if let Some(deployed) = known.iter().find_map(|component| component.either(id)) {
            return Ok(Some(deployed.record.number));
        }
        let record = self.foundation.storage.revision(id).await;
        Ok(record.map_err(storage_error)?.map(|record| record.number))
    }

    fn runs_on(&self, id: ActorId) -> Option<RevisionId> {
        let placed = self.activations.get(id)?.placed()?;
        placed.is_serving().then_some(placed.revision)
    }

    fn move_one(&self, id: ActorId) {
        if let Some(handle) = self.activations.get(id) {
            handle.order(Order::Upgrade);
        }
    }

    fn component_of(&self, actor: &ActorRecord) -> Result<Arc<Component>, ActorError> {
        let actor_type = &actor.name.actor_type;
        let component = self.registry.component_of(actor_type);
        component.ok_or_else(|| type_not_found(actor_type))
    }
}

fn gone(error: StorageError) -> ActorError {
    match error {
        StorageError::Gone => not_found(),
        error => storage_error(error),
    }
}

/// Whether the actor could run on a revision.
fn check_fit(
    record: &RevisionRecord,
    actor: &ActorRecord,
    state_version: Option<u32>,
) -> Result<(), ActorError> {
    let described = parse(record)?;
    let (number, actor_type) = (record.number, &actor.name.actor_type);
    let mut types = described.actor_types.iter();
    let Some(described) = types.find(|t| t.name == actor_type.as_str()) else {
        let text = format!("revision {number} has no actor type {actor_type}");
        return Err(ActorError::new(codes::COMPONENT_REVISION_NOT_FOUND, text));
    };
    let can_read = |version: &u32| {
        described.state_version == *version || described.migrates_from.contains(version)
    };
    if let Some(version) = state_version.filter(|version| !can_read(version)) {
        let text =
            format!("revision {number} cannot read the actor's state, which has version {version}");
        return Err(ActorError::new(codes::BAD_REQUEST, text));
    }
    Ok(())
}
