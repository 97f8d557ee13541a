//! What the macros fill in, and how a component's exports find the actor they are for.

use std::pin::Pin;
use std::rc::Rc;

use greenroom_value::{from_slice, to_vec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::exports::greenroom::actor::description::ActorTypeDescription;
use crate::bindings::greenroom::actor::types::Identity;
use crate::context::Context;
use crate::error::Result;

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

    /// Runs an action, if there is one of this name.
    fn call(cx: Context<Self>, action: &str, args: Vec<u8>) -> Option<Future<Result<Vec<u8>>>>;
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
    fn wake(&self, state: Option<Vec<u8>>) -> Future<Result<()>>;
    fn call(&self, action: &str, args: Vec<u8>) -> Option<Future<Result<Vec<u8>>>>;
    fn stop(&self, reason: StopReason) -> Future<Result<()>>;
    /// The state, if it may have changed. A state that cannot be serialized is a fault to die of.
    fn snapshot(&self) -> Option<Vec<u8>>;
}

impl<A: Actor> Body for Context<A> {
    fn create(&self, input: Option<Vec<u8>>) -> Future<Result<()>> {
        let cx = self.clone();
        Box::pin(async move {
            let state = A::create(cx.clone(), input).await?;
            cx.set_state(state, true);
            start(cx).await
        })
    }

    fn wake(&self, state: Option<Vec<u8>>) -> Future<Result<()>> {
        let cx = self.clone();
        Box::pin(async move {
            // A type that never gave a state cannot be told from one whose state is null.
            let state = state.unwrap_or_else(crate::decode::nothing);
            cx.set_state(from_slice(&state)?, false);
            start(cx).await
        })
    }

    fn call(&self, action: &str, args: Vec<u8>) -> Option<Future<Result<Vec<u8>>>> {
        A::call(self.clone(), action, args)
    }

    fn stop(&self, reason: StopReason) -> Future<Result<()>> {
        A::on_stop(self.clone(), reason)
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        self.take_changed(|state| to_vec(state).expect("the state can be serialized"))
    }
}

async fn start<A: Actor>(cx: Context<A>) -> Result<()> {
    cx.set_vars(A::vars(cx.clone()).await?);
    A::on_wake(cx).await
}
