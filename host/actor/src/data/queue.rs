//! An actor's queues, in memory while it is awake. Pure: what time it is is handed in.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use bytes::Bytes;
use greenroom_model::{
    ActorError, ActorTypeDescription, Limits, MessageId, Millis, QueueMessage, Wanted, codes,
};
use greenroom_storage::MessageChange;

/// Dead letters that are kept; the oldest give way.
const DEAD_MAX: usize = 1_000;
/// Changes that may wait to be committed, in bytes.
const CHANGED_BYTES_MAX: usize = 16 << 20;
/// What a change costs, besides the bytes of a new message.
const CHANGE_BYTES: usize = 256;
/// Bytes of one batch: it has to fit into the guest.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// How long a message that was given back for the second time waits. The first time it comes at once.
const AGAIN_AFTER_MS: i64 = 100;
/// How long it waits at most.
const AGAIN_AFTER_MS_MAX: i64 = 60_000;
/// How far the clock has to be set back before that matters.
const SLACK_MS: i64 = 1_000;

/// How much the queues of an actor may hold.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    messages_max: usize,
    message_bytes_max: usize,
    bytes_max: usize,
    attempts_max: u32,
}

impl Bounds {
    pub(crate) fn of(description: &ActorTypeDescription, limits: &Limits) -> Self {
        let options = &description.options;
        let size = |asked: Option<u32>, default| {
            asked.map_or(default, |asked| usize::try_from(asked).unwrap_or(default))
        };
        Self {
            messages_max: size(options.queue_messages_max, limits.queue_messages_max),
            message_bytes_max: size(
                options.queue_message_bytes_max,
                limits.queue_message_bytes_max,
            ),
            bytes_max: limits.queue_bytes_max,
            attempts_max: options
                .queue_attempts_max
                .unwrap_or(limits.queue_attempts_max)
                .max(1),
        }
    }
}

/// All queues of one actor. A message keeps its place among all others, by its id.
#[derive(Debug)]
pub(crate) struct Queue {
    declared: HashSet<String>,
    bounds: Bounds,
    waiting: BTreeMap<MessageId, QueueMessage>,
    /// Those of them that cannot be had yet, by when they can.
    delayed: BTreeSet<(Millis, MessageId)>,
    /// Taken, and neither completed nor given back.
    taken: BTreeMap<MessageId, QueueMessage>,
    dead: BTreeMap<MessageId, QueueMessage>,
    /// Let go of since the last commit, with how often they were taken; then those of the commit under way.
    received: Vec<(MessageId, u32)>,
    committing: Vec<(MessageId, u32)>,
    next: MessageId,
    /// Bytes of those that wait or are taken.
    bytes: usize,
    dead_bytes: usize,
    /// Bytes of the changes.
    changed_bytes: usize,
    changes: Vec<MessageChange>,
    /// Somebody would have received more, if more changes could wait.
    has_refused: bool,
}

impl Queue {
    pub(crate) fn new(
        description: &ActorTypeDescription,
        bounds: Bounds,
        messages: Vec<QueueMessage>,
        next: MessageId,
        now: Millis,
    ) -> Self {
        let declared = description.queues.iter();
        let (dead, mut waiting): (Vec<_>, Vec<_>) = messages
            .into_iter()
            .partition(|message| message.died_at.is_some());
        let mut changes = Vec::new();
        for message in &mut waiting {
            if fit_to_clock(message, now) {
                // Kept, or it would be fitted anew, and put off, at each start.
                changes.push(update(message));
            }
        }
        let bytes =
            |messages: &[QueueMessage]| messages.iter().map(|message| message.body.len()).sum();
        let (bytes, dead_bytes) = (bytes(&waiting), bytes(&dead));
        let by_id = |messages: Vec<QueueMessage>| {
            let by_id = messages.into_iter().map(|message| (message.id, message));
            by_id.collect()
        };
        let delayed = waiting.iter().filter(|message| message.not_before.0 > 0);
        Self {
            delayed: delayed
                .map(|message| (message.not_before, message.id))
                .collect(),
            declared: declared.map(|queue| queue.name.clone()).collect(),
            bounds,
            waiting: by_id(waiting),
            taken: BTreeMap::new(),
            dead: by_id(dead),
            received: Vec::new(),
            committing: Vec::new(),
            next,
            bytes,
            dead_bytes,
            changed_bytes: changes.len() * CHANGE_BYTES,
            changes,
            has_refused: false,
        }
    }

    /// Adds a message; `None` if there is no such queue.
    pub(crate) fn send(
        &mut self,
        queue: String,
        body: Bytes,
        now: Millis,
        delay: Option<Duration>,
    ) -> Result<Option<MessageId>, ActorError> {
        if !self.declared.contains(&queue) {
            return Ok(None);
        }
        let Bounds {
            message_bytes_max, ..
        } = self.bounds;
        if body.len() > message_bytes_max {
            let found = body.len();
            let text =
                format!("the message has {found} bytes; at most {message_bytes_max} are taken");
            return Err(ActorError::new(codes::QUEUE_MESSAGE_TOO_LARGE, text));
        }
        self.has_room(body.len())?;
        let id = self.next_id();
        let delay_ms = delay.map_or(0, |delay| {
            i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)
        });
        let message = QueueMessage {
            id,
            queue,
            body,
            sent_at: now,
            attempts: 0,
            not_before: if delay_ms == 0 {
                Millis(0)
            } else {
                Millis(now.0.saturating_add(delay_ms))
            },
            died_at: None,
        };
        self.insert(message);
        Ok(Some(id))
    }

    /// Whether one more message may wait, and so much may wait to be committed.
    fn has_room(&self, bytes: usize) -> Result<(), ActorError> {
        let Bounds {
            messages_max,
            bytes_max,
            ..
        } = self.bounds;
        let text = if self.len() >= messages_max {
            format!("Queue is full. Limit is {messages_max} messages")
        } else if self.bytes + bytes > bytes_max {
            format!("Queue is full. Limit is {bytes_max} bytes")
        } else if self.changed_bytes + bytes > CHANGED_BYTES_MAX {
            "Queue is full. Limit is on what waits to be committed; save before going on".to_owned()
        } else {
            return Ok(());
        };
        Err(ActorError::new(codes::QUEUE_FULL, text))
    }

    const fn next_id(&mut self) -> MessageId {
        let id = self.next;
        self.next = MessageId(id.0 + 1);
        id
    }

    fn insert(&mut self, message: QueueMessage) {
        self.bytes += message.body.len();
        self.changed_bytes += message.body.len();
        self.change(MessageChange::Insert(message.clone()));
        self.wait(message);
    }

    fn change(&mut self, change: MessageChange) {
        self.changed_bytes += CHANGE_BYTES;
        self.changes.push(change);
    }

    /// Messages that can be had now, oldest first. None, if as many changes wait to be committed as may: those who want
    /// more are told when that is over ([`take_refused`](Self::take_refused)).
    pub(crate) fn receive(&mut self, wanted: &Wanted, now: Millis) -> Vec<QueueMessage> {
        if self.changed_bytes > CHANGED_BYTES_MAX {
            self.has_refused = true;
            return Vec::new();
        }
        let names: HashSet<&str> = wanted.queues.iter().map(String::as_str).collect();
        let is_wanted = |message: &&QueueMessage| {
            message.not_before <= now
                && (names.is_empty() || names.contains(message.queue.as_str()))
        };
        let mut bytes = 0;
        let ids = self.waiting.values().filter(is_wanted);
        let ids = ids.take(wanted.count_max.max(1)).take_while(|message| {
            let is_first = bytes == 0;
            bytes += message.body.len().max(1);
            is_first || bytes <= BATCH_BYTES_MAX
        });
        let ids: Vec<MessageId> = ids.map(|message| message.id).collect();
        let messages = ids.into_iter().filter_map(|id| self.waiting.remove(&id));
        let messages: Vec<QueueMessage> = messages
            .map(|mut message| {
                message.attempts = message.attempts.saturating_add(1);
                message
            })
            .collect();
        for message in &messages {
            if message.not_before.0 > 0 {
                self.delayed.remove(&(message.not_before, message.id));
            }
            if wanted.is_take {
                self.change(update(message));
                self.taken.insert(message.id, message.clone());
            } else {
                self.bytes -= message.body.len();
                self.change(MessageChange::Remove(message.id));
                self.received.push((message.id, message.attempts));
            }
        }
        messages
    }

    /// Removes a message that was taken; whether there was one.
    pub(crate) fn complete(&mut self, id: MessageId) -> bool {
        let Some(message) = self.taken.remove(&id) else {
            return false;
        };
        self.bytes -= message.body.len();
        self.received.push((id, message.attempts));
        self.change(MessageChange::Remove(id));
        true
    }

    /// Gives a message back that was taken. It comes again, or is a dead letter.
    pub(crate) fn give_back(&mut self, id: MessageId, now: Millis) {
        if let Some(mut message) = self.taken.remove(&id) {
            self.received.push((id, message.attempts));
            self.fail(&mut message, now);
            self.change(update(&message));
            if message.died_at.is_some() {
                self.bury(message);
            } else {
                self.wait(message);
            }
        }
    }

    fn wait(&mut self, message: QueueMessage) {
        if message.not_before.0 > 0 {
            self.delayed.insert((message.not_before, message.id));
        }
        self.waiting.insert(message.id, message);
    }

    /// Puts a message back that was taken, as if it had not been: what ends is the activation, not the attempt.
    pub(crate) fn restore(&mut self, id: MessageId) -> bool {
        let Some(mut message) = self.taken.remove(&id) else {
            return false;
        };
        message.attempts = message.attempts.saturating_sub(1);
        self.change(update(&message));
        self.wait(message);
        true
    }

    /// Puts back all that are taken; whether there were any.
    pub(crate) fn restore_all(&mut self) -> bool {
        let ids: Vec<MessageId> = self.taken.keys().copied().collect();
        ids.into_iter().filter(|id| self.restore(*id)).count() > 0
    }

    fn fail(&self, message: &mut QueueMessage, now: Millis) {
        if message.attempts >= self.bounds.attempts_max {
            message.died_at = Some(now);
        } else {
            message.not_before = again_at(message.attempts, now);
        }
    }

    fn bury(&mut self, message: QueueMessage) {
        self.bytes -= message.body.len();
        self.dead_bytes += message.body.len();
        self.dead.insert(message.id, message);
        while (self.dead.len() > DEAD_MAX || self.dead_bytes > self.bounds.bytes_max)
            && let Some((id, oldest)) = self.dead.pop_first()
        {
            self.dead_bytes -= oldest.body.len();
            self.change(MessageChange::Remove(id));
        }
    }

    /// Puts a dead letter back, behind all that wait; its new name. `None` if there is none of this name.
    pub(crate) fn put_back(&mut self, id: MessageId) -> Result<Option<MessageId>, ActorError> {
        let Some(dead) = self.dead.get(&id) else {
            return Ok(None);
        };
        self.has_room(dead.body.len())?;
        let message = QueueMessage {
            attempts: 0,
            not_before: Millis(0),
            died_at: None,
            ..dead.clone()
        };
        self.discard(id);
        let id = self.next_id();
        self.insert(QueueMessage { id, ..message });
        Ok(Some(id))
    }

    pub(crate) fn discard(&mut self, id: MessageId) -> bool {
        let Some(message) = self.dead.remove(&id) else {
            return false;
        };
        self.dead_bytes -= message.body.len();
        self.change(MessageChange::Remove(id));
        true
    }

    /// How many there are, dead letters not counted.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.taken.len()
    }

    /// Those that wait or are taken, oldest first.
    pub(crate) fn messages(&self) -> Vec<QueueMessage> {
        let mut all: Vec<_> = self.waiting.values().chain(self.taken.values()).collect();
        all.sort_unstable_by_key(|message| message.id);
        all.into_iter().cloned().collect()
    }

    pub(crate) fn dead_letters(&self) -> Vec<QueueMessage> {
        self.dead.values().cloned().collect()
    }

    /// Whether some can be had now, as far as anybody has been told.
    pub(crate) fn has_ready(&self) -> bool {
        self.waiting.len() > self.delayed.len()
    }

    /// When the first of those that were delayed can be had; it may be past, if nobody has been told.
    pub(crate) fn first_delayed(&self) -> Option<Millis> {
        self.delayed.first().map(|(at, _)| *at)
    }

    /// When the next of those that cannot be had yet can be.
    pub(crate) fn next_at(&self, now: Millis) -> Option<Millis> {
        let later = self.delayed.iter().find(|(at, _)| *at > now);
        later.map(|(at, _)| *at)
    }

    /// Whether some of those that were delayed can be had now, and nobody has been told.
    pub(crate) fn has_due(&self, now: Millis) -> bool {
        self.delayed.first().is_some_and(|(at, _)| *at <= now)
    }

    /// The same; and now somebody has been told.
    pub(crate) fn take_due(&mut self, now: Millis) -> bool {
        let has_due = self.has_due(now);
        while self.has_due(now)
            && let Some((_, id)) = self.delayed.pop_first()
        {
            // Once it could be had it can, even if the clock is set back.
            if let Some(message) = self.waiting.get_mut(&id) {
                message.not_before = Millis(0);
            }
        }
        has_due
    }

    pub(crate) const fn is_unchanged(&self) -> bool {
        self.changes.is_empty()
    }

    /// What is to be committed now. There is no commit under way.
    pub(crate) fn take_changes(&mut self) -> Vec<MessageChange> {
        self.committing = std::mem::take(&mut self.received);
        self.changed_bytes = 0;
        std::mem::take(&mut self.changes)
    }

    /// Whether somebody was refused, because as many changes waited as may. Asked when they no longer do.
    pub(crate) const fn take_refused(&mut self) -> bool {
        std::mem::replace(&mut self.has_refused, false)
    }

    /// The clock was set back: a message that came back does not wait for what has become the far future.
    pub(crate) fn set_clock(&mut self, now: Millis) {
        let ids: Vec<MessageId> = self.delayed.iter().map(|(_, id)| *id).collect();
        for id in ids {
            if let Some(message) = self.waiting.get_mut(&id) {
                let before = message.not_before;
                if fit_to_clock(message, now) {
                    let (after, change) = (message.not_before, update(message));
                    self.delayed.remove(&(before, id));
                    self.delayed.insert((after, id));
                    self.change(change);
                }
            }
        }
    }

    /// The commit under way is durable.
    pub(crate) fn committed(&mut self) {
        self.committing.clear();
    }

    /// The guest broke down, perhaps over one of the messages it had: what has to be kept of that. Without it a message
    /// that no guest survives would come again for ever.
    pub(crate) fn crashed(&mut self, now: Millis) -> Vec<MessageChange> {
        let received = self.received.drain(..).chain(self.committing.drain(..));
        let received: Vec<_> = received.collect();
        let taken = std::mem::take(&mut self.taken);
        let taken = taken.into_values().map(|taken| (taken.id, taken.attempts));
        let attempts_max = self.bounds.attempts_max;
        let had = received.into_iter().chain(taken);
        had.map(|(id, attempts)| MessageChange::Update {
            id,
            attempts,
            not_before: again_at(attempts, now),
            died_at: (attempts >= attempts_max).then_some(now),
        })
        .collect()
    }
}

fn update(message: &QueueMessage) -> MessageChange {
    MessageChange::Update {
        id: message.id,
        attempts: message.attempts,
        not_before: message.not_before,
        died_at: message.died_at,
    }
}

/// Brings a message nearer that waits for longer than it can have been meant to: the clock ran ahead when it came back, or
/// when it was sent. Whether it was.
fn fit_to_clock(message: &mut QueueMessage, now: Millis) -> bool {
    let latest = if message.attempts > 0 {
        AGAIN_AFTER_MS_MAX
    } else {
        message
            .not_before
            .0
            .saturating_sub(message.sent_at.0)
            .max(0)
    };
    let latest = now.0.saturating_add(latest);
    let is_far = message.not_before > Millis(latest.saturating_add(SLACK_MS));
    if is_far {
        message.not_before = Millis(latest);
    }
    is_far
}

/// When a message that was taken so often can be taken again.
fn again_at(attempts: u32, now: Millis) -> Millis {
    match attempts {
        0 | 1 => Millis(0),
        _ => {
            let doublings = (attempts - 2).min(20);
            let wait = (AGAIN_AFTER_MS << doublings).min(AGAIN_AFTER_MS_MAX);
            Millis(now.0.saturating_add(wait))
        }
    }
}

#[cfg(test)]
mod tests;
