//! Write actors for Greenroom in Rust.
//!
//! An actor is a struct, its state, and an `impl` block, its actions:
//!
//! ```
//! use greenroom_sdk::prelude::*;
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Counter {
//!     count: i64,
//! }
//!
//! #[actor]
//! impl Counter {
//!     #[action]
//!     fn increment(&mut self, by: i64) -> i64 {
//!         self.count += by;
//!         self.count
//!     }
//! }
//!
//! # #[cfg(target_family = "wasm")]
//! greenroom_sdk::component!(Counter);
//! ```
//!
//! Build it with `cargo build --release --target wasm32-wasip2` as a `cdylib`, deploy it with
//! `greenroom deploy`, call it with `greenroom call counter a increment 1` or with the npm client
//! `rivetkit/client`.
//!
//! # Actions
//!
//! * `fn action(&mut self, …)` and `fn action(&self, …)` run to their end without anything in between. They
//!   may take `env: &Env<Self>` after `self`, for everything but the state.
//! * `async fn action(cx: Context<Self>, …)` can wait: for a timer, for another actor. Others run
//!   meanwhile, so it reaches the state only for a moment at a time, with [`Context::read`] and
//!   [`Context::update`].
//!
//! Arguments are anything that serde can deserialize, by position; an `Option` may be left out. Results
//! are anything that serde can serialize, or a [`Result`] of it. What the caller gets of an error is
//! told at [`Error`].
//!
//! A borrow of the state cannot live across a wait; this does not compile:
//!
//! ```compile_fail
//! # use greenroom_sdk::prelude::*;
//! # #[derive(Default, Serialize, Deserialize)] struct Counter { count: i64 }
//! #[actor]
//! impl Counter {
//!     #[action]
//!     async fn increment(&mut self, by: i64) -> i64 {
//!         time::sleep(Duration::from_secs(1)).await;
//!         self.count += by;
//!         self.count
//!     }
//! }
//! ```
//!
//! nor does keeping what the closure was lent:
//!
//! ```compile_fail
//! # use greenroom_sdk::prelude::*;
//! # #[derive(Default, Serialize, Deserialize)] struct Counter { count: i64 }
//! #[actor]
//! impl Counter {
//!     #[action]
//!     async fn increment(cx: Context<Self>, by: i64) -> i64 {
//!         let state = cx.update(|state| state);
//!         time::sleep(Duration::from_secs(1)).await;
//!         state.count += by;
//!         state.count
//!     }
//! }
//! ```
//!
//! This does:
//!
//! ```
//! # use greenroom_sdk::prelude::*;
//! # #[derive(Default, Serialize, Deserialize)] struct Counter { count: i64 }
//! #[actor]
//! impl Counter {
//!     #[action]
//!     async fn increment(cx: Context<Self>, by: i64) -> i64 {
//!         time::sleep(Duration::from_secs(1)).await;
//!         cx.update(|state| {
//!             state.count += by;
//!             state.count
//!         })
//!     }
//! }
//! ```
//!
//! # Creation, vars, hooks
//!
//! Without more, an actor begins as its [`Default`]. A function marked `#[create]` makes the first state
//! instead, out of what the creator gave. `#[vars]` makes what is not saved, at every start. `#[on_wake]`
//! runs at every start after that, `#[on_sleep]` before the actor leaves memory, `#[on_destroy]` before it is
//! removed for good.
//!
//! ```
//! # use greenroom_sdk::prelude::*;
//! #[derive(Serialize, Deserialize)]
//! struct Room {
//!     title: String,
//!     wakes: u32,
//! }
//!
//! #[derive(Default)]
//! struct Cache {
//!     lookups: u32,
//! }
//!
//! #[actor(name = "room", vars = Cache, sleep_after = "5s", action_timeout = "1s")]
//! impl Room {
//!     #[create]
//!     fn create(env: &Env<Self>, title: Option<String>) -> Result<Self> {
//!         let title = title.unwrap_or_else(|| env.key().join(" "));
//!         if title.is_empty() {
//!             return Err(UserError::new("a room needs a title").with_code("no_title").into());
//!         }
//!         Ok(Self { title, wakes: 0 })
//!     }
//!
//!     #[on_wake]
//!     async fn woken(cx: Context<Self>) {
//!         cx.update(|room| room.wakes += 1);
//!     }
//!
//!     #[action]
//!     fn title(&self, env: &Env<Self>) -> String {
//!         env.vars(|cache| cache.lookups += 1);
//!         self.title.clone()
//!     }
//! }
//! ```
//!
//! # Other actors
//!
//! ```
//! # use greenroom_sdk::prelude::*;
//! #[handle("room")]
//! trait Room {
//!     async fn title(&self) -> String;
//! }
//!
//! # async fn example() -> Result<()> {
//! let room = Room::get_or_create(["lobby"]);
//! let title = room.title().await?;
//! # Ok(())
//! # }
//! ```

pub mod bindings;
pub mod client;
mod component;
mod conn;
mod context;
mod decode;
mod error;
mod events;
mod export;
mod http;
pub mod log;
pub mod time;
mod websocket;

pub use component::{Actor, Description, Future, StopReason};
pub use conn::{Conn, ConnKind, Connecting, OpeningRequest};
pub use context::{Context, Env};
pub use error::{Error, Result, UserError};
pub use events::{Event, Named};
pub use greenroom_macros::{actor, handle};
pub use greenroom_value::Value;
pub use http::{Body, Request, Response};
pub use websocket::{Close, Message, MessageData};

/// What an actor's file begins with.
pub mod prelude {
    pub use std::time::Duration;

    pub use serde::{Deserialize, Serialize};

    pub use crate::client::CallError;
    pub use crate::{
        Body, Close, Conn, ConnKind, Connecting, Context, Env, Error, Event, Message, MessageData,
        OpeningRequest, Request, Response, Result, StopReason, UserError, Value, actor, client,
        handle, log, time,
    };
}

/// For the code that the macros write. No part of the interface.
#[doc(hidden)]
pub mod private {
    pub use crate::bindings::exports::greenroom::actor::description;
    pub use serde::Serialize;

    pub use crate::component::{Entry, Registered};
    pub use crate::decode::{Answer, Args, decode_input, encode, nothing, required, to_value};
}

/// Runs a future on its own: it goes on after the call that began it has returned. It does not keep the actor awake, and
/// ends with it.
pub fn spawn(future: impl std::future::Future<Output = ()> + 'static) {
    wit_bindgen::spawn_local(future);
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
