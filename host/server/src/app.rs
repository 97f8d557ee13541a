//! What every request can reach, and where each goes.

use std::collections::HashSet;
use std::sync::Arc;

use greenroom_model::{ActorError, Limits, Namespace, codes};
use greenroom_placement::{Registry, Router};
use http::request::Parts;
use http::{Method, Request};
use hyper::body::Incoming;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::auth::{self, Token};
use crate::reply::{self, Reply};
use crate::route::{AdminPath, Route, route};
use crate::{admin, body, cors, gateway};

/// The parts that the edge is made of.
pub struct Setup {
    /// The way to actors.
    pub router: Arc<Router>,
    /// What is deployed.
    pub registry: Arc<Registry>,
    /// The bounds.
    pub limits: Arc<Limits>,
    /// What management calls have to show; `None` in development mode.
    pub token: Option<String>,
    /// Which namespaces there are.
    pub namespaces: Namespaces,
}

/// The edge.
pub struct App {
    pub(crate) router: Arc<Router>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) limits: Arc<Limits>,
    token: Option<String>,
    namespaces: Namespaces,
    requests: Semaphore,
    pub(crate) uploads: Semaphore,
}

/// Which namespaces there are.
#[derive(Debug, Clone)]
pub enum Namespaces {
    /// Any: one comes into being when it is first named.
    Any,
    /// These.
    Listed(HashSet<Namespace>),
}

impl App {
    /// An edge of these parts.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let Setup {
            router,
            registry,
            limits,
            token,
            namespaces,
        } = setup;
        let requests = Semaphore::new(limits.requests_max);
        let uploads = Semaphore::new(limits.uploads_max);
        Self {
            router,
            registry,
            limits,
            token,
            namespaces,
            requests,
            uploads,
        }
    }

    /// Checks a namespace that a request names.
    pub(crate) fn namespace(&self, name: &str) -> Result<Namespace, ActorError> {
        let unknown = || {
            let text = format!(
                "there is no namespace {:?}",
                name.chars().take(80).collect::<String>()
            );
            ActorError::new(codes::NAMESPACE_NOT_FOUND, text)
        };
        let namespace = Namespace::new(name).map_err(|_| unknown())?;
        match &self.namespaces {
            Namespaces::Listed(listed) if !listed.contains(&namespace) => Err(unknown()),
            Namespaces::Listed(_) | Namespaces::Any => Ok(namespace),
        }
    }

    /// Answers a request, whatever it is.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let reply = if head.method == Method::OPTIONS {
            cors::preflight(&head.headers)
        } else {
            match take(&self.requests, "requests") {
                Ok(_place) => self
                    .dispatch(&head, body)
                    .await
                    .unwrap_or_else(|error| reply::error(&error)),
                Err(error) => reply::error(&error),
            }
        };
        cors::allow(&head.headers, reply)
    }

    fn check_manager(&self, head: &Parts, path: &AdminPath<'_>) -> Result<(), ActorError> {
        Token(self.token.as_deref()).check(&head.headers)?;
        if self.token.is_none() && path.is_for_operators() {
            auth::check_local(head)?;
        }
        Ok(())
    }

    async fn dispatch(&self, head: &Parts, body: Incoming) -> Result<Reply, ActorError> {
        let path = head.uri.path();
        match route(path, &head.headers)? {
            Route::Root => Ok(admin::status::root()),
            Route::Health => Ok(admin::status::health()),
            Route::Metadata => Ok(admin::status::metadata()),
            Route::Gateway(path) => gateway::answer(self, head, &path, body).await,
            Route::Admin(path) => {
                if let Err(error) = self.check_manager(head, &path) {
                    body::skip(body).await;
                    return Err(error);
                }
                admin::answer(self, head, &path, body).await
            }
        }
    }
}

/// One of a bounded number of places, or the answer that there is none.
pub(crate) fn take<'a>(
    places: &'a Semaphore,
    what: &str,
) -> Result<SemaphorePermit<'a>, ActorError> {
    places.try_acquire().map_err(|_| {
        let text = format!("the host has as many {what} under way as it may; try again");
        ActorError::new(codes::SERVICE_UNAVAILABLE, text)
    })
}
