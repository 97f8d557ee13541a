//! `deploy` and `components`.

use std::path::Path;

use bytes::Bytes;
use clap::ArgMatches;
use futures_body::watched;
use hyper::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value as Json, json};

use super::{Exit, Output, table};
use crate::client::{Client, whole};

/// Uploads components one after another; stops at the first that is refused.
pub(super) async fn deploy(client: &Client, output: &Output, matches: &ArgMatches) -> Exit {
    let mut files = matches.get_many::<String>("file").unwrap_or_default();
    while let Some(file) = files.next() {
        let bytes = match std::fs::read(file) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => return output.usage(&format!("cannot read {file}: {error}")),
        };
        let progress = progress(file, bytes.len());
        let body = watched(bytes, progress.clone());
        let deployed = client
            .send(Method::POST, "/components", "application/wasm", body)
            .await;
        progress.finish_and_clear();
        match deployed {
            Ok(deployed) => output.print(&deployed, || summary(&deployed)),
            Err(failure) => {
                if !output.is_json {
                    output.say(&format!("{file} was not deployed, and has changed nothing"));
                    for skipped in files {
                        output.say(&format!("{skipped} was not tried"));
                    }
                }
                return output.failed(&failure);
            }
        }
    }
    Exit::Done
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

fn summary(deployed: &Json) -> String {
    let name = deployed["component"].as_str().unwrap_or("?");
    let revision = &deployed["revision"];
    let types = types(deployed);
    if deployed["isNew"] == json!(true) {
        format!("{name}: revision {revision} is deployed, with the actor types {types}")
    } else {
        format!("{name}: unchanged, still revision {revision}")
    }
}

fn types(component: &Json) -> String {
    let types = component["actorTypes"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let names = types
        .iter()
        .filter_map(|actor_type| actor_type["name"].as_str());
    names.collect::<Vec<_>>().join(", ")
}

/// Lists what is deployed.
pub(super) async fn list(client: &Client, output: &Output) -> Exit {
    let listed = client
        .send(Method::GET, "/components", "application/json", whole(""))
        .await;
    let listed = match listed {
        Ok(listed) => listed,
        Err(failure) => return output.failed(&failure),
    };
    output.print(&listed, || {
        let components = listed["components"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let rows: Vec<[String; 5]> = components
            .iter()
            .map(|component| {
                [
                    component["component"].as_str().unwrap_or("?").to_owned(),
                    component["revision"].to_string(),
                    component["sizeBytes"].to_string(),
                    component["hash"]
                        .as_str()
                        .unwrap_or("?")
                        .chars()
                        .take(12)
                        .collect(),
                    types(component),
                ]
            })
            .collect();
        table(
            ["COMPONENT", "REVISION", "BYTES", "HASH", "ACTOR TYPES"],
            &rows,
        )
    });
    Exit::Done
}

/// A body that moves a progress bar.
mod futures_body {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http_body_util::BodyExt;
    use hyper::body::{Frame, SizeHint};
    use indicatif::ProgressBar;

    use crate::client::Body;

    /// Bytes handed over at once.
    const CHUNK: usize = 64 << 10;

    struct Watched {
        rest: Bytes,
        progress: ProgressBar,
    }

    /// `bytes`, in pieces.
    pub(super) fn watched(bytes: Bytes, progress: ProgressBar) -> Body {
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
}
