//! The component's exports: the same for every component, over its list of actor types.

use std::cell::OnceCell;
use std::rc::Rc;

use crate::bindings::exports::greenroom::actor::description::ComponentDescription;
use crate::bindings::exports::greenroom::actor::lifecycle::StopReason as WitStopReason;
use crate::bindings::exports::greenroom::actor::state::{Saved, StateSnapshot};
use crate::bindings::exports::greenroom::actor::{
    actions, connections, description, lifecycle, raw, state,
};
use crate::bindings::greenroom::actor::types::{
    Connection, Failure, Identity, RestoredConnection, WebsocketMessage,
};
use crate::bindings::wasi::http::types::{Request as WasiRequest, Response as WasiResponse};
use crate::body::Body;
use crate::component::{Entry, Registered, StopReason};
use crate::error::{Error, UserError};
use crate::http::{Request, Response};
use crate::websocket::{Close, Message};

thread_local! {
    /// The actor that this instance is, from its create or wake on.
    static BODY: OnceCell<Rc<dyn Body>> = const { OnceCell::new() };
}

fn body() -> Result<Rc<dyn Body>, Failure> {
    let body = BODY.with(|body| body.get().cloned());
    body.ok_or_else(|| Failure::Internal("the instance is no actor yet".to_owned()))
}

fn entry<'a>(entries: &'a [Entry], actor_type: &str) -> Result<&'a Entry, Failure> {
    let wanted = entries.iter().find(|entry| entry.name == actor_type);
    wanted.ok_or_else(|| Failure::Internal(format!("the component has no actor type {actor_type}")))
}

fn embody(entries: &[Entry], identity: Identity) -> Result<Rc<dyn Body>, Failure> {
    let entry = entry(entries, &identity.actor_type)?;
    let embodied = (entry.embody)(identity);
    BODY.with(|body| body.set(embodied.clone()))
        .map_err(|_| Failure::Internal("the instance is an actor already".to_owned()))?;
    Ok(embodied)
}

impl<T: Registered> description::Guest for T {
    fn describe() -> ComponentDescription {
        ComponentDescription {
            name: T::NAME.to_owned(),
            sdk: concat!("greenroom-sdk ", env!("CARGO_PKG_VERSION")).to_owned(),
            actor_types: T::entries()
                .iter()
                .map(|entry| (entry.describe)())
                .collect(),
        }
    }
}

impl<T: Registered> lifecycle::Guest for T {
    async fn create(self_: Identity, input: Option<Vec<u8>>) -> Result<(), Failure> {
        embody(T::entries(), self_)?
            .create(input)
            .await
            .map_err(Error::into_wit)
    }

    /// The instance is no actor yet: the state belongs to nobody until `wake` has it.
    fn migrate(self_: Identity, from_version: u32, state: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let entry = entry(T::entries(), &self_.actor_type)?;
        (entry.migrate)(from_version, &state).map_err(Error::into_wit)
    }

    async fn wake(
        self_: Identity,
        state: Option<Vec<u8>>,
        connections: Vec<RestoredConnection>,
    ) -> Result<(), Failure> {
        embody(T::entries(), self_)?
            .wake(state, connections)
            .await
            .map_err(Error::into_wit)
    }

    async fn run() -> Result<(), Failure> {
        body()?.run().await.map_err(Error::into_wit)
    }

    async fn abort(_reason: WitStopReason) {
        if let Ok(body) = body() {
            body.abort();
        }
    }

    async fn stop(reason: WitStopReason) -> Result<(), Failure> {
        let reason = match reason {
            WitStopReason::Sleep => StopReason::Sleep,
            WitStopReason::Upgrade => StopReason::Upgrade,
            WitStopReason::Destroy => StopReason::Destroy,
        };
        body()?.stop(reason).await.map_err(Error::into_wit)
    }
}

impl<T: Registered> actions::Guest for T {
    async fn call(
        id: u32,
        caller: Option<String>,
        action: String,
        args: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        match body()?.call(id, caller, &action, args) {
            Some(called) => called.await.map_err(Error::into_wit),
            None => {
                let text = format!("there is no action {action:?}");
                let error = UserError::new(text)
                    .with_group("actor")
                    .with_code("action_not_found");
                Err(Error::from(error).into_wit())
            }
        }
    }

    async fn cancel(id: u32) {
        if let Ok(body) = body() {
            body.cancel(id);
        }
    }
}

impl<T: Registered> connections::Guest for T {
    async fn connect(connection: Connection) -> Result<(), Failure> {
        body()?.connect(connection).await.map_err(Error::into_wit)
    }

    async fn disconnect(connection: String) -> Result<(), Failure> {
        body()?
            .disconnect(connection)
            .await
            .map_err(Error::into_wit)
    }

    async fn may_subscribe(connection: String, event: String) -> Result<bool, Failure> {
        body()?
            .may_subscribe(connection, event)
            .await
            .map_err(Error::into_wit)
    }

    async fn may_publish(connection: String, queue: String) -> Result<bool, Failure> {
        body()?
            .may_publish(connection, queue)
            .await
            .map_err(Error::into_wit)
    }
}

impl<T: Registered> raw::Guest for T {
    async fn on_request(
        connection: String,
        request: WasiRequest,
    ) -> Result<Option<WasiResponse>, Failure> {
        let answered = body()?.request(connection, Request::new(request)).await;
        let response = answered.map_err(Error::into_wit)?;
        let response = response.map(Response::into_wasi).transpose();
        response.map_err(Error::into_wit)
    }

    async fn on_websocket(connection: String) -> Result<(), Failure> {
        body()?.websocket(connection).await.map_err(Error::into_wit)
    }

    async fn on_message(
        connection: String,
        message: WebsocketMessage,
        index: u32,
    ) -> Result<(), Failure> {
        let message = Message::new(message, index);
        body()?
            .message(connection, message)
            .await
            .map_err(Error::into_wit)
    }

    async fn on_close(connection: String, code: u16, reason: String) -> Result<(), Failure> {
        let close = Close { code, reason };
        body()?
            .close(connection, close)
            .await
            .map_err(Error::into_wit)
    }
}

impl<T: Registered> state::Guest for T {
    fn snapshot() -> Saved {
        let Ok(body) = body() else {
            return Saved {
                state: StateSnapshot::Unchanged,
                connections: Vec::new(),
            };
        };
        let saved = body.saved();
        Saved {
            state: saved
                .state
                .map_or(StateSnapshot::Unchanged, StateSnapshot::Changed),
            connections: saved.conns,
        }
    }
}
