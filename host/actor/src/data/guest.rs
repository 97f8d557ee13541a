//! The guest's side of its data.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use greenroom_model::{
    ActorData, ActorError, Completion, KvPage, KvQuery, KvSpan, MessageId, NewScheduled,
    QueueMessage, Scheduled, ScheduledRun, Wanted, WorkKind, codes,
};
use tokio::time::{Instant, sleep_until};
use tracing::error;

use super::pairs::Written;
use super::{Data, Setup};
use crate::activate::unavailable;

/// Pairs of one page, in bytes.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// Pairs of one page.
const PAGE_PAIRS_MAX: usize = 10_000;

#[async_trait]
impl ActorData for Data {
    fn kv_put(&self, pairs: Vec<(Bytes, Bytes)>) -> Result<(), ActorError> {
        let put = self.lock().pairs.put(pairs);
        // One that is refused may want to know what the store has by now.
        self.changed.notify_one();
        put
    }

    fn kv_delete(&self, keys: Vec<Bytes>) -> Result<(), ActorError> {
        self.lock().pairs.delete(keys)?;
        self.changed.notify_one();
        Ok(())
    }

    fn kv_delete_span(&self, span: KvSpan) -> Result<(), ActorError> {
        self.lock().pairs.delete_span(span)?;
        self.changed.notify_one();
        Ok(())
    }

    async fn kv_get(&self, keys: Vec<Bytes>) -> Result<Vec<Option<Bytes>>, ActorError> {
        if keys.len() > PAGE_PAIRS_MAX {
            let text = format!("at most {PAGE_PAIRS_MAX} keys can be asked for at once");
            return Err(ActorError::new(codes::INVALID_REQUEST, text));
        }
        let known: Vec<Option<Option<Bytes>>> = {
            let inner = self.lock();
            keys.iter().map(|key| inner.pairs.get(key)).collect()
        };
        let bytes_max = self.setup.limits.guest_message_bytes_max;
        let known_bytes = known.iter().flatten().flatten().map(Bytes::len).sum();
        let room = bytes_max.checked_sub(known_bytes);
        let room = room.ok_or_else(|| too_much(bytes_max))?;
        let unknown: Vec<Bytes> = keys
            .into_iter()
            .zip(&known)
            .filter(|(_, known)| known.is_none())
            .map(|(key, _)| key)
            .collect();
        let mut found = Vec::new();
        if !unknown.is_empty() {
            let Setup { storage, actor, .. } = &self.setup;
            let count = unknown.len();
            let asked = storage.kv_get(*actor, unknown, room).await;
            found = asked.map_err(|error| self.unread(&error))?;
            if found.len() < count {
                return Err(too_much(bytes_max));
            }
        }
        let mut found = found.into_iter();
        let values = known
            .into_iter()
            .map(|known| known.unwrap_or_else(|| found.next().flatten()));
        Ok(values.collect())
    }

    async fn kv_list(&self, query: KvQuery) -> Result<KvPage, ActorError> {
        let mut page = KvPage::default();
        let mut bytes = 0;
        let count_max = query.count_max.min(PAGE_PAIRS_MAX);
        if count_max == 0 {
            return Ok(page);
        }
        let mut span = query.span;
        loop {
            // What was written is taken first: what is committed meanwhile is then found in the store.
            let Written { pairs, removed } = self.lock().pairs.written(&span);
            let mut written = pairs;
            let store_query = KvQuery {
                span: span.clone(),
                reverse: query.reverse,
                count_max: count_max - page.pairs.len(),
            };
            let stored = self
                .setup
                .storage
                .kv_list(self.setup.actor, store_query, PAGE_BYTES_MAX)
                .await
                .map_err(|error| self.unread(&error))?;
            // Only as far as the store has been looked at.
            let rest = stored.upto.as_ref();
            let rest = rest.map(|last| beyond(&span, last, query.reverse));
            if let Some(rest) = &rest {
                written.retain(|key, _| !rest.has(key));
            }
            {
                let inner = self.lock();
                for (key, value) in stored.pairs {
                    if written.contains_key(&key) || removed.has(&key) {
                        continue;
                    }
                    // Written or removed since the store was asked, perhaps.
                    let value = inner.pairs.get(&key).unwrap_or(Some(value));
                    written.insert(key, value);
                }
            }
            let there = written.into_iter();
            let there = there.filter_map(|(key, value)| Some((key, value?)));
            let mut pairs: Vec<(Bytes, Bytes)> = there.collect();
            if query.reverse {
                pairs.reverse();
            }
            for (key, value) in pairs {
                let size = key.len() + value.len();
                let is_over = bytes + size > PAGE_BYTES_MAX && !page.pairs.is_empty();
                if page.pairs.len() == count_max || is_over {
                    page.has_more = page.pairs.len() < query.count_max;
                    return Ok(page);
                }
                bytes += size;
                page.pairs.push((key, value));
            }
            match rest {
                None => return Ok(page),
                Some(_) if page.pairs.len() == count_max => {
                    page.has_more = page.pairs.len() < query.count_max;
                    return Ok(page);
                }
                Some(rest) => span = rest,
            }
        }
    }

    fn send(
        &self,
        queue: String,
        body: Bytes,
        delay: Option<Duration>,
    ) -> Result<Option<MessageId>, ActorError> {
        let sent = self.enqueue(queue, body, delay, false)?;
        Ok(sent.map(|(id, _)| id))
    }

    async fn send_and_wait(
        &self,
        queue: String,
        body: Bytes,
        delay: Option<Duration>,
        timeout: Option<Duration>,
    ) -> Result<Completion, ActorError> {
        let sent = self.enqueue(queue, body, delay, true)?;
        let Some((_, Some(waiting))) = sent else {
            return Ok(Completion::Completed(None));
        };
        let most = self.setup.limits.queue_wait_max;
        waiting
            .wait(timeout.map_or(most, |timeout| timeout.min(most)))
            .await
    }

    async fn receive(&self, wanted: Wanted) -> Result<Vec<QueueMessage>, ActorError> {
        let deadline = wanted.timeout.map(|timeout| Instant::now() + timeout);
        let mut waits = None;
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            // Listening before looking: a message in between is not missed.
            arrived.as_mut().enable();
            if let Some(messages) = self.try_receive(&wanted)? {
                return Ok(messages);
            }
            if wanted.timeout == Some(Duration::ZERO) {
                return Ok(Vec::new());
            }
            if wanted.in_run && waits.is_none() {
                waits = Some(RunWaits::begin(self));
            }
            let over = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = arrived => {}
                () = over => return Ok(Vec::new()),
            }
        }
    }

    fn complete(&self, id: MessageId, reply: Option<Bytes>) -> Result<(), ActorError> {
        let Setup {
            waiters,
            limits,
            id: actor,
            ..
        } = &self.setup;
        let bytes = reply.as_ref().map_or(0, Bytes::len);
        if bytes > limits.outgoing_bytes_max {
            let most = limits.outgoing_bytes_max;
            let text = format!("the reply has {bytes} bytes; at most {most} are sent");
            return Err(ActorError::new(codes::QUEUE_MESSAGE_TOO_LARGE, text));
        }
        let mut inner = self.lock();
        if waiters.is_waited_for(*actor, id) {
            if inner.reply_bytes + bytes > limits.outbox_bytes_max {
                let text = "as many replies wait to be committed as may; save before going on";
                return Err(ActorError::new(codes::QUEUE_FULL, text));
            }
            if inner.queue.complete(id) {
                inner.reply_bytes += bytes;
                inner.completed.push((id, reply));
            }
        } else {
            inner.queue.complete(id);
        }
        drop(inner);
        self.changed.notify_one();
        Ok(())
    }

    fn give_back(&self, id: MessageId) {
        let now = self.now();
        let mut inner = self.lock();
        if inner.is_lost {
            // What the guest had in hand when it broke down is looked at afterwards.
            return;
        }
        if inner.is_aborted {
            inner.is_interrupted |= inner.queue.restore(id);
        } else {
            inner.queue.give_back(id, now);
        }
        drop(inner);
        self.announce();
    }

    fn run_waits_for_others(&self, does: bool) {
        let mut inner = self.lock();
        inner.waits_for_others = does;
        inner.has_paused = true;
        drop(inner);
        self.changed.notify_one();
    }

    fn queue_size(&self) -> usize {
        self.lock().queue.len()
    }

    fn dead_letters(&self) -> Vec<QueueMessage> {
        self.lock().queue.dead_letters()
    }

    fn put_back(&self, id: MessageId) -> Result<Option<MessageId>, ActorError> {
        let mut inner = self.lock();
        let put_back = inner.queue.put_back(id)?;
        inner.has_late_mail |= put_back.is_some() && inner.is_aborted;
        drop(inner);
        self.announce();
        Ok(put_back)
    }

    fn discard(&self, id: MessageId) -> bool {
        let is_gone = self.lock().queue.discard(id);
        self.changed.notify_one();
        is_gone
    }

    fn schedule(&self, entry: NewScheduled) -> Result<String, ActorError> {
        let actions = &self.setup.active.description.actions;
        if actions.iter().all(|known| known.name != entry.action) {
            let shown: String = entry.action.chars().take(100).collect();
            let text = format!("there is no action {shown:?} that could be scheduled");
            return Err(ActorError::new(codes::ACTION_NOT_FOUND, text));
        }
        let now = self.now();
        let id = self.lock().schedule.add(entry, now)?;
        self.touch();
        Ok(id)
    }

    fn scheduled(&self, id: &str) -> Option<Scheduled> {
        self.lock().schedule.get(id)
    }

    fn schedule_list(&self) -> Vec<Scheduled> {
        self.lock().schedule.list()
    }

    fn unschedule(&self, id: &str) -> bool {
        let is_gone = self.lock().schedule.cancel(id);
        self.touch();
        is_gone
    }

    fn schedule_history(&self) -> Vec<ScheduledRun> {
        self.lock().schedule.history()
    }

    fn work_begins(&self, kind: WorkKind) {
        self.count(kind, |count| count + 1);
    }

    fn work_ends(&self, kind: WorkKind) {
        self.count(kind, |count| count - 1);
    }
}

impl Data {
    /// Messages, if there are any.
    ///
    /// An actor that stops lets a call have what is there, like any other of its calls. Nobody waits for more, and the
    /// run loop has to come to its end.
    fn try_receive(&self, wanted: &Wanted) -> Result<Option<Vec<QueueMessage>>, ActorError> {
        let now = self.now();
        let mut inner = self.lock();
        let aborted = || ActorError::new(codes::ABORTED, "the actor is being stopped");
        if inner.is_aborted && wanted.in_run {
            return Err(aborted());
        }
        let messages = inner.queue.receive(wanted, now);
        if messages.is_empty() {
            let would_wait = wanted.timeout != Some(Duration::ZERO);
            if inner.is_aborted && would_wait {
                return Err(aborted());
            }
            return Ok(None);
        }
        if !wanted.is_take {
            let Setup { waiters, id, .. } = &self.setup;
            let done = messages.iter().map(|message| (message.id, None));
            let done = done.filter(|(message, _)| waiters.is_waited_for(*id, *message));
            inner.completed.extend(done);
        }
        drop(inner);
        self.changed.notify_one();
        Ok(Some(messages))
    }

    fn unread(&self, error: &greenroom_storage::Error) -> ActorError {
        let actor_id = self.setup.id;
        error!(%actor_id, %error, "an actor's pairs cannot be read");
        unavailable()
    }
}

/// So many values do not go into a guest at once.
fn too_much(bytes_max: usize) -> ActorError {
    let text =
        format!("the values have more than {bytes_max} bytes together; ask for fewer at once");
    ActorError::new(codes::INVALID_REQUEST, text)
}

/// The rest of `span` beyond `last`.
fn beyond(span: &KvSpan, last: &Bytes, reverse: bool) -> KvSpan {
    if reverse {
        return KvSpan {
            start: span.start.clone(),
            end: Some(last.clone()),
        };
    }
    let mut start = last.to_vec();
    start.push(0);
    KvSpan {
        start: start.into(),
        end: span.end.clone(),
    }
}

/// The run loop waits for a message, for as long as this is there.
struct RunWaits<'a>(&'a Data);

impl<'a> RunWaits<'a> {
    fn begin(data: &'a Data) -> Self {
        let mut inner = data.lock();
        inner.run_waits += 1;
        inner.has_paused = true;
        drop(inner);
        // It may be the last thing that kept the actor awake.
        data.changed.notify_one();
        Self(data)
    }
}

impl Drop for RunWaits<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        // A guest that is dropped has not gone on to something else.
        if !inner.is_lost {
            inner.run_waits -= 1;
        }
    }
}
