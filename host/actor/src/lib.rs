//! One actor, awake.
//!
//! [`activate`] gives a [`Handle`], the way in, and a future, the activation itself: it opens the actor's
//! data, makes an instance of its guest, and serves what comes until the actor has to leave memory.
//! Each rule that the loop in `activation.rs` follows stands beside it: `gate.rs` (what waits to
//! leave until the writes before it are kept), `turns.rs` (what runs, and by when it has to answer),
//! `stop.rs` (how it ends in order), `behalf.rs` (on whose behalf it calls others),
//! `orders.rs` (who may be told to stop, and how), `conn.rs` and `conns.rs` (clients that are attached), `outward.rs` (what
//! leaves besides answers), `aftermath.rs` (what is left to do when it is gone), `revisions.rs` (on what code it runs), `rehearse.rs`
//! (whether it could on other code), `data/` (what it keeps besides its state: pairs, queues, a schedule), `waiters.rs` (who waits for
//! a message to be completed).

mod activate;
mod activation;
mod aftermath;
mod alone;
mod begin;
mod behalf;
mod body;
mod conn;
mod conns;
mod data;
mod entry;
mod gate;
mod handle;
mod orders;
mod outward;
mod persist;
mod rehearse;
mod revisions;
mod stop;
mod turns;
mod waiters;

pub use activate::{Ended, Parts, activate};
pub use conn::{Conn, Sockets};
pub use greenroom_runtime::{Body, BodyError, HttpRequest, HttpResponse};
pub use handle::{CallError, Caller, Handle, Inspect, Inspected, Output, Short, What};
pub use orders::Order;
pub use rehearse::{Rehearsed, Stage, rehearse};
pub use revisions::{ActiveType, Assignment, Placed, Report, Revisions, Written};
pub use waiters::{Waiters, Waiting};
