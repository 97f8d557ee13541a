//! What goes back, and what of an error a stranger may see.

use bytes::Bytes;
use greenroom_model::{ActorError, ActorSpecifier};
use greenroom_placement::Body;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{Either, Full};
use serde::Serialize;
use tracing::error;

use crate::encoding::{self, Peer};

/// An answer, whole or as it comes out of a guest.
pub(crate) type Reply = Response<Either<Full<Bytes>, Body>>;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ERROR: HeaderName = HeaderName::from_static("x-rivet-error");

/// An answer with a body of this type.
pub(crate) fn body(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Reply {
    let mut reply = Response::new(Either::Left(Full::new(body)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Either::Left(Full::default()));
    *reply.status_mut() = status;
    reply
}

/// An answer in JSON.
pub(crate) fn json(value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(bytes) => body(StatusCode::OK, JSON, bytes.into()),
        Err(failed) => {
            error!(error = %failed, "an answer cannot be written as JSON");
            error(&ActorError::internal())
        }
    }
}

/// An error, as the answer to a request whose encoding is not known, or does not matter.
pub(crate) fn error(error: &ActorError) -> Reply {
    actor_error(Peer::JSON, error, None)
}

/// An error, as the answer to a call in this encoding, with who it comes from.
///
/// No other code decides what of an error leaves the host: an [`ActorError`] holds nothing that is not
/// meant to, and whoever made one out of an internal failure has logged that failure.
pub(crate) fn actor_error(peer: Peer, error: &ActorError, actor: Option<&ActorSpecifier>) -> Reply {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let bytes = encoding::encode_error(peer, error, actor);
    let mut reply = body(status, peer.content_type(), bytes);
    let headers = reply.headers_mut();
    match actor {
        Some(actor) => add_actor(headers, actor),
        // As the stock gateway marks the errors that it made itself.
        None => {
            if let Ok(name) = HeaderValue::try_from(format!("{}.{}", error.group, error.code)) {
                headers.insert(ERROR, name);
            }
        }
    }
    reply
}

/// Says which activation an answer comes from.
pub(crate) fn add_actor(headers: &mut http::HeaderMap, actor: &ActorSpecifier) {
    const ACTOR: HeaderName = HeaderName::from_static("x-rivet-actor");
    const GENERATION: HeaderName = HeaderName::from_static("x-rivet-actor-generation");
    const KEY: HeaderName = HeaderName::from_static("x-rivet-actor-key");
    if let Ok(id) = HeaderValue::try_from(actor.id.to_string()) {
        headers.insert(ACTOR, id);
    }
    headers.insert(GENERATION, HeaderValue::from(actor.generation.0));
    // Raw UTF-8. A key with control characters cannot be said in a header, and is left out.
    if let Ok(key) = HeaderValue::from_bytes(actor.key.as_serialized().as_bytes()) {
        headers.insert(KEY, key);
    }
}
