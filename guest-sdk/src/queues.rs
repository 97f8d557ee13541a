//! The actor's own durable queues: sending, and what there is to know of messages. Receiving is in `receive`.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use greenroom_value::{Value, encode, from_slice, to_vec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::greenroom::actor::queues as wit;
use crate::component::Actor;
use crate::context::{Context, Env};
use crate::error::{Error, Result};
use crate::events::short_type_name;
use crate::receive::{Delivery, Receive};
use crate::time::{elapsed, to_ms, whole_ms};
use crate::waits::wait;

/// A declared queue whose messages are `T`s.
///
/// ```
/// # use greenroom_sdk::prelude::*;
/// #[derive(Serialize, Deserialize)]
/// struct Job {
///     url: String,
/// }
///
/// const JOBS: Queue<Job> = Queue::new("jobs");
/// ```
///
/// Named in `#[actor(queues = [JOBS])]`, it exists; what is sent to any other name is dropped. A `Queue<Value>` takes
/// anything.
///
/// Clients and other actors may send what they like: a message that is no `T` is given back, by
/// [`take`](Self::take) and by [`receive`](Self::receive), until it ends as a dead letter.
pub struct Queue<T> {
    name: &'static str,
    message: PhantomData<fn(T) -> T>,
}

impl<T> Queue<T> {
    /// A queue of this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            message: PhantomData,
        }
    }

    /// What messages are sent to.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What the host is told of it. For the macros.
    #[doc(hidden)]
    #[must_use]
    pub fn type_name(&self) -> String {
        short_type_name::<T>()
    }
}

impl<T: Serialize> Queue<T> {
    /// Sends a message; gives its id, or nothing if the actor's type does not declare the queue.
    ///
    /// # Errors
    ///
    /// `queue.full`, `queue.message_too_large`, or an internal error if it cannot be serialized.
    pub fn send<A: Actor>(self, env: &Env<A>, body: &T) -> Result<Option<String>> {
        env.send(self.name, body)
    }

    /// Sends a message that is not to be received earlier than after `delay`.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_after<A: Actor>(
        self,
        env: &Env<A>,
        body: &T,
        delay: Duration,
    ) -> Result<Option<String>> {
        env.send_after(self.name, body, delay)
    }

    /// Sends a message and waits until it is completed, or received. `None` waits as long as the host does (5 minutes).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_and_wait<A: Actor>(
        self,
        cx: &Context<A>,
        body: &T,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Completion> {
        cx.send_and_wait(self.name, body, timeout).await
    }
}

impl<T: DeserializeOwned> Queue<T> {
    /// Receives the next message and removes it, as soon as there is one.
    ///
    /// # Errors
    ///
    /// `actor.aborted` when it would have to wait and the actor stops, in the run loop in any case;
    /// `queue.previous_message_not_completed` if this call holds a
    /// [`Delivery`]. A message that is no `T` is no error: it is noted in the log and left to become a dead letter.
    pub async fn receive<A: Actor>(self, cx: &Context<A>) -> Result<QueueMessage<T>> {
        self.take(cx).await?.accept()
    }

    /// Receives the next message and removes it, if there is one in time. [`Duration::ZERO`] does not wait.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub async fn receive_within<A: Actor>(
        self,
        cx: &Context<A>,
        timeout: Duration,
    ) -> Result<Option<QueueMessage<T>>> {
        let taken = self.take_within(cx, timeout).await?;
        taken.map(Delivery::accept).transpose()
    }

    /// Takes the next message, as soon as there is one. It stays in its queue until it is
    /// [completed](Delivery::complete), and comes again otherwise.
    ///
    /// # Errors
    ///
    /// `actor.aborted` when it would have to wait and the actor stops, in the run loop in any case;
    /// `queue.previous_message_not_completed` if this call holds a
    /// delivery already.
    pub async fn take<A: Actor>(self, cx: &Context<A>) -> Result<Delivery<T>> {
        loop {
            if let Some(delivery) = self.wanted(cx).take_as().await?.pop() {
                return Ok(delivery);
            }
        }
    }

    /// Takes the next message, if there is one in time. [`Duration::ZERO`] does not wait.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub async fn take_within<A: Actor>(
        self,
        cx: &Context<A>,
        timeout: Duration,
    ) -> Result<Option<Delivery<T>>> {
        let end = elapsed().saturating_add(timeout);
        loop {
            let left = end.saturating_sub(elapsed());
            let taken = self.wanted(cx).timeout(left).taken().await?;
            if taken.is_empty() {
                return Ok(None);
            }
            // One that was given back leaves its time to the next.
            if let Some(delivery) = cx.scope().deliver(taken).pop() {
                return Ok(Some(delivery));
            }
        }
    }

    fn wanted<A: Actor>(self, cx: &Context<A>) -> Receive {
        cx.receive([self.name]).count(1)
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Queue<T> {}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queue").field(&self.name).finish()
    }
}

impl<A: Actor> Env<A> {
    /// Sends a message to one of the actor's own queues by its name; gives its id, or nothing if the actor's type does
    /// not declare the queue.
    ///
    /// # Errors
    ///
    /// `queue.full`, `queue.message_too_large`, or an internal error if it cannot be serialized.
    pub fn send(&self, queue: &str, body: &(impl Serialize + ?Sized)) -> Result<Option<String>> {
        send(queue, &to_vec(body)?, None)
    }

    /// Sends a message that is not to be received earlier than after `delay`.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_after(
        &self,
        queue: &str,
        body: &(impl Serialize + ?Sized),
        delay: Duration,
    ) -> Result<Option<String>> {
        send(queue, &to_vec(body)?, Some(delay))
    }

    /// How many messages wait in all queues, dead letters not counted.
    #[must_use]
    pub fn queue_size(&self) -> u32 {
        wit::size()
    }

    /// The messages that were taken too often without being completed, oldest first. At most 1,000 are kept.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        let letters = wit::dead_letters().into_iter();
        letters.map(DeadLetter::new).collect()
    }

    /// Puts a dead letter back into its queue, behind the messages that wait, and gives its new id. `None` if there is none
    /// of this id.
    ///
    /// # Errors
    ///
    /// `queue.full`.
    pub fn put_back(&self, id: &str) -> Result<Option<String>> {
        wit::put_back(id).map_err(Error::public)
    }

    /// Removes a dead letter. `false` if there is none of this id.
    pub fn discard(&self, id: &str) -> bool {
        wit::discard(id)
    }
}

impl<A: Actor> Context<A> {
    /// Sends a message to one of the actor's own queues by its name, and waits until it is completed, or received. One
    /// to a queue that is not declared is completed at once. `None` waits as long as the host does (5 minutes).
    ///
    /// # Errors
    ///
    /// As [`send`](Env::send).
    pub async fn send_and_wait(
        &self,
        queue: &str,
        body: &(impl Serialize + ?Sized),
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Completion> {
        let (body, timeout) = (to_vec(body)?, timeout.into().map(to_ms));
        let options = wit::SendOptions { delay_ms: None };
        let sending = wit::send_and_wait(queue.to_owned(), body, options, timeout);
        let sent = wait(sending).await;
        Completion::new(sent.map_err(Error::public)?)
    }

    /// What to receive, out of these queues by their names; none means all. The messages come when it is awaited.
    ///
    /// ```
    /// # use greenroom_sdk::prelude::*;
    /// # #[derive(Default, Serialize, Deserialize)] struct Mail;
    /// # #[actor] impl Mail {
    /// #[action]
    /// async fn collect(cx: Context<Self>) -> Result<usize> {
    ///     let messages = cx.receive(["letters", "parcels"]).count(10).timeout(Duration::ZERO).await?;
    ///     Ok(messages.len())
    /// }
    /// # }
    /// ```
    pub fn receive<I>(&self, queues: I) -> Receive
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let queues = queues.into_iter().map(Into::into).collect();
        Receive::new(self.scope().clone(), queues)
    }
}

fn send(queue: &str, body: &[u8], delay: Option<Duration>) -> Result<Option<String>> {
    let options = wit::SendOptions {
        delay_ms: delay.map(to_ms),
    };
    wit::send(queue, body, options).map_err(Error::public)
}

/// A message of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueMessage<T> {
    /// Names it within the actor; never used again.
    pub id: String,
    /// The queue that it came out of.
    pub queue: String,
    /// What was sent.
    pub body: T,
    /// When it was sent, in milliseconds since the Unix epoch.
    pub sent_ms: i64,
    /// How often it has been received or taken, with this time: 1 at first.
    pub attempts: u32,
}

impl<T> QueueMessage<T> {
    /// What was sent.
    #[must_use]
    pub fn into_body(self) -> T {
        self.body
    }
}

impl<T: DeserializeOwned> QueueMessage<T> {
    pub(crate) fn new(message: wit::Message) -> Result<Self> {
        let body = from_slice(&message.body).map_err(|error| {
            let (queue, id) = (&message.queue, &message.id);
            Error::internal(format!("message {id} of queue {queue}: {error}"))
        })?;
        Ok(Self {
            id: message.id,
            queue: message.queue,
            body,
            sent_ms: whole_ms(message.sent_ms),
            attempts: message.attempts,
        })
    }
}

/// A message that was taken too often without being completed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// The message. `attempts` is how often it was taken.
    pub message: QueueMessage<Value>,
    /// When it was given up, in milliseconds since the Unix epoch.
    pub died_ms: i64,
}

impl DeadLetter {
    fn new(letter: wit::DeadLetter) -> Self {
        let wit::DeadLetter { message, died_ms } = letter;
        Self {
            message: QueueMessage {
                id: message.id,
                queue: message.queue,
                body: from_slice(&message.body).unwrap_or_default(),
                sent_ms: whole_ms(message.sent_ms),
                attempts: message.attempts,
            },
            died_ms: whole_ms(died_ms),
        }
    }
}

/// What became of a message that was sent and waited for.
#[derive(Debug, Clone, PartialEq)]
pub enum Completion {
    /// It was completed, perhaps with a reply.
    Completed(Option<Value>),
    /// Not in time. It stays in its queue.
    TimedOut,
}

impl Completion {
    pub(crate) fn new(completion: wit::Completion) -> Result<Self> {
        Ok(match completion {
            wit::Completion::Completed(reply) => {
                let reply = reply.map(|reply| from_slice(&reply)).transpose()?;
                Self::Completed(reply)
            }
            wit::Completion::TimedOut => Self::TimedOut,
        })
    }

    /// Whether it was completed in time.
    #[must_use]
    pub const fn is_completed(&self) -> bool {
        matches!(self, Self::Completed(_))
    }

    /// The reply, if it was completed with one.
    ///
    /// # Errors
    ///
    /// An internal error if the reply is not an `R`.
    pub fn reply<R: DeserializeOwned>(&self) -> Result<Option<R>> {
        let Self::Completed(Some(reply)) = self else {
            return Ok(None);
        };
        Ok(Some(from_slice(&encode(reply))?))
    }
}
