//! What guests write: log lines, standard output and standard error.
//!
//! All of it goes to the host's log, with the actor's name and within a rate. A panic's message comes
//! by standard error, just before the trap; the last bytes are kept for the crash report.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use tracing::{debug, error, info, trace, warn};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::Identity;
use crate::bindings::greenroom::actor::log::Level;

/// The longest line; what is beyond it is cut.
const LINE_BYTES_MAX: usize = 8 << 10;
/// Lines of one actor within [`PERIOD`]; more are dropped and counted.
const LINES_MAX: u32 = 200;
const PERIOD: Duration = Duration::from_secs(1);

/// Writes an actor's lines into the host's log.
#[derive(Clone)]
pub(crate) struct Log(Arc<LogInner>);

struct LogInner {
    identity: Arc<Identity>,
    rate: Mutex<Rate>,
}

struct Rate {
    since: Instant,
    lines: u32,
    dropped: u64,
}

impl Log {
    pub(crate) fn new(identity: Arc<Identity>) -> Self {
        let rate = Rate {
            since: Instant::now(),
            lines: 0,
            dropped: 0,
        };
        Self(Arc::new(LogInner {
            identity,
            rate: Mutex::new(rate),
        }))
    }

    pub(crate) fn write(&self, level: Level, context: &str, message: &str) {
        if !self.has_room() {
            return;
        }
        let message = cut(message);
        let context = cut(context);
        let Identity { id, actor_type, .. } = &*self.0.identity;
        match level {
            Level::Trace => {
                trace!(target: "guest", actor_id = %id, %actor_type, context, "{message}");
            }
            Level::Debug => {
                debug!(target: "guest", actor_id = %id, %actor_type, context, "{message}");
            }
            Level::Info => {
                info!(target: "guest", actor_id = %id, %actor_type, context, "{message}");
            }
            Level::Warn => {
                warn!(target: "guest", actor_id = %id, %actor_type, context, "{message}");
            }
            Level::Error | Level::Critical => {
                error!(target: "guest", actor_id = %id, %actor_type, context, "{message}");
            }
        }
    }

    fn has_room(&self) -> bool {
        let mut rate = lock(&self.0.rate);
        if rate.since.elapsed() >= PERIOD {
            if rate.dropped > 0 {
                let Identity { id, actor_type, .. } = &*self.0.identity;
                let lines = rate.dropped;
                warn!(target: "guest", actor_id = %id, %actor_type, lines, "log lines were dropped");
            }
            *rate = Rate {
                since: Instant::now(),
                lines: 0,
                dropped: 0,
            };
        }
        rate.lines += 1;
        let has_room = rate.lines <= LINES_MAX;
        rate.dropped += u64::from(!has_room);
        has_room
    }
}

/// The start of `text`, at most [`LINE_BYTES_MAX`] long.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LINE_BYTES_MAX)]
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A guest's standard output and standard error, as one stream.
#[derive(Clone)]
pub(crate) struct Output {
    log: Log,
    written: Arc<Mutex<Written>>,
    kept_bytes_max: usize,
}

#[derive(Default)]
struct Written {
    /// The line that has no end yet.
    unfinished: Vec<u8>,
    /// The last bytes, for a crash report.
    last: VecDeque<u8>,
}

impl Output {
    pub(crate) fn new(log: Log, kept_bytes_max: usize) -> Self {
        Self {
            log,
            written: Arc::default(),
            kept_bytes_max,
        }
    }

    /// The last that was written, for a crash report.
    pub(crate) fn last(&self) -> String {
        let mut written = lock(&self.written);
        String::from_utf8_lossy(written.last.make_contiguous()).into_owned()
    }

    fn take(&self, bytes: &[u8]) {
        let mut written = lock(&self.written);
        let kept = &bytes[bytes.len().saturating_sub(self.kept_bytes_max)..];
        written.last.extend(kept);
        let excess = written.last.len().saturating_sub(self.kept_bytes_max);
        written.last.drain(..excess);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let unfinished = &mut written.unfinished;
            let room = LINE_BYTES_MAX.saturating_sub(unfinished.len());
            unfinished.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") || unfinished.len() >= LINE_BYTES_MAX {
                let line = std::mem::take(unfinished);
                let line = String::from_utf8_lossy(&line);
                self.log.write(Level::Info, "output", line.trim_end());
            }
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LINE_BYTES_MAX)
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
