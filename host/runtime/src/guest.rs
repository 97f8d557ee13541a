//! A guest's exports as typed calls.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use greenroom_model::{
    ActorError, ActorId, ActorKey, ActorType, ConnId, ConnKind, Message, Namespace, Opening,
};
use wasmtime::component::Accessor;

use crate::bindings::Actor;
use crate::bindings::exports::greenroom::actor::{lifecycle, state};
use crate::bindings::greenroom::actor::types;
use crate::crash::Crash;
use crate::ctx::Ctx;
use crate::effects::Effect;
use crate::http::{self, HttpRequest, HttpResponse};

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

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public(error) => write!(f, "{error}"),
            Self::Internal(text) => f.write_str(text),
        }
    }
}

/// What a guest says of its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snapshot {
    /// The same as before.
    Unchanged,
    /// This, as CBOR that has been checked.
    Changed(Bytes),
}

/// Everything of a guest's that is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The actor's state.
    pub state: Snapshot,
    /// States of connections that are new or have changed, as CBOR that has been checked.
    pub conns: Vec<(ConnId, Bytes)>,
}

/// A connection that an earlier instance has let in.
#[derive(Debug, Clone)]
pub struct Restored {
    /// How it began.
    pub opening: Arc<Opening>,
    /// Whether it stays open while the actor sleeps.
    pub can_hibernate: bool,
    /// Its state, if it has one.
    pub state: Option<Bytes>,
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

    /// Makes a state of this revision out of one of another version.
    ///
    /// # Errors
    ///
    /// [`Crash`], if the instance is lost.
    pub async fn migrate(
        &self,
        identity: &Identity,
        from_version: u32,
        state: Bytes,
    ) -> Result<Result<Bytes, Failure>, Crash> {
        let exports = self.actor.greenroom_actor_lifecycle();
        let migrated = exports
            .call_migrate(
                self.accessor,
                to_wit(identity),
                from_version,
                Vec::from(state),
            )
            .await;
        match migrated.map_err(|e| Crash::from_engine(&e))? {
            Ok(state) => checked(state).map(Ok),
            Err(failed) => failure(failed).map(Err),
        }
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
        conns: Vec<Restored>,
    ) -> Result<Result<(), Failure>, Crash> {
        let exports = self.actor.greenroom_actor_lifecycle();
        let state = state.map(Vec::from);
        let conns = conns
            .into_iter()
            .map(|conn| types::RestoredConnection {
                connection: connection(&conn.opening, conn.can_hibernate),
                state: conn.state.map(Vec::from),
            })
            .collect();
        let woken = exports
            .call_wake(self.accessor, to_wit(identity), state, conns)
            .await;
        woken
            .map_err(|e| Crash::from_engine(&e))?
            .map_err(failure)
            .flip()
    }

    /// Runs an action, by a connection that the guest knows of or by none. The output is CBOR that has been
    /// checked.
    ///
    /// # Errors
    ///
    /// [`Crash`], if the instance is lost.
    pub async fn call(
        &self,
        id: u32,
        caller: Option<ConnId>,
        action: String,
        args: Bytes,
    ) -> Result<Result<Bytes, Failure>, Crash> {
        let exports = self.actor.greenroom_actor_actions();
        let caller = caller.map(|id| id.to_string());
        let output = exports
            .call_call(self.accessor, id, caller, action, Vec::from(args))
            .await;
        match output.map_err(|e| Crash::from_engine(&e))? {
            Ok(output) => checked(output).map(Ok),
            Err(failed) => failure(failed).map(Err),
        }
    }

    /// Says that nobody waits for a call any more.
    ///
    /// # Errors
    ///
    /// [`Crash`], if the instance is lost.
    pub async fn cancel(&self, id: u32) -> Result<(), Crash> {
        let exports = self.actor.greenroom_actor_actions();
        let told = exports.call_cancel(self.accessor, id).await;
        told.map_err(|e| Crash::from_engine(&e))
    }

    /// The actor's own work.
    ///
    /// # Errors
    ///
    /// [`Crash`], if the instance is lost.
    pub async fn run(&self) -> Result<Result<(), Failure>, Crash> {
        let exports = self.actor.greenroom_actor_lifecycle();
        let done = exports.call_run(self.accessor).await;
        done.map_err(|e| Crash::from_engine(&e))?
            .map_err(failure)
            .flip()
    }

    /// Says that the activation begins to stop.
    ///
    /// # Errors
    ///
    /// [`Crash`], if the instance is lost.
    pub async fn abort(&self, reason: StopReason) -> Result<(), Crash> {
        let exports = self.actor.greenroom_actor_lifecycle();
        let told = exports.call_abort(self.accessor, reason.into()).await;
        told.map_err(|e| Crash::from_engine(&e))
    }

    /// The state as it is now.
    ///
    /// # Errors
    ///
    /// [`Crash`], if the instance is lost.
    pub async fn snapshot(&self) -> Result<Saved, Crash> {
        let exports = self.actor.greenroom_actor_state();
        let saved = exports.call_snapshot(self.accessor).await;
        let state::Saved { state, connections } = saved.map_err(|e| Crash::from_engine(&e))?;
        let state = match state {
            state::StateSnapshot::Unchanged => Snapshot::Unchanged,
            state::StateSnapshot::Changed(state) => Snapshot::Changed(checked(state)?),
        };
        let conns = connections.into_iter().map(|(id, state)| {
            let id = ConnId::parse(&id).ok_or_else(|| no_connection(&id))?;
            Ok((id, checked(state)?))
        });
        let conns = conns.collect::<Result<_, Crash>>()?;
        Ok(Saved { state, conns })
    }

    /// What the guest has sent since this was last asked.
    #[must_use]
    pub fn take_effects(&self) -> Vec<Effect> {
        self.accessor.with(|mut store| store.get().outbox.take())
    }

    /// Lets a client in, or does not.
    ///
    /// # Errors
    ///
    /// [`Crash`], if the instance is lost; here and below.
    pub async fn connect(
        &self,
        opening: &Opening,
        can_hibernate: bool,
    ) -> Result<Result<(), Failure>, Crash> {
        let exports = self.actor.greenroom_actor_connections();
        let connection = connection(opening, can_hibernate);
        let done = exports.call_connect(self.accessor, connection).await;
        done.map_err(|e| Crash::from_engine(&e))?
            .map_err(failure)
            .flip()
    }

    /// Takes a connection out.
    ///
    /// # Errors
    ///
    /// [`Crash`].
    pub async fn disconnect(&self, id: ConnId) -> Result<Result<(), Failure>, Crash> {
        let exports = self.actor.greenroom_actor_connections();
        let done = exports.call_disconnect(self.accessor, id.to_string()).await;
        done.map_err(|e| Crash::from_engine(&e))?
            .map_err(failure)
            .flip()
    }

    /// Whether a connection may have an event.
    ///
    /// # Errors
    ///
    /// [`Crash`].
    pub async fn may_subscribe(
        &self,
        id: ConnId,
        event: String,
    ) -> Result<Result<bool, Failure>, Crash> {
        let exports = self.actor.greenroom_actor_connections();
        let asked = exports
            .call_may_subscribe(self.accessor, id.to_string(), event)
            .await;
        match asked.map_err(|e| Crash::from_engine(&e))? {
            Ok(may) => Ok(Ok(may)),
            Err(failed) => failure(failed).map(Err),
        }
    }

    /// Whether a connection may send to a queue.
    ///
    /// # Errors
    ///
    /// [`Crash`].
    pub async fn may_publish(
        &self,
        id: ConnId,
        queue: String,
    ) -> Result<Result<bool, Failure>, Crash> {
        let exports = self.actor.greenroom_actor_connections();
        let asked = exports
            .call_may_publish(self.accessor, id.to_string(), queue)
            .await;
        match asked.map_err(|e| Crash::from_engine(&e))? {
            Ok(may) => Ok(Ok(may)),
            Err(failed) => failure(failed).map(Err),
        }
    }

    /// Answers a raw request. The response's body goes on after this.
    ///
    /// # Errors
    ///
    /// [`Crash`].
    pub async fn request(
        &self,
        id: ConnId,
        request: HttpRequest,
    ) -> Result<Result<Option<HttpResponse>, Failure>, Crash> {
        let exports = self.actor.greenroom_actor_raw();
        let request = http::lower(self.accessor, request)?;
        let answered = exports
            .call_on_request(self.accessor, id.to_string(), request)
            .await;
        match answered.map_err(|e| Crash::from_engine(&e))? {
            Ok(None) => Ok(Ok(None)),
            Ok(Some(response)) => {
                http::lift(self.accessor, response).map(|response| Ok(Some(response)))
            }
            Err(failed) => failure(failed).map(Err),
        }
    }

    /// Says that a raw WebSocket is open.
    ///
    /// # Errors
    ///
    /// [`Crash`].
    pub async fn websocket(&self, id: ConnId) -> Result<Result<(), Failure>, Crash> {
        let exports = self.actor.greenroom_actor_raw();
        let done = exports
            .call_on_websocket(self.accessor, id.to_string())
            .await;
        done.map_err(|e| Crash::from_engine(&e))?
            .map_err(failure)
            .flip()
    }

    /// Hands over a raw message.
    ///
    /// # Errors
    ///
    /// [`Crash`].
    pub async fn message(
        &self,
        id: ConnId,
        message: Message,
        index: u32,
    ) -> Result<Result<(), Failure>, Crash> {
        let exports = self.actor.greenroom_actor_raw();
        let message = match message {
            Message::Text(text) => types::WebsocketMessage::Text(text),
            Message::Binary(bytes) => types::WebsocketMessage::Binary(bytes.into()),
        };
        let done = exports
            .call_on_message(self.accessor, id.to_string(), message, index)
            .await;
        done.map_err(|e| Crash::from_engine(&e))?
            .map_err(failure)
            .flip()
    }

    /// Says that a raw WebSocket is closed.
    ///
    /// # Errors
    ///
    /// [`Crash`].
    pub async fn closed(
        &self,
        id: ConnId,
        code: u16,
        reason: String,
    ) -> Result<Result<(), Failure>, Crash> {
        let exports = self.actor.greenroom_actor_raw();
        let done = exports
            .call_on_close(self.accessor, id.to_string(), code, reason)
            .await;
        done.map_err(|e| Crash::from_engine(&e))?
            .map_err(failure)
            .flip()
    }

    /// The last call of all.
    ///
    /// # Errors
    ///
    /// [`Crash`], if the instance is lost.
    pub async fn stop(&self, reason: StopReason) -> Result<Result<(), Failure>, Crash> {
        let exports = self.actor.greenroom_actor_lifecycle();
        let stopped = exports.call_stop(self.accessor, reason.into()).await;
        stopped
            .map_err(|e| Crash::from_engine(&e))?
            .map_err(failure)
            .flip()
    }
}

impl From<StopReason> for lifecycle::StopReason {
    fn from(reason: StopReason) -> Self {
        match reason {
            StopReason::Sleep => Self::Sleep,
            StopReason::Upgrade => Self::Upgrade,
            StopReason::Destroy => Self::Destroy,
        }
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

fn connection(opening: &Opening, can_hibernate: bool) -> types::Connection {
    let request = opening.request.as_ref();
    types::Connection {
        id: opening.id.to_string(),
        kind: match opening.kind {
            ConnKind::Call => types::ConnectionKind::Call,
            ConnKind::Realtime => types::ConnectionKind::Realtime,
            ConnKind::Request => types::ConnectionKind::Request,
            ConnKind::Websocket => types::ConnectionKind::Websocket,
        },
        params: opening.params.to_vec(),
        opening: request.map(|request| types::OpeningRequest {
            method: request.method.clone(),
            url: request.url.clone(),
            headers: request
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value.to_vec()))
                .collect(),
        }),
        can_hibernate,
    }
}

fn no_connection(id: &str) -> Crash {
    let id: String = id.chars().take(80).collect();
    Crash::Contract(format!("{id:?} is no connection's id"))
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
