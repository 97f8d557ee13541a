//! `{gateway}/request/…`: an HTTP request for the actor's own handler. Source: protocol, section 10.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use greenroom_model::{ActorError, ConnKind, Target, codes};
use greenroom_placement::{Body, BodyError, Failed, HttpRequest};
use http::request::Parts;
use http::{Request, StatusCode};
use http_body_util::Either;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::app::App;
use crate::encoding::Peer;
use crate::opening::{ORIGINAL_URL, opening, params, url};
use crate::reply::{self, Reply};

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
            let mut reply = response.map(Either::Right);
            reply::add_actor(reply.headers_mut(), &actor);
            Ok(reply)
        }
        Ok((None, _)) => Ok(reply::empty(StatusCode::NOT_FOUND)),
        Err(Failed { error, actor }) => Ok(reply::actor_error(Peer::JSON, &error, actor.as_ref())),
    }
}

fn to_guest(app: &App, head: Parts, path: &str, body: Incoming) -> Result<HttpRequest, ActorError> {
    let url = url(&head, path);
    let uri: http::Uri = url
        .parse()
        .map_err(|_| ActorError::new(codes::INVALID_REQUEST, "the URL of the request is none"))?;
    let body = Bounded::new(body, app.limits.raw_body_bytes_max, app.limits.body_timeout);
    let mut request = Request::new(Body::new(body));
    *request.method_mut() = head.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = head.headers;
    request.headers_mut().remove(ORIGINAL_URL);
    Ok(request)
}

/// A client's body, held to a size and to progress.
struct Bounded {
    inner: Incoming,
    bytes_left: usize,
    bytes_max: usize,
    within: Duration,
    /// Of use only while the body is waited for: how long a guest takes is its own affair.
    deadline: Pin<Box<Sleep>>,
    is_waiting: bool,
}

impl Bounded {
    fn new(inner: Incoming, bytes_max: usize, within: Duration) -> Self {
        Self {
            inner,
            bytes_left: bytes_max,
            bytes_max,
            within,
            deadline: Box::pin(tokio::time::sleep(within)),
            is_waiting: false,
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
        let polled = Pin::new(&mut self.inner).poll_frame(context);
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
        self.inner.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}
