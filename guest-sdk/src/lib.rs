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
//! # Another shape of the state
//!
//! Code that cannot read what older code has saved, or would misread it, raises `state_version` and has steps that lead there.
//! Each makes a state of the next version; the compiler checks that they fit together.
//!
//! ```
//! # use greenroom_sdk::prelude::*;
//! #[derive(Default, Serialize, Deserialize)]
//! struct Account {
//!     balance: Money,
//! }
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Money {
//!     amount: i64,
//!     currency: String,
//! }
//!
//! /// An account of version 1, which had no currency.
//! #[derive(Deserialize)]
//! struct AccountV1 {
//!     balance: i64,
//! }
//!
//! #[actor(state_version = 2)]
//! impl Account {
//!     #[migrate(from = 1)]
//!     fn add_currency(old: AccountV1) -> Self {
//!         let currency = "EUR".to_owned();
//!         Self { balance: Money { amount: old.balance, currency } }
//!     }
//! }
//! ```
//!
//! # Queues, and work of its own
//!
//! A [`Queue`] is durable: its messages come out in the order in which they were sent, and stay until somebody has dealt with
//! them. The function marked `#[run]` is the actor's own work, begun at every start; while all that it does is wait for a
//! message, the actor may sleep. [`take`](Queue::take) leaves a message in its queue until it is
//! [completed](Delivery::complete): if the actor fails before, it comes again. [`receive`](Queue::receive) removes it at
//! once. A call deals with what it has taken before it takes more.
//!
//! ```
//! # use greenroom_sdk::prelude::*;
//! #[derive(Serialize, Deserialize)]
//! struct Job {
//!     pages: u32,
//! }
//!
//! const JOBS: Queue<Job> = Queue::new("jobs");
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Printer {
//!     printed: u32,
//! }
//!
//! #[actor(queues = [JOBS], queue_attempts_max = 3)]
//! impl Printer {
//!     #[run]
//!     async fn run(cx: Context<Self>) -> Result<()> {
//!         loop {
//!             let job = JOBS.take(&cx).await?;
//!             time::sleep(Duration::from_secs(job.body.pages.into())).await;
//!             let printed = cx.update(|printer| {
//!                 printer.printed += job.body.pages;
//!                 printer.printed
//!             });
//!             // Removed together with what was changed for it, or not at all.
//!             job.complete_with(&printed)?;
//!         }
//!     }
//!
//!     #[can_publish]
//!     fn can_publish(&self, conn: Conn<Self>, queue: &str) -> bool {
//!         queue == JOBS.name() && conn.params::<Option<String>>().is_ok_and(|key| key.is_some())
//!     }
//!
//!     #[action]
//!     fn print(&self, env: &Env<Self>, pages: u32) -> Result<Option<String>> {
//!         JOBS.send(env, &Job { pages })
//!     }
//!
//!     #[action]
//!     async fn print_now(cx: Context<Self>, pages: u32) -> Result<Option<u32>> {
//!         let patience = Duration::from_secs(30);
//!         JOBS.send_and_wait(&cx, &Job { pages }, patience).await?.reply()
//!     }
//! }
//! ```
//!
//! `take` fails when the actor begins to stop, and `?` ends the loop then. A loop that waits for something else looks
//! at [`Env::aborted`].
//!
//! # Later
//!
//! The [`Schedule`] has actions of the actor's own and when to run them. Its entries are durable and wake the actor.
//!
//! ```
//! # use greenroom_sdk::prelude::*;
//! # #[derive(Default, Serialize, Deserialize)] struct Reminder;
//! #[actor]
//! impl Reminder {
//!     #[action]
//!     fn remind(&self, env: &Env<Self>, text: String) -> Result<String> {
//!         let schedule = env.schedule();
//!         schedule.named("daily").time_zone("Europe/Berlin").cron("0 9 * * 1-5", "tell", (&text,))?;
//!         schedule.after(Duration::from_secs(60), "tell", (text,))
//!     }
//!
//!     #[action]
//!     fn tell(&self, env: &Env<Self>, text: String) {
//!         env.broadcast("reminder", &text);
//!     }
//!
//!     #[action]
//!     fn forget(&self, env: &Env<Self>) -> bool {
//!         env.schedule().cancel("daily")
//!     }
//! }
//! ```
//!
//! # Pairs
//!
//! [`Kv`] is for what is too much to be held in the state. It is written at once and committed together with the state;
//! reading it waits.
//!
//! ```
//! # use greenroom_sdk::prelude::*;
//! # #[derive(Default, Serialize, Deserialize)] struct Wiki;
//! #[actor]
//! impl Wiki {
//!     #[action]
//!     fn write(&self, env: &Env<Self>, title: String, text: String) -> Result<()> {
//!         env.kv().put(format!("page/{title}"), text)
//!     }
//!
//!     #[action]
//!     async fn page(cx: Context<Self>, title: String) -> Result<Option<String>> {
//!         cx.kv().get_text(format!("page/{title}")).await
//!     }
//!
//!     #[action]
//!     async fn count(cx: Context<Self>) -> Result<usize> {
//!         Ok(cx.kv().list("page/").await?.len())
//!     }
//! }
//! ```
//!
//! # Coming to an end
//!
//! With `cancel_abandoned`, an async action is dropped where it waits when its caller has gone. A [`CancelToken`] lets
//! one action end another. What goes on after an action has returned is announced by [`Env::wait_until`] or
//! [`Env::keep_awake`], so that a stop waits for it; it learns of the stop by [`Env::aborted`].
//!
//! ```
//! # use greenroom_sdk::prelude::*;
//! # #[derive(Default, Serialize, Deserialize)] struct Search;
//! #[actor(vars = CancelToken, cancel_abandoned)]
//! impl Search {
//!     #[action]
//!     async fn search(cx: Context<Self>) -> Result<String> {
//!         let token = cx.vars(|token| token.clone());
//!         token.run(time::sleep(Duration::from_secs(60))).await?;
//!         Ok("found".to_owned())
//!     }
//!
//!     #[action]
//!     fn stop(&self, env: &Env<Self>) {
//!         env.vars(|token| std::mem::take(token).cancel());
//!     }
//!
//!     #[action]
//!     fn index(&self, env: &Env<Self>) {
//!         let token = CancelToken::new();
//!         let ends = token.clone();
//!         env.on_abort(move || ends.cancel());
//!         env.keep_awake(async move { token.run(time::sleep(Duration::from_secs(600))).await });
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
//! room.send("letters", "to whom it may concern").await?;
//! # Ok(())
//! # }
//! ```

mod background;
pub mod bindings;
mod body;
mod cancel;
pub mod client;
mod component;
mod conn;
mod context;
mod decode;
mod error;
mod events;
mod export;
mod http;
mod kv;
pub mod log;
mod migrate;
mod queues;
mod receive;
mod schedule;
pub mod time;
mod waits;
mod websocket;

pub use background::{Task, spawn};
pub use cancel::{Aborted, CancelToken, Cancellation, Cancelled};
pub use component::{Actor, Description, Future, StopReason};
pub use conn::{Conn, ConnKind, Connecting, OpeningRequest};
pub use context::{Context, Env};
pub use error::{Error, Result, UserError};
pub use events::{Event, Named};
pub use greenroom_macros::{actor, handle};
pub use greenroom_value::Value;
pub use http::{Body, Request, Response};
pub use kv::{Kv, List, Pair};
pub use queues::{Completion, DeadLetter, Queue, QueueMessage};
pub use receive::{Delivery, Receive};
pub use schedule::{Outcome, Schedule, Scheduled, ScheduledRun};
pub use websocket::{Close, Message, MessageData};

/// What an actor's file begins with.
pub mod prelude {
    pub use std::time::Duration;

    pub use serde::{Deserialize, Serialize};

    pub use crate::client::CallError;
    pub use crate::{
        Aborted, Body, CancelToken, Cancelled, Close, Completion, Conn, ConnKind, Connecting,
        Context, DeadLetter, Delivery, Env, Error, Event, Kv, Message, MessageData, OpeningRequest,
        Outcome, Queue, QueueMessage, Request, Response, Result, Schedule, Scheduled, ScheduledRun,
        StopReason, Task, UserError, Value, actor, client, handle, log, time,
    };
}

/// For the code that the macros write. No part of the interface.
#[doc(hidden)]
pub mod private {
    pub use crate::bindings::exports::greenroom::actor::description;
    pub use serde::Serialize;

    pub use crate::component::{Entry, Registered};
    pub use crate::decode::{Answer, Args, decode_input, encode, nothing, required, to_value};
    pub use crate::migrate::{decode_state, unreadable};
}
