//! What the macros fill in, and how a component's exports find the actor they are for.

use std::pin::Pin;
use std::rc::Rc;

use greenroom_value::{from_slice, to_vec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::exports::greenroom::actor::description::ActorTypeDescription;
use crate::bindings::greenroom::actor::sockets;
use crate::bindings::greenroom::actor::types::{Connection, Identity, RestoredConnection};
use crate::conn::{Conn, Connecting};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::http::{Request, Response};
use crate::websocket::{Close, Message};

/// A future of this thread.
pub type Future<T> = Pin<Box<dyn std::future::Future<Output = T>>>;

/// What an actor type says about itself.
pub type Description = ActorTypeDescription;

/// Why an actor leaves memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// It goes to sleep.
    Sleep,
    /// A new revision takes over, with its state.
    Upgrade,
    /// It is removed for good.
    Destroy,
}

/// An actor type. Implemented by [`#[actor]`](crate::actor), not by hand.
pub trait Actor: Serialize + DeserializeOwned + 'static {
    /// What clients call it by.
    const TYPE: &'static str;

    /// What it keeps in memory and nowhere else.
    type Vars: 'static;

    /// What the host is told of it.
    fn describe() -> Description;

    /// Makes the first state out of what the creator gave.
    fn create(cx: Context<Self>, input: Option<Vec<u8>>) -> Future<Result<Self>>;

    /// Makes the vars, at every start, when there is a state.
    fn vars(cx: Context<Self>) -> Future<Result<Self::Vars>>;

    /// Runs at every start, before any action.
    fn on_wake(cx: Context<Self>) -> Future<Result<()>>;

    /// Runs last, before the actor leaves memory.
    fn on_stop(cx: Context<Self>, reason: StopReason) -> Future<Result<()>>;

    /// Runs after a turn that has changed the state.
    fn on_state_change(cx: Context<Self>) -> Result<()>;

    /// What each connection carries.
    type ConnState: Serialize + DeserializeOwned + 'static;

    /// Whether a client may connect.
    fn before_connect(cx: Context<Self>, connecting: Connecting) -> Future<Result<()>>;

    /// Makes a connection's state.
    fn conn_state(cx: Context<Self>, connecting: Connecting) -> Future<Result<Self::ConnState>>;

    /// A client is connected.
    fn on_connect(cx: Context<Self>, conn: Conn<Self>) -> Future<Result<()>>;

    /// A client is gone.
    fn on_disconnect(cx: Context<Self>, conn: Conn<Self>) -> Future<Result<()>>;

    /// Whether a client may have an event.
    fn can_subscribe(cx: Context<Self>, conn: Conn<Self>, event: String) -> Future<Result<bool>>;

    /// Answers a raw request. There is a connection if the type has asked for connections.
    fn on_request(
        cx: Context<Self>,
        conn: Option<Conn<Self>>,
        request: Request,
    ) -> Future<Result<Option<Response>>>;

    /// A raw WebSocket is open.
    fn on_websocket(cx: Context<Self>, conn: Conn<Self>) -> Future<Result<()>>;

    /// A message has come on a raw WebSocket.
    fn on_message(cx: Context<Self>, conn: Conn<Self>, message: Message) -> Future<Result<()>>;

    /// A raw WebSocket is closed.
    fn on_close(cx: Context<Self>, conn: Conn<Self>, close: Close) -> Future<Result<()>>;

    /// Runs an action, if there is one of this name.
    fn call(
        cx: Context<Self>,
        conn: Option<Conn<Self>>,
        action: &str,
        args: Vec<u8>,
    ) -> Option<Future<Result<Vec<u8>>>>;
}

/// A component's name and actor types. Implemented by [`component!`](crate::component).
pub trait Registered: 'static {
    /// What its revisions are numbered under.
    const NAME: &'static str;

    /// Its actor types.
    fn entries() -> &'static [Entry];
}

/// One actor type of a component.
pub struct Entry {
    pub(crate) name: &'static str,
    pub(crate) describe: fn() -> Description,
    pub(crate) embody: fn(Identity) -> Rc<dyn Body>,
}

impl Entry {
    /// The entry of actor type `A`.
    #[must_use]
    pub const fn of<A: Actor>() -> Self {
        Self {
            name: A::TYPE,
            describe: A::describe,
            embody: |identity| Rc::new(Context::<A>::new(identity)),
        }
    }
}

/// The one actor that this instance is, whatever its type.
pub(crate) trait Body {
    fn create(&self, input: Option<Vec<u8>>) -> Future<Result<()>>;
    fn wake(&self, state: Option<Vec<u8>>, conns: Vec<RestoredConnection>) -> Future<Result<()>>;
    fn call(
        &self,
        caller: Option<String>,
        action: &str,
        args: Vec<u8>,
    ) -> Option<Future<Result<Vec<u8>>>>;
    fn stop(&self, reason: StopReason) -> Future<Result<()>>;
    fn connect(&self, connection: Connection) -> Future<Result<()>>;
    fn disconnect(&self, id: String) -> Future<Result<()>>;
    fn may_subscribe(&self, id: String, event: String) -> Future<Result<bool>>;
    fn request(&self, id: String, request: Request) -> Future<Result<Option<Response>>>;
    fn websocket(&self, id: String) -> Future<Result<()>>;
    fn message(&self, id: String, message: Message) -> Future<Result<()>>;
    fn close(&self, id: String, close: Close) -> Future<Result<()>>;
    /// What has changed, or may have. A state that cannot be serialized is a fault to die of.
    fn saved(&self) -> Saved;
}

/// What is saved of an actor.
pub(crate) struct Saved {
    pub(crate) state: Option<Vec<u8>>,
    pub(crate) conns: Vec<(String, Vec<u8>)>,
}

impl<A: Actor> Body for Context<A> {
    fn create(&self, input: Option<Vec<u8>>) -> Future<Result<()>> {
        let cx = self.clone();
        Box::pin(async move {
            let state = A::create(cx.clone(), input).await?;
            cx.set_state(state, true);
            cx.set_vars(A::vars(cx.clone()).await?);
            A::on_wake(cx).await
        })
    }

    fn wake(&self, state: Option<Vec<u8>>, conns: Vec<RestoredConnection>) -> Future<Result<()>> {
        let cx = self.clone();
        Box::pin(async move {
            // A type that never gave a state cannot be told from one whose state is null.
            let state = state.unwrap_or_else(crate::decode::nothing);
            cx.set_state(from_slice(&state)?, false);
            cx.set_vars(A::vars(cx.clone()).await?);
            for conn in conns {
                restore(&cx, conn).await;
            }
            A::on_wake(cx).await
        })
    }

    fn call(
        &self,
        caller: Option<String>,
        action: &str,
        args: Vec<u8>,
    ) -> Option<Future<Result<Vec<u8>>>> {
        let cx = self.clone();
        let conn = caller.and_then(|id| cx.conn(&id));
        let called = A::call(cx.clone(), conn, action, args)?;
        Some(Box::pin(async move {
            let output = called.await;
            settle(&cx, output)
        }))
    }

    fn stop(&self, reason: StopReason) -> Future<Result<()>> {
        A::on_stop(self.clone(), reason)
    }

    fn connect(&self, connection: Connection) -> Future<Result<()>> {
        let cx = self.clone();
        Box::pin(async move {
            let connecting = Connecting::new(connection);
            A::before_connect(cx.clone(), connecting.clone()).await?;
            let state = A::conn_state(cx.clone(), connecting.clone()).await?;
            let conn = Conn::new(connecting, state, true);
            cx.list(conn.clone());
            let connected = A::on_connect(cx.clone(), conn.clone()).await;
            if connected.is_err() {
                cx.unlist(conn.id());
            }
            settle(&cx, connected)
        })
    }

    fn disconnect(&self, id: String) -> Future<Result<()>> {
        let cx = self.clone();
        Box::pin(async move {
            let Some(conn) = cx.unlist(&id) else {
                return Ok(());
            };
            let left = A::on_disconnect(cx.clone(), conn).await;
            settle(&cx, left)
        })
    }

    fn may_subscribe(&self, id: String, event: String) -> Future<Result<bool>> {
        let cx = self.clone();
        Box::pin(async move {
            let may = A::can_subscribe(cx.clone(), known(&cx, &id)?, event).await;
            settle(&cx, may)
        })
    }

    fn request(&self, id: String, request: Request) -> Future<Result<Option<Response>>> {
        let cx = self.clone();
        Box::pin(async move {
            let answered = A::on_request(cx.clone(), cx.conn(&id), request).await;
            settle(&cx, answered)
        })
    }

    fn websocket(&self, id: String) -> Future<Result<()>> {
        let cx = self.clone();
        Box::pin(async move {
            let opened = A::on_websocket(cx.clone(), known(&cx, &id)?).await;
            settle(&cx, opened)
        })
    }

    fn message(&self, id: String, message: Message) -> Future<Result<()>> {
        let cx = self.clone();
        Box::pin(async move {
            let handled = A::on_message(cx.clone(), known(&cx, &id)?, message).await;
            settle(&cx, handled)
        })
    }

    fn close(&self, id: String, close: Close) -> Future<Result<()>> {
        let cx = self.clone();
        Box::pin(async move {
            let closed = A::on_close(cx.clone(), known(&cx, &id)?, close).await;
            settle(&cx, closed)
        })
    }

    fn saved(&self) -> Saved {
        Saved {
            state: self.take_changed(|state| to_vec(state).expect("the state can be serialized")),
            conns: self.take_changed_conns(),
        }
    }
}

/// Runs the hook for changed states, if this turn has changed it (or another that ran meanwhile).
fn settle<A: Actor, T>(cx: &Context<A>, output: Result<T>) -> Result<T> {
    if cx.take_touched()
        && let Err(error) = A::on_state_change(cx.clone())
    {
        // It is told of a change that has happened; there is nothing for the caller to know.
        crate::log::error(format!("on_state_change: {error}"));
    }
    output
}

/// A connection whose state is lost, or can no longer be read, gets a new one, or has to go.
async fn restore<A: Actor>(cx: &Context<A>, restored: RestoredConnection) {
    let connecting = Connecting::new(restored.connection);
    let state = restored.state.and_then(|state| from_slice(&state).ok());
    let is_new = state.is_none();
    let state = match state {
        Some(state) => Ok(state),
        None => A::conn_state(cx.clone(), connecting.clone()).await,
    };
    match state {
        Ok(state) => cx.list(Conn::new(connecting, state, is_new)),
        Err(error) => {
            crate::log::warn(format!("a connection has no state any more: {error}"));
            sockets::close(connecting.id(), Some(1011), "actor.connection_state_lost");
        }
    }
}

fn known<A: Actor>(cx: &Context<A>, id: &str) -> Result<Conn<A>> {
    cx.conn(id)
        .ok_or_else(|| Error::internal(format!("there is no connection {id}")))
}
