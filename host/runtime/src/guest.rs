//! A guest's exports as typed calls.

use bytes::Bytes;
use greenroom_model::{ActorError, ActorId, ActorKey, ActorType, Namespace};
use wasmtime::component::Accessor;

use crate::bindings::Actor;
use crate::bindings::exports::greenroom::actor::{lifecycle, state};
use crate::bindings::greenroom::actor::types;
use crate::crash::Crash;
use crate::ctx::Ctx;

/// Who the instance is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its id.
    pub id: ActorId,
    /// Its type.
    pub actor_type: ActorType,
    /// Its key.
    pub key: ActorKey,
    /// Where it lives.
    pub namespace: Namespace,
}

/// Why a guest did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// For the caller.
    Public(ActorError),
    /// For the log.
    Internal(String),
}

/// What a guest says of its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snapshot {
    /// The same as before.
    Unchanged,
    /// This, as CBOR that has been checked.
    Changed(Bytes),
}

/// Why an activation ends, as far as its guest is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// It goes to sleep.
    Sleep,
    /// A new revision takes over.
    Upgrade,
    /// It is removed for good.
    Destroy,
}

/// The exports, while [`Instance::run`](crate::Instance::run) drives the instance.
///
/// Calls run at the same time, interleaving wherever the guest waits. Dropping a call's future does not
/// end the call. `Err(Crash)` means that the instance is lost; a trap does not even come back
/// here, but ends `run`.
pub struct Guest<'a> {
    pub(crate) accessor: &'a Accessor<Ctx>,
    pub(crate) actor: &'a Actor,
}

impl Guest<'_> {
    /// First start ever. To be called once, before anything else, or else [`wake`](Self::wake) is.
    ///
    /// # Errors
    ///
    /// [`Crash`], if the instance is lost.
    pub async fn create(
        &self,
        identity: &Identity,
        input: Option<Bytes>,
    ) -> Result<Result<(), Failure>, Crash> {
        let exports = self.actor.greenroom_actor_lifecycle();
        let input = input.map(Vec::from);
        let made = exports
            .call_create(self.accessor, to_wit(identity), input)
            .await;
        made.map_err(|e| Crash::from_engine(&e))?
            .map_err(failure)
            .flip()
    }

    /// Every later start.
    ///
    /// # Errors
    ///
    /// [`Crash`], if the instance is lost.
    pub async fn wake(
        &self,
        identity: &Identity,
        state: Option<Bytes>,
    ) -> Result<Result<(), Failure>, Crash> {
        let exports = self.actor.greenroom_actor_lifecycle();
        let state = state.map(Vec::from);
        let woken = exports
            .call_wake(self.accessor, to_wit(identity), state)
            .await;
        woken
            .map_err(|e| Crash::from_engine(&e))?
            .map_err(failure)
            .flip()
    }

    /// Runs an action. The output is CBOR that has been checked.
    ///
    /// # Errors
    ///
    /// [`Crash`], if the instance is lost.
    pub async fn call(&self, action: String, args: Bytes) -> Result<Result<Bytes, Failure>, Crash> {
        let exports = self.actor.greenroom_actor_actions();
        let output = exports
            .call_call(self.accessor, action, Vec::from(args))
            .await;
        match output.map_err(|e| Crash::from_engine(&e))? {
            Ok(output) => checked(output).map(Ok),
            Err(failed) => failure(failed).map(Err),
        }
    }

    /// The state as it is now.
    ///
    /// # Errors
    ///
    /// [`Crash`], if the instance is lost.
    pub async fn snapshot(&self) -> Result<Snapshot, Crash> {
        let exports = self.actor.greenroom_actor_state();
        let snapshot = exports.call_snapshot(self.accessor).await;
        match snapshot.map_err(|e| Crash::from_engine(&e))? {
            state::StateSnapshot::Unchanged => Ok(Snapshot::Unchanged),
            state::StateSnapshot::Changed(state) => checked(state).map(Snapshot::Changed),
        }
    }

    /// The last call of all.
    ///
    /// # Errors
    ///
    /// [`Crash`], if the instance is lost.
    pub async fn stop(&self, reason: StopReason) -> Result<Result<(), Failure>, Crash> {
        let exports = self.actor.greenroom_actor_lifecycle();
        let reason = match reason {
            StopReason::Sleep => lifecycle::StopReason::Sleep,
            StopReason::Upgrade => lifecycle::StopReason::Upgrade,
            StopReason::Destroy => lifecycle::StopReason::Destroy,
        };
        let stopped = exports.call_stop(self.accessor, reason).await;
        stopped
            .map_err(|e| Crash::from_engine(&e))?
            .map_err(failure)
            .flip()
    }
}

/// `Err(Ok(failure))` is a failure, `Err(Err(crash))` a crash.
trait Flip {
    fn flip(self) -> Result<Result<(), Failure>, Crash>;
}

impl Flip for Result<(), Result<Failure, Crash>> {
    fn flip(self) -> Result<Result<(), Failure>, Crash> {
        match self {
            Ok(()) => Ok(Ok(())),
            Err(Ok(failure)) => Ok(Err(failure)),
            Err(Err(crash)) => Err(crash),
        }
    }
}

fn to_wit(identity: &Identity) -> types::Identity {
    types::Identity {
        id: identity.id.to_string(),
        actor_type: identity.actor_type.to_string(),
        key: identity.key.parts(),
        namespace: identity.namespace.to_string(),
    }
}

fn failure(failure: types::Failure) -> Result<Failure, Crash> {
    match failure {
        types::Failure::Internal(text) => Ok(Failure::Internal(text)),
        types::Failure::Public(error) => {
            let metadata = error.metadata.map(checked).transpose()?;
            let error = ActorError::from_guest(error.group, error.code, error.message, metadata);
            Ok(Failure::Public(error))
        }
    }
}

/// Bytes from a guest that have to be one value.
pub(crate) fn checked(bytes: Vec<u8>) -> Result<Bytes, Crash> {
    match greenroom_value::validate(&bytes) {
        Ok(()) => Ok(Bytes::from(bytes)),
        Err(error) => Err(Crash::Contract(error.to_string())),
    }
}
