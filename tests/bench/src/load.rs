//! Callers over HTTP/1.1 with keep-alive, one request at a time each.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use futures::future::try_join_all;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The body of calls.
const BODY: &str = r#"{"args":[1]}"#;
/// The body of those whose paths have one of these in them.
const NO_ARGS: &str = r#"{"args":[]}"#;
const NO_ARGS_PATHS: [&str; 2] = ["/action/count?", "/action/put_and_get?"];

/// One connection.
pub(crate) struct Caller {
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<()>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Caller {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(async move {
            // A broken connection shows in the next request.
            _ = connection.await;
        });
        Ok(Self { sender, connection })
    }

    /// Posts, checks that it went well, and tells how long it took.
    pub(crate) async fn call(&mut self, path: &str) -> Result<Duration> {
        let began = Instant::now();
        let is_bare = NO_ARGS_PATHS.iter().any(|part| path.contains(part));
        let body = if is_bare { NO_ARGS } else { BODY };
        self.send(Method::POST, path, Bytes::from_static(body.as_bytes()))
            .await?;
        Ok(began.elapsed())
    }

    /// Posts bytes.
    pub(crate) async fn upload(&mut self, path: &str, body: Bytes) -> Result<()> {
        self.send(Method::POST, path, body).await?;
        Ok(())
    }

    /// Posts JSON and gets JSON.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<serde_json::Value> {
        let body = Bytes::from(body.to_string());
        let answer = self.send(Method::POST, path, body).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Gets JSON.
    pub(crate) async fn get(&mut self, path: &str) -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(
            &self.send(Method::GET, path, Bytes::new()).await?,
        )?)
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Bytes> {
        self.sender.ready().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!(
                "{path} answered {status}: {}",
                String::from_utf8_lossy(&bytes)
            );
        }
        Ok(bytes)
    }
}

/// A closed-loop load: each connection sends its next request when it has its answer.
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) run: Duration,
}

impl Load {
    /// How long each call took after the warm-up, shortest first, over `path(connection, call)`. It runs for its time,
    /// and until `is_over`.
    pub(crate) async fn latencies(
        &self,
        address: SocketAddr,
        path: impl Fn(usize, usize) -> String,
        is_over: &AtomicBool,
    ) -> Result<Vec<Duration>> {
        let warm = Instant::now() + self.run / 5;
        let end = warm + self.run;
        let callers = (0..self.connections).map(|connection| {
            let path = &path;
            async move {
                let mut caller = Caller::connect(address).await?;
                let mut took = Vec::new();
                for call in 0.. {
                    let now = Instant::now();
                    if now >= end && is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let latency = caller.call(&path(connection, call)).await?;
                    if now >= warm {
                        took.push(latency);
                    }
                }
                Ok::<_, anyhow::Error>(took)
            }
        });
        let mut all = try_join_all(callers).await?.concat();
        all.sort_unstable();
        Ok(all)
    }

    /// Answers per second, over `path(connection, call)`.
    pub(crate) async fn rate(
        &self,
        address: SocketAddr,
        path: impl Fn(usize, usize) -> String,
    ) -> Result<f64> {
        let warm = Instant::now() + self.run / 5;
        let end = warm + self.run;
        let callers = (0..self.connections).map(|connection| {
            let path = &path;
            async move {
                let mut caller = Caller::connect(address).await?;
                let mut counted = 0_u32;
                for call in 0.. {
                    let now = Instant::now();
                    if now >= end {
                        break;
                    }
                    caller.call(&path(connection, call)).await?;
                    counted += u32::from(now >= warm);
                }
                Ok::<_, anyhow::Error>(f64::from(counted))
            }
        });
        let counts = try_join_all(callers).await?;
        Ok(counts.iter().sum::<f64>() / self.run.as_secs_f64())
    }
}
