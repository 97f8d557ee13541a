//! Where actors live, and how calls get there.
//!
//! [`Router`] is what the edge talks to: it finds the actor a call is for (`directory.rs`), finds or makes
//! its activation (`activations.rs`), and delivers. `alarms.rs` wakes actors when their time comes. [`Registry`] knows which revision of which
//! component each actor type runs on, and takes new ones.

mod activations;
mod alarms;
mod directory;
mod info;
mod inside;
mod operate;
mod registry;
mod router;

use std::sync::Arc;

use greenroom_model::{Clock, Limits};
use greenroom_runtime::Engine;
use greenroom_storage::Storage;

pub use greenroom_actor::{
    Body, BodyError, Conn, HttpRequest, HttpResponse, Inspect, Inspected, Short,
};
pub use info::{ActorInfo, ActorPage, Duplicate, ListFilter};
pub use registry::{Deployment, Registry, RevisionInfo};
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
