//! A guest's way to other actors, with on whose behalf it goes there filled in.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use greenroom_model::{
    ActorError, ActorId, ActorName, Completion, Lineage, Namespace, Outbound, Target, Wait,
};

use crate::turns::Turns;

/// The calls of one instance.
pub(crate) struct OnBehalf {
    pub(crate) id: ActorId,
    pub(crate) turns: Arc<Turns>,
    pub(crate) outbound: Arc<dyn Outbound>,
}

#[async_trait]
impl Outbound for OnBehalf {
    async fn call(
        &self,
        from: &Namespace,
        _: Lineage,
        target: Target,
        action: String,
        args: Bytes,
    ) -> Result<Bytes, ActorError> {
        let lineage = self.turns.lineage(self.id);
        self.outbound
            .call(from, lineage, target, action, args)
            .await
    }

    async fn send(
        &self,
        from: &Namespace,
        _: Lineage,
        target: Target,
        queue: String,
        body: Bytes,
        wait: Wait,
    ) -> Result<Completion, ActorError> {
        let lineage = self.turns.lineage(self.id);
        self.outbound
            .send(from, lineage, target, queue, body, wait)
            .await
    }

    async fn create(&self, name: ActorName, input: Option<Bytes>) -> Result<ActorId, ActorError> {
        self.outbound.create(name, input).await
    }

    async fn resolve(&self, from: &Namespace, target: Target) -> Result<ActorId, ActorError> {
        self.outbound.resolve(from, target).await
    }
}
