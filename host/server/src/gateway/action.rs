//! `POST {gateway}/action/{name}`: one call, one answer.

use bytes::Bytes;
use greenroom_model::{ActorError, Target, codes};
use greenroom_placement::{Answer, Failed};
use http::StatusCode;
use http::request::Parts;
use hyper::body::Incoming;

use crate::app::App;
use crate::body::{self, Bound};
use crate::encoding::{self, Encoding, Peer};
use crate::reply::{self, Reply};

pub(super) async fn call(
    app: &App,
    head: &Parts,
    target: Target,
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
    Ok(
        match app.router.call(target, action.to_owned(), args).await {
            Ok(answer) => answered(app, peer, &answer),
            Err(Failed { error, actor }) => reply::actor_error(peer, &error, actor.as_ref()),
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
