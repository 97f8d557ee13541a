//! A long connection, as its actor sees it: the way to the client, and what the client wants to hear.
//!
//! It outlives activations. While the actor sleeps, this and the socket are all there is of it in memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use greenroom_model::{
    ActorError, ActorId, ActorSpecifier, Answer, ConnId, ConnKind, ConnSink, Opening, Outgoing,
};

/// So that connections of different actors seldom wait for the same lock.
const SHARDS: usize = 32;
/// What may be sent to a connection before it is let in: so many events and messages,
const EARLY_MAX: usize = 1_024;
/// and so many bytes. The largest raw message fits.
const EARLY_BYTES_MAX: usize = 8 << 20;
/// How a connection is closed to which more was sent.
const TOO_MUCH: (u16, &str) = (1011, "message.too_slow");

/// A long connection.
#[derive(Debug)]
pub struct Conn {
    /// Whose.
    pub actor: ActorId,
    /// How it began.
    pub opening: Arc<Opening>,
    sink: Box<dyn ConnSink>,
    inner: Mutex<Inner>,
    messages: AtomicU32,
}

#[derive(Debug, Default)]
struct Inner {
    phase: Phase,
    subscriptions: BTreeSet<String>,
    /// Calls that have begun and not been answered.
    calls: usize,
    /// It is to be closed once they are.
    closing: Option<(u16, String)>,
    /// The end was sent to it. Its client may not have heard yet, and what it goes on to say counts no more.
    is_closed: bool,
    /// Its actor has ended it: the next activation has nothing to do with it.
    is_ended: bool,
    /// What its next call is told instead of being carried out.
    refusal: Option<ActorError>,
}

#[derive(Debug)]
enum Phase {
    /// Not let in yet; what was sent to it waits here.
    Early(Early),
    Open,
    /// Its client is gone: the close code, and the reason.
    Gone(u16, String),
}

impl Default for Phase {
    fn default() -> Self {
        Self::Early(Early::default())
    }
}

/// What waits until a connection is let in.
#[derive(Debug, Default)]
struct Early {
    outgoing: Vec<Outgoing>,
    bytes: usize,
    /// More was sent than may wait; nothing more is taken.
    is_overrun: bool,
}

impl Early {
    fn push(&mut self, outgoing: Outgoing) {
        if self.is_overrun {
            return;
        }
        self.bytes += outgoing.len();
        if self.bytes > EARLY_BYTES_MAX || self.outgoing.len() >= EARLY_MAX {
            *self = Self {
                is_overrun: true,
                ..Self::default()
            };
        } else {
            self.outgoing.push(outgoing);
        }
    }
}

impl Conn {
    /// A connection that asks to be let in.
    #[must_use]
    pub fn new(actor: ActorId, opening: Opening, sink: Box<dyn ConnSink>) -> Arc<Self> {
        Arc::new(Self {
            actor,
            opening: Arc::new(opening),
            sink,
            inner: Mutex::default(),
            messages: AtomicU32::new(0),
        })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> ConnId {
        self.opening.id
    }

    pub(crate) fn kind(&self) -> ConnKind {
        self.opening.kind
    }

    /// It is let in: the client hears that first, and then what was sent to it before.
    pub(crate) fn open(&self) {
        let mut inner = self.lock();
        let Phase::Early(early) = &mut inner.phase else {
            return;
        };
        let early = std::mem::take(early);
        inner.phase = Phase::Open;
        self.sink.send(Outgoing::Opened(self.actor));
        early
            .outgoing
            .into_iter()
            .for_each(|outgoing| self.sink.send(outgoing));
        if early.is_overrun {
            // Not before: a client that is closed before it was let in may never come back.
            let (code, reason) = TOO_MUCH;
            inner.is_closed = true;
            self.sink.send(Outgoing::Close(code, reason.to_owned()));
        }
    }

    /// Sends something, in order with everything else.
    pub(crate) fn send(&self, outgoing: Outgoing) {
        let mut inner = self.lock();
        inner.is_closed |= matches!(outgoing, Outgoing::Close(..));
        match &mut inner.phase {
            Phase::Early(early) => early.push(outgoing),
            Phase::Gone(..) => {}
            Phase::Open => self.sink.send(outgoing),
        }
    }

    pub(crate) fn begin_call(&self) {
        self.lock().calls += 1;
    }

    /// Answers a call that has begun. The last answer lets a closing that waits for it go ahead.
    pub(crate) fn answer(
        &self,
        call: u64,
        output: Result<Bytes, ActorError>,
        actor: ActorSpecifier,
    ) {
        self.send(Outgoing::Answer(Box::new(Answer {
            call,
            output,
            actor: Some(actor),
        })));
        let mut inner = self.lock();
        inner.calls = inner.calls.saturating_sub(1);
        if inner.calls == 0
            && let Some((code, reason)) = inner.closing.take()
        {
            drop(inner);
            self.send(Outgoing::Close(code, reason));
        }
    }

    /// Closes it, after the calls that have begun are answered.
    pub fn close(&self, code: u16, reason: String) {
        let mut inner = self.lock();
        if inner.calls > 0 {
            inner.closing = Some((code, reason));
            return;
        }
        drop(inner);
        self.send(Outgoing::Close(code, reason));
    }

    /// Closes it, whatever is going on.
    pub(crate) fn cut(&self, code: u16, reason: String) {
        self.send(Outgoing::Close(code, reason));
    }

    /// Says that the client is gone, and how it went. The first time counts.
    pub fn set_gone(&self, code: u16, reason: String) {
        let mut inner = self.lock();
        if !matches!(inner.phase, Phase::Gone(..)) {
            inner.phase = Phase::Gone(code, reason);
        }
    }

    /// How the client went, if it is gone.
    pub(crate) fn gone(&self) -> Option<(u16, String)> {
        match &self.lock().phase {
            Phase::Gone(code, reason) => Some((*code, reason.clone())),
            Phase::Early(_) | Phase::Open => None,
        }
    }

    fn is_open(&self) -> bool {
        let inner = self.lock();
        matches!(inner.phase, Phase::Open) && !inner.is_ended
    }

    pub(crate) fn set_ended(&self) {
        self.lock().is_ended = true;
    }

    /// Whether it is closed, or is to be as soon as its calls are answered.
    pub(crate) fn is_closing(&self) -> bool {
        let inner = self.lock();
        inner.is_closed || inner.closing.is_some()
    }

    /// Subscribes, or does the opposite. `false` if it has as many subscriptions as it may.
    pub(crate) fn subscribe(&self, event: String, is_wanted: bool, most: usize) -> bool {
        let mut inner = self.lock();
        if !is_wanted {
            inner.subscriptions.remove(&event);
            return true;
        }
        if inner.subscriptions.len() >= most && !inner.subscriptions.contains(&event) {
            return false;
        }
        inner.subscriptions.insert(event);
        true
    }

    pub(crate) fn is_subscribed(&self, event: &str) -> bool {
        self.lock().subscriptions.contains(event)
    }

    /// A subscription was refused. The client is told at once; and since it may not have a call in flight that
    /// would fail by that, its next one fails, too.
    pub(crate) fn refuse(&self, error: ActorError) {
        self.send(Outgoing::Failed(Box::new(error.clone())));
        self.lock().refusal = Some(error);
    }

    pub(crate) fn take_refusal(&self) -> Option<ActorError> {
        self.lock().refusal.take()
    }

    /// The number of the next raw message, from 1.
    pub(crate) fn next_message(&self) -> u32 {
        self.messages
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing here panics halfway through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Shard = Mutex<HashMap<ActorId, Vec<Arc<Conn>>>>;

/// The long connections of all actors, awake or not.
#[derive(Debug, Default)]
pub struct Sockets {
    shards: [Shard; SHARDS],
}

impl Sockets {
    pub(crate) fn insert(&self, conn: &Arc<Conn>) {
        let mut shard = self.shard(conn.actor);
        shard.entry(conn.actor).or_default().push(conn.clone());
    }

    /// Forgets a connection whose client is gone.
    pub fn remove(&self, conn: &Conn) {
        let mut shard = self.shard(conn.actor);
        if let Some(conns) = shard.get_mut(&conn.actor) {
            conns.retain(|other| other.id() != conn.id());
            if conns.is_empty() {
                shard.remove(&conn.actor);
            } else if conns.capacity() > 4 * conns.len() {
                conns.shrink_to_fit();
            }
        }
    }

    /// Those of an actor that were let in and are still there.
    pub(crate) fn open(&self, actor: ActorId) -> Vec<Arc<Conn>> {
        let shard = self.shard(actor);
        let conns = shard.get(&actor).into_iter().flatten();
        conns.filter(|conn| conn.is_open()).cloned().collect()
    }

    /// Closes all connections of an actor that is no more.
    pub fn close(&self, actor: ActorId) {
        for conn in self.open(actor) {
            conn.cut(1000, String::new());
        }
    }

    fn shard(&self, actor: ActorId) -> MutexGuard<'_, HashMap<ActorId, Vec<Arc<Conn>>>> {
        // The low bits of an id are its random ones.
        let shard = &self.shards[actor.as_u128() as usize % SHARDS];
        // A table is never left half changed.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use greenroom_model::{ActorKey, Generation, Message};

    use super::*;

    /// Keeps what is sent, as words.
    #[derive(Debug, Clone, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl ConnSink for Heard {
        fn send(&self, outgoing: Outgoing) {
            let word = match outgoing {
                Outgoing::Opened(_) => "opened".to_owned(),
                Outgoing::Message(message) => message.len().to_string(),
                Outgoing::Close(code, reason) => format!("{code} {reason}"),
                other => format!("{other:?}"),
            };
            self.0.lock().unwrap().push(word);
        }
    }

    fn early() -> (Arc<Conn>, Heard) {
        let heard = Heard::default();
        let opening = Opening::plain(ConnKind::Websocket);
        let sink = Box::new(heard.clone());
        (Conn::new(ActorId::from_u128(1), opening, sink), heard)
    }

    fn message(bytes: usize) -> Outgoing {
        Outgoing::Message(Message::Binary(vec![0; bytes].into()))
    }

    #[test]
    fn what_is_sent_early_comes_after_the_opening() {
        let (conn, heard) = early();
        conn.send(message(1));
        conn.send(message(EARLY_BYTES_MAX - 1));
        conn.close(1000, "bye".to_owned());
        conn.open();
        let whole = (EARLY_BYTES_MAX - 1).to_string();
        let heard = heard.0.lock().unwrap();
        assert_eq!(*heard, ["opened", "1", whole.as_str(), "1000 bye"]);
    }

    #[test]
    fn who_is_sent_too_much_early_is_let_in_and_closed() {
        for sizes in [vec![1, EARLY_BYTES_MAX], vec![1; EARLY_MAX + 1]] {
            let (conn, heard) = early();
            for bytes in sizes {
                conn.send(message(bytes));
            }
            conn.send(message(1));
            conn.open();
            let heard = heard.0.lock().unwrap();
            assert_eq!(*heard, ["opened", "1011 message.too_slow"]);
        }
    }

    #[test]
    fn a_connection_that_was_closed_stays_closing() {
        let (conn, _heard) = early();
        conn.open();
        assert!(!conn.is_closing());
        conn.begin_call();
        conn.close(1000, "bye".to_owned());
        assert!(conn.is_closing(), "its call is under way");
        let actor = ActorSpecifier {
            id: conn.actor,
            key: ActorKey::new(&["k"]).unwrap(),
            generation: Generation(1),
        };
        conn.answer(0, Ok(Bytes::from_static(&[0xf6])), actor);
        assert!(conn.is_closing(), "its client may not have heard of it");
    }
}
