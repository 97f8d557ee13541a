//! What a guest sends without waiting: events, messages, closings, and the wish to end.

use std::sync::Arc;

use bytes::Bytes;
use greenroom_model::{ConnId, Event, Message};
use tokio::sync::Notify;

use crate::crash::{Crash, Raised};
use crate::guest::checked;

/// The longest name of an event, in bytes.
const EVENT_NAME_BYTES_MAX: usize = 256;
/// What an effect costs besides its bytes, so that small ones are bounded, too.
const EFFECT_BYTES: usize = 64;

/// Something that a turn sends outward. It may leave once the writes before it are kept.
#[derive(Debug)]
pub enum Effect {
    /// An event to everybody who has subscribed to it.
    Broadcast(Arc<Event>),
    /// An event to one connection.
    Send(ConnId, Arc<Event>),
    /// A message on a raw WebSocket.
    Message(ConnId, Message),
    /// The end of a connection, with a close code and a reason.
    Close(ConnId, Option<u16>, String),
    /// The actor wants to sleep.
    Sleep,
    /// The actor wants to be no more.
    Destroy,
}

impl Effect {
    /// About how many bytes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        EFFECT_BYTES
            + match self {
                Self::Broadcast(event) | Self::Send(_, event) => event.len(),
                Self::Message(_, message) => message.len(),
                Self::Close(_, _, reason) => reason.len(),
                Self::Sleep | Self::Destroy => 0,
            }
    }

    /// Never: every effect takes some room.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }
}

/// Effects that the actor's loop has not taken yet.
pub(crate) struct Outbox {
    effects: Vec<Effect>,
    bytes: usize,
    bytes_max: usize,
    arrived: Arc<Notify>,
}

impl Outbox {
    /// An empty one, which says by `arrived` that there is something in it.
    pub(crate) const fn new(bytes_max: usize, arrived: Arc<Notify>) -> Self {
        Self {
            effects: Vec::new(),
            bytes: 0,
            bytes_max,
            arrived,
        }
    }

    /// A guest that sends more than it may without giving control back has to be ended: nothing here can
    /// wait.
    pub(crate) fn push(&mut self, effect: Effect) -> wasmtime::Result<()> {
        self.bytes += effect.len();
        if self.bytes > self.bytes_max {
            return Err(Raised(Crash::Outbox).into());
        }
        self.effects.push(effect);
        self.arrived.notify_one();
        Ok(())
    }

    pub(crate) fn take(&mut self) -> Vec<Effect> {
        self.bytes = 0;
        std::mem::take(&mut self.effects)
    }
}

/// An event as a guest gives it, checked.
pub(crate) fn event(name: String, args: Vec<u8>) -> wasmtime::Result<Arc<Event>> {
    let broken = |text: String| wasmtime::Error::from(Raised(Crash::Contract(text)));
    if name.is_empty() || name.len() > EVENT_NAME_BYTES_MAX {
        let bytes = name.len();
        return Err(broken(format!(
            "the name of an event has {bytes} bytes; 1 to {EVENT_NAME_BYTES_MAX} are allowed"
        )));
    }
    let args: Bytes = checked(args).map_err(Raised)?;
    // The major type of CBOR's arrays.
    if args.first().is_none_or(|first| first >> 5 != 4) {
        return Err(broken("the arguments of an event are no array".to_owned()));
    }
    Ok(Arc::new(Event::new(name, args)))
}
