//! Clients that are attached to the actor.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use greenroom_value::{from_slice, to_vec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::greenroom::actor::sockets;
use crate::bindings::greenroom::actor::types::{Connection, ConnectionKind, WebsocketMessage};
use crate::client::Arguments;
use crate::component::Actor;
use crate::error::{Result, UserError};
use crate::events::{self, Named};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnKind {
    /// One action, called without a connection of its own.
    Call,
    /// The stock client's `connect()`: any number of actions, and events.
    Realtime,
    /// One HTTP request to the actor's own handler.
    Request,
    /// One WebSocket to the actor's own handler.
    Websocket,
}

/// The HTTP request that opened a connection.
#[derive(Debug, Clone)]
pub struct OpeningRequest {
    method: String,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
}

impl OpeningRequest {
    /// Its method, in upper case.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Its whole URL, without what led to this actor.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The path of its URL.
    #[must_use]
    pub fn path(&self) -> &str {
        path_of(&self.url)
    }

    /// The query of its URL, without the question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        query_of(&self.url)
    }

    /// The first header of this name that is text, whatever the case of the name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header_of(&self.headers, name)
    }

    /// All headers, in order, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        headers_of(&self.headers)
    }
}

pub(crate) fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |start| &rest[start..]);
    path.split(['?', '#']).next().unwrap_or(path)
}

pub(crate) fn query_of(url: &str) -> Option<&str> {
    let (_, query) = url.split_once('?')?;
    Some(query.split('#').next().unwrap_or(query))
}

pub(crate) fn header_of<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a str> {
    let mut named = headers
        .iter()
        .filter(|(known, _)| known.eq_ignore_ascii_case(name));
    named.find_map(|(_, value)| std::str::from_utf8(value).ok())
}

pub(crate) fn headers_of(
    headers: &[(String, Vec<u8>)],
) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value)))
}

/// What is known of a connection from its beginning on.
#[derive(Debug)]
struct Facts {
    id: String,
    kind: ConnKind,
    params: Vec<u8>,
    request: Option<OpeningRequest>,
    can_hibernate: bool,
}

impl Facts {
    fn params<T: DeserializeOwned>(&self) -> Result<T> {
        from_slice(&self.params).map_err(|error| {
            UserError::new(format!("the connection params: {error}"))
                .with_group("actor")
                .with_code("validation_error")
                .into()
        })
    }
}

/// A client that wants to connect. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connecting(Rc<Facts>);

impl Connecting {
    pub(crate) fn new(connection: Connection) -> Self {
        let Connection {
            id,
            kind,
            params,
            opening,
            can_hibernate,
        } = connection;
        Self(Rc::new(Facts {
            id,
            kind: match kind {
                ConnectionKind::Call => ConnKind::Call,
                ConnectionKind::Realtime => ConnKind::Realtime,
                ConnectionKind::Request => ConnKind::Request,
                ConnectionKind::Websocket => ConnKind::Websocket,
            },
            params,
            request: opening.map(|opening| OpeningRequest {
                method: opening.method,
                url: opening.url,
                headers: opening.headers,
            }),
            can_hibernate,
        }))
    }

    /// The connection's id: unique for ever.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What the connection is for.
    #[must_use]
    pub fn kind(&self) -> ConnKind {
        self.0.kind
    }

    /// Whether it stays open while the actor sleeps.
    #[must_use]
    pub fn can_hibernate(&self) -> bool {
        self.0.can_hibernate
    }

    /// What the client gave when it connected. Without anything it is nothing, which an `Option` or a
    /// [`Value`](crate::Value) can be.
    ///
    /// # Errors
    ///
    /// `actor.validation_error` if it is not a `T`.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T> {
        self.0.params()
    }

    /// The request that opened it; nothing if another actor calls.
    #[must_use]
    pub fn request(&self) -> Option<&OpeningRequest> {
        self.0.request.as_ref()
    }
}

/// A client that is attached to the actor. Cheap to clone; what is done with one whose client is gone does nothing.
pub struct Conn<A: Actor>(Rc<Inner<A>>);

struct Inner<A: Actor> {
    connecting: Connecting,
    state: RefCell<A::ConnState>,
    is_changed: Cell<bool>,
    is_listed: Cell<bool>,
}

impl<A: Actor> Clone for Conn<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Actor> Conn<A> {
    pub(crate) fn new(connecting: Connecting, state: A::ConnState, is_changed: bool) -> Self {
        Self(Rc::new(Inner {
            connecting,
            state: RefCell::new(state),
            is_changed: Cell::new(is_changed),
            is_listed: Cell::new(false),
        }))
    }

    /// The connection's id: unique for ever.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.connecting.id()
    }

    /// What the connection is for.
    #[must_use]
    pub fn kind(&self) -> ConnKind {
        self.0.connecting.kind()
    }

    /// Whether it stays open while the actor sleeps.
    #[must_use]
    pub fn can_hibernate(&self) -> bool {
        self.0.connecting.can_hibernate()
    }

    /// What the client gave when it connected.
    ///
    /// # Errors
    ///
    /// `actor.validation_error` if it is not a `T`.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T> {
        self.0.connecting.params()
    }

    /// The request that opened it; nothing if another actor calls.
    #[must_use]
    pub fn request(&self) -> Option<&OpeningRequest> {
        self.0.connecting.request()
    }

    /// Whether it is in the actor's list: from when it is let in until its client is gone.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        self.0.is_listed.get()
    }

    /// Lends the connection's state to look at.
    ///
    /// # Panics
    ///
    /// If called inside the closure of [`update`](Self::update).
    pub fn state<R>(&self, visit: impl FnOnce(&A::ConnState) -> R) -> R {
        visit(&self.0.state.borrow())
    }

    /// Lends the connection's state to change. It is saved like the actor's.
    ///
    /// # Panics
    ///
    /// If called inside the closure of [`state`](Self::state) or `update`.
    pub fn update<R>(&self, visit: impl FnOnce(&mut A::ConnState) -> R) -> R {
        self.0.is_changed.set(true);
        visit(&mut self.0.state.borrow_mut())
    }

    /// Sends an event to this client alone, whether or not it has subscribed.
    ///
    /// # Panics
    ///
    /// If the argument cannot be serialized.
    #[expect(clippy::needless_pass_by_value, reason = "a constant or a text")]
    pub fn send<T: Serialize + ?Sized>(&self, event: impl Named<T>, argument: &T) {
        events::send(self.id(), &event, argument);
    }

    /// Sends an event with several arguments, a tuple.
    ///
    /// # Panics
    ///
    /// If an argument cannot be serialized.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a tuple made for the occasion"
    )]
    pub fn send_args(&self, event: &str, arguments: impl Arguments) {
        events::send_args(self.id(), event, &arguments);
    }

    /// Sends text on a raw WebSocket.
    pub fn send_text(&self, text: impl Into<String>) {
        sockets::send_message(self.id(), &WebsocketMessage::Text(text.into()));
    }

    /// Sends bytes on a raw WebSocket.
    pub fn send_binary(&self, bytes: impl Into<Vec<u8>>) {
        sockets::send_message(self.id(), &WebsocketMessage::Binary(bytes.into()));
    }

    /// Sends a value as JSON text on a raw WebSocket.
    ///
    /// # Panics
    ///
    /// If it cannot be serialized.
    pub fn send_json(&self, value: &(impl Serialize + ?Sized)) {
        self.send_text(serde_json::to_string(value).expect("the message can be serialized"));
    }

    /// Closes the connection as it should end (1000). Calls in progress on it are answered first.
    pub fn disconnect(&self, reason: &str) {
        sockets::close(self.id(), None, reason);
    }

    /// Closes the connection with a WebSocket close code; one that cannot be sent is 1000.
    pub fn close(&self, code: u16, reason: &str) {
        sockets::close(self.id(), Some(code), reason);
    }

    pub(crate) fn set_listed(&self, is_listed: bool) {
        self.0.is_listed.set(is_listed);
    }

    /// Its state, if it has changed since it was last taken.
    pub(crate) fn take_changed(&self) -> Option<Vec<u8>> {
        let is_changed = self.0.is_changed.take();
        is_changed.then(|| {
            let state = self.0.state.borrow();
            to_vec(&*state).expect("the state of a connection can be serialized")
        })
    }
}
