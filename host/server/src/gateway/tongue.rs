//! What is spoken on a WebSocket: the stock client's protocol in one of its encodings, or nothing but the messages
//! themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use greenroom_model::{
    ActorError, ActorId, Answer, ConnId, Message as RawMessage, Outgoing, codes,
};
use greenroom_placement::{Conn, Frame};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

use super::queue::Queue;
use super::socket::{End, retried};
use crate::app::App;
use crate::encoding::{
    Encoding, Peer, decode_frame, encode_answer, encode_event, encode_failed, encode_opened,
};

/// The version in which a connection begins: every client reads it. Source: protocol, section 19.
const FIRST_VERSION: u16 = 2;
/// The version of clients that speak in queries.
const NEWEST_VERSION: u16 = 4;

/// How long a connection stays whose subscription could not be entered: its actor has enough to do as it is.
const RESUBSCRIBE_AFTER: Duration = Duration::from_secs(1);

/// A way to speak. Cheap to clone; clones share what is learnt about the client.
#[derive(Debug, Clone)]
pub(super) enum Tongue {
    /// The stock client's. It answers in the version in which the client last spoke.
    Stock(Encoding, Arc<AtomicU16>),
    /// Messages as they are.
    Raw,
}

impl Tongue {
    pub(super) fn new(encoding: Option<Encoding>, is_newest: bool) -> Self {
        let encoding = encoding.unwrap_or(Encoding::Json);
        let version = if is_newest {
            NEWEST_VERSION
        } else {
            FIRST_VERSION
        };
        Self::Stock(encoding, Arc::new(AtomicU16::new(version)))
    }

    pub(super) const fn raw() -> Self {
        Self::Raw
    }

    pub(super) const fn is_raw(&self) -> bool {
        matches!(self, Self::Raw)
    }

    pub(super) fn incoming_max(&self, app: &App) -> usize {
        match self {
            Self::Stock(..) => app.limits.incoming_bytes_max,
            Self::Raw => app.limits.raw_message_bytes_max,
        }
    }

    fn peer(&self) -> Option<Peer> {
        match self {
            // Only BARE has versions; the others are written as for the newest.
            Self::Stock(Encoding::Bare, version) => {
                let version = version.load(Ordering::Relaxed);
                Some(Peer::of(Encoding::Bare).with_version(version))
            }
            Self::Stock(encoding, _) => Some(Peer::of(*encoding)),
            Self::Raw => None,
        }
    }

    /// What says that the connection is open; nothing, on a raw one.
    pub(super) fn write_opened(&self, actor: ActorId, conn: ConnId) -> Option<Message> {
        let peer = self.peer()?;
        Some(to_message(peer, encode_opened(peer, actor, conn)))
    }

    /// A frame for what an actor sends, if it is anything in this tongue. After an error the connection cannot go on.
    pub(super) fn write(
        &self,
        outgoing: &Outgoing,
        app: &App,
    ) -> Result<Option<Message>, ActorError> {
        let Some(peer) = self.peer() else {
            return Ok(match outgoing {
                Outgoing::Message(RawMessage::Text(text)) => {
                    Some(Message::Text(Utf8Bytes::from(text.clone())))
                }
                Outgoing::Message(RawMessage::Binary(bytes)) => {
                    Some(Message::Binary(bytes.clone()))
                }
                _ => None,
            });
        };
        let bytes = match outgoing {
            Outgoing::Answer(answer) => encode_answer(peer, answer, app.limits.outgoing_bytes_max),
            Outgoing::Event(event) => encode_event(peer, event)?,
            Outgoing::Failed(error) => encode_failed(peer, error, app.limits.outgoing_bytes_max),
            Outgoing::Opened(_) | Outgoing::Message(_) | Outgoing::Close(..) => return Ok(None),
        };
        Ok(Some(to_message(peer, bytes)))
    }

    /// Reads a text or binary message.
    pub(super) fn read(&self, message: Message) -> Result<Frame, ActorError> {
        let Self::Stock(encoding, version) = self else {
            return Ok(Frame::Message(match message {
                Message::Text(text) => RawMessage::Text(text.as_str().to_owned()),
                other => RawMessage::Binary(other.into_data()),
            }));
        };
        let is_text = matches!(message, Message::Text(_));
        if is_text && *encoding != Encoding::Json {
            let text = "frames of this encoding are binary";
            return Err(ActorError::new(codes::INVALID_REQUEST, text));
        }
        let mut peer = self.peer().unwrap_or(Peer::JSON);
        let frame = decode_frame(&mut peer, &message.into_data())?;
        version.store(peer.version(), Ordering::Relaxed);
        Ok(frame)
    }

    /// Hands a frame to the actor and waits until it has begun.
    pub(super) async fn enter(
        &self,
        app: &App,
        conn: &Arc<Conn>,
        queue: &Queue,
        frame: Frame,
    ) -> Result<(), End> {
        let call = match &frame {
            Frame::Action { call, .. } => Some(*call),
            Frame::Subscribe { .. } | Frame::Message(_) => None,
        };
        let Err(failed) = app.router.frame(conn, frame).await else {
            return Ok(());
        };
        let error = failed.error;
        if error.is(codes::NOT_FOUND) {
            // The actor is no more, and so is the connection.
            return Err(End::Actor(1000, String::new()));
        }
        match (self, call) {
            (Self::Raw, _) => return Err(End::Failed(error)),
            (Self::Stock(..), Some(call)) => queue.push(Outgoing::Answer(Box::new(Answer {
                call,
                output: Err(error),
                actor: failed.actor,
            }))),
            (Self::Stock(..), None) => {
                // It would stay without the events that it wants. The client comes back at once and asks again.
                tokio::time::sleep(RESUBSCRIBE_AFTER).await;
                return Err(End::Failed(retried(error, self)));
            }
        }
        Ok(())
    }
}

fn to_message(peer: Peer, bytes: Bytes) -> Message {
    if peer.wants_text() {
        // JSON is text; it was written as such.
        if let Ok(text) = Utf8Bytes::try_from(bytes.clone()) {
            return Message::Text(text);
        }
    }
    Message::Binary(bytes)
}
