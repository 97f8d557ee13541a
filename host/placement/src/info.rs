//! Actors, as operators see them.

use greenroom_model::{ActorError, ActorId, ActorName, ActorType, Millis, Namespace};

/// One actor.
#[derive(Debug, Clone)]
pub struct ActorInfo {
    /// Its id.
    pub id: ActorId,
    /// Its name.
    pub name: ActorName,
    /// When it was created.
    pub created_at: Millis,
    /// Whether it is in memory.
    pub is_awake: bool,
}

/// Which actors a listing is to show.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Only of this namespace.
    pub namespace: Option<Namespace>,
    /// Only of this type.
    pub actor_type: Option<ActorType>,
    /// Only those after this one.
    pub after: Option<ActorId>,
    /// At most so many, and at most what the limits allow.
    pub count_max: Option<usize>,
}

/// One page of a listing.
#[derive(Debug, Clone)]
pub struct ActorPage {
    /// The actors, oldest first.
    pub actors: Vec<ActorInfo>,
    /// Where the next page begins, if there is one.
    pub next: Option<ActorId>,
}

/// Why an actor was not created.
#[derive(Debug)]
pub struct Duplicate {
    /// What the caller may know.
    pub error: ActorError,
    /// The actor that has the name already, if that is the reason.
    pub existing: Option<ActorId>,
}

impl Duplicate {
    pub(crate) fn not(error: ActorError) -> Box<Self> {
        Box::new(Self {
            error,
            existing: None,
        })
    }
}
