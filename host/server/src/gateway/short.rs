//! What a call and a message have in common: a body that is read whole, a short connection, one answer.

use bytes::Bytes;
use greenroom_model::{ActorError, ActorSpecifier, ConnKind, codes};
use greenroom_placement::{Failed, Short};
use http::StatusCode;
use http::request::Parts;
use hyper::body::Incoming;

use crate::app::App;
use crate::body::{self, Bound};
use crate::encoding::Peer;
use crate::opening::opening;
use crate::reply::{self, Reply};

/// Reads the body of a request.
pub(super) async fn read(app: &App, body: Incoming) -> Result<Bytes, ActorError> {
    let bound = Bound {
        bytes_max: app.limits.incoming_bytes_max,
        within: app.limits.body_timeout,
        too_long: codes::INCOMING_TOO_LONG,
    };
    body::read(body, &bound).await
}

/// How the short connection begins that this request is. The actor sees its path from `route` on.
pub(super) fn caller(head: Parts, params: Bytes, route: &str) -> Short {
    // As it was sent, escapes and all.
    let path = head.uri.path();
    let path = path.rfind(route).map_or("/", |start| &path[start..]);
    let path = path.to_owned();
    Short::new(move || opening(ConnKind::Call, params, &head, &path))
}

/// Answers with what was written. `whose` answer it is goes into the refusal of one that is too long.
pub(super) fn answered(
    app: &App,
    peer: Peer,
    written: Result<Bytes, ActorError>,
    actor: &ActorSpecifier,
    whose: &str,
) -> Reply {
    match written.and_then(|body| fitting(body, app.limits.outgoing_bytes_max, whose)) {
        Ok(body) => {
            let mut reply = reply::body(StatusCode::OK, peer.content_type(), body);
            reply::add_actor(reply.headers_mut(), actor);
            reply
        }
        Err(error) => reply::actor_error(peer, &error, Some(actor)),
    }
}

/// Answers that it came to nothing.
pub(super) fn failed(app: &App, peer: Peer, failed: Failed, whose: &str) -> Reply {
    let Failed { error, actor } = failed;
    let error = fitting_error(error, app.limits.outgoing_bytes_max, whose);
    reply::actor_error(peer, &error, actor.as_ref())
}

fn fitting(body: Bytes, bytes_max: usize, whose: &str) -> Result<Bytes, ActorError> {
    if body.len() <= bytes_max {
        return Ok(body);
    }
    let bytes = body.len();
    let text = format!("the {whose}'s answer has {bytes} bytes; at most {bytes_max} are sent");
    Err(ActorError::new(codes::OUTGOING_TOO_LONG, text))
}

/// Errors are made by guests as well, and bounded like their answers.
fn fitting_error(error: ActorError, bytes_max: usize, whose: &str) -> ActorError {
    let metadata = error.metadata.as_ref().map_or(0, Bytes::len);
    let bytes = error.group.len() + error.code.len() + error.message.len() + metadata;
    if bytes <= bytes_max {
        return error;
    }
    let text = format!("the {whose}'s error has {bytes} bytes; at most {bytes_max} are sent");
    ActorError::new(codes::OUTGOING_TOO_LONG, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_to_be_sent_says_whose_it_was() {
        let body = Bytes::from_static(b"12345");
        assert_eq!(fitting(body.clone(), 5, "queue").unwrap(), body);
        let refused = fitting(body, 4, "queue").unwrap_err();
        assert!(refused.is(codes::OUTGOING_TOO_LONG));
        assert!(refused.message.contains("the queue's answer"));
        let error = ActorError::new(codes::QUEUE_FULL, "no room");
        assert!(fitting_error(error.clone(), 16, "queue").is(codes::QUEUE_FULL));
        assert!(fitting_error(error, 15, "queue").is(codes::OUTGOING_TOO_LONG));
    }
}
