//! `POST {gateway}/action/{name}`: one call, one answer.

use bytes::Bytes;
use greenroom_model::{ActorError, ConnKind, Lineage, Target, codes};
use greenroom_placement::{Answer, Failed, Short};
use http::StatusCode;
use http::request::Parts;
use hyper::body::Incoming;

use crate::app::App;
use crate::body::{self, Bound};
use crate::encoding::{self, Encoding, Peer};
use crate::opening::{opening, params};
use crate::reply::{self, Reply};

pub(super) async fn call(
    app: &App,
    head: Parts,
    target: &Target,
    action: &str,
    body: Incoming,
) -> Result<Reply, ActorError> {
    let encoding = Encoding::of(&head.headers)?;
    let bound = Bound {
        bytes_max: app.limits.incoming_bytes_max,
        within: app.limits.body_timeout,
        too_long: codes::INCOMING_TOO_LONG,
    };
    let body = body::read(body, &bound).await?;
    let (peer, args) = encoding::decode_action(encoding, &body)?;
    let params = params(&head.headers)?;
    // As it was sent, escapes and all.
    let path = head.uri.path();
    let path = path.rfind("/action/").map_or("/", |start| &path[start..]);
    let path = path.to_owned();
    let caller = Short::new(move || opening(ConnKind::Call, params, &head, &path));
    Ok(
        match app
            .router
            .call(Lineage::default(), target, caller, action.to_owned(), args)
            .await
        {
            Ok(answer) => answered(app, peer, &answer),
            Err(Failed { error, actor }) => {
                let error = fitting_error(error, app.limits.outgoing_bytes_max);
                reply::actor_error(peer, &error, actor.as_ref())
            }
        },
    )
}

fn answered(app: &App, peer: Peer, answer: &Answer) -> Reply {
    let written = encoding::encode_output(peer, &answer.output);
    match written.and_then(|body| fitting(body, app.limits.outgoing_bytes_max)) {
        Ok(body) => {
            let mut reply = reply::body(StatusCode::OK, peer.content_type(), body);
            reply::add_actor(reply.headers_mut(), &answer.actor);
            reply
        }
        Err(error) => reply::actor_error(peer, &error, Some(&answer.actor)),
    }
}

fn fitting(body: Bytes, bytes_max: usize) -> Result<Bytes, ActorError> {
    if body.len() <= bytes_max {
        return Ok(body);
    }
    let bytes = body.len();
    let text = format!("the action's answer has {bytes} bytes; at most {bytes_max} are sent");
    Err(ActorError::new(codes::OUTGOING_TOO_LONG, text))
}

/// Errors are made by guests as well, and bounded like their answers.
fn fitting_error(error: ActorError, bytes_max: usize) -> ActorError {
    let metadata = error.metadata.as_ref().map_or(0, Bytes::len);
    let bytes = error.group.len() + error.code.len() + error.message.len() + metadata;
    if bytes <= bytes_max {
        return error;
    }
    let text = format!("the action's error has {bytes} bytes; at most {bytes_max} are sent");
    ActorError::new(codes::OUTGOING_TOO_LONG, text)
}
