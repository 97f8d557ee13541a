//! The actor that an instance is, and how the component's exports get into it: each with a context of its own.

use std::future::{Future as _, poll_fn};
use std::task::Poll;

use greenroom_value::{from_slice, to_vec};

use crate::bindings::greenroom::actor::sockets;
use crate::bindings::greenroom::actor::types::{Connection, RestoredConnection};
use crate::component::{Actor, Future, StopReason};
use crate::conn::{Conn, Connecting};
use crate::context::{Context, Env};
use crate::error::{Error, Result};
use crate::http::{Request, Response};
use crate::waits::run_loop;
use crate::websocket::{Close, Message};

/// The one actor that this instance is, whatever its type.
pub(crate) trait Body {
    fn create(&self, input: Option<Vec<u8>>) -> Future<Result<()>>;
    fn wake(&self, state: Option<Vec<u8>>, conns: Vec<RestoredConnection>) -> Future<Result<()>>;
    fn run(&self) -> Future<Result<()>>;
    fn abort(&self);
    fn call(
        &self,
        id: u32,
        caller: Option<String>,
        action: &str,
        args: Vec<u8>,
    ) -> Option<Future<Result<Vec<u8>>>>;
    fn cancel(&self, id: u32);
    fn stop(&self, reason: StopReason) -> Future<Result<()>>;
    fn connect(&self, connection: Connection) -> Future<Result<()>>;
    fn disconnect(&self, id: String) -> Future<Result<()>>;
    fn may_subscribe(&self, id: String, event: String) -> Future<Result<bool>>;
    fn may_publish(&self, id: String, queue: String) -> Future<Result<bool>>;
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
        let cx = self.enter(false);
        Box::pin(async move {
            let state = A::create(cx.clone(), input).await?;
            cx.set_state(state, true);
            cx.set_vars(A::vars(cx.clone()).await?);
            A::on_wake(cx).await
        })
    }

    fn wake(&self, state: Option<Vec<u8>>, conns: Vec<RestoredConnection>) -> Future<Result<()>> {
        let cx = self.enter(false);
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

    fn run(&self) -> Future<Result<()>> {
        let cx = self.enter(true);
        Box::pin(async move {
            let ran = run_loop(cx.clone().settling(A::run(cx.clone()))).await;
            match ran {
                // That it was waiting for a message when the stop began is how it should end.
                Err(error) if cx.is_aborted() && error.is_aborted() => Ok(()),
                ran => ran,
            }
        })
    }

    fn abort(&self) {
        Env::abort(self).begin();
        self.settle();
    }

    fn call(
        &self,
        id: u32,
        caller: Option<String>,
        action: &str,
        args: Vec<u8>,
    ) -> Option<Future<Result<Vec<u8>>>> {
        let cx = self.enter(false);
        let conn = caller.and_then(|id| cx.conn(&id));
        let called = A::call(cx.clone(), conn, action, args)?;
        let mut called = Box::pin(called);
        Some(Box::pin(async move {
            // Most calls have ended before anybody could cancel them.
            let first = poll_fn(|task| Poll::Ready(called.as_mut().poll(task))).await;
            let output = match first {
                Poll::Ready(output) => output,
                Poll::Pending => cx.calls().run(id, called).await,
            };
            settle(&cx, output)
        }))
    }

    fn cancel(&self, id: u32) {
        self.calls().cancel(id);
    }

    fn stop(&self, reason: StopReason) -> Future<Result<()>> {
        A::on_stop(self.enter(false), reason)
    }

    fn connect(&self, connection: Connection) -> Future<Result<()>> {
        let cx = self.enter(false);
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
        let cx = self.enter(false);
        Box::pin(async move {
            let Some(conn) = cx.unlist(&id) else {
                return Ok(());
            };
            let left = A::on_disconnect(cx.clone(), conn).await;
            settle(&cx, left)
        })
    }

    fn may_subscribe(&self, id: String, event: String) -> Future<Result<bool>> {
        let cx = self.enter(false);
        Box::pin(async move {
            let may = A::can_subscribe(cx.clone(), known(&cx, &id)?, event).await;
            settle(&cx, may)
        })
    }

    fn may_publish(&self, id: String, queue: String) -> Future<Result<bool>> {
        let cx = self.enter(false);
        Box::pin(async move {
            let may = A::can_publish(cx.clone(), known(&cx, &id)?, queue).await;
            settle(&cx, may)
        })
    }

    fn request(&self, id: String, request: Request) -> Future<Result<Option<Response>>> {
        let cx = self.enter(false);
        Box::pin(async move {
            let answered = A::on_request(cx.clone(), cx.conn(&id), request).await;
            settle(&cx, answered)
        })
    }

    fn websocket(&self, id: String) -> Future<Result<()>> {
        let cx = self.enter(false);
        Box::pin(async move {
            let opened = A::on_websocket(cx.clone(), known(&cx, &id)?).await;
            settle(&cx, opened)
        })
    }

    fn message(&self, id: String, message: Message) -> Future<Result<()>> {
        let cx = self.enter(false);
        Box::pin(async move {
            let handled = A::on_message(cx.clone(), known(&cx, &id)?, message).await;
            settle(&cx, handled)
        })
    }

    fn close(&self, id: String, close: Close) -> Future<Result<()>> {
        let cx = self.enter(false);
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
    cx.settle();
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
