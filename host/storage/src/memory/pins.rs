//! Which actors stay on a revision of their own.

use async_trait::async_trait;
use greenroom_model::ComponentName;

use super::Memory;
use crate::record::{ActorRow, Pin, PinnedActor, RevisionId, StateSeen};
use crate::{Error, Pins, Result};

#[async_trait]
impl Pins for Memory {
    async fn pin(&self, actor: ActorRow, pin: Pin, seen: Option<StateSeen>) -> Result<bool> {
        let data = &mut *self.data();
        let is_used = |id| data.components.in_use().any(|used| used == id);
        let is_of_use = match pin.refused {
            Some(refused) => is_used(refused),
            None => data.components.is_kept(pin.revision),
        };
        let kept = data.kept.get_mut(&actor).ok_or(Error::Gone)?;
        let is_operators = |pin: &Pin| pin.refused.is_none();
        let is_taken = pin.refused.is_some() && kept.pin.as_ref().is_some_and(is_operators);
        let is_other = seen.is_some_and(|seen| {
            let opened = kept.peek();
            let version = opened.state.map(|_| opened.state_version);
            !seen.is_so(version, opened.state_head)
        });
        if is_taken || !is_of_use || is_other {
            return Ok(false);
        }
        kept.pin = Some(pin);
        Ok(true)
    }

    async fn unpin(&self, actor: ActorRow, refused: Option<RevisionId>) -> Result<bool> {
        let mut data = self.data();
        let Some(kept) = data.kept.get_mut(&actor) else {
            return Ok(false);
        };
        let is_it = |pin: &mut Pin| refused.is_none() || pin.refused == refused;
        Ok(kept.pin.take_if(is_it).is_some())
    }

    async fn pinned(
        &self,
        component: &ComponentName,
        after: Option<ActorRow>,
        count_max: usize,
    ) -> Result<Vec<PinnedActor>> {
        let data = self.data();
        let is_of_component = |pin: &Pin| {
            let mut revisions = data.components.revisions.iter();
            revisions.any(|r| r.id == pin.revision && r.component == *component)
        };
        let pinned = data.actors.values().filter_map(|actor| {
            let pin = data.kept.get(&actor.row)?.pin.clone()?;
            let actor = actor.clone();
            Some(PinnedActor { actor, pin })
        });
        let mut pinned: Vec<PinnedActor> = pinned
            .filter(|pinned| is_of_component(&pinned.pin))
            .filter(|pinned| after.is_none_or(|after| pinned.actor.row > after))
            .collect();
        pinned.sort_by_key(|pinned| pinned.actor.row);
        pinned.truncate(count_max);
        Ok(pinned)
    }
}
