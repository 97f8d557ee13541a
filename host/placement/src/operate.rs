//! What operators want of the router: to list, to look, to put to sleep, to destroy, to deploy.

use std::collections::HashSet;
use std::sync::{Arc, MutexGuard, PoisonError};

use bytes::Bytes;
use greenroom_actor::{Inspect, Inspected, Order, Output, What};
use greenroom_model::{ActorError, ActorId, ComponentName, Lineage, Target, codes};
use greenroom_storage::ListQuery;
use tracing::error;

use crate::activations::closing;
use crate::deploy::{DeployOptions, Deployment, NotDeployed};
use crate::directory::storage_error;
use crate::info::{ActorPage, ListFilter};
use crate::rollout::drive;
use crate::router::{Router, not_found};

/// How often a destruction that comes too late for an activation's end is ordered again.
const DESTROY_ATTEMPTS_MAX: usize = 3;

impl Router {
    /// One page of actors.
    ///
    /// # Errors
    ///
    /// An internal error if the store cannot be read.
    pub async fn list(&self, filter: ListFilter) -> Result<ActorPage, ActorError> {
        let most = self.foundation.limits.page_actors_max;
        let query = ListQuery {
            namespace: filter.namespace,
            actor_type: filter.actor_type,
            after: filter.after,
            count_max: filter.count_max.map_or(most, |count| count.clamp(1, most)),
        };
        let page = self
            .foundation
            .storage
            .list(query)
            .await
            .map_err(storage_error)?;
        let next = page
            .actors
            .last()
            .filter(|_| page.has_more)
            .map(|actor| actor.id);
        Ok(ActorPage {
            actors: page.actors.iter().map(|actor| self.info(actor)).collect(),
            next,
        })
    }

    /// Puts an actor to sleep and waits until it does. One that sleeps already stays as it is.
    ///
    /// # Errors
    ///
    /// `actor.not_found`.
    pub async fn sleep(&self, id: ActorId) -> Result<(), ActorError> {
        self.directory.find(id).await?.ok_or_else(not_found)?;
        if let Some(handle) = self.activations.get(id) {
            handle.order(Order::Sleep);
            handle.ended().await;
        }
        Ok(())
    }

    /// Removes an actor for good and waits until it is gone. It is woken first if it sleeps, because it
    /// may have something to do when it is destroyed.
    ///
    /// # Errors
    ///
    /// `actor.not_found`.
    pub async fn destroy(&self, id: ActorId) -> Result<(), ActorError> {
        let actor = self.directory.find(id).await?.ok_or_else(not_found)?;
        for _ in 0..DESTROY_ATTEMPTS_MAX {
            // An actor that cannot start, or whose code is gone, can be destroyed all the same.
            let Ok(handle) = self.activations.get_or_activate(&actor).await else {
                break;
            };
            handle.order(Order::Destroy);
            handle.ended().await;
            // It may have been falling asleep already, or have crashed; then it is still there.
            let found = self
                .foundation
                .storage
                .find(id)
                .await
                .map_err(storage_error)?;
            if found.is_none() {
                return Ok(());
            }
        }
        self.foundation
            .storage
            .destroy(actor.row)
            .await
            .map_err(storage_error)?;
        self.directory.forget(&actor);
        self.sockets.close(id);
        self.waiters.forget(id);
        // Whoever woke it in between can keep nothing any more, and has no business in memory either.
        if let Some(handle) = self.activations.get(id) {
            handle.order(Order::Sleep);
        }
        Ok(())
    }

    /// What an actor keeps besides its state, or puts it in order. The actor is woken if need be.
    ///
    /// # Errors
    ///
    /// `actor.not_found`, or why it could not be asked.
    pub async fn inspect(&self, id: ActorId, what: Inspect) -> Result<Inspected, ActorError> {
        let what = What::Inspect(what);
        let entered = self
            .enter(Lineage::default(), &Target::Id(id), what)
            .await
            .map_err(|failed| failed.error)?;
        match entered {
            (Output::Inspected(inspected), _) => Ok(inspected),
            _ => Err(ActorError::internal()),
        }
    }

    /// Deploys a component: its actors begin to move to it, each after its begun turns have finished. Does not wait
    /// for them.
    ///
    /// # Errors
    ///
    /// `component.*` says what is wrong with it; nothing has changed then.
    ///
    /// Goes on to its end when the future is dropped: what the store has taken has to be switched over to.
    pub async fn deploy(
        self: &Arc<Self>,
        bytes: Bytes,
        options: DeployOptions,
    ) -> Result<Deployment, NotDeployed> {
        let place = self.deploys.clone().try_acquire_owned().map_err(|_| {
            let text = "as many deploys are waiting as may; try again";
            ActorError::new(codes::SERVICE_UNAVAILABLE, text)
        })?;
        let router = self.clone();
        let deploying = self.tasks.spawn(async move {
            let _place = place;
            let deployment = tokio::select! {
                biased;
                // A rehearsal takes minutes, and a host that stops has no time for that.
                () = router.closing.cancelled() => Err(closing().into()),
                deployment = router.registry.deploy(bytes, options) => deployment,
            };
            router.watch_rollouts();
            deployment
        });
        deploying.await.unwrap_or_else(|error| {
            error!(%error, "a deploy broke down");
            Err(ActorError::internal().into())
        })
    }

    /// Does something that must not be left half done: it goes on to its end when the future is dropped, because the client
    /// has gone.
    pub(crate) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ActorError>> + Send + 'static,
    ) -> Result<T, ActorError> {
        self.tasks.spawn(work).await.unwrap_or_else(|error| {
            error!(%error, "what an operator wanted broke down");
            Err(ActorError::internal())
        })
    }

    /// Begins to look after the rollouts of components that nobody looks after yet, until
    /// [`close`](Self::close).
    pub fn watch_rollouts(self: &Arc<Self>) {
        for component in self.registry.all() {
            let name = component.name.clone();
            let is_new = self.driven().insert(name.clone());
            if !is_new {
                continue;
            }
            let (router, closing) = (self.clone(), self.closing.clone());
            self.tasks.spawn(async move {
                tokio::select! {
                    () = drive(router, name) => {}
                    () = closing.cancelled() => {}
                }
            });
        }
    }

    fn driven(&self) -> MutexGuard<'_, HashSet<ComponentName>> {
        // Names, put in one by one.
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
