//! Who may manage.
//!
//! With a token, whoever has it. In development mode, anybody on this machine, but no web page from elsewhere:
//! a browser would let any page send requests here (the stock client needs it to), and deploying code or
//! destroying actors is not for any page.

use std::net::IpAddr;

use greenroom_model::{ActorError, codes};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;

/// What has to be shown; nothing, in development mode.
pub(crate) struct Token<'a>(pub(crate) Option<&'a str>);

impl Token<'_> {
    /// Checks `Authorization: Bearer …`.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), ActorError> {
        let Some(wanted) = self.0 else { return Ok(()) };
        let shown = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.strip_prefix("Bearer "));
        if shown.is_some_and(|shown| is_same(shown.as_bytes(), wanted.as_bytes())) {
            return Ok(());
        }
        let text = "this call needs the host's token: send it as `Authorization: Bearer …`";
        Err(ActorError::new(codes::UNAUTHORIZED, text))
    }
}

/// Checks, in development mode, that a request that changes the host itself does not come from a page of another
/// site, nor by a name that leads here by a trick of DNS.
pub(crate) fn check_local(head: &Parts) -> Result<(), ActorError> {
    let authority = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = head.uri.authority().map(Authority::as_str).or(authority);
    let origin = head
        .headers
        .get(ORIGIN)
        .and_then(|origin| origin.to_str().ok());
    let is_here = |authority: &str| {
        authority
            .parse()
            .is_ok_and(|authority: Authority| is_loopback(authority.host()))
    };
    let origin_is_here = match origin {
        None => !head.headers.contains_key(ORIGIN),
        Some(origin) => origin
            .split_once("://")
            .is_some_and(|(_, rest)| is_here(rest)),
    };
    if origin_is_here && authority.is_none_or(is_here) {
        return Ok(());
    }
    let text = "in development mode, web pages of other sites may not manage the host; see \
                docs/errors/api.forbidden.md";
    Err(ActorError::new(codes::FORBIDDEN, text))
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Takes the same time wherever the first difference is.
fn is_same(shown: &[u8], wanted: &[u8]) -> bool {
    let pairs = shown.iter().zip(wanted);
    let difference = pairs.fold(0, |difference, (a, b)| difference | (a ^ b));
    shown.len() == wanted.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn check(host: &str, origin: Option<&str>) -> bool {
        let mut request = Request::post("/components").header(HOST, host);
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        check_local(&request.body(()).unwrap().into_parts().0).is_ok()
    }

    #[test]
    fn pages_of_other_sites_do_not_manage() {
        assert!(check("127.0.0.1:6420", None));
        assert!(check("localhost:6420", Some("http://localhost:5173")));
        assert!(check("[::1]:6420", Some("http://[::1]:5173")));
        assert!(!check("127.0.0.1:6420", Some("http://evil.example")));
        assert!(!check("127.0.0.1:6420", Some("null")));
        assert!(!check(
            "127.0.0.1:6420",
            Some("http://localhost.evil.example")
        ));
        assert!(!check("evil.example:6420", None));
    }

    #[test]
    fn a_token_has_to_be_the_same() {
        let mut headers = HeaderMap::new();
        assert!(Token(None).check(&headers).is_ok());
        assert!(Token(Some("t")).check(&headers).is_err());
        headers.insert(AUTHORIZATION, "Bearer t".parse().unwrap());
        assert!(Token(Some("t")).check(&headers).is_ok());
        assert!(Token(Some("tt")).check(&headers).is_err());
    }
}
