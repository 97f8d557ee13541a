//! Raw HTTP: requests to the actor's own handler, and responses from it.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::wasi::http::types as wasi;
use crate::bindings::{wit_future, wit_stream};
use crate::component::Future;
use crate::conn::{header_of, headers_of, path_of, query_of};
use crate::error::{Error, Result, UserError};

/// How much of a body is read at once.
const CHUNK_BYTES: usize = 64 << 10;

type ByteReader = wit_bindgen::rt::async_support::StreamReader<u8>;
type ByteWriter = wit_bindgen::rt::async_support::StreamWriter<u8>;
type EndReader = wit_bindgen::rt::async_support::FutureReader<
    std::result::Result<Option<wasi::Fields>, wasi::ErrorCode>,
>;

/// A request to the actor's own handler.
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<(ByteReader, EndReader)>,
}

impl Request {
    pub(crate) fn new(request: wasi::Request) -> Self {
        let method = match request.get_method() {
            wasi::Method::Get => "GET".to_owned(),
            wasi::Method::Head => "HEAD".to_owned(),
            wasi::Method::Post => "POST".to_owned(),
            wasi::Method::Put => "PUT".to_owned(),
            wasi::Method::Delete => "DELETE".to_owned(),
            wasi::Method::Connect => "CONNECT".to_owned(),
            wasi::Method::Options => "OPTIONS".to_owned(),
            wasi::Method::Trace => "TRACE".to_owned(),
            wasi::Method::Patch => "PATCH".to_owned(),
            wasi::Method::Other(name) => name,
        };
        let scheme = match request.get_scheme() {
            Some(wasi::Scheme::Https) => "https",
            _ => "http",
        };
        let authority = request.get_authority().unwrap_or_default();
        let path = request.get_path_with_query();
        let path = path.unwrap_or_else(|| "/".to_owned());
        let headers = request.get_headers().copy_all();
        // How reading goes is of no interest to the host; dropping the writer says that all is well.
        let (_, read) = wit_future::new(|| Ok(()));
        let body = wasi::Request::consume_body(request, read);
        Self {
            method,
            url: format!("{scheme}://{authority}{path}"),
            headers,
            body: Some(body),
        }
    }

    /// Its method, in upper case.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Its whole URL, without what led to this actor.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The path, which begins with one slash.
    #[must_use]
    pub fn path(&self) -> &str {
        path_of(&self.url)
    }

    /// The query, without the question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        query_of(&self.url)
    }

    /// The query's pairs, decoded, in order.
    #[must_use]
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        let query = self.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect()
    }

    /// The first header of this name that is text, whatever the case of the name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header_of(&self.headers, name)
    }

    /// All headers, in order, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        headers_of(&self.headers)
    }

    /// Whether the client announced a body. (It may be empty all the same.)
    #[must_use]
    pub fn has_body(&self) -> bool {
        let length = self.header("content-length");
        self.header("transfer-encoding").is_some() || length.is_some_and(|length| length != "0")
    }

    /// The next piece of the body; nothing at its end.
    ///
    /// # Errors
    ///
    /// `user.body_broken` if the body breaks off, or is larger than the host takes.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let Some((bytes, _)) = &mut self.body else {
            return Ok(None);
        };
        loop {
            let (status, chunk) = bytes.read(Vec::with_capacity(CHUNK_BYTES)).await;
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
            if !matches!(
                status,
                wit_bindgen::rt::async_support::StreamResult::Complete(_)
            ) {
                break;
            }
        }
        let Some((_, end)) = self.body.take() else {
            return Ok(None);
        };
        match end.await {
            Ok(_) => Ok(None),
            Err(_) => {
                let error = UserError::new("the request's body broke off");
                Err(error.with_code("body_broken").into())
            }
        }
    }

    /// The whole body, or what is left of it.
    ///
    /// # Errors
    ///
    /// As [`chunk`](Self::chunk).
    pub async fn bytes(&mut self) -> Result<Vec<u8>> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.is_empty() {
                whole = chunk;
            } else {
                whole.extend_from_slice(&chunk);
            }
        }
        Ok(whole)
    }

    /// The whole body as text; what is not UTF-8 is replaced.
    ///
    /// # Errors
    ///
    /// As [`chunk`](Self::chunk).
    pub async fn text(&mut self) -> Result<String> {
        let bytes = self.bytes().await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The whole body, read as JSON.
    ///
    /// # Errors
    ///
    /// `user.invalid_json` if it is not the JSON of a `T`; otherwise as [`chunk`](Self::chunk).
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let error = UserError::new(format!("the request's body: {error}"));
            error.with_code("invalid_json").into()
        })
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.url;
        write!(f, "Request({} {url})", self.method)
    }
}

/// What the actor's own handler answers.
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    content: Content,
}

enum Content {
    Whole(Vec<u8>),
    Stream(Box<dyn FnOnce(Body) -> Future<Result<()>>>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Stream(_) => f.write_str("a stream"),
        }
    }
}

impl Response {
    /// A response with this status and an empty body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Whole(Vec::new()),
        }
    }

    /// Plain text, with status 200.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(200)
            .with_header("content-type", "text/plain; charset=utf-8")
            .with_body(text.into())
    }

    /// A value as JSON, with status 200; 500 if it cannot be serialized.
    #[must_use]
    pub fn json(value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::new(200)
                .with_header("content-type", "application/json")
                .with_body(body),
            Err(error) => Self::text(error.to_string()).with_status(500),
        }
    }

    /// A body that is made while it is sent, with status 200. `write` runs after the head has left, and goes on when
    /// the handler has returned; the actor stays awake until it is over.
    #[must_use]
    pub fn stream<F>(write: impl FnOnce(Body) -> F + 'static) -> Self
    where
        F: std::future::Future<Output = Result<()>> + 'static,
    {
        Self {
            content: Content::Stream(Box::new(|body| Box::pin(write(body)))),
            ..Self::new(200)
        }
    }

    /// With another status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// With one more header. What cannot be a header, or belongs to the connection, is left out.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into().into_bytes()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.content = Content::Whole(body.into());
        self
    }

    pub(crate) fn into_wasi(self) -> Result<wasi::Response> {
        let (content, reader) = match self.content {
            Content::Whole(bytes) if bytes.is_empty() => (None, None),
            content => {
                let (writer, reader) = wit_stream::new();
                (Some((content, writer)), Some(reader))
            }
        };
        // Dropping the writer says that there are no trailers.
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (response, _) = wasi::Response::new(to_fields(&self.headers), reader, trailers);
        response
            .set_status_code(self.status)
            .map_err(|()| Error::internal(format!("{} is no status", self.status)))?;
        match content {
            None => {}
            Some((Content::Whole(bytes), mut writer)) => crate::spawn(async move {
                // A client that is gone needs no more.
                _ = writer.write_all(bytes).await;
            }),
            Some((Content::Stream(write), writer)) => crate::spawn(async move {
                if let Err(error) = write(Body(writer)).await {
                    crate::log::warn(format!("a response broke off: {error}"));
                }
            }),
        }
        Ok(response)
    }
}

fn to_fields(headers: &[(String, Vec<u8>)]) -> wasi::Fields {
    wasi::Fields::from_list(headers).unwrap_or_else(|_| {
        // One bad header is no reason to lose the others.
        let is_good = |header: &&(String, Vec<u8>)| {
            wasi::Fields::from_list(std::slice::from_ref(*header)).is_ok()
        };
        let good: Vec<_> = headers.iter().filter(is_good).cloned().collect();
        wasi::Fields::from_list(&good).expect("each of them is good")
    })
}

/// The body of a response that is being sent.
pub struct Body(ByteWriter);

impl Body {
    /// Sends some bytes, and waits until the client takes them.
    ///
    /// # Errors
    ///
    /// An internal error if the client is gone.
    pub async fn write(&mut self, bytes: impl Into<Vec<u8>>) -> Result<()> {
        let left = self.0.write_all(bytes.into()).await;
        if left.is_empty() {
            Ok(())
        } else {
            Err(Error::internal("the client is gone"))
        }
    }
}
