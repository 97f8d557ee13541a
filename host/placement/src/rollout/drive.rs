//! What a rollout does by itself: it moves awake actors, a few at a time; goes back when its revision does badly; and
//! arrives when everybody has gone over and all has been well for a while.
//!
//! Everything that it decides is in the store before it holds. So a host that dies in the middle goes on where it was: who
//! sleeps takes the right revision when it wakes, whatever happened to the others.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use greenroom_actor::{Handle, Order};
use greenroom_model::{ActorError, ComponentName};
use greenroom_storage::RevisionId;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::{Component, Rollout, Who};
use crate::directory::storage_error;
use crate::router::Router;

/// How long to wait before those are looked at again that have not gone over yet.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How often it is looked whether those that were about to start have chosen.
const LOOKS_MAX: u32 = 100;
/// How long to wait before something is tried again that the store could not keep.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Earlier states that are forgotten at once.
const FORGET_BATCH: usize = 256;

/// What a rollout came to.
enum Outcome {
    /// Somebody has changed it.
    Changed,
    /// Everybody has gone over, and all is well.
    Arrived(RevisionId),
    /// It does badly.
    Failed(RevisionId, String),
    /// It has not been well enough to arrive.
    Unfit(RevisionId, String),
}

/// Looks after the rollouts of one component, for as long as the host runs.
pub(crate) async fn drive(router: Arc<Router>, name: ComponentName) {
    while let Some(component) = router.registry.component(&name) {
        let done = match outcome(&router, &component).await {
            Outcome::Changed => Ok(()),
            Outcome::Arrived(target) => arrive(&router, &name, target).await,
            Outcome::Failed(target, why) => roll_back(&router, &name, target, why, false).await,
            Outcome::Unfit(target, why) => roll_back(&router, &name, target, why, true).await,
        };
        if let Err(error) = done {
            error!(component = %name, %error, "a rollout could not be brought on; trying again");
            sleep(TRY_AGAIN).await;
        }
    }
}

async fn outcome(router: &Router, component: &Component) -> Outcome {
    let rollout = component.rollout.as_ref();
    let going = async {
        let forgetting = async {
            if rollout.is_some() {
                forget(router, component).await;
            }
        };
        tokio::join!(forgetting, router.move_awake(component));
        match rollout {
            Some(rollout) if rollout.plan.is_everyone() && !rollout.is_paused => {
                sleep(router.foundation.limits.rollout_window).await;
                let target = rollout.target.id();
                router.started_on(target).await;
                match rollout.health.objection() {
                    Some(why) => Outcome::Unfit(target, why),
                    None => Outcome::Arrived(target),
                }
            }
            _ => std::future::pending().await,
        }
    };
    let tripped = async {
        match rollout {
            Some(Rollout { target, health, .. }) => {
                Outcome::Failed(target.id(), health.tripped().await)
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = component.changed.notified() => Outcome::Changed,
        outcome = tripped => outcome,
        outcome = going => outcome,
    }
}

/// Forgets what was there before the current revision migrated it: from now on there is no way back behind it.
async fn forget(router: &Router, component: &Component) {
    let storage = &router.foundation.storage;
    let by = component.current.id();
    // A bounded batch at a time, so that the store's writer is not held up.
    loop {
        match storage.forget_replaced(by, FORGET_BATCH).await {
            Ok(count) if count < FORGET_BATCH => return,
            Ok(_) => {}
            Err(error) => {
                warn!(component = %component.name, %error, "earlier states are not forgotten");
                return;
            }
        }
    }
}

async fn arrive(
    router: &Router,
    name: &ComponentName,
    target: RevisionId,
) -> Result<(), ActorError> {
    let _turn = router.registry.changing.lock().await;
    let Some(component) = under_way(router, name, target) else {
        return Ok(());
    };
    // Somebody may have held it up, or it may have broken down, just before.
    let is_well = |rollout: &Rollout| {
        !rollout.is_paused && rollout.plan.is_everyone() && rollout.health.verdict().is_none()
    };
    if !component.rollout.as_ref().is_some_and(is_well) {
        return Ok(());
    }
    let arrived = router.registry.arrive(&component).await?;
    info!(component = %name, revision = %arrived.current.record.number, "a rollout has arrived");
    Ok(())
}

async fn roll_back(
    router: &Router,
    name: &ComponentName,
    target: RevisionId,
    why: String,
    unless_paused: bool,
) -> Result<(), ActorError> {
    let _turn = router.registry.changing.lock().await;
    let Some(component) = under_way(router, name, target) else {
        return Ok(());
    };
    if unless_paused && component.rollout.as_ref().is_some_and(|r| r.is_paused) {
        return Ok(());
    }
    let back = Component {
        rollout: None,
        ..Component::clone(&component)
    };
    let from = component.newest().record.number;
    let to = component.current.record.number;
    router.go_back(back, target, &why).await?;
    warn!(component = %name, %from, %to, why, "a rollout was rolled back by itself");
    Ok(())
}

/// The component, if it is still on the way there.
fn under_way(router: &Router, name: &ComponentName, target: RevisionId) -> Option<Arc<Component>> {
    let component = router.registry.component(name)?;
    let is_it = component.rollout.as_ref()?.target.id() == target;
    is_it.then_some(component)
}

impl Router {
    /// Lets actors run on what `back` says, because `revision` is no good.
    pub(crate) async fn go_back(
        &self,
        back: Component,
        revision: RevisionId,
        why: &str,
    ) -> Result<(), ActorError> {
        let mut switch = back.to_switch(self.foundation.clock.now())?;
        switch.rolled_back = Some((revision, why.to_owned()));
        let switched = self.foundation.storage.switch(switch).await;
        switched.map_err(storage_error)?;
        self.registry.set(back);
        Ok(())
    }

    /// Moves awake actors that run on another revision than they are to, a few at a time, until there are none.
    async fn move_awake(&self, component: &Component) {
        let most = self.foundation.limits.rollout_moves_max;
        let mut looks = 0;
        loop {
            let Standing {
                misplaced, opening, ..
            } = self.standing(component);
            looks = if misplaced.is_empty() { looks + 1 } else { 0 };
            // Those that open their data for the first time now know of the change.
            if misplaced.is_empty() && (opening == 0 || looks > LOOKS_MAX) {
                return;
            }
            let moves = stream::iter(misplaced).for_each_concurrent(most, async |handle| {
                handle.order(Order::Upgrade);
                handle.upgraded().await;
            });
            moves.await;
            // Some may be about to start, or to leave memory on somebody else's order.
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until the actors that are just starting on a revision have started, or have failed.
    async fn started_on(&self, revision: RevisionId) {
        let is_on = |handle: &Handle| handle.placed().is_some_and(|p| p.revision == revision);
        let all = self.activations.all().into_iter().map(|(_, handle)| handle);
        let starting = all.filter(is_on).map(|handle| async move {
            handle.started().await;
            handle.upgraded().await;
        });
        futures::future::join_all(starting).await;
    }

    /// Where the awake actors of a component stand.
    pub(super) fn standing(&self, component: &Component) -> Standing {
        let mut standing = Standing::default();
        let newest = component.newest().id();
        // What is to be decided takes too long for those who want to get at the actors meanwhile.
        for (actor, handle) in self.activations.all() {
            let actor_type = &actor.name.actor_type;
            let owner = self.registry.component_of(actor_type);
            if owner
                .as_ref()
                .is_some_and(|owner| owner.name != component.name)
            {
                continue;
            }
            standing.awake += 1;
            let Some(placed) = handle.placed() else {
                standing.opening += 1;
                continue;
            };
            let who = Who::awake(actor.id, actor_type, &actor.name.key, &placed);
            // One whose type is given up has nowhere to go, and ends by being told to.
            let is_misplaced = owner.is_none_or(|owner| owner.wanted(&who) != placed.revision);
            // Asked in this order: one that has just started is either still under way, or serves.
            standing.moving += usize::from(!is_misplaced && handle.is_moving());
            let is_on_newest = placed.revision == newest && placed.is_serving();
            standing.on_newest += usize::from(is_on_newest);
            if is_misplaced {
                standing.misplaced.push(handle);
            }
        }
        standing
    }
}

/// Where the awake actors of a component stand.
#[derive(Default)]
pub(super) struct Standing {
    /// Those that run on another revision than they are to.
    pub(super) misplaced: Vec<Handle>,
    /// How many are so new that they have not chosen.
    pub(super) opening: usize,
    /// How many of the others are on their way: told to go, or not started where they went. It may turn out that they
    /// cannot start there, and go on elsewhere.
    pub(super) moving: usize,
    /// How many there are.
    pub(super) awake: usize,
    /// How many of them serve on the newest revision.
    pub(super) on_newest: usize,
}
