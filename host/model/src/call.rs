//! How a call says which actor it is for.

use bytes::Bytes;

use crate::{ActorId, ActorKey, ActorName, Generation};

/// Which actor a call is for, and whether it may bring the actor into being.
#[derive(Debug, Clone)]
pub enum Target {
    /// The actor with this id, if it exists.
    Id(ActorId),
    /// The actor of this name, if it exists.
    Get(ActorName),
    /// The actor of this name, created first if need be.
    GetOrCreate {
        /// What it is called.
        name: ActorName,
        /// What its creation is given (CBOR), if it is created now. `None` is *nothing*, which is
        /// not null.
        input: Option<Bytes>,
    },
}

/// Which activation answered; clients see it in headers and in errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorSpecifier {
    /// The actor.
    pub id: ActorId,
    /// Its key.
    pub key: ActorKey,
    /// The activation that answered.
    pub generation: Generation,
}
