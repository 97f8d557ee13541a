//! The surroundings of a component that describes itself: nobody, nowhere, with nothing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use greenroom_model::{
    ActorData, ActorError, ActorId, ActorKey, ActorName, ActorType, Completion, KvPage, KvQuery,
    KvSpan, Lineage, MessageId, Namespace, NewScheduled, Outbound, QueueMessage, Scheduled,
    ScheduledRun, Target, Wait, Wanted, WorkKind,
};

use crate::guest::Identity;
use crate::instance::Setup;

impl Setup {
    /// For an instance that never becomes an actor.
    pub(crate) fn nobody() -> Self {
        let name = "nobody";
        Self {
            identity: Arc::new(Identity {
                id: ActorId::from_u128(0),
                actor_type: ActorType::new(name).expect("a plain word is a name"),
                key: ActorKey::new::<&str>(&[]).expect("the empty key is short"),
                namespace: Namespace::new(name).expect("a plain word is a name"),
            }),
            outbound: Arc::new(Nowhere),
            data: Arc::new(Nowhere),
        }
    }
}

/// Reaches nobody, and keeps nothing.
struct Nowhere;

#[async_trait]
impl Outbound for Nowhere {
    async fn call(
        &self,
        _: &Namespace,
        _: Lineage,
        _: Target,
        _: String,
        _: Bytes,
    ) -> Result<Bytes, ActorError> {
        Err(ActorError::internal())
    }

    async fn send(
        &self,
        _: &Namespace,
        _: Lineage,
        _: Target,
        _: String,
        _: Bytes,
        _: Wait,
    ) -> Result<Completion, ActorError> {
        Err(ActorError::internal())
    }

    async fn create(&self, _: ActorName, _: Option<Bytes>) -> Result<ActorId, ActorError> {
        Err(ActorError::internal())
    }

    async fn resolve(&self, _: &Namespace, _: Target) -> Result<ActorId, ActorError> {
        Err(ActorError::internal())
    }
}

#[async_trait]
impl ActorData for Nowhere {
    fn kv_put(&self, _: Vec<(Bytes, Bytes)>) -> Result<(), ActorError> {
        Err(ActorError::internal())
    }

    fn kv_delete(&self, _: Vec<Bytes>) -> Result<(), ActorError> {
        Err(ActorError::internal())
    }

    fn kv_delete_span(&self, _: KvSpan) -> Result<(), ActorError> {
        Err(ActorError::internal())
    }

    async fn kv_get(&self, _: Vec<Bytes>) -> Result<Vec<Option<Bytes>>, ActorError> {
        Err(ActorError::internal())
    }

    async fn kv_list(&self, _: KvQuery) -> Result<KvPage, ActorError> {
        Err(ActorError::internal())
    }

    fn send(
        &self,
        _: String,
        _: Bytes,
        _: Option<Duration>,
    ) -> Result<Option<MessageId>, ActorError> {
        Err(ActorError::internal())
    }

    async fn send_and_wait(
        &self,
        _: String,
        _: Bytes,
        _: Option<Duration>,
        _: Option<Duration>,
    ) -> Result<Completion, ActorError> {
        Err(ActorError::internal())
    }

    async fn receive(&self, _: Wanted) -> Result<Vec<QueueMessage>, ActorError> {
        Err(ActorError::internal())
    }

    fn complete(&self, _: MessageId, _: Option<Bytes>) -> Result<(), ActorError> {
        Err(ActorError::internal())
    }

    fn give_back(&self, _: MessageId) {}

    fn run_waits_for_others(&self, _: bool) {}

    fn queue_size(&self) -> usize {
        0
    }

    fn dead_letters(&self) -> Vec<QueueMessage> {
        Vec::new()
    }

    fn put_back(&self, _: MessageId) -> Result<Option<MessageId>, ActorError> {
        Ok(None)
    }

    fn discard(&self, _: MessageId) -> bool {
        false
    }

    fn schedule(&self, _: NewScheduled) -> Result<String, ActorError> {
        Err(ActorError::internal())
    }

    fn scheduled(&self, _: &str) -> Option<Scheduled> {
        None
    }

    fn schedule_list(&self) -> Vec<Scheduled> {
        Vec::new()
    }

    fn unschedule(&self, _: &str) -> bool {
        false
    }

    fn schedule_history(&self) -> Vec<ScheduledRun> {
        Vec::new()
    }

    fn work_begins(&self, _: WorkKind) {}

    fn work_ends(&self, _: WorkKind) {}
}
