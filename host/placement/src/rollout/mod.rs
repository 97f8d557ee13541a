//! The way from one revision to another: which actors go (`plan.rs`), how they get on (`health.rs`), who moves
//! them (`drive.rs`), and what operators say to that (`operate.rs`, `pins.rs`).

mod drive;
mod health;
mod operate;
mod pins;
mod plan;

use std::sync::Arc;

use greenroom_model::{ActorError, ComponentName, Millis};
use greenroom_storage::{ComponentRecord, RevisionId, Switch};
use tokio::sync::Notify;
use wildmatch::WildMatch;

use crate::Foundation;
use crate::deployed::Deployed;
use crate::registry::internal;

pub(crate) use drive::drive;
pub use health::Counts;
pub(crate) use health::{Bounds, Health};
pub use operate::{RolledBack, RolloutInfo, RolloutState};
pub use pins::{CodeInfo, PinInfo};
pub use plan::{BadPlan, Plan};
pub(crate) use plan::{Way, Who, wanted};

/// What the actors of a component run on. Never changed: replaced by another.
#[derive(Clone)]
pub(crate) struct Component {
    pub(crate) name: ComponentName,
    /// The revision that is not in question.
    pub(crate) current: Arc<Deployed>,
    pub(crate) rollout: Option<Rollout>,
    /// Told when it was replaced.
    pub(crate) changed: Arc<Notify>,
}

/// A rollout under way.
#[derive(Clone)]
pub(crate) struct Rollout {
    pub(crate) target: Arc<Deployed>,
    pub(crate) plan: Plan,
    /// Those of the plan.
    pub(crate) patterns: Arc<[WildMatch]>,
    pub(crate) is_paused: bool,
    pub(crate) begun_at: Millis,
    pub(crate) health: Arc<Health>,
}

impl Rollout {
    pub(crate) fn new(
        target: Arc<Deployed>,
        plan: Plan,
        begun_at: Millis,
        foundation: &Foundation,
    ) -> Self {
        Self {
            target,
            health: Arc::new(Health::new(Bounds::of(&foundation.limits, plan.is_forced))),
            patterns: plan.patterns(),
            plan,
            is_paused: false,
            begun_at,
        }
    }
}

impl Component {
    /// As the store has it.
    pub(crate) fn from_record(
        record: ComponentRecord,
        foundation: &Foundation,
    ) -> Result<Self, ActorError> {
        let rollout = match record.rollout {
            Some(kept) => {
                let target = Arc::new(Deployed::from_record(kept.target)?);
                let plan = serde_json::from_str(&kept.plan).map_err(internal)?;
                let rollout = Rollout::new(target, plan, kept.begun_at, foundation);
                Some(Rollout {
                    is_paused: kept.is_paused,
                    ..rollout
                })
            }
            None => None,
        };
        Ok(Self {
            name: record.current.component.clone(),
            current: Arc::new(Deployed::from_record(record.current)?),
            rollout,
            changed: Arc::default(),
        })
    }

    /// What an actor of it runs on.
    pub(crate) fn wanted(&self, who: &Who<'_>) -> RevisionId {
        let Some(rollout) = &self.rollout else {
            return wanted(who, self.current.id(), None);
        };
        let target = rollout.target.id();
        // A type that only one of the two has is on that one.
        if self.current.of_type(who.actor_type).is_none() {
            return wanted(who, target, None);
        }
        let way = Way {
            target,
            plan: &rollout.plan,
            patterns: &rollout.patterns,
            is_paused: rollout.is_paused,
        };
        let way = rollout.target.of_type(who.actor_type).map(|_| way);
        wanted(who, self.current.id(), way)
    }

    /// The newest of its revisions that is not rolled back.
    pub(crate) fn newest(&self) -> &Arc<Deployed> {
        let target = self.rollout.as_ref().map(|rollout| &rollout.target);
        target.unwrap_or(&self.current)
    }

    /// One of the revisions that most actors run on.
    pub(crate) fn either(&self, id: RevisionId) -> Option<&Arc<Deployed>> {
        let target = self.rollout.as_ref().map(|rollout| &rollout.target);
        let both = target.into_iter().chain([&self.current]);
        both.into_iter().find(|deployed| deployed.id() == id)
    }

    /// What the store is told of it.
    pub(crate) fn to_switch(&self, at: Millis) -> Result<Switch, ActorError> {
        let rollout = match &self.rollout {
            Some(rollout) => {
                let plan = serde_json::to_string(&rollout.plan).map_err(internal)?;
                Some((rollout.target.id(), plan, rollout.is_paused))
            }
            None => None,
        };
        let more = self.rollout.iter().flat_map(|r| r.target.actor_types());
        Ok(Switch {
            component: self.name.clone(),
            current: self.current.id(),
            actor_types: self.current.actor_types().chain(more).collect(),
            rollout,
            rolled_back: None,
            at,
        })
    }
}
