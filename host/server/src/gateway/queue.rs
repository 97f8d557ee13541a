//! What waits to be written to one WebSocket.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use greenroom_model::{ConnSink, Limits, Outgoing};
use tokio::sync::Notify;

/// One connection may have so much of what is left for all: an eighth.
const SHARE: usize = 8;
/// With so many times what all may have, nobody gets any more.
const OVER: usize = 2;
/// That much it may have in any case, in bytes.
const SHARE_BYTES_MIN: usize = 64 << 10;

/// A bounded queue whose end is a socket.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    overrun: Notify,
    bytes_max: usize,
    frames_max: usize,
    all: Arc<Total>,
}

/// Bytes in the queues of all connections, and how many there may be.
#[derive(Debug)]
pub(crate) struct Total {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl Total {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            bytes: AtomicUsize::new(0),
            bytes_max: limits.conn_queues_bytes_max,
        })
    }

    fn sub(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether there is no room even for those who have read everything.
    fn is_over(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.bytes_max.saturating_mul(OVER)
    }

    /// What one connection may have of it: less, the less is left. So those that have piled up most go first.
    fn share(&self) -> usize {
        let left = self
            .bytes_max
            .saturating_sub(self.bytes.load(Ordering::Relaxed));
        (left / SHARE).max(SHARE_BYTES_MIN)
    }
}

#[derive(Debug, Default)]
struct Waiting {
    outgoing: VecDeque<Outgoing>,
    bytes: usize,
    /// Bytes of what was taken last, and is on its way.
    taken: usize,
    /// What of both counts for all.
    counted: usize,
    taken_counted: usize,
    /// More was sent than may wait; nothing more is taken.
    is_overrun: bool,
}

impl Queue {
    pub(super) fn new(limits: &Limits, all: &Arc<Total>) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            arrived: Notify::new(),
            overrun: Notify::new(),
            bytes_max: limits.conn_queue_bytes_max,
            frames_max: limits.conn_queue_frames_max,
            all: all.clone(),
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
        let bytes = outgoing.len();
        let own = waiting.bytes + waiting.taken;
        // Whoever has read everything may have the next, whatever others have left lying, up to the very last.
        let is_beyond_share = match own {
            0 => self.all.is_over(),
            own => own + bytes > self.all.share(),
        };
        let is_full = waiting.bytes + bytes > self.bytes_max
            || waiting.outgoing.len() >= self.frames_max
            || is_beyond_share;
        if is_full {
            self.all.sub(waiting.counted);
            *waiting = Waiting {
                is_overrun: true,
                taken: waiting.taken,
                taken_counted: waiting.taken_counted,
                ..Waiting::default()
            };
            self.overrun.notify_one();
        } else {
            waiting.bytes += bytes;
            // All who get an event share it: each one more counts for a smaller part.
            let counted = match &outgoing {
                Outgoing::Event(event) => bytes / (Arc::strong_count(event) - 1).max(1),
                _ => bytes,
            };
            waiting.counted += counted;
            self.all.bytes.fetch_add(counted, Ordering::Relaxed);
            waiting.outgoing.push_back(outgoing);
            self.arrived.notify_one();
        }
    }

    /// Waits until something is there and takes all of it; what was taken before has been written then. Cancel-safe.
    pub(super) async fn take(&self) -> VecDeque<Outgoing> {
        loop {
            {
                let mut waiting = self.lock();
                self.all.sub(std::mem::take(&mut waiting.taken_counted));
                waiting.taken = 0;
                if !waiting.outgoing.is_empty() {
                    waiting.taken = std::mem::take(&mut waiting.bytes);
                    waiting.taken_counted = std::mem::take(&mut waiting.counted);
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

impl Drop for Queue {
    fn drop(&mut self) {
        let waiting = self.lock();
        self.all.sub(waiting.counted + waiting.taken_counted);
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
    use bytes::Bytes;
    use greenroom_model::{Event, Message};

    use super::*;

    #[tokio::test]
    async fn a_queue_keeps_order_and_its_bound() {
        let limits = Limits {
            conn_queue_bytes_max: 10,
            ..Limits::default()
        };
        let queue = Queue::new(&limits, &Total::new(&limits));
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

    #[tokio::test]
    async fn an_event_counts_for_all_however_few_get_it_and_not_once_for_each_who_does() {
        const LEN: usize = 1 + 999;
        let limits = Limits::default();
        let all = Total::new(&limits);
        let counted = || all.bytes.load(Ordering::Relaxed);
        let event = || Arc::new(Event::new("e".into(), Bytes::from(vec![0; 999])));
        let queues: Vec<_> = (0..100).map(|_| Queue::new(&limits, &all)).collect();
        queues[0].push(Outgoing::Event(event()));
        assert_eq!(counted(), LEN);
        let shared = event();
        for queue in &queues {
            queue.push(Outgoing::Event(shared.clone()));
        }
        assert!(counted() >= 2 * LEN);
        assert!(counted() < 8 * LEN, "{}", counted());
        for queue in &queues {
            queue.take().await;
        }
        drop(queues);
        assert_eq!(counted(), 0);
    }

    #[tokio::test]
    async fn the_less_is_left_for_all_the_less_one_may_have_and_what_is_written_is_given_back() {
        const KIB: usize = 1 << 10;
        let limits = Limits {
            conn_queues_bytes_max: 1_024 * KIB,
            ..Limits::default()
        };
        let all = Total::new(&limits);
        let text = |kib: usize| Outgoing::Message(Message::Text("x".repeat(kib * KIB)));
        let slow: Vec<_> = (0..30).map(|_| Queue::new(&limits, &all)).collect();
        for queue in &slow {
            queue.push(text(60));
        }
        // So much was more than a fair part, and is still there.
        assert!(all.share() == SHARE_BYTES_MIN);
        let overrun = slow.iter().filter(|queue| queue.lock().is_overrun).count();
        assert_eq!(overrun, 0, "the least is for everybody");
        slow[0].push(text(10));
        assert!(slow[0].lock().is_overrun, "more is not");
        let fresh = Queue::new(&limits, &all);
        fresh.push(text(2_000));
        assert!(
            !fresh.lock().is_overrun,
            "who has read everything may have the next"
        );
        assert_eq!(fresh.take().await.len(), 1);
        drop(fresh);
        let greedy = Queue::new(&limits, &all);
        greedy.push(text(1_000));
        let late = Queue::new(&limits, &all);
        late.push(text(1));
        assert!(late.lock().is_overrun, "there is an end to that, too");
        drop((greedy, late));
        let taken = slow[1].take().await;
        assert_eq!(taken.len(), 1);
        drop(slow);
        assert_eq!(all.bytes.load(Ordering::Relaxed), 0);
        assert_eq!(all.share(), 128 * KIB);
    }
}
