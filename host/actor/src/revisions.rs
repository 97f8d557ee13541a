//! What an actor runs on, and what becomes of that: the questions that an activation asks whoever deploys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use greenroom_model::{ActorError, ActorId, ActorTypeDescription, Revision};
use greenroom_runtime::Compiled;
use greenroom_storage::{ActorRecord, Opened, Pin, RevisionId};

/// An actor type, as one revision of its component has it.
pub struct ActiveType {
    /// What its component says of it.
    pub description: ActorTypeDescription,
    /// Its component, ready to be instantiated.
    pub compiled: Compiled,
    /// The revision's number in the store.
    pub revision_id: RevisionId,
    /// The revision's number within its component.
    pub revision: Revision,
}

impl ActiveType {
    /// The version of a state, if it has to be migrated before this code can take it.
    pub(crate) fn migrates(&self, state: &Option<Bytes>, version: u32) -> Option<u32> {
        let is_other = state.is_some() && version != self.description.state_version;
        is_other.then_some(version)
    }
}

/// How an actor is to go on from what was found.
pub enum Assignment {
    /// On this.
    Run(Arc<ActiveType>),
    /// Its state was migrated by a revision that was rolled back: what was there before has to be put back first.
    Restore,
}

/// What became of an actor on a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report<'a> {
    /// It has started.
    Started,
    /// It could not start, for this reason.
    Failed(&'a str),
    /// It had started and broke down, for this reason.
    Crashed(&'a str),
    /// It has done something. Told once in a while.
    Busy,
}

/// Who wrote a state, and in what shape it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The revision; none if there is no state yet.
    pub by: Option<RevisionId>,
    /// The version of its shape.
    pub version: u32,
}

impl Written {
    /// What `opened` found.
    #[must_use]
    pub fn of(opened: &Opened) -> Self {
        Self {
            by: opened.revision.filter(|_| opened.state.is_some()),
            version: opened.state_version,
        }
    }
}

/// Where an awake actor stands.
#[derive(Debug)]
pub struct Placed {
    /// What it runs on.
    pub revision: RevisionId,
    /// Where it has to stay, if it was found to be pinned.
    pub pin: Option<Pin>,
    is_serving: AtomicBool,
}

impl Placed {
    pub(crate) const fn new(revision: RevisionId, pin: Option<Pin>) -> Self {
        Self {
            revision,
            pin,
            is_serving: AtomicBool::new(false),
        }
    }

    /// Whether it has started there, and what that has migrated is kept. Before, it may turn out that it cannot.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::Acquire)
    }

    pub(crate) fn set_serving(&self) {
        self.is_serving.store(true, Ordering::Release);
    }
}

/// Which revision an actor runs on. Placement implements it.
#[async_trait]
pub trait Revisions: Send + Sync + 'static {
    /// What an actor is to run on, that was found like this.
    ///
    /// # Errors
    ///
    /// `actor.type_not_found`, or an internal error if it cannot be loaded.
    async fn assign(&self, actor: &ActorRecord, opened: &Opened) -> Result<Assignment, ActorError>;

    /// Takes note of what became of an actor. Does not wait.
    fn report(&self, actor: ActorId, on: RevisionId, report: Report<'_>);

    /// An actor could not start where it was placed, through the fault of that code. `true` if it goes on on another from
    /// now on, so that it should be opened again.
    async fn could_not_start(
        &self,
        actor: &ActorRecord,
        written: Written,
        placed: &Placed,
        reason: &str,
    ) -> bool;
}
