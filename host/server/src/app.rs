//! What every request can reach, and where each goes.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use greenroom_model::{ActorError, Limits, Namespace, codes};
use greenroom_placement::{Registry, Router};
use http::header::ORIGIN;
use http::request::Parts;
use http::{Method, Request, Version};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{self, Token};
use crate::gateway::{Refusals, Total, upgrade};
use crate::reply::{self, Reply};
use crate::route::{AdminPath, Route, named, route};
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
    /// Places for WebSockets.
    pub(crate) websockets: Arc<Semaphore>,
    /// Places for those that are only told that there is none.
    pub(crate) refused_websockets: Arc<Semaphore>,
    pub(crate) refusals: Refusals,
    /// What waits for clients, over all connections.
    pub(crate) waiting: Arc<Total>,
    /// Every WebSocket has a task here.
    pub(crate) sockets: TaskTracker,
    /// And those that are only told why they cannot stay, have one here.
    pub(crate) refused_sockets: TaskTracker,
    /// Rests of request bodies that are read on, for a bounded time.
    pub(crate) discards: TaskTracker,
    /// No new work is taken.
    stopping: CancellationToken,
    /// Nobody listens any more in a moment.
    pub(crate) ending: CancellationToken,
    /// All WebSockets have to go.
    pub(crate) closing_sockets: CancellationToken,
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
        let websockets = Arc::new(Semaphore::new(limits.websockets_max));
        Self {
            websockets,
            // As many again: when the host stops, they all come back at once.
            refused_websockets: Arc::new(Semaphore::new(limits.websockets_max)),
            refusals: Refusals::default(),
            waiting: Total::new(&limits),
            sockets: TaskTracker::new(),
            refused_sockets: TaskTracker::new(),
            discards: TaskTracker::new(),
            stopping: CancellationToken::new(),
            ending: CancellationToken::new(),
            closing_sockets: CancellationToken::new(),
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
    pub(crate) async fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> Reply {
        let (head, body) = request.into_parts();
        let origin = head.headers.get(ORIGIN).cloned();
        let has_no_body = head.method == Method::HEAD && head.version == Version::HTTP_2;
        let reply = if head.method == Method::OPTIONS {
            cors::preflight(&head.headers)
        } else if upgrade::is_wanted(&head.headers) {
            upgrade::accept(self, head, peer)
        } else {
            match self.place_for_request() {
                Ok(_place) => self
                    .dispatch(head, body)
                    .await
                    .unwrap_or_else(|error| reply::error(&error)),
                Err(error) => reply::error(&error),
            }
        };
        let reply = cors::allow(origin, reply);
        if has_no_body {
            // Over HTTP/1.1 the library sees to that.
            return reply.map(|_| Either::Left(Full::default()));
        }
        reply
    }

    fn place_for_request(&self) -> Result<SemaphorePermit<'_>, ActorError> {
        if self.is_stopping() {
            let text = "the host is stopping; try again in a moment";
            return Err(ActorError::new(codes::SERVICE_UNAVAILABLE, text));
        }
        take(&self.requests, "requests")
    }

    /// Whether no new work is taken.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Takes no new work from now on: requests are answered with 503, and WebSockets are accepted and closed with a
    /// code after which the stock client tries again. Returns when the requests that have begun are answered.
    pub async fn stop(&self) {
        self.stopping.cancel();
        let all = u32::try_from(self.limits.requests_max).unwrap_or(u32::MAX);
        // Failing would mean that the semaphore was closed, which nobody does.
        _ = self.requests.acquire_many(all).await;
    }

    /// Closes all WebSockets, and waits until their clients have heard. Whether there were any.
    pub async fn close_sockets(&self) -> bool {
        let had_some = !self.sockets.is_empty();
        self.closing_sockets.cancel();
        self.sockets.close();
        self.sockets.wait().await;
        had_some
    }

    /// Closes the WebSockets that have come since [`stop`](Self::stop), and waits until their clients have heard.
    /// They are held until now, because their clients come back a moment after they were closed: by then there may
    /// be another host.
    pub async fn end(&self) {
        self.ending.cancel();
        self.refused_sockets.close();
        self.refused_sockets.wait().await;
        self.discards.close();
        self.discards.wait().await;
    }

    fn check_manager(&self, head: &Parts, path: &AdminPath<'_>) -> Result<(), ActorError> {
        Token(self.token.as_deref()).check(&head.headers)?;
        if self.token.is_none() && path.is_for_operators() {
            auth::check_local(head)?;
        }
        Ok(())
    }

    async fn dispatch(&self, mut head: Parts, body: Incoming) -> Result<Reply, ActorError> {
        gateway::repair_uri(&mut head);
        // The route borrows from both, and the head is given away.
        let (path, named) = (head.uri.path().to_owned(), named(&head.headers));
        match route(&path, named.as_ref().map(Option::as_deref))? {
            Route::Root => Ok(admin::status::root()),
            Route::Health => Ok(admin::status::health()),
            Route::Metadata => Ok(admin::status::metadata()),
            Route::Gateway(path) => gateway::answer(self, head, &path, body).await,
            Route::Admin(path) => {
                if let Err(error) = self.check_manager(&head, &path) {
                    body::skip(body).await;
                    return Err(error);
                }
                admin::answer(self, &head, &path, body).await
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
