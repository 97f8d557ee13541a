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

/// How much of a refused body is read before the refusal is sent, and for how long.
const DISCARD_BYTES_MAX: usize = 64 << 20;
const DISCARD_WITHIN: Duration = Duration::from_secs(2);

/// Reads a body whole.
///
/// # Errors
///
/// `bound.too_long`, `guard.request_timeout`, or `actor.invalid_request` if it breaks off.
pub(crate) async fn read(body: Incoming, bound: &Bound) -> Result<Bytes, ActorError> {
    let mut body = body;
    let read = timeout(bound.within, collect(&mut body, bound)).await;
    let read = read.unwrap_or_else(|_| {
        let text = format!("the body did not arrive within {:?}", bound.within);
        Err(ActorError::new(codes::REQUEST_TIMEOUT, text))
    });
    if read.is_err() {
        discard(&mut body).await;
    }
    read
}

/// Reads a body that nobody wants, up to a bound.
pub(crate) async fn skip(mut body: Incoming) {
    discard(&mut body).await;
}

/// Reads on and throws away, up to a bound.
///
/// Most clients look for an answer only when they have sent all; with the connection closed before, they
/// would see a broken pipe instead of the reason.
async fn discard(body: &mut Incoming) {
    // Enough is enough: what comes after it meets a closed connection.
    _ = timeout(DISCARD_WITHIN, discard_all(body)).await;
}

async fn discard_all(body: &mut Incoming) {
    let mut left = DISCARD_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(less) => left = less,
            None => return,
        }
    }
}

async fn collect(body: &mut Incoming, bound: &Bound) -> Result<Bytes, ActorError> {
    if body.size_hint().lower() > bound.bytes_max as u64 {
        return Err(too_long(bound));
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            ActorError::new(
                codes::INVALID_REQUEST,
                "the body broke off, or is wrongly framed",
            )
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
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
    let text = format!(
        "the body is over {} bytes, which is the most that is taken",
        bound.bytes_max
    );
    ActorError::new(bound.too_long, text)
}
