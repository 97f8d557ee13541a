//! Whether the host is there, and what it is.

use http::{HeaderValue, StatusCode};
use serde_json::json;

use crate::reply::{self, Reply};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `GET /health`.
pub(crate) fn health() -> Reply {
    reply::json(&json!({ "runtime": "greenroom", "status": "ok", "version": VERSION }))
}

/// `GET /metadata`, the stock client's first call. It acts on none of this, but hangs for ever without it.
pub(crate) fn metadata() -> Reply {
    reply::json(&json!({ "runtime": "greenroom", "version": VERSION }))
}

/// `GET /`.
pub(crate) fn root() -> Reply {
    let text = HeaderValue::from_static("text/plain");
    let hello = concat!(
        "This is Greenroom ",
        env!("CARGO_PKG_VERSION"),
        ", a host of actors.\n"
    );
    reply::body(StatusCode::OK, text, hello.into())
}
