//! What the run loop waits for. The actor may sleep while that is a message and nothing else; so whoever waits for
//! something else of the host is counted, and a receive says anew how it is when that changes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::bindings::greenroom::actor::queues as wit;
use crate::bindings::greenroom::actor::types::PublicError;
use crate::time::{elapsed, to_ms};

thread_local! {
    /// The run loop of the one actor that this instance is.
    static RUN_LOOP: RunLoop = RunLoop::default();
}

#[derive(Default)]
struct RunLoop {
    /// It is being polled at this moment.
    is_polled: Cell<bool>,
    /// What it waits for besides messages.
    others: Cell<usize>,
    /// Its receives, which have to know whether there is anything.
    receives: RefCell<BTreeMap<u64, Waker>>,
    next_key: Cell<u64>,
}

impl RunLoop {
    fn set_others(&self, others: usize) {
        let before = self.others.replace(others);
        if (before == 0) != (others == 0) {
            self.receives.take().into_values().for_each(Waker::wake);
        }
    }
}

/// Something else that the run loop waits for, for as long as this is there.
struct Other;

impl Other {
    fn begin() -> Self {
        RUN_LOOP.with(|run| run.set_others(run.others.get() + 1));
        Self
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        RUN_LOOP.with(|run| run.set_others(run.others.get() - 1));
    }
}

/// Runs the run loop: what is polled inside belongs to it.
pub(crate) async fn run_loop<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|task| {
        let set = |is_polled| RUN_LOOP.with(|run| run.is_polled.set(is_polled));
        set(true);
        let poll = future.as_mut().poll(task);
        set(false);
        poll
    })
    .await
}

/// Waits for something of the host that is no message.
pub(crate) async fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut other = None;
    poll_fn(|task| {
        let poll = future.as_mut().poll(task);
        let is_in_loop = poll.is_pending() && RUN_LOOP.with(|run| run.is_polled.get());
        if is_in_loop && other.is_none() {
            other = Some(Other::begin());
        }
        poll
    })
    .await
}

type Taken = Result<Vec<wit::Taken>, PublicError>;

/// Takes messages, and tells the host whether the run loop waits for nothing else meanwhile.
pub(crate) struct Take {
    wanted: wit::Wanted,
    /// By when it has to have come, as [`elapsed`] tells it.
    deadline: Option<Duration>,
    is_run: bool,
    /// What its waker is kept under, once it waits.
    key: Option<u64>,
    taking: Pin<Box<dyn Future<Output = Taken>>>,
}

impl Take {
    /// `wanted.in_run` says whether the run loop takes.
    pub(crate) fn new(wanted: wit::Wanted) -> Self {
        let timeout = wanted.timeout_ms.filter(|ms| *ms > 0);
        let deadline = timeout.map(|ms| elapsed() + Duration::from_millis(ms.into()));
        Self {
            deadline,
            is_run: wanted.in_run,
            key: None,
            taking: Box::pin(wit::take(wanted.clone())),
            wanted,
        }
    }

    /// Whether what was said to the host is not so any more; then it is said again.
    fn say_again(&mut self, task: &Context<'_>) -> bool {
        let is_idle = RUN_LOOP.with(|run| {
            let next = &run.next_key;
            let key = *self.key.get_or_insert_with(|| next.replace(next.get() + 1));
            run.receives.borrow_mut().insert(key, task.waker().clone());
            run.others.get() == 0
        });
        if self.wanted.in_run == is_idle {
            return false;
        }
        self.wanted.in_run = is_idle;
        if let Some(deadline) = self.deadline {
            // Not nothing, which would be another question.
            let left = deadline.saturating_sub(elapsed());
            self.wanted.timeout_ms = Some(to_ms(left).max(1));
        }
        // The other one has taken nothing: it has just been looked at.
        self.taking = Box::pin(wit::take(self.wanted.clone()));
        true
    }
}

impl Drop for Take {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            RUN_LOOP.with(|run| run.receives.borrow_mut().remove(&key));
        }
    }
}

impl Future for Take {
    type Output = Taken;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Taken> {
        loop {
            if let Poll::Ready(taken) = self.taking.as_mut().poll(task) {
                return Poll::Ready(taken);
            }
            if !self.is_run || !self.say_again(task) {
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::FutureExt;

    use super::*;

    fn others() -> usize {
        RUN_LOOP.with(|run| run.others.get())
    }

    #[test]
    fn only_what_the_run_loop_waits_for_counts_and_only_while_it_does() {
        let mut outside = Box::pin(wait(pending::<()>()));
        assert!((&mut outside).now_or_never().is_none());
        assert_eq!(others(), 0);
        let mut inside = Box::pin(run_loop(wait(pending::<()>())));
        assert!((&mut inside).now_or_never().is_none());
        assert!((&mut inside).now_or_never().is_none());
        assert_eq!(others(), 1);
        drop(inside);
        assert_eq!(others(), 0);
        assert_eq!(run_loop(wait(async { 5 })).now_or_never(), Some(5));
        assert_eq!(others(), 0);
    }
}
