//! What an actor keeps besides its state, and what it does by itself: pairs, queues, a schedule.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Millis;

/// Names a message within its actor; rises with each, and is never used again. Shown as a decimal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MessageId(pub u64);

impl MessageId {
    /// Reads what `Display` wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| text.parse().ok().map(Self))?
    }
}

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A message of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueMessage {
    /// Its name.
    pub id: MessageId,
    /// The queue's name.
    pub queue: String,
    /// What was sent (CBOR).
    pub body: Bytes,
    /// When it was sent.
    pub sent_at: Millis,
    /// How often it has been taken.
    pub attempts: u32,
    /// It cannot be taken before this.
    pub not_before: Millis,
    /// When it became a dead letter, if it is one.
    pub died_at: Option<Millis>,
}

/// What somebody wants to receive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// From these queues; none means all.
    pub queues: Vec<String>,
    /// At most so many messages, at least one.
    pub count_max: usize,
    /// How long to wait for the first; `None` is as long as it takes.
    pub timeout: Option<Duration>,
    /// The run loop waits here.
    pub in_run: bool,
    /// Whether they stay in their queues until they are completed.
    pub is_take: bool,
}

/// What became of a message that somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completion {
    /// It was completed, perhaps with a reply (CBOR).
    Completed(Option<Bytes>),
    /// Not in time.
    TimedOut,
}

/// Whether the sender of a message waits for its completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It does not.
    No,
    /// It does, at most so long; `None` is as long as the host allows.
    Until(Option<Duration>),
}

/// When a scheduled action runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// Once, at a certain time.
    Once,
    /// Once, so long after it was decided.
    After,
    /// Again and again, in steps of `every_ms` from `from_ms` on.
    Every {
        /// A moment that the steps are counted from.
        from_ms: i64,
        /// The length of a step.
        every_ms: i64,
    },
    /// At the times that a cron expression means.
    Cron {
        /// The expression.
        expression: String,
        /// A name of the IANA time zone database; `None` is UTC.
        time_zone: Option<String>,
    },
}

/// When a new entry of a schedule is to run, as a guest says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// Once, at this time.
    At(Millis),
    /// Once, after so many milliseconds.
    AfterMs(i64),
    /// Every so many milliseconds.
    EveryMs(i64),
    /// At the times that a cron expression means.
    Cron {
        /// The expression.
        expression: String,
        /// A name of the IANA time zone database; `None` is UTC.
        time_zone: Option<String>,
    },
}

/// An entry of a schedule, as it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewScheduled {
    /// Its name; `None`: one is made up.
    pub id: Option<String>,
    /// The action.
    pub action: String,
    /// Its arguments (a CBOR array).
    pub args: Bytes,
    /// When it runs.
    pub when: When,
}

/// An entry of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// Its name within the actor.
    pub id: String,
    /// The action.
    pub action: String,
    /// Its arguments (a CBOR array).
    pub args: Bytes,
    /// When it runs, in general.
    pub timing: Timing,
    /// The time of its next run, as it was meant.
    pub due_at: Millis,
    /// When it is tried next: `due_at`, or later if it has failed.
    pub try_at: Millis,
    /// How often the next run has been tried and has failed.
    pub failures: u32,
    /// When its next time was decided. If that is later than now, the clock ran ahead then.
    pub set_at: Millis,
}

/// What became of a run of a scheduled action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It failed, and is to be tried again.
    Failed,
    /// It failed for the last time.
    GivenUp,
}

/// A run of a scheduled action that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledRun {
    /// Its number within the actor; rises.
    pub number: u64,
    /// The entry's name.
    pub id: String,
    /// The action.
    pub action: String,
    /// When it should have run.
    pub due_at: Millis,
    /// When it began.
    pub started_at: Millis,
    /// What became of it.
    pub outcome: Outcome,
    /// What it failed with.
    pub error: Option<String>,
}

/// A part of a key-value store, in the order of its keys' bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvSpan {
    /// From this key on, which is included.
    pub start: Bytes,
    /// Up to this key, which is not; `None` is to the end.
    pub end: Option<Bytes>,
}

impl KvSpan {
    /// Whether a key is in it.
    #[must_use]
    pub fn has(&self, key: &[u8]) -> bool {
        key >= &self.start[..] && self.end.as_ref().is_none_or(|end| key < &end[..])
    }
}

/// What is to be listed of a key-value store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvQuery {
    /// Where.
    pub span: KvSpan,
    /// From the last to the first.
    pub reverse: bool,
    /// At most so many pairs.
    pub count_max: usize,
}

/// Some pairs of a key-value store, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvPage {
    /// Keys and values.
    pub pairs: Vec<(Bytes, Bytes)>,
    /// Whether there are more beyond the last of them.
    pub has_more: bool,
}

/// How a piece of background work counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkKind {
    /// A stop waits for it.
    WaitUntil,
    /// A stop waits for it, and the actor stays awake for it.
    KeepAwake,
}
