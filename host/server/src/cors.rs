//! Which web pages may call: all of them, as with the stock server. Actors decide for themselves whom they
//! answer.
//!
//! The stock client sends credentials, so that the origin has to be echoed; `*` would not do.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::reply::{self, Reply};

/// Named one by one: browsers do not honour `*` for requests with credentials.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-rivet-actor, x-rivet-actor-generation, x-rivet-actor-key, x-rivet-error, x-rivet-ray-id",
);

/// The answer to a preflight request, whatever the path.
pub(crate) fn preflight(request: &HeaderMap) -> Reply {
    let mut reply = reply::empty(StatusCode::NO_CONTENT);
    let headers = reply.headers_mut();
    let methods = HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS, PATCH");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    if let Some(wanted) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    reply
}

/// The headers that every answer to a request with this origin carries. An actor that says itself who may read its
/// answer has the last word.
pub(crate) fn allow(origin: Option<HeaderValue>, mut reply: Reply) -> Reply {
    let headers = reply.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        return reply;
    }
    let any = HeaderValue::from_static("*");
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.unwrap_or(any));
    headers.insert(
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    reply
}
