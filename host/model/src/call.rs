//! How a call says which actor it is for.

use std::sync::Arc;

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

/// Ids that a lineage holds at most; a longer one forgets the rest, which costs a callback its precedence.
const LINEAGE_MAX: usize = 32;

/// On whose behalf a call is made: the actors that (may) wait for its end.
///
/// A stopping actor that waits for its turns to end must let in what they wait for, and nothing else. A call
/// whose lineage has the actor itself is such a *callback*. The lineage is taken from all turns that run
/// in the calling actor, so it may name more actors than it has to, never fewer.
#[derive(Debug, Clone, Default)]
pub struct Lineage(Option<Arc<[ActorId]>>);

impl Lineage {
    /// Everybody in `lineages`, and `id`.
    pub fn of<'a>(lineages: impl Iterator<Item = &'a Self>, id: ActorId) -> Self {
        let mut ids = vec![id];
        for ancestor in lineages.flat_map(Self::ids) {
            if ids.len() < LINEAGE_MAX && !ids.contains(&ancestor) {
                ids.push(ancestor);
            }
        }
        Self(Some(ids.into()))
    }

    /// Whether this actor (may) wait for the call's end.
    #[must_use]
    pub fn has(&self, id: ActorId) -> bool {
        self.ids().any(|ancestor| ancestor == id)
    }

    fn ids(&self) -> impl Iterator<Item = ActorId> + '_ {
        self.0.iter().flat_map(|ids| ids.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lineage_has_everybody_it_was_made_of() {
        let [a, b, c] = [1, 2, 3].map(ActorId::from_u128);
        let first = Lineage::of([].into_iter(), a);
        let second = Lineage::of([&first, &Lineage::default()].into_iter(), b);
        assert!(second.has(a) && second.has(b) && !second.has(c));
        assert!(!Lineage::default().has(a));
    }
}
