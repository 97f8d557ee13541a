//! What waits to be written to one WebSocket.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use greenroom_model::{ConnSink, Limits, Outgoing};
use tokio::sync::Notify;

/// A bounded queue whose end is a socket.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    overrun: Notify,
    bytes_max: usize,
    frames_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    outgoing: VecDeque<Outgoing>,
    bytes: usize,
    /// More was sent than may wait; nothing more is taken.
    is_overrun: bool,
}

impl Queue {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            arrived: Notify::new(),
            overrun: Notify::new(),
            bytes_max: limits.conn_queue_bytes_max,
            frames_max: limits.conn_queue_frames_max,
        })
    }

    /// The end that an actor sends to.
    pub(super) fn sink(self: &Arc<Self>) -> Box<dyn ConnSink> {
        Box::new(Sink(self.clone()))
    }

    /// Puts something in.
    pub(super) fn push(&self, outgoing: Outgoing) {
        let mut waiting = self.lock();
        if waiting.is_overrun {
            return;
        }
        waiting.bytes += outgoing.len();
        let is_full = waiting.bytes > self.bytes_max || waiting.outgoing.len() >= self.frames_max;
        if is_full {
            *waiting = Waiting {
                is_overrun: true,
                ..Waiting::default()
            };
            self.overrun.notify_one();
        } else {
            waiting.outgoing.push_back(outgoing);
            self.arrived.notify_one();
        }
    }

    /// Waits until something is there and takes all of it. Cancel-safe.
    pub(super) async fn take(&self) -> VecDeque<Outgoing> {
        loop {
            {
                let mut waiting = self.lock();
                if !waiting.outgoing.is_empty() {
                    waiting.bytes = 0;
                    return std::mem::take(&mut waiting.outgoing);
                }
            }
            self.arrived.notified().await;
        }
    }

    /// Waits until more was sent than may wait. Cancel-safe.
    pub(super) async fn overrun(&self) {
        loop {
            if self.lock().is_overrun {
                return;
            }
            self.overrun.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing here panics halfway through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Sink(Arc<Queue>);

impl ConnSink for Sink {
    fn send(&self, outgoing: Outgoing) {
        self.0.push(outgoing);
    }
}

#[cfg(test)]
mod tests {
    use greenroom_model::Message;

    use super::*;

    #[tokio::test]
    async fn a_queue_keeps_order_and_its_bound() {
        let limits = Limits {
            conn_queue_bytes_max: 10,
            ..Limits::default()
        };
        let queue = Queue::new(&limits);
        for text in ["one", "two", "six"] {
            queue.push(Outgoing::Message(Message::Text(text.into())));
        }
        let taken: Vec<String> = queue
            .take()
            .await
            .iter()
            .map(|o| format!("{o:?}"))
            .collect();
        assert!(
            taken[0].contains("one") && taken[2].contains("six"),
            "{taken:?}"
        );
        queue.push(Outgoing::Message(Message::Text("x".repeat(11))));
        queue.overrun().await;
    }
}
