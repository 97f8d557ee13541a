//! Accepting connections, within limits, and letting go of them.
//!
//! HTTP/1.1 and HTTP/2 (with prior knowledge) share the port. A connection over the limit is told so and
//! closed, rather than left to wait.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use greenroom_model::{ActorError, Limits, codes};
use http::header::CONNECTION;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::app::App;
use crate::encoding::{self, Peer};
use crate::gateway::upgrade;
use crate::io::FirstHead;
use crate::reply;
use crate::tls::Tls;

/// Requests that one HTTP/2 connection may have under way.
const STREAMS_MAX: u32 = 256;
/// How long to wait when the system does not give a connection, for want of file handles usually.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections that are told at the same time that there is no place for them.
const REFUSED_MAX: usize = 256;

/// Serves until `end`. From `stop` on, connections that are there finish what they have begun, and those that still
/// come are only told that the host is stopping (see [`App::stop`]): a client that finds nobody listening may
/// give up for good. Dropping the future drops every connection.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    app: Arc<App>,
    stop: CancellationToken,
    end: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(app.limits.connections_max));
    let refused_places = Arc::new(Semaphore::new(REFUSED_MAX));
    let builder = Arc::new(builder(&app.limits));
    let connections = TaskTracker::new();
    // Aborts what is left when this future is dropped.
    let abandon = CancellationToken::new();
    let _abandon = abandon.clone().drop_guard();
    loop {
        let accepted = tokio::select! {
            () = end.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = places.clone().try_acquire_owned().ok();
                let is_full = place.is_none();
                let place = place.or_else(|| refused_places.clone().try_acquire_owned().ok());
                let Some(place) = place else {
                    if tls.is_none() {
                        refuse(&stream);
                    }
                    continue;
                };
                let connection = Connection {
                    app: app.clone(),
                    builder: builder.clone(),
                    tls: tls.clone(),
                    // One that comes after it has nothing to finish.
                    stop: (!stop.is_cancelled()).then(|| stop.clone()),
                    peer: peer.ip(),
                    is_full,
                };
                let serving = connection.serve(stream, place);
                let abandoned = abandon.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = serving => {}
                        () = abandoned.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes_max.max(8 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.head_timeout)
        .keep_alive_timeout(limits.head_timeout);
    builder
}

/// Said without reading a byte when there is no time even for that: whoever speaks HTTP/1.1 understands it, and
/// for others the closing says the same.
fn refuse(stream: &TcpStream) {
    let error = full();
    let body = encoding::encode_error(Peer::JSON, &error, None);
    let mut answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    // If it does not fit into the socket's empty buffer, the peer is gone.
    _ = stream.try_write(&answer);
}

fn full() -> ActorError {
    let text = "the host has as many connections as it may; try again";
    ActorError::new(codes::SERVICE_UNAVAILABLE, text)
}

/// What one connection is served with.
struct Connection {
    app: Arc<App>,
    builder: Arc<Builder<TokioExecutor>>,
    tls: Option<Tls>,
    /// Says when to finish.
    stop: Option<CancellationToken>,
    peer: IpAddr,
    /// There is no place for it: WebSockets are told so in their way, and requests in theirs.
    is_full: bool,
}

impl Connection {
    async fn serve(self, stream: TcpStream, _place: OwnedSemaphorePermit) {
        // Small answers should not wait for more.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "a connection was closed before it began");
            return;
        }
        let limits = &self.app.limits;
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.write_timeout));
        let stream = Box::pin(stream);
        match &self.tls {
            None => self.serve_http(stream).await,
            Some(tls) => {
                let accepting = tls.acceptor().accept(stream);
                match timeout(limits.head_timeout, accepting).await {
                    Ok(Ok(stream)) => self.serve_http(stream).await,
                    Ok(Err(error)) => debug!(%error, "a connection could not be encrypted"),
                    Err(_) => debug!("a connection was not encrypted in time"),
                }
            }
        }
    }

    async fn serve_http<T>(&self, stream: T)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let has_come = Arc::new(AtomicBool::new(false));
        let by = Instant::now() + self.app.limits.head_timeout;
        let stream = FirstHead::new(stream, by, has_come.clone());
        let app = self.app.clone();
        let (peer, is_full) = (self.peer, self.is_full);
        let service = service_fn(move |request: Request<Incoming>| {
            has_come.store(true, Ordering::Relaxed);
            let app = app.clone();
            async move {
                if is_full && !upgrade::is_wanted(request.headers()) {
                    let mut reply = reply::error(&full());
                    let close = HeaderValue::from_static("close");
                    reply.headers_mut().insert(CONNECTION, close);
                    return Ok::<_, Infallible>(reply);
                }
                Ok(app.answer(request, peer).await)
            }
        });
        let io = TokioIo::new(stream);
        let mut serving = pin!(self.builder.serve_connection_with_upgrades(io, service));
        let stopped = async {
            match &self.stop {
                Some(stop) => stop.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let served = tokio::select! {
            served = &mut serving => served,
            () = stopped => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = served {
            debug!(error, "a connection ended badly");
        }
    }
}
