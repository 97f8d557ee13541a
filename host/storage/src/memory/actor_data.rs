//! What one actor has.

use std::collections::BTreeMap;

use bytes::Bytes;
use greenroom_model::{
    ConnId, Generation, Head, KvQuery, MessageId, Millis, QueueMessage, Scheduled, ScheduledRun,
};

use crate::record::{
    Commit, ConnChange, ConnRecord, DataChanges, Kept, MessageChange, NewAlarm, Opened, Pin,
    Replaced, RevisionId, ScheduleChange, StoredPairs,
};
use crate::{Error, Result};

#[derive(Debug)]
pub(super) struct ActorData {
    generation: Generation,
    head: Head,
    state: Option<Bytes>,
    revision: Option<RevisionId>,
    state_version: u32,
    state_head: Head,
    pub(super) replaced: Option<Earlier>,
    pub(super) pin: Option<Pin>,
    input: Option<Bytes>,
    conns: BTreeMap<ConnId, ConnRecord>,
    pairs: BTreeMap<Bytes, Bytes>,
    messages: BTreeMap<MessageId, QueueMessage>,
    next_message: MessageId,
    schedule: BTreeMap<String, Scheduled>,
    runs: BTreeMap<u64, ScheduledRun>,
    alarm: NewAlarm,
    is_doomed: bool,
}

/// A state as it was before a newer revision migrated it.
#[derive(Debug)]
pub(super) struct Earlier {
    pub(super) mark: Replaced,
    revision: RevisionId,
    state_version: u32,
    state: Bytes,
}

impl ActorData {
    pub(super) fn new(input: Option<Bytes>) -> Self {
        Self {
            generation: Generation::default(),
            head: Head::default(),
            state: None,
            revision: None,
            state_version: 1,
            state_head: Head(0),
            replaced: None,
            pin: None,
            input,
            conns: BTreeMap::new(),
            pairs: BTreeMap::new(),
            messages: BTreeMap::new(),
            next_message: MessageId(1),
            schedule: BTreeMap::new(),
            runs: BTreeMap::new(),
            alarm: NewAlarm::default(),
            is_doomed: false,
        }
    }

    pub(super) fn open(&mut self) -> Opened {
        self.generation.0 += 1;
        self.peek()
    }

    pub(super) fn peek(&self) -> Opened {
        Opened {
            generation: self.generation,
            head: self.head,
            state: self.state.clone(),
            revision: self.revision,
            state_version: self.state_version,
            state_head: self.state_head,
            replaced: self.replaced.as_ref().map(|earlier| earlier.mark),
            pin: self.pin.clone(),
            input: self.input.clone(),
            conns: self.conns.values().cloned().collect(),
            kv_bytes: self.kv_bytes(),
            messages: self.messages.values().cloned().collect(),
            next_message: self.next_message,
            schedule: self.schedule.values().cloned().collect(),
            runs: self.runs.values().cloned().collect(),
            alarm: self.alarm.at,
            is_doomed: self.is_doomed,
        }
    }

    pub(super) fn commit(&mut self, commit: Commit) -> Result<Kept> {
        let is_elsewhere = |pin: &Pin| pin.refused.is_none() && pin.revision != commit.revision;
        let is_unwanted = commit.keeps_replaced && self.pin.as_ref().is_some_and(is_elsewhere);
        if is_unwanted || (self.generation, self.head) != (commit.generation, commit.head) {
            return Err(Error::Fenced);
        }
        self.head.0 += 1;
        self.input = None;
        if let (true, Some(state), Some(revision)) =
            (commit.keeps_replaced, self.state.clone(), self.revision)
        {
            let (by, head) = (commit.revision, self.head);
            self.replaced = Some(Earlier {
                mark: Replaced { by, head },
                revision,
                state_version: self.state_version,
                state,
            });
        }
        if let Some(state) = commit.state {
            self.state = Some(state);
            self.revision = Some(commit.revision);
            self.state_version = commit.state_version;
            self.state_head = self.head;
        }
        for change in commit.conns {
            match change {
                ConnChange::Put(record) => self.conns.insert(record.opening.id, record),
                ConnChange::Remove(id) => self.conns.remove(&id),
            };
        }
        let before = self.kv_bytes();
        let counts_pairs = commit.data.counts_pairs;
        self.change(commit.data);
        let after = self.kv_bytes();
        let kv_bytes = (after != before || counts_pairs).then_some(after);
        Ok(Kept {
            kv_bytes,
            is_shrinking: counts_pairs.then_some(false),
        })
    }

    /// What [`restore`](Self::restore) would put back.
    pub(super) fn replaced(&self) -> Option<(RevisionId, u32, Bytes)> {
        let earlier = self.replaced.as_ref();
        let earlier = earlier.filter(|earlier| earlier.mark.head == self.state_head)?;
        let state = earlier.state.clone();
        Some((earlier.revision, earlier.state_version, state))
    }

    pub(super) fn restore(&mut self) -> bool {
        let head = self.state_head;
        let earlier = self.replaced.take_if(|earlier| earlier.mark.head == head);
        let Some(earlier) = earlier else {
            return false;
        };
        self.head.0 += 1;
        self.generation.0 += 1;
        self.state = Some(earlier.state);
        self.revision = Some(earlier.revision);
        self.state_version = earlier.state_version;
        self.state_head = self.head;
        true
    }

    pub(super) const fn state_head(&self) -> Head {
        self.state_head
    }

    pub(super) fn value(&self, key: &Bytes) -> Option<Bytes> {
        self.pairs.get(key).cloned()
    }

    pub(super) fn list(&self, query: &KvQuery, bytes_max: usize) -> StoredPairs {
        let inside = self.pairs.iter().filter(|(key, _)| query.span.has(key));
        let mut pairs: Vec<_> = inside.map(|(k, v)| (k.clone(), v.clone())).collect();
        if query.reverse {
            pairs.reverse();
        }
        let mut bytes = 0;
        let fit = pairs.iter().take_while(|(key, value)| {
            bytes += key.len() + value.len();
            bytes <= bytes_max
        });
        let count = fit.count().max(1).min(query.count_max);
        let has_more = pairs.len() > count;
        pairs.truncate(count);
        let upto = pairs
            .last()
            .filter(|_| has_more)
            .map(|(key, _)| key.clone());
        StoredPairs { pairs, upto }
    }

    pub(super) const fn alarm(&self) -> Option<Millis> {
        self.alarm.at
    }

    /// Makes its alarm due if that was set later than `set_after`; whether it was.
    pub(super) fn pull_alarm(&mut self, set_after: Millis, now: Millis) -> bool {
        let is_ahead = self.alarm.set_at > set_after && self.alarm.at.is_some_and(|at| at > now);
        if is_ahead {
            self.alarm = NewAlarm {
                at: Some(now),
                set_at: now,
            };
        }
        is_ahead
    }

    fn kv_bytes(&self) -> u64 {
        let bytes = self.pairs.iter();
        bytes
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum()
    }

    fn change(&mut self, changes: DataChanges) {
        let DataChanges {
            spans,
            pairs,
            messages,
            schedule,
            alarm,
            is_doomed,
            counts_pairs: _,
        } = changes;
        for span in spans {
            self.pairs.retain(|key, _| !span.has(key));
        }
        for (key, value) in pairs {
            match value {
                Some(value) => self.pairs.insert(key, value),
                None => self.pairs.remove(&key),
            };
        }
        for change in messages {
            self.change_message(change);
        }
        for change in schedule {
            match change {
                ScheduleChange::Put(entry) => _ = self.schedule.insert(entry.id.clone(), entry),
                ScheduleChange::Remove(id) => _ = self.schedule.remove(&id),
                ScheduleChange::Ran { run, keep_from } => {
                    self.runs.insert(run.number, run);
                    self.runs.retain(|number, _| *number >= keep_from);
                }
            }
        }
        if let Some(alarm) = alarm {
            self.alarm = alarm;
        }
        self.is_doomed |= is_doomed;
    }

    fn change_message(&mut self, change: MessageChange) {
        match change {
            MessageChange::Insert(message) => {
                let next = MessageId(message.id.0.saturating_add(1));
                self.next_message = self.next_message.max(next);
                self.messages.insert(message.id, message);
            }
            MessageChange::Update {
                id,
                attempts,
                not_before,
                died_at,
            } => {
                if let Some(message) = self.messages.get_mut(&id) {
                    message.attempts = attempts;
                    message.not_before = not_before;
                    message.died_at = died_at;
                }
            }
            MessageChange::Remove(id) => _ = self.messages.remove(&id),
        }
    }
}
