//! The router, as guests reach it.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use greenroom_actor::Short;
use greenroom_model::{
    ActorError, ActorId, ActorName, Completion, Lineage, Namespace, Outbound, Target, Wait,
};

use crate::activations::closing;
use crate::router::{Router, not_found};

/// Weak, because the router holds the guests.
pub(crate) struct Inside(pub(crate) Weak<Router>);

impl Inside {
    fn router(&self) -> Result<Arc<Router>, ActorError> {
        self.0.upgrade().ok_or_else(closing)
    }
}

/// An id is a way past names, but not out of the namespace.
async fn check_namespace(
    router: &Router,
    from: &Namespace,
    target: &Target,
) -> Result<(), ActorError> {
    let Target::Id(id) = target else {
        return Ok(());
    };
    let actor = router.find(*id).await?.ok_or_else(not_found)?;
    if actor.name.namespace == *from {
        Ok(())
    } else {
        Err(not_found())
    }
}

#[async_trait]
impl Outbound for Inside {
    async fn call(
        &self,
        from: &Namespace,
        lineage: Lineage,
        target: Target,
        action: String,
        args: Bytes,
    ) -> Result<Bytes, ActorError> {
        let router = self.router()?;
        check_namespace(&router, from, &target).await?;
        let caller = Short::plain();
        let answer = router.call(lineage, &target, caller, action, args).await;
        answer
            .map(|answer| answer.output)
            .map_err(|failed| failed.error)
    }

    async fn send(
        &self,
        from: &Namespace,
        lineage: Lineage,
        target: Target,
        queue: String,
        body: Bytes,
        wait: Wait,
    ) -> Result<Completion, ActorError> {
        let router = self.router()?;
        check_namespace(&router, from, &target).await?;
        let caller = Short::plain();
        let sent = router
            .send(lineage, &target, caller, queue, body, wait)
            .await;
        sent.map(|sent| sent.completion)
            .map_err(|failed| failed.error)
    }

    async fn create(&self, name: ActorName, input: Option<Bytes>) -> Result<ActorId, ActorError> {
        let created = self.router()?.create(&name, input).await;
        created
            .map(|actor| actor.id)
            .map_err(|duplicate| duplicate.error)
    }

    async fn resolve(&self, from: &Namespace, target: Target) -> Result<ActorId, ActorError> {
        let router = self.router()?;
        check_namespace(&router, from, &target).await?;
        Ok(router.get_or_create(&target).await?.0.id)
    }
}
