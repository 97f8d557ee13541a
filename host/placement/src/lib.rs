//! Where actors live, and how calls get there.
//!
//! [`Router`] is what the edge talks to: it finds the actor a call is for (`directory.rs`), finds or makes
//! its activation (`activations.rs`), and delivers. `alarms.rs` wakes actors when their time comes. [`Registry`] knows which revision of which
//! component each actor runs on; `deploy.rs` takes new ones, `rehearsal.rs` tries them on copies of actors, and
//! `rollout/` brings actors over.

mod activations;
mod alarms;
mod deploy;
mod deployed;
mod directory;
mod info;
mod inside;
mod operate;
mod progress;
mod registry;
mod rehearsal;
mod report;
mod rollout;
mod router;

use std::sync::Arc;

use greenroom_model::{Clock, Limits};
use greenroom_runtime::Engine;
use greenroom_storage::Storage;

pub use deploy::{DeployOptions, Deployment, NotDeployed};
pub use deployed::{RevisionInfo, RevisionStatus};
pub use greenroom_actor::{
    Body, BodyError, Conn, HttpRequest, HttpResponse, Inspect, Inspected, Short,
};
pub use greenroom_storage::Migrated;
pub use info::{ActorInfo, ActorPage, Duplicate, ListFilter};
pub use progress::{DeployProgress, DeployStage};
pub use registry::Registry;
pub use rehearsal::{Rehearsal, RehearsalReport, Unfit};
pub use report::{LimitsReport, Report};
pub use rollout::{
    BadPlan, CodeInfo, Counts, PinInfo, Plan, RolledBack, RolloutInfo, RolloutState,
};
pub use router::{Answer, Failed, Frame, Router, Sent};

/// What placement is built from.
#[derive(Clone)]
pub struct Foundation {
    /// Where data lives.
    pub storage: Arc<dyn Storage>,
    /// Where guests run.
    pub engine: Engine,
    /// The bounds.
    pub limits: Arc<Limits>,
    /// Wall time, for what is shown and stored.
    pub clock: Arc<dyn Clock>,
}
