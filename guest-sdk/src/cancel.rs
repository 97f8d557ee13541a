//! Waiting for an end: the stop of the actor, and whatever else one call tells another to give up.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};

use futures::future::{Either, select};

use crate::component::Actor;
use crate::context::Env;
use crate::error::{Error, Result, UserError};

/// Something that happens once, and those who wait for it.
#[derive(Default)]
struct Signal {
    has_come: Cell<bool>,
    waiting: RefCell<BTreeMap<u64, Waker>>,
    next_key: Cell<u64>,
}

impl Signal {
    /// Wakes those who wait, who then see that it has come.
    fn wake(&self) {
        for waker in self.waiting.take().into_values() {
            waker.wake();
        }
    }
}

/// How one call tells another to give up: kept in the vars, say, where both can reach it. Cheap to clone; clones
/// are one token.
///
/// ```
/// # use greenroom_sdk::prelude::*;
/// # async fn example(token: CancelToken) -> Result<()> {
/// let slept = token.run(time::sleep(Duration::from_secs(60))).await;
/// if slept.is_err() {
///     log::info("somebody called `token.cancel()`");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct CancelToken(Rc<Signal>);

impl CancelToken {
    /// A token that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels it, for good.
    pub fn cancel(&self) {
        self.0.has_come.set(true);
        self.0.wake();
    }

    /// Whether it is cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.has_come.get()
    }

    /// Resolves when it is cancelled; at once if it is.
    #[must_use]
    pub fn cancelled(&self) -> Cancellation {
        Cancellation {
            signal: self.0.clone(),
            key: None,
        }
    }

    /// Runs a future until the token is cancelled, which drops it. It does not even begin if it is cancelled already.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], if it was not finished before.
    pub async fn run<F: IntoFuture>(&self, future: F) -> Result<F::Output, Cancelled> {
        if self.is_cancelled() {
            return Err(Cancelled);
        }
        // What is finished counts, even if the token is cancelled at the same moment.
        match select(pin!(future.into_future()), self.cancelled()).await {
            Either::Left((output, _)) => Ok(output),
            Either::Right(_) => Err(Cancelled),
        }
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_cancelled = self.is_cancelled();
        f.debug_tuple("CancelToken").field(&is_cancelled).finish()
    }
}

impl IntoFuture for &CancelToken {
    type Output = ();
    type IntoFuture = Cancellation;

    fn into_future(self) -> Cancellation {
        self.cancelled()
    }
}

/// A future that resolves when a [`CancelToken`] is cancelled.
pub struct Cancellation {
    signal: Rc<Signal>,
    /// What its waker is kept under, once it waits.
    key: Option<u64>,
}

impl Future for Cancellation {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
        if self.signal.has_come.get() {
            return Poll::Ready(());
        }
        let key = self.key.unwrap_or_else(|| {
            let next = &self.signal.next_key;
            next.replace(next.get() + 1)
        });
        self.key = Some(key);
        let mut waiting = self.signal.waiting.borrow_mut();
        waiting.insert(key, task.waker().clone());
        Poll::Pending
    }
}

impl Clone for Cancellation {
    fn clone(&self) -> Self {
        Self {
            signal: self.signal.clone(),
            key: None,
        }
    }
}

impl Drop for Cancellation {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.signal.waiting.borrow_mut().remove(&key);
        }
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_come = self.signal.has_come.get();
        f.debug_tuple("Cancellation").field(&has_come).finish()
    }
}

/// What was cancelled is not finished.
///
/// Used with `?` in an action, it becomes the public error `actor.aborted`; so, like a [`UserError`], it is no
/// [`std::error::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was cancelled")
    }
}

impl From<Cancelled> for Error {
    fn from(cancelled: Cancelled) -> Self {
        UserError::new(cancelled.to_string())
            .with_group("actor")
            .with_code("aborted")
            .into()
    }
}

/// A future that resolves when the stop of the actor begins ([`Env::aborted`]).
#[derive(Debug, Clone)]
pub struct Aborted(Cancellation);

impl Future for Aborted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(task)
    }
}

/// The beginning of the actor's stop, and who wants to know of it.
#[derive(Default)]
pub(crate) struct Abort {
    token: CancelToken,
    listeners: RefCell<Vec<Box<dyn FnOnce()>>>,
}

impl Abort {
    /// Runs the listeners, then wakes those who wait.
    pub(crate) fn begin(&self) {
        // Listeners see that it has begun; what they register runs at once.
        self.token.0.has_come.set(true);
        for listener in self.listeners.take() {
            listener();
        }
        self.token.0.wake();
    }
}

impl<A: Actor> Env<A> {
    /// Whether the actor has begun to stop: what could go on for long had better come to an end.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.abort().token.is_cancelled()
    }

    /// A future that resolves when the actor begins to stop; at once if it has.
    #[must_use]
    pub fn aborted(&self) -> Aborted {
        Aborted(self.abort().token.cancelled())
    }

    /// Registers what is to run when the actor begins to stop, before its calls in progress are waited for; it runs at
    /// once if the stop has begun.
    ///
    /// It stays registered until then, so this is for `#[on_wake]`, `#[run]` and the like; an action waits for
    /// [`aborted`](Self::aborted). The listener may change the vars, and by a [`Context`](crate::Context) the state; so
    /// it is not registered where they are lent, as they are in a function that takes `self`.
    pub fn on_abort(&self, listener: impl FnOnce() + 'static) {
        if self.is_aborted() {
            listener();
        } else {
            let mut listeners = self.abort().listeners.borrow_mut();
            listeners.push(Box::new(listener));
        }
    }
}

/// The calls in progress that can be given up, by the host's ids.
#[derive(Default)]
pub(crate) struct Calls(RefCell<BTreeMap<u32, CancelToken>>);

impl Calls {
    /// Runs the call `id`; it is dropped when [`cancel`](Self::cancel) says so.
    pub(crate) async fn run<T>(
        &self,
        id: u32,
        called: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let token = CancelToken::new();
        self.0.borrow_mut().insert(id, token.clone());
        let _listed = Listed(self, id);
        token.run(called).await?
    }

    pub(crate) fn cancel(&self, id: u32) {
        // One that has ended meanwhile is not there any more.
        let token = self.0.borrow().get(&id).cloned();
        if let Some(token) = token {
            token.cancel();
        }
    }
}

/// Takes a call off the list, however it ends.
struct Listed<'a>(&'a Calls, u32);

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.0.0.borrow_mut().remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_cancelled_token_resolves_for_all_who_wait() {
        let token = CancelToken::new();
        let mut first = token.cancelled();
        let second = first.clone();
        assert_eq!((&mut first).now_or_never(), None);
        token.cancel();
        assert_eq!(
            (first.now_or_never(), second.now_or_never()),
            (Some(()), Some(()))
        );
    }

    #[test]
    fn who_waits_no_more_leaves_nothing_behind() {
        let token = CancelToken::new();
        let mut waiting = token.cancelled();
        assert_eq!((&mut waiting).now_or_never(), None);
        assert_eq!(token.0.waiting.borrow().len(), 1);
        drop(waiting);
        assert!(token.0.waiting.borrow().is_empty());
    }

    #[test]
    fn what_is_finished_counts_and_what_is_cancelled_before_does_not_begin() {
        let token = CancelToken::new();
        let cancels = token.clone();
        let finished = token.run(async move { cancels.cancel() });
        assert_eq!(finished.now_or_never(), Some(Ok(())));
        assert_eq!(token.run(ready(1)).now_or_never(), Some(Err(Cancelled)));
    }

    #[test]
    fn a_cancelled_call_is_dropped_and_aborted_and_no_longer_listed() {
        let calls = Calls::default();
        let held = Rc::new(());
        let holds = held.clone();
        let mut call = Box::pin(calls.run::<()>(7, async move {
            pending::<()>().await;
            drop(holds);
            Ok(())
        }));
        assert!((&mut call).now_or_never().is_none());
        calls.cancel(8);
        assert!((&mut call).now_or_never().is_none());
        calls.cancel(7);
        let error = call.now_or_never().expect("it ends").unwrap_err();
        assert!(error.is_aborted());
        assert_eq!(Rc::strong_count(&held), 1);
        assert!(calls.0.borrow().is_empty());
    }

    #[test]
    fn listeners_run_once_and_see_that_the_stop_has_begun() {
        let abort = Rc::new(Abort::default());
        let (seen, seer) = (Rc::new(Cell::new(0)), abort.clone());
        let sees = seen.clone();
        abort.listeners.borrow_mut().push(Box::new(move || {
            assert!(seer.token.is_cancelled());
            sees.set(sees.get() + 1);
        }));
        let mut waiting = Aborted(abort.token.cancelled());
        assert_eq!((&mut waiting).now_or_never(), None);
        abort.begin();
        abort.begin();
        assert_eq!((waiting.now_or_never(), seen.get()), (Some(()), 1));
    }
}
