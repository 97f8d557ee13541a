//! Receiving from the actor's own queues, and completing what was taken.

use std::cell::Cell;
use std::fmt;
use std::future::{Future as _, IntoFuture, poll_fn};
use std::ops::Deref;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use greenroom_value::{Value, encode, to_vec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::greenroom::actor::queues as wit;
use crate::cancel::Cancelled;
use crate::component::Future;
use crate::error::{Error, Result, UserError};
use crate::queues::QueueMessage;
use crate::time::to_ms;
use crate::waits::Receiving;

/// One call of the actor, as its queues see it: what it has taken it completes before it takes more.
pub(crate) struct Scope {
    /// It is the run loop, which does not keep the actor awake while it waits for a message.
    is_run: bool,
    /// Deliveries that are neither completed nor dropped.
    open: Cell<usize>,
}

impl Scope {
    pub(crate) fn new(is_run: bool) -> Rc<Self> {
        let open = Cell::new(0);
        Rc::new(Self { is_run, open })
    }

    fn check(&self) -> Result<()> {
        if self.open.get() == 0 {
            return Ok(());
        }
        let error = UserError::new("a message that was taken before has not been completed");
        let error = error.with_group("queue");
        Err(error.with_code("previous_message_not_completed").into())
    }

    /// What was taken, as deliveries. What is no `T` is given back, so that it ends as a dead letter.
    pub(crate) fn deliver<T: DeserializeOwned>(
        self: &Rc<Self>,
        taken: Vec<wit::Taken>,
    ) -> Vec<Delivery<T>> {
        let deliver = |taken: wit::Taken| match QueueMessage::new(taken.message) {
            Ok(message) => {
                let open = Open::new(self.clone(), taken.delivery);
                Some(Delivery { message, open })
            }
            Err(error) => {
                crate::log::warn(format!("given back: {error}"));
                None
            }
        };
        taken.into_iter().filter_map(deliver).collect()
    }
}

/// What is to be received, made by [`Context::receive`](crate::Context::receive). Awaiting it receives the messages and
/// removes them; it gives none if there is none in time.
///
/// It fails with `actor.aborted` when it would have to wait and the actor stops (in the run loop, when the stop begins), or
/// when what [`until`](Self::until) names has happened;
/// and with `queue.previous_message_not_completed` if this call holds a [`Delivery`]. Dropping it while it waits loses
/// no message.
#[must_use = "it receives when it is awaited, or by `take`"]
pub struct Receive {
    scope: Rc<Scope>,
    wanted: wit::Wanted,
    until: Option<Future<()>>,
}

impl Receive {
    pub(crate) fn new(scope: Rc<Scope>, queues: Vec<String>) -> Self {
        let wanted = wit::Wanted {
            queues,
            count_max: 1,
            timeout_ms: None,
            in_run: scope.is_run,
        };
        Self {
            scope,
            wanted,
            until: None,
        }
    }

    /// At most so many messages (1 without this, 1,000 at most); fewer if there are no more.
    pub const fn count(mut self, most: u32) -> Self {
        self.wanted.count_max = most;
        self
    }

    /// How long to wait for the first message. [`Duration::ZERO`] does not wait; without this, it takes as long as it
    /// takes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.wanted.timeout_ms = Some(to_ms(timeout));
        self
    }

    /// Gives up when this happens: a `&CancelToken` is cancelled, or any future resolves. If that is so from the
    /// beginning, nothing is received.
    pub fn until<F>(mut self, end: F) -> Self
    where
        F: IntoFuture<Output = ()>,
        F::IntoFuture: 'static,
    {
        self.until = Some(Box::pin(end.into_future()));
        self
    }

    /// Receives one message and removes it, if there is one in time.
    ///
    /// # Errors
    ///
    /// What [`Receive`] says.
    pub async fn one(self) -> Result<Option<QueueMessage<Value>>> {
        Ok(self.count(1).receive_as().await?.pop())
    }

    /// Takes messages, which stay in their queues until they are completed. They count as open until all of them are.
    ///
    /// # Errors
    ///
    /// What [`Receive`] says.
    pub async fn take(self) -> Result<Vec<Delivery<Value>>> {
        self.take_as().await
    }

    /// Takes one message, if there is one in time.
    ///
    /// # Errors
    ///
    /// What [`Receive`] says.
    pub async fn take_one(self) -> Result<Option<Delivery<Value>>> {
        Ok(self.count(1).take_as().await?.pop())
    }

    /// Takes and completes, rather than `queues.receive`: what the host has handed over when this is dropped, but
    /// nobody has seen, is then given back.
    pub(crate) async fn receive_as<T: DeserializeOwned>(self) -> Result<Vec<QueueMessage<T>>> {
        let taken = self.taken().await?;
        for taken in &taken {
            taken.delivery.complete(None).map_err(Error::public)?;
        }
        let messages = taken.into_iter().map(|taken| taken.message);
        messages.map(QueueMessage::new).collect()
    }

    pub(crate) async fn take_as<T: DeserializeOwned>(self) -> Result<Vec<Delivery<T>>> {
        let scope = self.scope.clone();
        Ok(scope.deliver(self.taken().await?))
    }

    pub(crate) async fn taken(self) -> Result<Vec<wit::Taken>> {
        self.scope.check()?;
        let is_run = self.wanted.in_run;
        let mut taking = pin!(async {
            let _receiving = is_run.then(Receiving::begin);
            wit::take(self.wanted).await
        });
        let Some(mut until) = self.until else {
            return taking.await.map_err(Error::public);
        };
        let mut is_first = true;
        let taken = poll_fn(|task| {
            if std::mem::take(&mut is_first) && until.as_mut().poll(task).is_ready() {
                return Poll::Ready(Err(Cancelled.into()));
            }
            // From then on, what has come counts, even if the end comes at the same moment.
            if let Poll::Ready(taken) = taking.as_mut().poll(task) {
                return Poll::Ready(taken.map_err(Error::public));
            }
            until.as_mut().poll(task).map(|()| Err(Cancelled.into()))
        });
        taken.await
    }
}

impl IntoFuture for Receive {
    type Output = Result<Vec<QueueMessage<Value>>>;
    type IntoFuture = Future<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.receive_as())
    }
}

impl fmt::Debug for Receive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receive").field(&self.wanted).finish()
    }
}

/// A message that was taken and waits to be completed. Dropping it gives the message back: it comes again, until it
/// has been taken as often as the actor's type allows, and is a dead letter then.
///
/// While a call holds one, its next receiving fails with `queue.previous_message_not_completed`.
pub struct Delivery<T> {
    message: QueueMessage<T>,
    open: Open,
}

impl<T> Delivery<T> {
    /// Removes the message for good. Whoever waits for it gets no reply.
    ///
    /// # Errors
    ///
    /// `queue.already_completed`, after [`try_complete`](Self::try_complete).
    pub fn complete(self) -> Result<()> {
        self.open.complete(None)
    }

    /// Removes the message for good, with a reply for whoever waits for it.
    ///
    /// # Errors
    ///
    /// As [`complete`](Self::complete); `queue.message_too_large` if the reply has more than 1 MiB; `queue.full` if too
    /// many replies wait to be committed; or an internal error if the reply cannot be serialized. The message is given
    /// back then.
    pub fn complete_with(self, reply: &(impl Serialize + ?Sized)) -> Result<()> {
        self.open.complete(Some(&to_vec(reply)?))
    }

    /// Removes the message for good, and keeps what is known of it.
    ///
    /// # Errors
    ///
    /// `queue.already_completed`, the second time; `queue.message_too_large` and `queue.full`, as
    /// [`complete_with`](Self::complete_with), and then the message is still to be completed.
    pub fn try_complete(&self, reply: Option<&Value>) -> Result<()> {
        self.open.complete(reply.map(encode).as_deref())
    }

    /// Completes the message and keeps it.
    pub(crate) fn accept(self) -> Result<QueueMessage<T>> {
        self.open.complete(None)?;
        Ok(self.message)
    }

    /// The body for itself, and what completes the message.
    #[must_use]
    pub fn into_parts(self) -> (T, Delivery<()>) {
        let QueueMessage {
            id,
            queue,
            body,
            sent_ms,
            attempts,
        } = self.message;
        let message = QueueMessage {
            id,
            queue,
            body: (),
            sent_ms,
            attempts,
        };
        let open = self.open;
        (body, Delivery { message, open })
    }
}

impl<T> Deref for Delivery<T> {
    type Target = QueueMessage<T>;

    fn deref(&self) -> &QueueMessage<T> {
        &self.message
    }
}

impl<T: fmt::Debug> fmt::Debug for Delivery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Delivery").field(&self.message).finish()
    }
}

/// What completes a message, and counts as open in its scope until then.
struct Open {
    scope: Rc<Scope>,
    delivery: wit::Delivery,
    is_open: Cell<bool>,
}

impl Open {
    fn new(scope: Rc<Scope>, delivery: wit::Delivery) -> Self {
        scope.open.set(scope.open.get() + 1);
        Self {
            scope,
            delivery,
            is_open: Cell::new(true),
        }
    }

    fn complete(&self, reply: Option<&[u8]>) -> Result<()> {
        self.delivery.complete(reply).map_err(Error::public)?;
        self.close();
        Ok(())
    }

    fn close(&self) {
        if self.is_open.take() {
            self.scope.open.set(self.scope.open.get() - 1);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close();
    }
}
