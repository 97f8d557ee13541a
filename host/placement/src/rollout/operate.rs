//! What operators see of a rollout, and what they can do about it.

use std::sync::Arc;

use greenroom_model::{ActorError, Millis, Revision, codes};
use greenroom_storage::{Migrated, RevisionRecord};
use tracing::info;

use super::{Component, Counts, Plan, Rollout};
use crate::deployed::Deployed;
use crate::directory::storage_error;
use crate::router::Router;

/// Actors that are named because they have committed since they were migrated.
const NAMED_MAX: usize = 100;

/// A rollout, or that there is none, as operators see it.
#[derive(Debug, Clone)]
pub struct RolloutInfo {
    /// The revision that is not in question.
    pub current: Revision,
    /// How things stand.
    pub state: RolloutState,
    /// Where it leads.
    pub target: Option<Revision>,
    /// Which actors go.
    pub plan: Option<Plan>,
    /// When it began.
    pub begun_at: Option<Millis>,
    /// What became of actors on the target, since it began or the host started.
    pub counts: Counts,
    /// Why some failed there.
    pub reasons: Vec<String>,
    /// Awake actors of the component.
    pub awake: usize,
    /// Those that have still to move, that have not started where they went, or that are just opening their data.
    pub to_move: usize,
    /// Those that serve on the target, or on the current revision if there is none.
    pub on_newest: usize,
    /// The actors whose states the target has migrated.
    pub migrated: Migrated,
    /// The last that was gone back from, if nothing has arrived since and no rollout is under way.
    pub rolled_back: Option<RolledBack>,
}

/// How a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutState {
    /// There is none.
    None,
    /// Awake actors go over.
    Moving,
    /// All have gone over; it is watched for a while.
    Watching,
    /// Those that were to go have gone; somebody has to say how it goes on.
    Waiting,
    /// It is held up.
    Paused,
}

impl RolloutState {
    /// A word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Moving => "moving",
            Self::Watching => "watching",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
        }
    }
}

/// A revision that was gone back from.
#[derive(Debug, Clone)]
pub struct RolledBack {
    /// Which.
    pub revision: Revision,
    /// Why.
    pub reason: String,
    /// The actors whose states it had migrated. Those that have not changed their state since get back what they had; the others
    /// stay on it.
    pub migrated: Migrated,
}

impl Router {
    /// How the rollout of a component stands.
    ///
    /// # Errors
    ///
    /// `component.not_found`.
    pub async fn rollout(&self, component: &str) -> Result<RolloutInfo, ActorError> {
        let component = self.registry.named(component)?;
        let storage = &self.foundation.storage;
        let migrated = async |id| {
            let migrated = storage.migrated(id, NAMED_MAX).await;
            migrated.map_err(storage_error)
        };
        let standing = self.standing(&component);
        let to_move = standing.misplaced.len() + standing.opening + standing.moving;
        let rollout = component.rollout.as_ref();
        let state = match rollout {
            None => RolloutState::None,
            Some(rollout) if rollout.is_paused => RolloutState::Paused,
            Some(_) if to_move > 0 => RolloutState::Moving,
            Some(rollout) if rollout.plan.is_everyone() => RolloutState::Watching,
            Some(_) => RolloutState::Waiting,
        };
        let rolled_back = match self.last_rolled_back(&component).await? {
            Some(record) => Some(RolledBack {
                revision: record.number,
                migrated: migrated(record.id).await?,
                reason: record.rolled_back.unwrap_or_default(),
            }),
            None => None,
        };
        Ok(RolloutInfo {
            current: component.current.record.number,
            state,
            target: rollout.map(|rollout| rollout.target.record.number),
            plan: rollout.map(|rollout| rollout.plan.clone()),
            begun_at: rollout.map(|rollout| rollout.begun_at),
            counts: rollout.map_or_else(Counts::default, |rollout| rollout.health.counts()),
            reasons: rollout.map_or_else(Vec::new, |rollout| rollout.health.reasons()),
            awake: standing.awake,
            to_move,
            on_newest: standing.on_newest,
            migrated: match rollout {
                Some(rollout) => migrated(rollout.target.id()).await?,
                None => Migrated::default(),
            },
            rolled_back,
        })
    }

    async fn last_rolled_back(
        &self,
        component: &Component,
    ) -> Result<Option<RevisionRecord>, ActorError> {
        if component.rollout.is_some() {
            return Ok(None);
        }
        let revisions = self.foundation.storage.revisions(&component.name).await;
        let revisions = revisions.map_err(storage_error)?.into_iter();
        let current = component.current.record.number;
        let gone = revisions.filter(|r| r.number > current && r.rolled_back.is_some());
        Ok(gone.max_by_key(|revision| (revision.rolled_back_at, revision.number)))
    }

    /// Holds a rollout up, or lets it go on. Held up, nobody goes over any more, and nobody goes back.
    ///
    /// # Errors
    ///
    /// `component.no_rollout`.
    pub async fn pause_rollout(
        self: &Arc<Self>,
        component: &str,
        is_paused: bool,
    ) -> Result<(), ActorError> {
        let change = move |rollout: &mut Rollout| {
            rollout.is_paused = is_paused;
            Ok(())
        };
        self.change_rollout(component, change).await
    }

    /// Lets a rollout go to more actors: to everybody, or to so many out of a hundred.
    ///
    /// # Errors
    ///
    /// `component.no_rollout`; `api.bad_request` if the number makes no sense, or is smaller than before: who has gone
    /// over cannot be sent back one by one.
    pub async fn promote(
        self: &Arc<Self>,
        component: &str,
        percent: Option<f64>,
    ) -> Result<(), ActorError> {
        if let Some(percent) = percent {
            let plan = Plan {
                percent,
                ..Plan::default()
            };
            plan.check()
                .map_err(|bad| ActorError::new(codes::BAD_REQUEST, bad.to_string()))?;
        }
        let change = move |rollout: &mut Rollout| {
            rollout.is_paused = false;
            match percent {
                Some(percent) if percent < rollout.plan.percent => {
                    let text = "a rollout goes to more actors, not to fewer; roll it back instead";
                    return Err(ActorError::new(codes::BAD_REQUEST, text));
                }
                Some(percent) => rollout.plan.percent = percent,
                None => {
                    let is_forced = rollout.plan.is_forced;
                    rollout.plan = Plan {
                        is_forced,
                        ..Plan::default()
                    };
                }
            }
            rollout.patterns = rollout.plan.patterns();
            Ok(())
        };
        self.change_rollout(component, change).await
    }

    async fn change_rollout(
        self: &Arc<Self>,
        component: &str,
        change: impl FnOnce(&mut Rollout) -> Result<(), ActorError> + Send + 'static,
    ) -> Result<(), ActorError> {
        let (router, component) = (self.clone(), component.to_owned());
        self.to_the_end(async move { router.change_now(&component, change).await })
            .await
    }

    async fn change_now(
        &self,
        component: &str,
        change: impl FnOnce(&mut Rollout) -> Result<(), ActorError>,
    ) -> Result<(), ActorError> {
        let _turn = self.registry.changing.lock().await;
        let mut component = Component::clone(&*self.registry.named(component)?);
        let Some(rollout) = &mut component.rollout else {
            let text = format!("no rollout of {} is under way", component.name);
            return Err(ActorError::new(codes::COMPONENT_NO_ROLLOUT, text));
        };
        change(rollout)?;
        info!(component = %component.name, plan = ?rollout.plan, is_paused = rollout.is_paused,
            "a rollout was changed");
        let switch = component.to_switch(self.foundation.clock.now())?;
        let switched = self.foundation.storage.switch(switch).await;
        switched.map_err(storage_error)?;
        self.registry.set(component);
        Ok(())
    }

    /// Goes back: from a rollout under way to where it began; without one, from the current revision to the one before. Which
    /// it went back to comes back.
    ///
    /// # Errors
    ///
    /// `component.no_earlier_revision`; `component.type_taken` if that revision has a type which is another component's by now.
    pub async fn roll_back(
        self: &Arc<Self>,
        component: &str,
        why: &str,
    ) -> Result<Revision, ActorError> {
        let (router, component, why) = (self.clone(), component.to_owned(), why.to_owned());
        self.to_the_end(async move { router.roll_back_now(&component, &why).await })
            .await
    }

    async fn roll_back_now(&self, component: &str, why: &str) -> Result<Revision, ActorError> {
        let _turn = self.registry.changing.lock().await;
        let component = self.registry.named(component)?;
        let bad = component.newest().id();
        let current = match &component.rollout {
            Some(_) => component.current.clone(),
            None => self.earlier(&component).await?,
        };
        let number = current.record.number;
        let back = Component {
            current,
            rollout: None,
            ..Component::clone(&component)
        };
        self.go_back(back, bad, why).await?;
        info!(component = %component.name, to = %number, why, "rolled back");
        Ok(number)
    }

    /// The newest revision before the current one that was not rolled back, and that is still kept.
    async fn earlier(&self, component: &Component) -> Result<Arc<Deployed>, ActorError> {
        let revisions = self.foundation.storage.revisions(&component.name).await;
        let mut revisions = revisions.map_err(storage_error)?.into_iter();
        let number = component.current.record.number;
        let earlier = revisions.find(|r| r.number < number && r.rolled_back.is_none() && r.is_kept);
        let Some(earlier) = earlier else {
            let text = format!(
                "there is no revision of {} before {number} that could be gone back to",
                component.name
            );
            return Err(ActorError::new(codes::COMPONENT_NO_EARLIER_REVISION, text));
        };
        let earlier = Deployed::from_record(earlier)?;
        match self.registry.taken(&component.name, earlier.actor_types()) {
            Some(taken) => Err(taken),
            None => {
                // Before anything is changed: its code may be damaged, and compiling it takes a while.
                earlier.load(&self.foundation).await?;
                Ok(Arc::new(earlier))
            }
        }
    }
}
