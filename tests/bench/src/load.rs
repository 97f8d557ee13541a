//! Callers over HTTP/1.1 with keep-alive, one request at a time each.

use std::net::SocketAddr;
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

/// The body of every call.
const BODY: &str = r#"{"args":[1]}"#;
const NO_ARGS: &str = r#"{"args":[]}"#;

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
        let body = if path.contains("/action/count?") {
            NO_ARGS
        } else {
            BODY
        };
        self.send(Method::POST, path, body).await?;
        Ok(began.elapsed())
    }

    /// Gets JSON.
    pub(crate) async fn get(&mut self, path: &str) -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(
            &self.send(Method::GET, path, "").await?,
        )?)
    }

    async fn send(&mut self, method: Method, path: &str, body: &'static str) -> Result<Bytes> {
        self.sender.ready().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from_static(body.as_bytes())))?;
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
