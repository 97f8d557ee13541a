//! The public side: clients of actors come in here. Source: protocol, sections 6, 8 and 9.

mod action;
mod queue;
mod queue_send;
mod refusals;
mod request;
mod short;
mod socket;
mod tongue;
pub(crate) mod upgrade;

use greenroom_model::{ActorError, ActorId, Target, codes};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use hyper::body::Incoming;

use crate::app::App;
use crate::query::Query;
use crate::reply::{self, Reply};
use crate::route::{GatewayPath, Wanted};

pub(crate) use queue::Total;
pub(crate) use refusals::Refusals;
pub(crate) use socket::repair_uri;

/// Answers a request to an actor.
pub(crate) async fn answer(
    app: &App,
    head: Parts,
    path: &GatewayPath<'_>,
    body: Incoming,
) -> Result<Reply, ActorError> {
    let target = target_of(app, &head, path)?;
    match &path.wanted {
        Wanted::Action(name) if head.method == Method::POST => {
            action::call(app, head, &target, name, body).await
        }
        Wanted::Queue(name) if head.method == Method::POST => {
            queue_send::send(app, head, &target, name, body).await
        }
        Wanted::Request(path) => request::answer(app, head, &target, path, body).await,
        Wanted::Connect | Wanted::Websocket(_) => {
            let text = "this is for WebSockets; open one, over HTTP/1.1";
            Err(ActorError::new(codes::INVALID_REQUEST, text))
        }
        Wanted::Action(_) => {
            let text = "an action is called with POST";
            Err(ActorError::new(codes::METHOD_NOT_ALLOWED, text))
        }
        Wanted::Queue(_) => {
            let text = "a message is sent with POST";
            Err(ActorError::new(codes::METHOD_NOT_ALLOWED, text))
        }
        Wanted::Health => {
            let text = HeaderValue::from_static("text/plain");
            Ok(reply::body(StatusCode::OK, text, "ok".into()))
        }
        Wanted::Metadata => Ok(crate::admin::status::metadata()),
        Wanted::Other(path) => {
            let path: String = path.chars().take(200).collect();
            let text = format!("actors have nothing at {path:?}; actions are at /action/NAME");
            Err(ActorError::new(codes::NO_ROUTE, text))
        }
    }
}

/// Which actor is meant: by query if there are `rvt-` parameters, otherwise by id.
fn target_of(app: &App, head: &Parts, path: &GatewayPath<'_>) -> Result<Target, ActorError> {
    let query = head.uri.query().map_or(Ok(None), Query::parse)?;
    match query {
        Some(_) if path.has_token => {
            let text = "with rvt- parameters the token is rvt-token, not @token in the path";
            Err(ActorError::new(codes::QUERY_PATH_TOKEN_SYNTAX, text))
        }
        Some(query) => {
            let namespace = app.namespace(query.namespace())?;
            query.into_target(namespace, &path.target)
        }
        None => path
            .target
            .parse::<ActorId>()
            .map(Target::Id)
            .map_err(|()| {
                let text = "The actor does not exist or was destroyed.";
                ActorError::new(codes::NOT_FOUND, text)
            }),
    }
}
