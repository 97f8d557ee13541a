//! From a request to a WebSocket.
//!
//! The stock client never gets over an upgrade that is refused with an HTTP status. So every well-formed one is
//! accepted, and whatever is wrong is said by a close frame. Source: protocol, sections 11.1 and 14.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use greenroom_model::{ActorError, codes};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::socket;
use crate::app::App;
use crate::encoding::Encoding;
use crate::reply::{self, Reply};

/// How long the switch of protocols may take.
const SWITCH_MAX: Duration = Duration::from_secs(10);
/// Small: most connections are idle most of the time, and there may be many.
const BUFFER_BYTES: usize = 4 << 10;

/// What a client says in its subprotocols.
#[derive(Debug, Default)]
pub(super) struct Offer {
    /// What the answer names.
    chosen: Option<HeaderValue>,
    /// How it writes; without a word about it, JSON. An unknown one is `Err`.
    pub(super) encoding: Option<Result<Encoding, ()>>,
    /// Its connection params, as JSON.
    pub(super) params: Option<String>,
    /// The actor is named by this id, and not in the path.
    pub(super) actor: Option<Option<String>>,
}

impl Offer {
    fn of(headers: &HeaderMap) -> Self {
        let mut offer = Self::default();
        let mut first = None;
        let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let tokens = lines.filter_map(|line| line.to_str().ok());
        let mut actor = None;
        let mut is_targeted = false;
        for token in tokens.flat_map(|line| line.split(',')).map(str::trim) {
            if token.is_empty() {
                continue;
            }
            first = first.or(Some(token));
            if token == "rivet" {
                first = Some(token);
            } else if let Some(name) = token.strip_prefix("rivet_encoding.") {
                offer.encoding = Some(Encoding::named(name).ok_or(()));
            } else if let Some(params) = token.strip_prefix("rivet_conn_params.") {
                let params = percent_decode_str(params).decode_utf8_lossy();
                offer.params = Some(params.into_owned());
            } else if let Some(target) = token.strip_prefix("rivet_target.") {
                is_targeted = target == "actor";
            } else if let Some(id) = token.strip_prefix("rivet_actor.") {
                actor = Some(id.to_owned());
            }
        }
        offer.actor = is_targeted.then_some(actor);
        offer.chosen = first.and_then(|token| HeaderValue::from_str(token).ok());
        offer
    }
}

/// Whether a request wants to become a WebSocket.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(UPGRADE);
    upgrade.is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Accepts an upgrade. What comes of it happens in a task of its own, which the edge waits for when it closes.
pub(crate) fn accept(app: &Arc<App>, mut head: Parts, peer: IpAddr) -> Reply {
    let key = head.headers.get(SEC_WEBSOCKET_KEY).cloned();
    let version = head.headers.get(SEC_WEBSOCKET_VERSION);
    let is_known = version.is_some_and(|version| version == "13");
    let on_upgrade = head.extensions.remove::<OnUpgrade>();
    let (Some(key), true, Some(on_upgrade)) = (key, is_known, on_upgrade) else {
        return malformed();
    };
    if head.method != Method::GET {
        return malformed();
    }
    // A place for a socket that stays, or else for one that is only told why it cannot.
    let place = app.websockets.clone().try_acquire_owned().ok();
    let place = place.filter(|_| !app.is_stopping());
    let is_full = place.is_none();
    let Some(place) = place.or_else(|| app.refused_websockets.clone().try_acquire_owned().ok())
    else {
        let text = "the host has as many connections as it may; try again";
        return reply::error(&ActorError::new(codes::SERVICE_UNAVAILABLE, text));
    };
    let offer = Offer::of(&head.headers);
    let mut reply = reply::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = reply.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(chosen) = offer.chosen.clone() {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, chosen);
    }
    let request = socket::Request {
        app: app.clone(),
        head,
        offer,
        peer,
        is_full,
    };
    let tasks = if is_full {
        &app.refused_sockets
    } else {
        &app.sockets
    };
    tasks.spawn(async move {
        let _place = place;
        let Ok(Ok(upgraded)) = tokio::time::timeout(SWITCH_MAX, on_upgrade).await else {
            return;
        };
        let wanted = socket::Wanted::of(request);
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES)
            .max_message_size(Some(wanted.message_bytes_max()))
            .max_frame_size(Some(wanted.message_bytes_max()));
        let io = TokioIo::new(upgraded);
        let stream = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        socket::serve(wanted, stream).await;
    });
    reply
}

fn malformed() -> Reply {
    let text = "this is no WebSocket handshake (RFC 6455, version 13, over HTTP/1.1)";
    reply::error(&ActorError::new(codes::INVALID_REQUEST, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(protocols: &'static str) -> Offer {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocols));
        Offer::of(&headers)
    }

    #[test]
    fn the_stock_clients_subprotocols_are_understood() {
        let offer = offer(
            "rivet,rivet_encoding.bare,rivet_target.actor,rivet_actor.abc, \
             rivet_conn_params.%7B%22u%22%3A%22%C3%A9%22%7D,rivet_skip_ready_wait",
        );
        assert_eq!(offer.chosen.unwrap(), "rivet");
        assert_eq!(offer.encoding, Some(Ok(Encoding::Bare)));
        assert_eq!(offer.params.as_deref(), Some("{\"u\":\"é\"}"));
        assert_eq!(offer.actor, Some(Some("abc".to_owned())));
    }

    #[test]
    fn other_subprotocols_are_echoed() {
        assert_eq!(offer("chat, superchat").chosen.unwrap(), "chat");
        assert_eq!(offer("x, rivet").chosen.unwrap(), "rivet");
        assert_eq!(offer("rivet_encoding.xml").encoding, Some(Err(())));
        assert!(Offer::of(&HeaderMap::new()).chosen.is_none());
    }
}
