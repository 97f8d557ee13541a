//! What the run loop waits for. The actor may sleep while that is a message and nothing else; so whoever waits for
//! something else of the host is counted, and the host is told when there is such a thing beside a receive.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;

use crate::bindings::greenroom::actor::queues;

thread_local! {
    /// The run loop of the one actor that this instance is.
    static RUN_LOOP: RunLoop = const { RunLoop::new() };
}

struct RunLoop {
    /// It is being polled at this moment.
    is_polled: Cell<bool>,
    /// Its receives that wait.
    receives: Cell<usize>,
    /// What it waits for besides messages.
    others: Cell<usize>,
    /// What the host was told last.
    told: Cell<bool>,
}

impl RunLoop {
    const fn new() -> Self {
        Self {
            is_polled: Cell::new(false),
            receives: Cell::new(0),
            others: Cell::new(0),
            told: Cell::new(false),
        }
    }

    /// Tells the host, if there is a receive about which it matters.
    fn tell(&self) {
        let waits_for_others = self.receives.get() > 0 && self.others.get() > 0;
        if self.told.replace(waits_for_others) != waits_for_others {
            queues::run_waits_for_others(waits_for_others);
        }
    }

    fn change(count: fn(&Self) -> &Cell<usize>, change: fn(usize) -> usize) {
        RUN_LOOP.with(|run| {
            let count = count(run);
            count.set(change(count.get()));
            run.tell();
        });
    }
}

/// Something else that the run loop waits for, for as long as this is there.
struct Other;

impl Other {
    fn begin() -> Self {
        RunLoop::change(|run| &run.others, |count| count + 1);
        Self
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        RunLoop::change(|run| &run.others, |count| count - 1);
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

/// A receive of the run loop that waits, for as long as this is there.
pub(crate) struct Receiving;

impl Receiving {
    pub(crate) fn begin() -> Self {
        RunLoop::change(|run| &run.receives, |count| count + 1);
        Self
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        RunLoop::change(|run| &run.receives, |count| count - 1);
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
