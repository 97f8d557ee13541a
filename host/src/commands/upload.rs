//! Sending a component to the host, with a progress bar on a terminal.

use std::convert::Infallible;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use greenroom_runtime::Engine;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::{Frame, SizeHint};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value as Json;
use tokio::time::sleep;

use super::named::word;
use crate::client::{Body, Client, Failure, whole};

/// Bytes handed over at once.
const CHUNK: usize = 64 << 10;
/// What the host does first.
const CHECKING: &str = "checking and compiling";
/// How often it is looked how far the host has got.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Uploads the component that was read from `file`, to be deployed as `query` says.
pub(super) async fn upload(
    client: &Client,
    file: &str,
    bytes: Bytes,
    query: &str,
) -> Result<Json, Failure> {
    let progress = progress(file, bytes.len());
    let hash = Engine::hash(&bytes).to_string();
    let body = watched(bytes, progress.clone());
    let path = format!("/components?{query}");
    let mut uploading = pin!(client.send(Method::POST, &path, "application/wasm", body));
    let answered = tokio::select! {
        biased;
        answered = &mut uploading => answered,
        () = follow(client, &hash, &progress), if !progress.is_hidden() => uploading.await,
    };
    progress.finish_and_clear();
    answered
}

/// Shows how far the host has got with the upload of this hash, again and again. Returns when the host does not say.
async fn follow(client: &Client, hash: &str, progress: &ProgressBar) {
    loop {
        sleep(LOOK_EVERY).await;
        if progress.length() != Some(progress.position()) {
            continue;
        }
        let json = "application/json";
        let looked = client.send(Method::GET, "/deploying", json, whole(""));
        let Ok(status) = looked.await else { return };
        if let Some(text) = stage(&status["deploy"], hash) {
            progress.set_message(text);
        }
    }
}

/// What the host is doing, for people; `None` if it does nothing.
fn stage(deploy: &Json, hash: &str) -> Option<String> {
    if deploy.is_null() {
        return None;
    }
    if deploy["hash"] != hash {
        return Some("waiting for another deploy".to_owned());
    }
    if deploy["stage"] != "rehearsing" {
        return Some(CHECKING.to_owned());
    }
    let count = |name: &str| deploy[name].as_u64().unwrap_or_default();
    let (tried, found) = (count("tried"), count("found"));
    let name = word(&deploy["component"]);
    Some(format!("rehearsing {name}: {tried} of {found} actors"))
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
            self.progress.set_message(CHECKING);
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(CHUNK);
        let chunk = self.rest.split_to(length);
        self.progress.inc(length as u64);
        if self.rest.is_empty() {
            self.progress.set_message(CHECKING);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_said_what_the_host_does() {
        let deploy = |stage: &str| json!({ "hash": "ab", "component": "bank", "stage": stage, "tried": 7, "found": 20 });
        let said = |deploy: &Json| stage(deploy, "ab");
        assert_eq!(said(&Json::Null), None);
        assert_eq!(said(&deploy("checking")).unwrap(), CHECKING);
        assert_eq!(
            said(&deploy("rehearsing")).unwrap(),
            "rehearsing bank: 7 of 20 actors"
        );
        assert_eq!(
            stage(&deploy("rehearsing"), "cd").unwrap(),
            "waiting for another deploy"
        );
    }
}
