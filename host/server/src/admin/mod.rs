//! The operators' side: actors and components. Always JSON.

mod actors;
mod components;
mod deploy;
mod inspect;
mod rollout;
pub(crate) mod status;

use greenroom_model::{ActorError, codes};
use http::Method;
use http::request::Parts;
use hyper::body::Incoming;

use crate::app::App;
use crate::reply::Reply;
use crate::route::AdminPath;

/// Answers a request to the operators' side, by somebody who may make it.
pub(crate) async fn answer(
    app: &App,
    head: &Parts,
    path: &AdminPath<'_>,
    body: Incoming,
) -> Result<Reply, ActorError> {
    let query = head.uri.query().unwrap_or_default();
    match (&head.method, path) {
        (&Method::GET, AdminPath::Actors) => actors::list(app, query).await,
        (&Method::PUT, AdminPath::Actors) => actors::get_or_create(app, query, body).await,
        (&Method::POST, AdminPath::Actors) => actors::create(app, query, body).await,
        (&Method::GET, AdminPath::Actor(id)) => rollout::actor(app, query, id).await,
        (&Method::PUT, AdminPath::Pin(id)) => rollout::pin(app, query, id).await,
        (&Method::DELETE, AdminPath::Pin(id)) => rollout::unpin(app, query, id).await,
        (&Method::DELETE, AdminPath::Actor(id)) => actors::destroy(app, query, id).await,
        (&Method::POST, AdminPath::Sleep(id)) => actors::sleep(app, query, id).await,
        (&Method::GET, AdminPath::Queue(id)) => inspect::queue(app, query, id).await,
        (&Method::GET, AdminPath::DeadLetters(id)) => inspect::dead_letters(app, query, id).await,
        (&Method::POST, AdminPath::Retry(id, message)) => {
            inspect::retry(app, query, id, message).await
        }
        (&Method::DELETE, AdminPath::DeadLetter(id, message)) => {
            inspect::discard(app, query, id, message).await
        }
        (&Method::GET, AdminPath::Schedule(id)) => inspect::schedule(app, query, id).await,
        (&Method::DELETE, AdminPath::Scheduled(id, entry)) => {
            inspect::unschedule(app, query, id, entry).await
        }
        (&Method::GET, AdminPath::Components) => components::list(app),
        (&Method::POST, AdminPath::Components) => deploy::deploy(app, query, body).await,
        (&Method::GET, AdminPath::Deploying) => Ok(deploy::deploying(app)),
        (&Method::GET, AdminPath::Component(name)) => components::history(app, name).await,
        (&Method::GET, AdminPath::Rollout(name)) => rollout::status(app, name).await,
        (&Method::POST, AdminPath::RolloutOrder(name, order)) => {
            rollout::order(app, query, name, order).await
        }
        (&Method::GET, AdminPath::Pins(name)) => rollout::pins(app, query, name).await,
        (method, _) => {
            let text = format!("{method} is not for this path");
            Err(ActorError::new(codes::METHOD_NOT_ALLOWED, text))
        }
    }
}
