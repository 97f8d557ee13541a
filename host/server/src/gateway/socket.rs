//! One WebSocket, from its opening to its end.
//!
//! Two things go on at once: a *writer* takes what the actor sends out of the queue, and a *reader* hands the
//! client's frames to the actor, each when the one before has begun. Whichever ends first ends the socket.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use greenroom_model::{ActorError, ConnKind, Opening, Outgoing, Target, codes};
use greenroom_placement::{Conn, Failed};
use http::request::Parts;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};
use tracing::debug;

use super::queue::Queue;
use super::upgrade::Offer;
use super::{target_of, tongue::Tongue};
use crate::app::App;
use crate::encoding;
use crate::opening::{opening, repair};
use crate::query::Query;
use crate::route::{self, Route, named, route};

pub(super) type Stream = WebSocketStream<TokioIo<Upgraded>>;

/// How long the other side may take over its part of the end.
const GOODBYE_MAX: Duration = Duration::from_secs(2);
/// How long a slow client may take until it has read that it is too slow.
const SLOW_GOODBYE_MAX: Duration = Duration::from_secs(5);
/// How much of what cannot be read is thrown away before the socket is closed.
const DISCARD_BYTES_MAX: usize = 64 << 20;
/// The longest reason that a close frame can carry, in bytes.
const REASON_BYTES_MAX: usize = 123;

/// A WebSocket that was asked for.
pub(super) struct Request {
    pub(super) app: Arc<App>,
    pub(super) head: Parts,
    pub(super) offer: Offer,
    pub(super) peer: IpAddr,
    /// There is no place for it.
    pub(super) is_full: bool,
}

/// What it is for.
struct Purpose {
    target: Target,
    opening: Opening,
    tongue: Tongue,
}

/// How a socket ended.
pub(super) enum End {
    /// The client closed it, or vanished (1006).
    Client(u16, String),
    /// The actor closed it.
    Actor(u16, String),
    /// Something is wrong.
    Failed(ActorError),
    /// The client sends what is no WebSocket, or too much at once, so that nothing more can be read.
    Garbage(ActorError),
    /// The client reads too slowly.
    Slow,
}

/// A WebSocket whose request has been read.
pub(super) struct Wanted {
    app: Arc<App>,
    peer: IpAddr,
    /// What was asked for: path and query.
    asked: String,
    /// It is only told why it cannot stay, and nobody waits for it before the end.
    is_full: bool,
    purpose: Result<Purpose, Box<(Tongue, ActorError)>>,
}

impl Wanted {
    pub(super) fn of(request: Request) -> Self {
        Self {
            app: request.app.clone(),
            peer: request.peer,
            asked: request.head.uri.to_string(),
            is_full: request.is_full,
            purpose: purpose(request),
        }
    }

    /// How large a message is worth reading.
    pub(super) fn message_bytes_max(&self) -> usize {
        match &self.purpose {
            Ok(purpose) => purpose.tongue.incoming_max(&self.app),
            Err(refused) => refused.0.incoming_max(&self.app),
        }
    }
}

/// Serves a WebSocket until it is closed.
pub(super) async fn serve(wanted: Wanted, stream: Stream) {
    let Wanted {
        app,
        peer,
        asked,
        is_full,
        purpose,
    } = wanted;
    let (mut write, mut read) = stream.split();
    let (tongue, end) = match purpose {
        Err(refused) => (refused.0, Err(Failed::from(refused.1))),
        Ok(purpose) => {
            let tongue = purpose.tongue.clone();
            (tongue, session(&app, purpose, &mut write, &mut read).await)
        }
    };
    let end = match end {
        Ok(end) => end,
        Err(Failed { error, .. }) => {
            let error = retried(error, &tongue);
            if is_full && app.is_stopping() {
                let gone = async { while let Some(Ok(_)) = read.next().await {} };
                tokio::select! {
                    () = app.ending.cancelled() => {}
                    () = gone => {}
                }
            } else if !is_retried(&error, asked.contains("rvt-")) {
                // The error itself is held back as well: a client may ask again as soon as it knows.
                let delay = app.refusals.add(peer, &asked);
                tokio::select! {
                    () = hold_back(delay, &mut read) => {}
                    () = app.closing_sockets.cancelled() => {}
                }
                let told = Outgoing::Failed(Box::new(error.clone()));
                if let Ok(Some(frame)) = tongue.write(&told, &app) {
                    _ = timeout(GOODBYE_MAX, write.send(frame)).await;
                }
            }
            End::Failed(error)
        }
    };
    finish(end, write, read).await;
}

/// What the client wants, or why it cannot have it.
fn purpose(request: Request) -> Result<Purpose, Box<(Tongue, ActorError)>> {
    let Request {
        app,
        mut head,
        offer,
        is_full,
        ..
    } = request;
    repair_uri(&mut head);
    let query = head.uri.query().map_or(Ok(None), Query::parse);
    // Only clients of the newest version speak in queries.
    let is_newest = matches!(query, Ok(Some(_)));
    let path = head.uri.path().to_owned();
    let named = offer.actor.or_else(|| named(&head.headers));
    let routed = route(&path, named.as_ref().map(Option::as_deref));
    let tongue = match &routed {
        Ok(Route::Gateway(gateway)) if matches!(gateway.wanted, route::Wanted::Websocket(_)) => {
            Tongue::raw()
        }
        _ => Tongue::new(offer.encoding.as_ref().and_then(|e| e.ok()), is_newest),
    };
    let told = |error| Box::new((tongue.clone(), error));
    if is_full {
        let text = "the host cannot take more connections now; try again in a moment";
        return Err(told(ActorError::new(codes::SERVICE_UNAVAILABLE, text)));
    }
    if matches!(offer.encoding, Some(Err(()))) && !tongue.is_raw() {
        let text = "rivet_encoding has to be bare, cbor or json";
        let error = ActorError::new(codes::UNSUPPORTED_WEBSOCKET_ENCODING, text);
        return Err(told(error));
    }
    let Route::Gateway(gateway) = routed.map_err(told)? else {
        return Err(told(no_socket()));
    };
    let target = target_of(&app, &head, &gateway).map_err(told)?;
    let (kind, seen) = match &gateway.wanted {
        route::Wanted::Connect => (ConnKind::Realtime, "/connect"),
        route::Wanted::Websocket(path) => (ConnKind::Websocket, &**path),
        _ => return Err(told(no_socket())),
    };
    let params = encoding::params(offer.params.as_deref()).map_err(told)?;
    let opening = opening(kind, params, &head, seen);
    Ok(Purpose {
        target,
        opening,
        tongue,
    })
}

pub(crate) fn repair_uri(head: &mut Parts) {
    let repaired = repair(head.uri.path(), head.uri.query().unwrap_or_default());
    if let Some((path, query)) = repaired
        && let Ok(uri) = format!("{path}?{query}").parse()
    {
        head.uri = uri;
    }
}

fn no_socket() -> ActorError {
    let text = "there is no WebSocket here; they are at /connect and /websocket of an actor";
    ActorError::new(codes::NO_ROUTE, text)
}

async fn session(
    app: &Arc<App>,
    purpose: Purpose,
    write: &mut SplitSink<Stream, Message>,
    read: &mut SplitStream<Stream>,
) -> Result<End, Failed> {
    let Purpose {
        target,
        opening,
        tongue,
    } = purpose;
    let queue = Queue::new(&app.limits, &app.waiting);
    let mut writing = std::pin::pin!(writer(app, &tongue, opening.id, &queue, write));
    // Never dropped midway: whoever was let in has to be taken out again.
    let mut connecting = std::pin::pin!(app.router.connect(&target, opening, queue.sink()));
    let mut written = None;
    let conn = loop {
        tokio::select! {
            connected = &mut connecting => break connected?,
            end = &mut writing, if written.is_none() => written = Some(end),
        }
    };
    let end = match written {
        Some(end) => end,
        None => {
            let reading = reader(app, &tongue, &conn, &queue, read);
            let read = tokio::select! {
                biased;
                () = app.closing_sockets.cancelled() => None,
                end = &mut writing => Some(end),
                end = reading => Some(end),
            };
            match read {
                Some(end) => end,
                None => {
                    // Nothing more is read, and what was begun is answered first.
                    conn.close(1001, "ws.going_away".to_owned());
                    writing.await
                }
            }
        }
    };
    let (code, reason) = match &end {
        End::Client(code, reason) | End::Actor(code, reason) => (*code, reason.clone()),
        End::Failed(_) | End::Garbage(_) | End::Slow => (1011, String::new()),
    };
    app.router.closed(&conn, code, reason);
    Ok(end)
}

/// Writes what the actor sends.
async fn writer(
    app: &App,
    tongue: &Tongue,
    id: greenroom_model::ConnId,
    queue: &Queue,
    write: &mut SplitSink<Stream, Message>,
) -> End {
    let mut next_ping = Instant::now() + app.limits.ping_every;
    loop {
        // Also while there is much to write: a client that only listens says nothing of its own accord.
        if Instant::now() >= next_ping {
            next_ping = Instant::now() + app.limits.ping_every;
            if write.send(Message::Ping(Bytes::new())).await.is_err() {
                return End::Client(1006, String::new());
            }
        }
        let taken = tokio::select! {
            biased;
            () = queue.overrun() => return End::Slow,
            taken = timeout_at(next_ping, queue.take()) => taken,
        };
        let Ok(batch) = taken else { continue };
        let writing = async {
            for outgoing in batch {
                let frame = match &outgoing {
                    Outgoing::Close(code, reason) => {
                        write.flush().await?;
                        return Ok(Some(End::Actor(*code, reason.clone())));
                    }
                    Outgoing::Opened(actor) => tongue.write_opened(*actor, id),
                    other => match tongue.write(other, app) {
                        Ok(frame) => frame,
                        Err(error) => return Ok(Some(End::Failed(error))),
                    },
                };
                let Some(frame) = frame else { continue };
                if is_too_long(&outgoing, &frame, tongue, app) {
                    let text = "a message to the client is larger than the host sends";
                    let error = ActorError::new(codes::OUTGOING_TOO_LONG, text);
                    return Ok(Some(End::Failed(error)));
                }
                write.feed(frame).await?;
            }
            write.flush().await?;
            Ok::<_, Error>(None)
        };
        let wrote = tokio::select! {
            wrote = writing => wrote,
            () = queue.overrun() => return End::Slow,
        };
        match wrote {
            Ok(None) => {}
            Ok(Some(end)) => return end,
            Err(_) => return End::Client(1006, String::new()),
        }
    }
}

fn is_too_long(outgoing: &Outgoing, frame: &Message, tongue: &Tongue, app: &App) -> bool {
    let most = if tongue.is_raw() {
        app.limits.raw_message_bytes_max
    } else {
        app.limits.outgoing_bytes_max
    };
    // Answers see to it themselves: they turn into errors.
    matches!(outgoing, Outgoing::Event(_) | Outgoing::Message(_)) && frame.len() > most
}

/// Hands what the client sends to the actor.
async fn reader(
    app: &App,
    tongue: &Tongue,
    conn: &Arc<Conn>,
    queue: &Queue,
    read: &mut SplitStream<Stream>,
) -> End {
    loop {
        let message = match timeout(app.limits.silence_max, read.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. })))) => {
                return End::Garbage(too_long(app, tongue));
            }
            Ok(Some(Err(error))) => {
                debug!(%error, "a WebSocket broke off");
                return match error {
                    Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_) => {
                        let text = format!("what was sent is no WebSocket: {error}");
                        End::Garbage(ActorError::new(codes::INVALID_REQUEST, text))
                    }
                    _ => End::Client(1006, String::new()),
                };
            }
            Ok(None) | Err(_) => return End::Client(1006, String::new()),
        };
        let frame = match message {
            Message::Close(frame) => {
                let (code, reason) = frame.map_or((1005, String::new()), |frame| {
                    (frame.code.into(), frame.reason.as_str().to_owned())
                });
                return End::Client(code, reason);
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            message if message.len() > tongue.incoming_max(app) => {
                return End::Failed(too_long(app, tongue));
            }
            message => match tongue.read(message) {
                Ok(frame) => frame,
                Err(error) => return End::Failed(error),
            },
        };
        if let Err(end) = tongue.enter(app, conn, queue, frame).await {
            return end;
        }
    }
}

fn too_long(app: &App, tongue: &Tongue) -> ActorError {
    let most = tongue.incoming_max(app);
    let text = format!("a message to the actor has at most {most} bytes");
    ActorError::new(codes::INCOMING_TOO_LONG, text)
}

/// Says goodbye, and waits a little for the other side to say it as well: with the socket closed before, what was
/// written last may never be read.
async fn finish(end: End, mut write: SplitSink<Stream, Message>, mut read: SplitStream<Stream>) {
    let within = match end {
        End::Slow => SLOW_GOODBYE_MAX,
        _ => GOODBYE_MAX,
    };
    let is_readable = !matches!(end, End::Garbage(_));
    let saying = async {
        match end {
            // The library has the answer to the client's own close ready.
            End::Client(..) => write.flush().await,
            End::Actor(code, reason) => close(&mut write, code, &reason).await,
            End::Failed(error) | End::Garbage(error) => {
                let is_unsupported = error.is(codes::UNSUPPORTED_WEBSOCKET_ENCODING);
                let code = if is_unsupported { 1003 } else { 1011 };
                let reason = format!("{}.{}", error.group, error.code);
                close(&mut write, code, &reason).await
            }
            End::Slow => close(&mut write, 1011, "message.too_slow").await,
        }
    };
    if !matches!(timeout(within, saying).await, Ok(Ok(()))) {
        return;
    }
    let rest = async {
        if is_readable {
            while let Some(Ok(_)) = read.next().await {}
        } else if let Ok(mut stream) = write.reunite(read) {
            // Bytes are all that is left to read.
            discard(stream.get_mut()).await;
        }
    };
    // A client that does not say goodbye is left alone.
    _ = timeout(within, rest).await;
}

async fn discard(io: &mut TokioIo<Upgraded>) {
    let mut buffer = [0; 4096];
    let mut left = DISCARD_BYTES_MAX;
    while left > 0 {
        match io.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(bytes) => left = left.saturating_sub(bytes),
        }
    }
}

async fn close(
    write: &mut SplitSink<Stream, Message>,
    code: u16,
    reason: &str,
) -> Result<(), Error> {
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    let frame = CloseFrame {
        code: code.into(),
        reason: Utf8Bytes::from(reason.to_owned()),
    };
    write.send(Message::Close(Some(frame))).await
}

/// Which errors the stock client asks again about by itself, in its own time. About an actor that there is not it
/// does so only if it named it by a query.
fn is_retried(error: &ActorError, is_query: bool) -> bool {
    error.is(codes::SERVICE_UNAVAILABLE) || (is_query && error.is(codes::NOT_FOUND))
}

/// A connection that fails before it is open leaves the stock client idle for ever, unless the reason is one that it
/// knows to be passing. These are, and it does not know them. One that is open and has to be closed for them says the
/// same.
pub(super) fn retried(error: ActorError, tongue: &Tongue) -> ActorError {
    let passing = [
        codes::OVERLOADED,
        codes::ABORTED,
        codes::CRASHED,
        codes::CPU_LIMIT_EXCEEDED,
        codes::MEMORY_LIMIT_EXCEEDED,
        codes::START_TIMED_OUT,
        codes::ACTION_TIMED_OUT,
        codes::STOPPING,
        codes::STOPPED,
    ];
    if tongue.is_raw() || !passing.iter().any(|code| error.is(*code)) {
        return error;
    }
    ActorError::new(codes::SERVICE_UNAVAILABLE, error.message)
}

/// Waits, unless the client goes first.
async fn hold_back(delay: Duration, read: &mut SplitStream<Stream>) {
    let gone = async { while let Some(Ok(_)) = read.next().await {} };
    // Over either way.
    _ = timeout(delay, gone).await;
}
