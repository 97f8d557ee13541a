//! Sending a component to the host, with a progress bar on a terminal.

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::{Frame, SizeHint};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value as Json;

use crate::client::{Body, Client, Failure};

/// Bytes handed over at once.
const CHUNK: usize = 64 << 10;

/// Uploads the component that was read from `file`, to be deployed as `query` says.
pub(super) async fn upload(
    client: &Client,
    file: &str,
    bytes: Bytes,
    query: &str,
) -> Result<Json, Failure> {
    let progress = progress(file, bytes.len());
    let body = watched(bytes, progress.clone());
    let path = format!("/components?{query}");
    let answered = client
        .send(Method::POST, &path, "application/wasm", body)
        .await;
    progress.finish_and_clear();
    answered
}

/// Shown on a terminal only.
fn progress(file: &str, length: usize) -> ProgressBar {
    let name = Path::new(file)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let style = "{prefix} {wide_bar} {bytes}/{total_bytes} {msg}";
    let progress = ProgressBar::new(length as u64)
        .with_prefix(name)
        .with_message("uploading");
    match ProgressStyle::with_template(style) {
        Ok(style) => progress.with_style(style),
        Err(_) => progress,
    }
}

struct Watched {
    rest: Bytes,
    progress: ProgressBar,
}

/// `bytes`, in pieces.
fn watched(bytes: Bytes, progress: ProgressBar) -> Body {
    Watched {
        rest: bytes,
        progress,
    }
    .boxed()
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            self.progress.set_message("checking and compiling");
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(CHUNK);
        let chunk = self.rest.split_to(length);
        self.progress.inc(length as u64);
        if self.rest.is_empty() {
            self.progress.set_message("checking and compiling");
        }
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
