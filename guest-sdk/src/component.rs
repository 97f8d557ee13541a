//! What the macros fill in, and the one that makes a component of it.

use std::pin::Pin;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::exports::greenroom::actor::description::ActorTypeDescription;
use crate::bindings::greenroom::actor::types::Identity;
use crate::body::Body;
use crate::conn::{Conn, Connecting};
use crate::context::Context;
use crate::error::Result;
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

    /// Whether calls whose callers have gone are dropped.
    const CANCEL_ABANDONED: bool;

    /// The version of the shape of its state.
    const STATE_VERSION: u32;

    /// What it keeps in memory and nowhere else.
    type Vars: 'static;

    /// What the host is told of it.
    fn describe() -> Description;

    /// Makes a state of [`STATE_VERSION`](Self::STATE_VERSION) out of one of the version `from`.
    ///
    /// # Errors
    ///
    /// An internal error if there is no step from that version, or if the bytes are not a state of that version; what a
    /// step fails with.
    fn migrate(from: u32, state: &[u8]) -> Result<Vec<u8>>;

    /// Makes the first state out of what the creator gave.
    fn create(cx: Context<Self>, input: Option<Vec<u8>>) -> Future<Result<Self>>;

    /// Makes the vars, at every start, when there is a state.
    fn vars(cx: Context<Self>) -> Future<Result<Self::Vars>>;

    /// Runs at every start, before any action.
    fn on_wake(cx: Context<Self>) -> Future<Result<()>>;

    /// The actor's own work, at every start.
    fn run(cx: Context<Self>) -> Future<Result<()>>;

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

    /// Whether somebody else may send to a queue.
    fn can_publish(cx: Context<Self>, conn: Conn<Self>, queue: String) -> Future<Result<bool>>;

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
    pub(crate) migrate: fn(u32, &[u8]) -> Result<Vec<u8>>,
    pub(crate) embody: fn(Identity) -> Rc<dyn Body>,
}

impl Entry {
    /// The entry of actor type `A`.
    #[must_use]
    pub const fn of<A: Actor>() -> Self {
        Self {
            name: A::TYPE,
            describe: A::describe,
            migrate: A::migrate,
            embody: |identity| Rc::new(Context::<A>::new(identity)),
        }
    }
}

/// Makes a component of these actor types. Once in a crate, which is built as a `cdylib`.
///
/// The component's name is the crate's.
#[macro_export]
macro_rules! component {
    ($($actor:ty),+ $(,)?) => {
        struct GreenroomComponent;

        impl $crate::private::Registered for GreenroomComponent {
            const NAME: &'static str = ::core::env!("CARGO_PKG_NAME");

            fn entries() -> &'static [$crate::private::Entry] {
                const { &[$($crate::private::Entry::of::<$actor>()),+] }
            }
        }

        $crate::bindings::export_component!(GreenroomComponent with_types_in $crate::bindings);
    };
    (name = $name:literal; $($actor:ty),+ $(,)?) => {
        struct GreenroomComponent;

        impl $crate::private::Registered for GreenroomComponent {
            const NAME: &'static str = $name;

            fn entries() -> &'static [$crate::private::Entry] {
                const { &[$($crate::private::Entry::of::<$actor>()),+] }
            }
        }

        $crate::bindings::export_component!(GreenroomComponent with_types_in $crate::bindings);
    };
}
