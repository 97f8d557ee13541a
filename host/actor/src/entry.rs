//! One call into the guest, or a few that belong together, from its beginning to what it came to.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use greenroom_model::{ConnId, Message, Opening, Scheduled};
use greenroom_runtime::{Crash, Failure, Guest, HttpRequest, Identity, Restored, StopReason};

use crate::conn::Conn;
use crate::handle::Output;
use crate::turns::TurnId;

/// A call into the guest that is about to be made.
pub(crate) enum Entry {
    Create(Option<Bytes>),
    /// With the version of the state, if it has to be migrated first.
    Wake(Option<Bytes>, Option<u32>, Vec<Restored>),
    /// An action.
    Call {
        turn: TurnId,
        by: By,
        action: String,
        args: Bytes,
    },
    /// A raw request.
    Request {
        turn: TurnId,
        opening: Arc<Opening>,
        /// Whether the guest is told of its connection.
        is_told: bool,
        request: Box<HttpRequest>,
    },
    Connect {
        turn: TurnId,
        conn: Arc<Conn>,
        can_hibernate: bool,
    },
    Websocket(TurnId, Arc<Conn>),
    Subscribe(TurnId, Arc<Conn>, String),
    Message(TurnId, Arc<Conn>, Message, u32),
    /// A connection is over; if it was a raw WebSocket, with how it was closed.
    Leave(TurnId, ConnId, Option<(u16, String)>),
    /// A message for a queue, from somebody whom the guest is asked about.
    Send {
        turn: TurnId,
        opening: Arc<Opening>,
        /// The guest is asked whether this one may send.
        is_guarded: bool,
        message: Box<Sending>,
    },
    /// A scheduled action.
    Scheduled(TurnId, Box<Scheduled>),
    /// The run loop.
    Run,
    /// Nobody waits for a call any more.
    Cancel(TurnId),
    /// The activation begins to stop.
    Abort(StopReason),
    Stop(StopReason),
}

/// A message that is about to be put into its queue.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) queue: String,
    pub(crate) body: Bytes,
    pub(crate) is_waited_for: bool,
}

/// By what an action is called.
pub(crate) enum By {
    /// Nothing that the guest is told of.
    Nobody,
    /// A connection that it knows.
    Conn(ConnId),
    /// A connection that lasts as long as the call.
    Short(Arc<Opening>),
}

/// What a turn is, once it has returned.
pub(crate) enum Work {
    Start,
    /// With the short connection that is over now, if the guest knows of one.
    Action(TurnId, Option<ConnId>),
    /// With the connection, and whether the guest knows of it.
    Request(TurnId, ConnId, bool),
    Connect(TurnId, Arc<Conn>),
    Websocket(TurnId, Arc<Conn>),
    /// With the answer in its output: `true` is a value, `false` is none.
    Subscribe(TurnId, Arc<Conn>, String, bool),
    Message(TurnId),
    Leave(TurnId, ConnId),
    /// With the short connection that is over now, and the message if it may be sent.
    Send(TurnId, Option<ConnId>, Option<Box<Sending>>),
    Scheduled(TurnId, Box<Scheduled>),
    Run,
    /// The guest was told something, to which there is no answer.
    Told,
    Stop,
}

impl Work {
    /// Whether somebody outside has asked for it.
    pub(crate) const fn is_for_a_client(&self) -> bool {
        matches!(
            self,
            Self::Action(..) | Self::Request(..) | Self::Message(..) | Self::Send(..)
        )
    }
}

/// What it came to: a failure is an answer, too, and a crash is the end of the instance.
pub(crate) type Ended = (Work, Result<Result<Output, Failure>, Crash>);

/// Makes the call. Each kind has a future of its own: one for all of them would be as large as the largest, and is
/// moved about for every action.
pub(crate) fn enter<'g>(
    guest: &'g Guest<'_>,
    identity: &'g Identity,
    entry: Entry,
) -> BoxFuture<'g, Ended> {
    match entry {
        Entry::Call {
            turn,
            by,
            action,
            args,
        } => call(guest, turn, by, action, args).boxed(),
        Entry::Request {
            turn,
            opening,
            is_told,
            request,
        } => request_of(guest, turn, opening, is_told, request).boxed(),
        Entry::Message(turn, conn, message, index) => async move {
            let handled = guest.message(conn.id(), message, index).await;
            (Work::Message(turn), done(handled))
        }
        .boxed(),
        other => enter_other(guest, identity, other).boxed(),
    }
}

async fn enter_other(guest: &Guest<'_>, identity: &Identity, entry: Entry) -> Ended {
    match entry {
        Entry::Create(input) => (Work::Start, done(guest.create(identity, input).await)),
        Entry::Wake(state, from, conns) => {
            let woken = wake(guest, identity, state, from, conns).await;
            (Work::Start, woken)
        }
        Entry::Connect {
            turn,
            conn,
            can_hibernate,
        } => {
            let connected = guest.connect(&conn.opening, can_hibernate).await;
            (Work::Connect(turn, conn), done(connected))
        }
        Entry::Websocket(turn, conn) => {
            let opened = guest.websocket(conn.id()).await;
            (Work::Websocket(turn, conn), done(opened))
        }
        Entry::Subscribe(turn, conn, event) => {
            let may = guest.may_subscribe(conn.id(), event.clone()).await;
            let is_allowed = matches!(may, Ok(Ok(true)));
            let output = may.map(|may| may.map(|_| Output::Done));
            (Work::Subscribe(turn, conn, event, is_allowed), output)
        }
        Entry::Leave(turn, id, closed) => (Work::Leave(turn, id), leave(guest, id, closed).await),
        Entry::Send {
            turn,
            opening,
            is_guarded,
            message,
        } => send(guest, turn, opening, is_guarded, message).await,
        Entry::Scheduled(turn, entry) => {
            let (action, args) = (entry.action.clone(), entry.args.clone());
            let output = guest.call(call_id(turn), None, action, args).await;
            let output = output.map(|output| output.map(Output::Value));
            (Work::Scheduled(turn, entry), output)
        }
        Entry::Run => (Work::Run, done(guest.run().await)),
        Entry::Cancel(turn) => {
            let told = guest.cancel(call_id(turn)).await;
            (Work::Told, told.map(|()| Ok(Output::Done)))
        }
        Entry::Abort(reason) => {
            let told = guest.abort(reason).await;
            (Work::Told, told.map(|()| Ok(Output::Done)))
        }
        Entry::Stop(reason) => (Work::Stop, done(guest.stop(reason).await)),
        Entry::Call { .. } | Entry::Request { .. } | Entry::Message(..) => {
            unreachable!("`enter` takes these itself")
        }
    }
}

/// Wakes the actor, after its state has been migrated if `from` says that it has another version.
pub(crate) async fn wake(
    guest: &Guest<'_>,
    identity: &Identity,
    state: Option<Bytes>,
    from: Option<u32>,
    conns: Vec<Restored>,
) -> Result<Result<Output, Failure>, Crash> {
    let (Some(old), Some(from)) = (&state, from) else {
        return done(guest.wake(identity, state, conns).await);
    };
    let migrated = match guest.migrate(identity, from, old.clone()).await? {
        Ok(migrated) => migrated,
        Err(failure) => return Ok(Err(failure)),
    };
    let woken = guest.wake(identity, Some(migrated.clone()), conns).await?;
    Ok(woken.map(|()| Output::Migrated(migrated)))
}

async fn call(guest: &Guest<'_>, turn: TurnId, by: By, action: String, args: Bytes) -> Ended {
    let (caller, short) = match by {
        By::Nobody => (None, None),
        By::Conn(id) => (Some(id), None),
        By::Short(opening) => match guest.connect(&opening, false).await {
            Ok(Ok(())) => (Some(opening.id), Some(opening.id)),
            // It was never there, and nobody has to take it out.
            refused => return (Work::Action(turn, None), done(refused)),
        },
    };
    let output = guest.call(call_id(turn), caller, action, args).await;
    let output = output.map(|output| output.map(Output::Value));
    (Work::Action(turn, short), output)
}

/// What the guest knows a call by. Long before the numbers come again, the first is over.
#[expect(
    clippy::cast_possible_truncation,
    reason = "it comes again, which is all right"
)]
const fn call_id(turn: TurnId) -> u32 {
    turn as u32
}

async fn send(
    guest: &Guest<'_>,
    turn: TurnId,
    opening: Arc<Opening>,
    is_guarded: bool,
    message: Box<Sending>,
) -> Ended {
    match guest.connect(&opening, false).await {
        Ok(Ok(())) => {}
        refused => return (Work::Send(turn, None, None), done(refused)),
    }
    let may = if is_guarded {
        guest.may_publish(opening.id, message.queue.clone()).await
    } else {
        Ok(Ok(true))
    };
    let message = matches!(may, Ok(Ok(true))).then_some(message);
    let output = may.map(|may| may.map(|_| Output::Done));
    (Work::Send(turn, Some(opening.id), message), output)
}

async fn request_of(
    guest: &Guest<'_>,
    turn: TurnId,
    opening: Arc<Opening>,
    is_told: bool,
    request: Box<HttpRequest>,
) -> Ended {
    if is_told {
        match guest.connect(&opening, false).await {
            Ok(Ok(())) => {}
            refused => return (Work::Request(turn, opening.id, false), done(refused)),
        }
    }
    let response = guest.request(opening.id, *request).await;
    let output =
        response.map(|response| response.map(|response| Output::Response(response.map(Box::new))));
    (Work::Request(turn, opening.id, is_told), output)
}

async fn leave(
    guest: &Guest<'_>,
    id: ConnId,
    closed: Option<(u16, String)>,
) -> Result<Result<Output, Failure>, Crash> {
    let closed = match closed {
        Some((code, reason)) => guest.closed(id, code, reason).await?,
        None => Ok(()),
    };
    // Whatever the first says, the second has to be told.
    let left = guest.disconnect(id).await?;
    Ok(closed.and(left).map(|()| Output::Done))
}

fn done(done: Result<Result<(), Failure>, Crash>) -> Result<Result<Output, Failure>, Crash> {
    done.map(|done| done.map(|()| Output::Done))
}
