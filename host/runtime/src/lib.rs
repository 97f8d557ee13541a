//! The Wasm side: everything that knows wasmtime.
//!
//! [`Engine`] is the one configuration. [`Engine::compile`] makes a [`Compiled`] component out of
//! uploaded bytes, from its cache on disk if it can. An [`Instance`] is one guest: a store, its memory,
//! its imports. [`Instance::run`] drives it, and inside, a [`Guest`] is its exports as typed calls that
//! interleave wherever the guest waits.
//!
//! A guest may be slow, wrong or hostile. It can compute for `guest_burst_max` at a stretch, hold
//! `guest_memory_bytes_max` of memory, and pass `guest_message_bytes_max` in one call. Whoever breaks a
//! bound ends with a [`Crash`], and only that instance does.

mod bindings;
mod cache;
mod compiled;
mod crash;
mod ctx;
mod describe;
mod effects;
mod engine;
mod guest;
mod http;
mod imports;
mod instance;
mod nobody;
mod output;

pub use compiled::{Compiled, Refused};
pub use crash::Crash;
pub use effects::Effect;
pub use engine::{Engine, SetupError};
pub use guest::{Failure, Guest, Identity, Restored, Saved, Snapshot, StopReason};
pub use http::{Body, BodyError, HttpRequest, HttpResponse};
pub use instance::{Arriving, Barrier, Instance, Setup};
