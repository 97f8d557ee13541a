//! `{gateway}/request/…`: an HTTP request for the actor's own handler. Source: protocol, section 10.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use greenroom_model::{ActorError, ConnKind, Target, codes};
use greenroom_placement::{Body, BodyError, Failed, HttpRequest, HttpResponse};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Either};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::app::App;
use crate::body;
use crate::encoding::Peer;
use crate::opening::{ORIGINAL_URL, opening, params, url};
use crate::reply::{self, Reply};

/// How long the head of a response waits for the first piece of its body.
const FIRST_PIECE_MAX: Duration = Duration::from_millis(50);

pub(super) async fn answer(
    app: &App,
    head: Parts,
    target: &Target,
    path: &str,
    body: Incoming,
) -> Result<Reply, ActorError> {
    let opening = opening(ConnKind::Request, params(&head.headers)?, &head, path);
    let request = to_guest(app, head, path, body)?;
    match app.router.request(target, opening, request).await {
        Ok((Some(response), actor)) => {
            let response = match begin(response).await {
                Ok(response) => response,
                Err(error) => return Ok(reply::actor_error(Peer::JSON, &error, Some(&actor))),
            };
            let mut reply = response.map(Either::Right);
            reply::add_actor(reply.headers_mut(), &actor);
            Ok(reply)
        }
        Ok((None, _)) => Ok(reply::empty(StatusCode::NOT_FOUND)),
        Err(Failed { error, actor }) => Ok(reply::actor_error(Peer::JSON, &error, actor.as_ref())),
    }
}

/// Waits a moment for the first piece of a response.
///
/// A response that breaks off before that has sent nothing at all, not even its head, and clients take that for a
/// request that never arrived: they send it again.
async fn begin(response: HttpResponse) -> Result<HttpResponse, ActorError> {
    let (head, mut body) = response.into_parts();
    if head.status.is_informational() {
        // Clients would wait for what comes after it, or speak another protocol from there on.
        let status = head.status.as_u16();
        let text = format!("onRequest handler must return a final status, and not {status}");
        return Err(ActorError::new(codes::NO_RESPONSE, text));
    }
    let first = match timeout(FIRST_PIECE_MAX, body.frame()).await {
        Err(_) => None,
        Ok(None) => return Ok(Response::from_parts(head, body)),
        Ok(Some(Ok(frame))) => Some(frame),
        Ok(Some(Err(error))) => {
            warn!(%error, "a raw response broke off before it began");
            return Err(ActorError::internal());
        }
    };
    let body = Begun { first, rest: body };
    Ok(Response::from_parts(head, Body::new(body)))
}

/// A body whose first piece is here already, perhaps.
struct Begun {
    first: Option<Frame<Bytes>>,
    rest: Body,
}

impl HttpBody for Begun {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }
}

fn to_guest(app: &App, head: Parts, path: &str, body: Incoming) -> Result<HttpRequest, ActorError> {
    let url = url(&head, path);
    let uri: http::Uri = url
        .parse()
        .map_err(|_| ActorError::new(codes::INVALID_REQUEST, "the URL of the request is none"))?;
    let body = Bounded::new(app, body);
    let mut request = Request::new(Body::new(body));
    *request.method_mut() = head.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = head.headers;
    request.headers_mut().remove(ORIGINAL_URL);
    Ok(request)
}

/// A client's body, held to a size and to progress.
struct Bounded {
    inner: Option<Incoming>,
    /// Where what the guest leaves of it is read on.
    tasks: TaskTracker,
    bytes_left: usize,
    bytes_max: usize,
    within: Duration,
    /// Of use only while the body is waited for: how long a guest takes is its own affair.
    deadline: Pin<Box<Sleep>>,
    is_waiting: bool,
}

impl Bounded {
    fn new(app: &App, inner: Incoming) -> Self {
        let bytes_max = app.limits.raw_body_bytes_max;
        let within = app.limits.body_timeout;
        Self {
            inner: Some(inner),
            tasks: app.discards.clone(),
            bytes_left: bytes_max,
            bytes_max,
            within,
            deadline: Box::pin(tokio::time::sleep(within)),
            is_waiting: false,
        }
    }
}

impl Drop for Bounded {
    /// Most clients look for an answer only when they have sent all.
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take().filter(|inner| !inner.is_end_stream()) {
            self.tasks.spawn(body::skip(inner));
        }
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(inner).poll_frame(context);
        if polled.is_pending() {
            if !self.is_waiting {
                self.is_waiting = true;
                let until = Instant::now() + self.within;
                self.deadline.as_mut().reset(until);
            }
            ready!(self.deadline.as_mut().poll(context));
            let text = format!("nothing of it came for {:?}", self.within);
            return Poll::Ready(Some(Err(BodyError(text))));
        }
        self.is_waiting = false;
        let Some(frame) = ready!(polled) else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(|error| BodyError(error.to_string()))?;
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => self.bytes_left = left,
            None => {
                let text = format!("it has over {} bytes", self.bytes_max);
                return Poll::Ready(Some(Err(BodyError(text))));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(SizeHint::default, HttpBody::size_hint)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
