//! A small HTTP client for the commands: one connection, one request.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the host may take to take the connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long it may take to answer. Compiling a large component takes minutes on a small machine.
const ANSWER_MAX: Duration = Duration::from_secs(600);

/// Why a request came to nothing.
pub(crate) enum Failure {
    /// The host said no: the error body, whole.
    Refused(Json),
    /// It could not be reached, or did not answer as a host does.
    Unreachable(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Unreachable(error)
    }
}

/// A host to talk to.
pub(crate) struct Client {
    host: Uri,
    token: Option<String>,
}

/// A body that may be watched on its way.
pub(crate) type Body = BoxBody<Bytes, std::convert::Infallible>;

impl Client {
    /// The host at this URL.
    pub(crate) fn new(host: &str, token: Option<String>) -> Result<Self> {
        let uri: Uri = host
            .parse()
            .with_context(|| format!("{host:?} is not a URL"))?;
        if uri.scheme_str() != Some("http") || uri.host().is_none() {
            bail!("{host:?} is not a URL of the form http://HOST:PORT");
        }
        Ok(Self { host: uri, token })
    }

    /// Sends a request and reads the answer, which is JSON.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Body,
    ) -> Result<Json, Failure> {
        let (status, bytes) = self.exchange(method, path, content_type, body).await?;
        let json: Result<Json> = serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "{} answered {status} without JSON: is it a Greenroom host?",
                self.host
            )
        });
        match json {
            Ok(json) if status.is_success() => Ok(json),
            Ok(json) => Err(Failure::Refused(json)),
            Err(error) => Err(Failure::Unreachable(error)),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Body,
    ) -> Result<(StatusCode, Bytes)> {
        let authority = self
            .host
            .authority()
            .context("the URL has no host")?
            .clone();
        let address = (
            authority.host().trim_matches(['[', ']']),
            authority.port_u16().unwrap_or(80),
        );
        let connecting = timeout(CONNECT_MAX, TcpStream::connect(address)).await;
        let stream = connecting
            .map_err(|_| anyhow!("it does not take connections"))
            .and_then(|connected| connected.map_err(Into::into))
            .with_context(|| format!("cannot reach the host at {}", self.host))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let base = self.host.path().trim_end_matches('/');
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{base}{path}"))
            .header(HOST, authority.as_str())
            .header(CONTENT_TYPE, content_type);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(body)
            .context("the request cannot be written")?;
        let driven = async {
            let mut answering = pin!(async {
                let response = sender.send_request(request).await?;
                let status = response.status();
                let bytes = response.into_body().collect().await?.to_bytes();
                Ok::<_, hyper::Error>((status, bytes))
            });
            // The connection has to be driven for the answer to come. It may end first, also badly (a host
            // that refuses an upload does not read it to its end), with the answer already here.
            tokio::select! {
                biased;
                answered = &mut answering => answered,
                _ = connection => answering.await,
            }
        };
        let answered = timeout(ANSWER_MAX, driven).await;
        let answered = answered.map_err(|_| anyhow!("no answer within {ANSWER_MAX:?}"))?;
        answered.with_context(|| format!("the host at {} broke off", self.host))
    }
}

/// A body that is sent as it is.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(bytes.into()).boxed()
}
