//! The network edge: HTTP ends here.
//!
//! A request comes in by `listener.rs`, is matched to a route (`route.rs`) and read within its bounds; from
//! there on nobody knows about HTTP. `gateway/` is for the clients of actors and speaks the protocol of
//! the stock client (`docs/protocol.md`); `admin/` is for operators. What of an error a stranger sees is
//! decided in `reply.rs` alone.

mod admin;
mod app;
mod auth;
mod body;
mod cors;
mod encoding;
mod gateway;
mod io;
mod listener;
mod opening;
mod query;
mod reply;
mod route;
mod tls;

pub use app::{App, Namespaces, Setup};
pub use listener::serve;
pub use tls::{Tls, TlsError};
