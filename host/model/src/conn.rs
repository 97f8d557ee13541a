//! Clients that are attached to an actor, and what passes between them.

use std::fmt;
use std::sync::OnceLock;

use bytes::Bytes;

use crate::{ActorError, ActorId, ActorSpecifier};

/// A connection; never used again after it.
///
/// Shown as 32 lower-case hexadecimal digits, ordered by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(u128);

impl ConnId {
    /// A new id, different from every other.
    #[must_use]
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().as_u128())
    }

    /// The id as a number, for compact storage.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The id that [`as_u128`](Self::as_u128) gave.
    #[must_use]
    pub const fn from_u128(number: u128) -> Self {
        Self(number)
    }

    /// Reads what `Display` wrote; anything else is no connection's id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let is_id = text.len() == 32 && text.bytes().all(is_digit);
        let number = is_id.then(|| u128::from_str_radix(text, 16).ok())?;
        number.map(Self)
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnKind {
    /// One action, called without a connection of its own.
    Call,
    /// Any number of actions, and events.
    Realtime,
    /// One raw HTTP request.
    Request,
    /// One raw WebSocket.
    Websocket,
}

impl ConnKind {
    /// Whether it has a socket that stays.
    #[must_use]
    pub const fn is_long(self) -> bool {
        matches!(self, Self::Realtime | Self::Websocket)
    }
}

/// The HTTP request that opened a connection, as its actor is to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpeningRequest {
    /// In upper case.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// In order, names in lower case.
    pub headers: Vec<(String, Bytes)>,
}

/// How a connection began. Does not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Its name.
    pub id: ConnId,
    /// What it is for.
    pub kind: ConnKind,
    /// What the client gave (CBOR).
    pub params: Bytes,
    /// The request; `None` for calls from other actors.
    pub request: Option<OpeningRequest>,
}

impl Opening {
    /// About how many bytes it has.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let request = self.request.as_ref().map_or(0, |request| {
            let headers = request.headers.iter();
            let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
            request.url.len() + headers
        });
        self.params.len() + request
    }

    /// A short connection for one call from nowhere in particular.
    #[must_use]
    pub fn plain(kind: ConnKind) -> Self {
        Self {
            id: ConnId::generate(),
            kind,
            params: Bytes::from_static(&[0xf7]),
            request: None,
        }
    }
}

/// A message on a raw WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Ways to write an event on the wire.
pub const EVENT_FORMS: usize = 6;

/// An event on its way to any number of connections, which share it.
#[derive(Debug)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its arguments (a CBOR array).
    pub args: Bytes,
    forms: [OnceLock<Bytes>; EVENT_FORMS],
}

impl Event {
    /// An event that has not been written for anybody.
    #[must_use]
    pub fn new(name: String, args: Bytes) -> Self {
        Self {
            name,
            args,
            forms: Default::default(),
        }
    }

    /// What the event is in form number `index`, written by `write` the first time only.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`EVENT_FORMS`].
    pub fn form(&self, index: usize, write: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.forms[index].get_or_init(|| write(self)).clone()
    }

    /// About how many bytes it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.name.len() + self.args.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The result of a call on a connection.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Which call, by the client's own number.
    pub call: u64,
    /// What it came to (CBOR).
    pub output: Result<Bytes, ActorError>,
    /// Who answered, if it got that far.
    pub actor: Option<ActorSpecifier>,
}

/// What an actor sends on one long connection, in order.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// It is let in.
    Opened(ActorId),
    /// The result of one of its calls.
    Answer(Box<Answer>),
    /// An event.
    Event(std::sync::Arc<Event>),
    /// A raw message.
    Message(Message),
    /// Something went wrong that is no call's answer.
    Failed(Box<ActorError>),
    /// The last of all: a WebSocket close code and a reason.
    Close(u16, String),
}

impl Outgoing {
    /// About how many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Answer(answer) => match &answer.output {
                Ok(output) => output.len(),
                Err(error) => error_len(error),
            },
            Self::Failed(error) => error_len(error),
            Self::Event(event) => event.len(),
            Self::Message(message) => message.len(),
            Self::Opened(_) | Self::Close(..) => 0,
        }
    }

    /// Whether it has next to no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn error_len(error: &ActorError) -> usize {
    error.message.len() + error.metadata.as_ref().map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_way_through_text() {
        let id = ConnId::generate();
        assert_eq!(ConnId::parse(&id.to_string()), Some(id));
        for text in ["", "x", "0123456789ABCDEF0123456789ABCDEF"] {
            assert_eq!(ConnId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_event_is_written_once_for_each_form() {
        let event = Event::new("e".into(), Bytes::from_static(b"\x80"));
        let first = event.form(1, |event| event.args.clone());
        assert_eq!(event.form(1, |_| panic!("written before")), first);
        assert_eq!(event.form(2, |_| Bytes::from("b")), "b");
    }
}
