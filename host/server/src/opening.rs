//! What an actor is told of the request that opened a connection to it.

use bytes::Bytes;
use greenroom_model::{ActorError, ConnId, ConnKind, Opening, OpeningRequest};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::encoding;

/// Connection params of HTTP calls, as JSON.
const PARAMS: HeaderName = HeaderName::from_static("x-rivet-conn-params");
/// The stock client says here what it was asked to fetch, if that was a whole URL.
pub(crate) const ORIGINAL_URL: HeaderName =
    HeaderName::from_static("x-rivet-internal-original-request-url");

/// The params in a request's header, as CBOR.
///
/// # Errors
///
/// `actor.invalid_request` if they are no JSON.
pub(crate) fn params(headers: &HeaderMap) -> Result<Bytes, ActorError> {
    // Browsers and Node send each character as one byte, which is Latin-1.
    let text: Option<String> = headers.get(PARAMS).map(|value| {
        value
            .as_bytes()
            .iter()
            .map(|byte| char::from(*byte))
            .collect()
    });
    encoding::params(text.as_deref())
}

/// A connection that this request opens. `path` is what the actor is to see of its path.
pub(crate) fn opening(kind: ConnKind, params: Bytes, head: &Parts, path: &str) -> Opening {
    let headers = head
        .headers
        .iter()
        .filter(|(name, _)| *name != ORIGINAL_URL);
    Opening {
        id: ConnId::generate(),
        kind,
        params,
        request: Some(OpeningRequest {
            method: Method::as_str(&head.method).to_owned(),
            url: url(head, path),
            headers: headers
                .map(|(name, value)| {
                    let value = Bytes::copy_from_slice(value.as_bytes());
                    (name.as_str().to_owned(), value)
                })
                .collect(),
        }),
    }
}

/// The URL that the actor is to see: the host that was asked, without its port, and the query without what led
/// to this actor.
pub(crate) fn url(head: &Parts, path: &str) -> String {
    if let Some(url) = head
        .headers
        .get(ORIGINAL_URL)
        .and_then(|url| url.to_str().ok())
    {
        return url.to_owned();
    }
    let mut url = format!("http://{}{path}", host(head));
    let query = own_query(head.uri.query().unwrap_or_default());
    if !query.is_empty() {
        url.push('?');
        url.push_str(&query);
    }
    url
}

fn host(head: &Parts) -> &str {
    let header = head.headers.get(header::HOST).map(HeaderValue::to_str);
    let named = header.and_then(Result::ok).or_else(|| head.uri.host());
    let named = named.unwrap_or("localhost");
    // An IPv6 address has colons of its own, in brackets.
    match named.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => named,
    }
}

/// A query without the `rvt-` parameters, byte for byte.
fn own_query(query: &str) -> String {
    let is_own = |pair: &&str| {
        let name = form_urlencoded::parse(pair.as_bytes()).next();
        name.is_none_or(|(name, _)| !name.starts_with("rvt-"))
    };
    let pairs: Vec<&str> = query.split('&').filter(is_own).collect();
    pairs.join("&")
}

/// Repairs a path that was appended to the stock client's `getGatewayUrl()`: it ends in a query, so that what was
/// appended landed in the last parameter. Path and query, if there was something to repair.
pub(crate) fn repair(path: &str, query: &str) -> Option<(String, String)> {
    const ROUTES: [&str; 5] = ["/request", "/websocket", "/action/", "/connect", "/queue/"];
    let mut segments = path.rsplit('/');
    let is_bare = segments.next().is_some_and(|target| !target.is_empty())
        && segments.next() == Some("gateway");
    if !is_bare {
        return None;
    }
    let found = ROUTES.iter().filter_map(|route| query.find(route)).min()?;
    let (before, appended) = query.split_at(found);
    let last = before.rsplit('&').next().unwrap_or(before);
    if !last.starts_with("rvt-") {
        return None;
    }
    let (more_path, more_query) = appended.split_once('?').unwrap_or((appended, ""));
    let mut query = before.to_owned();
    if !more_query.is_empty() {
        query.push('&');
        query.push_str(more_query);
    }
    Some((format!("{path}{more_path}"), query))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn the_actor_sees_its_own_part_of_the_url() {
        let request = Request::get("/gateway/a/request/x?a=1&rvt-key=k&b=%20&rvt-method=get&c")
            .header("host", "example:6420");
        let (head, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(url(&head, "/x"), "http://example/x?a=1&b=%20&c");
        let request = Request::get("/gateway/a/request").header("host", "[::1]");
        let (head, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(url(&head, "/"), "http://[::1]/");
    }

    #[test]
    fn params_are_latin_1() {
        let mut headers = HeaderMap::new();
        assert_eq!(params(&headers).unwrap(), [0xf7][..], "nothing");
        headers.insert(PARAMS, HeaderValue::from_bytes(b"\"\xe9\"").unwrap());
        assert_eq!(params(&headers).unwrap(), b"\x62\xc3\xa9"[..]);
        headers.insert(PARAMS, HeaderValue::from_static("{"));
        assert!(params(&headers).is_err());
    }

    #[test]
    fn what_was_appended_to_a_gateway_url_is_found() {
        let query = "rvt-namespace=default&rvt-crash-policy=sleep/request/count?x=1&y=2";
        assert_eq!(
            repair("/gateway/counter", query),
            Some((
                "/gateway/counter/request/count".into(),
                "rvt-namespace=default&rvt-crash-policy=sleep&x=1&y=2".into()
            ))
        );
        let query = "rvt-token=x/websocket/";
        let (path, query) = repair("/api/rivet/gateway/c", query).unwrap();
        assert_eq!(
            (&*path, &*query),
            ("/api/rivet/gateway/c/websocket/", "rvt-token=x")
        );
        assert_eq!(repair("/gateway/c/request/a", "rvt-key=a/request"), None);
        assert_eq!(repair("/gateway/c", "a=/request"), None);
    }
}
