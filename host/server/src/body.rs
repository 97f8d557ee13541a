//! Reading bodies within their bounds.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use greenroom_model::{ActorError, Code, codes};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

/// How much of a body is read, for how long, and what to say of one that is larger.
pub(crate) struct Bound {
    pub(crate) bytes_max: usize,
    pub(crate) within: Duration,
    pub(crate) too_long: Code,
}

/// Reads a body whole.
///
/// # Errors
///
/// `bound.too_long`, `guard.request_timeout`, or `actor.invalid_request` if it breaks off.
pub(crate) async fn read(body: Incoming, bound: &Bound) -> Result<Bytes, ActorError> {
    if body.size_hint().lower() > bound.bytes_max as u64 {
        return Err(too_long(bound));
    }
    let read = timeout(bound.within, collect(body, bound)).await;
    read.unwrap_or_else(|_| {
        let text = format!("the body did not arrive within {:?}", bound.within);
        Err(ActorError::new(codes::REQUEST_TIMEOUT, text))
    })
}

async fn collect(mut body: Incoming, bound: &Bound) -> Result<Bytes, ActorError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            ActorError::new(codes::INVALID_REQUEST, "the body broke off, or is wrongly framed")
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > bound.bytes_max {
            return Err(too_long(bound));
        }
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

fn too_long(bound: &Bound) -> ActorError {
    let text = format!("the body is over {} bytes, which is the most that is taken", bound.bytes_max);
    ActorError::new(bound.too_long, text)
}
