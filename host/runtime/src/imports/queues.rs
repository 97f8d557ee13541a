use std::sync::Arc;
use std::time::Duration;

use greenroom_model::{
    ActorData, ActorError, Completion, MessageId, Millis, QueueMessage, Wanted, codes,
};
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::{to_wit, value};
use crate::bindings::greenroom::actor::queues;
use crate::bindings::greenroom::actor::types::PublicError;
use crate::ctx::Ctx;

/// Messages that are received at once.
const BATCH_MAX: usize = 1_000;

type Store = Accessor<Ctx, HasSelf<Ctx>>;

/// A message that waits to be completed. Given back when it is dropped before.
#[expect(
    unreachable_pub,
    reason = "the generated bindings, which are public, name it"
)]
pub struct Delivery {
    data: Arc<dyn ActorData>,
    id: MessageId,
    is_completed: bool,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.is_completed {
            self.data.give_back(self.id);
        }
    }
}

impl queues::HostDelivery for Ctx {
    fn complete(
        &mut self,
        delivery: Resource<Delivery>,
        reply: Option<Vec<u8>>,
    ) -> wasmtime::Result<Result<(), PublicError>> {
        let reply = reply.map(value).transpose()?;
        let delivery = self.table.get_mut(&delivery)?;
        if delivery.is_completed {
            let text = "the message was completed before";
            return Ok(Err(to_wit(ActorError::new(
                codes::QUEUE_ALREADY_COMPLETED,
                text,
            ))));
        }
        let completed = delivery.data.complete(delivery.id, reply);
        delivery.is_completed = completed.is_ok();
        Ok(completed.map_err(to_wit))
    }

    fn drop(&mut self, delivery: Resource<Delivery>) -> wasmtime::Result<()> {
        self.table.delete(delivery)?;
        Ok(())
    }
}

impl queues::Host for Ctx {
    fn send(
        &mut self,
        queue: String,
        body: Vec<u8>,
        options: queues::SendOptions,
    ) -> wasmtime::Result<Result<Option<String>, PublicError>> {
        let sent = self.data.send(queue, value(body)?, delay(options));
        Ok(sent.map(|id| id.map(|id| id.to_string())).map_err(to_wit))
    }

    fn run_waits_for_others(&mut self, does: bool) -> wasmtime::Result<()> {
        self.data.run_waits_for_others(does);
        Ok(())
    }

    fn size(&mut self) -> wasmtime::Result<u32> {
        Ok(u32::try_from(self.data.queue_size()).unwrap_or(u32::MAX))
    }

    fn dead_letters(&mut self) -> wasmtime::Result<Vec<queues::DeadLetter>> {
        let dead = self.data.dead_letters().into_iter();
        let dead = dead.map(|dead| queues::DeadLetter {
            died_ms: ms(dead.died_at.unwrap_or_default()),
            message: message(dead),
        });
        Ok(dead.collect())
    }

    fn put_back(&mut self, id: String) -> wasmtime::Result<Result<Option<String>, PublicError>> {
        let put_back = match MessageId::parse(&id) {
            Some(id) => self.data.put_back(id),
            None => Ok(None),
        };
        Ok(put_back
            .map(|id| id.map(|id| id.to_string()))
            .map_err(to_wit))
    }

    fn discard(&mut self, id: String) -> wasmtime::Result<bool> {
        Ok(MessageId::parse(&id).is_some_and(|id| self.data.discard(id)))
    }
}

impl queues::HostWithStore<Ctx> for HasSelf<Ctx> {
    async fn receive(
        store: &Store,
        wanted: queues::Wanted,
    ) -> wasmtime::Result<Result<Vec<queues::Message>, PublicError>> {
        let data = store.with(|mut ctx| ctx.get().data.clone());
        let received = data.receive(what(wanted, false)).await;
        Ok(received
            .map(|messages| messages.into_iter().map(message).collect())
            .map_err(to_wit))
    }

    async fn take(
        store: &Store,
        wanted: queues::Wanted,
    ) -> wasmtime::Result<Result<Vec<queues::Taken>, PublicError>> {
        let data = store.with(|mut ctx| ctx.get().data.clone());
        let messages = match data.receive(what(wanted, true)).await {
            Ok(messages) => messages,
            Err(error) => return Ok(Err(to_wit(error))),
        };
        let taken = messages.into_iter().map(|taken| {
            let delivery = Delivery {
                data: data.clone(),
                id: taken.id,
                is_completed: false,
            };
            let delivery = store.with(|mut ctx| ctx.get().table.push(delivery))?;
            Ok(queues::Taken {
                message: message(taken),
                delivery,
            })
        });
        taken.collect::<wasmtime::Result<_>>().map(Ok)
    }

    async fn send_and_wait(
        store: &Store,
        queue: String,
        body: Vec<u8>,
        options: queues::SendOptions,
        timeout_ms: Option<u32>,
    ) -> wasmtime::Result<Result<queues::Completion, PublicError>> {
        let data = store.with(|mut ctx| ctx.get().data.clone());
        let body = value(body)?;
        let sent = data.send_and_wait(queue, body, delay(options), timeout_ms.map(span));
        Ok(sent.await.map(completion).map_err(to_wit))
    }
}

fn what(wanted: queues::Wanted, is_take: bool) -> Wanted {
    let count = usize::try_from(wanted.count_max).unwrap_or(usize::MAX);
    Wanted {
        queues: wanted.queues,
        count_max: count.clamp(1, BATCH_MAX),
        timeout: wanted.timeout_ms.map(span),
        in_run: wanted.in_run,
        is_take,
    }
}

fn message(message: QueueMessage) -> queues::Message {
    queues::Message {
        id: message.id.to_string(),
        queue: message.queue,
        body: message.body.into(),
        sent_ms: ms(message.sent_at),
        attempts: message.attempts,
    }
}

pub(super) fn completion(completion: Completion) -> queues::Completion {
    match completion {
        Completion::Completed(reply) => queues::Completion::Completed(reply.map(Vec::from)),
        Completion::TimedOut => queues::Completion::TimedOut,
    }
}

fn delay(options: queues::SendOptions) -> Option<Duration> {
    options.delay_ms.map(span)
}

pub(super) fn span(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

#[expect(clippy::cast_precision_loss, reason = "moments are far below 2^53")]
const fn ms(at: Millis) -> f64 {
    at.0 as f64
}
