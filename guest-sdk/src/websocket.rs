//! Raw WebSockets: what comes in on them. What goes out is in [`Conn`](crate::Conn).

use crate::bindings::greenroom::actor::types::WebsocketMessage;

/// One message on a raw WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What was sent.
    pub data: MessageData,
    /// Which message of this connection it is, from 1. Goes on over sleep and new revisions.
    pub index: u32,
}

/// What a message holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageData {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

impl Message {
    pub(crate) fn new(message: WebsocketMessage, index: u32) -> Self {
        let data = match message {
            WebsocketMessage::Text(text) => MessageData::Text(text),
            WebsocketMessage::Binary(bytes) => MessageData::Binary(bytes),
        };
        Self { data, index }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.data {
            MessageData::Text(text) => Some(text),
            MessageData::Binary(_) => None,
        }
    }
}

/// How a raw WebSocket was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The close code: the client's (1005 if it gave none, 1006 if it vanished), the actor's own, or 1001 if the host had
    /// to close it.
    pub code: u16,
    /// The reason that came with it.
    pub reason: String,
}
