//! Work that goes on when the call that began it has returned.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use futures::channel::oneshot;

use crate::bindings::greenroom::actor::background::{Kind, Work};
use crate::component::Actor;
use crate::context::Env;

/// A piece of work in the background: a future that gives what the work gives. Dropping it does not end the work.
///
/// If the work itself is dropped before it is done, this never resolves.
pub struct Task<T>(oneshot::Receiver<T>);

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.0).poll(task)) {
            Ok(output) => Poll::Ready(output),
            Err(oneshot::Canceled) => Poll::Pending,
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Task")
    }
}

impl<A: Actor> Env<A> {
    /// Runs a future in the background. A stop of the actor waits for it, within the grace; the actor falls asleep as
    /// if there were none, and so waits for it then.
    ///
    /// [`spawn`](crate::spawn) is for what may be cut off at any time.
    pub fn wait_until<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        self.work(Kind::WaitUntil, future)
    }

    /// Runs a future in the background, and keeps the actor awake until it ends. If the actor has to stop nevertheless,
    /// the stop waits for it, within the grace.
    pub fn keep_awake<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        self.work(Kind::KeepAwake, future)
    }

    fn work<T: 'static>(&self, kind: Kind, future: impl Future<Output = T> + 'static) -> Task<T> {
        let (tell, told) = oneshot::channel();
        let work = Work::new(kind);
        let future = self.context().settling(future);
        spawn(async move {
            // Whoever does not want to know has dropped the task.
            _ = tell.send(future.await);
            // Held until here, or until the whole is dropped.
            drop(work);
        });
        Task(told)
    }
}

/// Runs a future on its own: it goes on after the call that began it has returned. It does not keep the actor awake, and
/// ends with it.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    wit_bindgen::spawn_local(future);
}
