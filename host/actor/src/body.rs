//! The body of a guest's response on its way out: each piece waits until what it may rest on is kept.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::BoxFuture;
use greenroom_model::ConnId;
use greenroom_runtime::{Barrier, Body, BodyError};
use http_body::{Body as HttpBody, Frame};
use tokio::sync::{mpsc, oneshot};

use crate::handle::Shared;

/// A body that is held to the output gate and to a size. Dropping it says that the request is over.
pub(crate) struct GatedBody {
    inner: Body,
    barriers: mpsc::Sender<Barrier>,
    waiting: Option<Waiting>,
    bytes_left: usize,
    bytes_max: usize,
    is_over: bool,
    _request: Over,
}

struct Waiting {
    passes: BoxFuture<'static, Result<(), BodyError>>,
    /// What leaves then; `None` is the end.
    frame: Option<Frame<Bytes>>,
}

/// Tells the activation that a request is over.
pub(crate) struct Over {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: ConnId,
}

impl Drop for Over {
    fn drop(&mut self) {
        self.shared.set_gone(self.id);
    }
}

impl GatedBody {
    pub(crate) fn new(
        inner: Body,
        barriers: mpsc::Sender<Barrier>,
        bytes_max: usize,
        over: Over,
    ) -> Self {
        Self {
            inner,
            barriers,
            waiting: None,
            bytes_left: bytes_max,
            bytes_max,
            is_over: false,
            _request: over,
        }
    }

    /// A body that just ends may have lost its guest in the middle; only the gate knows.
    fn wait_for(&mut self, frame: Option<Frame<Bytes>>) {
        let barriers = self.barriers.clone();
        let passes = async move {
            let lost = || BodyError("the actor stopped".to_owned());
            let (passed, passes) = oneshot::channel();
            barriers.send(Barrier(passed)).await.map_err(|_| lost())?;
            passes.await.map_err(|_| lost())
        };
        self.waiting = Some(Waiting {
            passes: Box::pin(passes),
            frame,
        });
    }
}

impl HttpBody for GatedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if self.is_over {
                return Poll::Ready(None);
            }
            if let Some(waiting) = &mut self.waiting {
                let passed = ready!(waiting.passes.as_mut().poll(context));
                let frame = self.waiting.take().and_then(|waiting| waiting.frame);
                self.is_over = passed.is_err() || frame.is_none();
                return Poll::Ready(match passed {
                    Err(error) => Some(Err(error)),
                    Ok(()) => frame.map(Ok),
                });
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                None => self.wait_for(None),
                Some(Err(error)) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Ok(frame)) => {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    match self.bytes_left.checked_sub(bytes) {
                        Some(left) => self.bytes_left = left,
                        None => {
                            self.is_over = true;
                            let most = self.bytes_max;
                            let text = format!("it has over {most} bytes");
                            return Poll::Ready(Some(Err(BodyError(text))));
                        }
                    }
                    self.wait_for(Some(frame));
                }
            }
        }
    }
}
