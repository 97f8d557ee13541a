//! Which actors stay on a revision of their own.

use async_trait::async_trait;
use greenroom_model::ComponentName;

use super::Memory;
use crate::record::{ActorRow, Pin, PinnedActor};
use crate::{Error, Pins, Result};

#[async_trait]
impl Pins for Memory {
    async fn pin(&self, actor: ActorRow, pin: Pin) -> Result<()> {
        let mut data = self.data();
        data.kept.get_mut(&actor).ok_or(Error::Gone)?.pin = Some(pin);
        Ok(())
    }

    async fn unpin(&self, actor: ActorRow) -> Result<bool> {
        let mut data = self.data();
        let kept = data.kept.get_mut(&actor);
        Ok(kept.is_some_and(|kept| kept.pin.take().is_some()))
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
