//! What the actor wants to do later: actions of its own, at their times.

use std::time::Duration;

use greenroom_value::{Value, decode};
use serde::Serialize;

use crate::bindings::greenroom::actor::schedule as wit;
use crate::client::Arguments;
use crate::component::Actor;
use crate::context::Env;
use crate::error::{Error, Result};
use crate::time::whole_ms;

impl<A: Actor> Env<A> {
    /// The actor's schedule.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        Schedule::default()
    }
}

/// The actor's schedule ([`Env::schedule`]): its entries are actions of the actor's own, and when to run them.
///
/// Entries are durable and wake the actor if it sleeps. An action that fails is tried again, up to 8 times in all; so it may
/// run more than once, and one whose host dies runs again, too. Arguments are a tuple, as they are for calls to other
/// actors.
///
/// The functions that make an entry give its id. They fail with `actor.action_not_found`, `schedule.invalid_name`,
/// `schedule.invalid_interval`, `schedule.invalid_cron_expression`, `schedule.invalid_timezone` or
/// `schedule.max_schedules_exceeded`.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    id: Option<String>,
    time_zone: Option<String>,
}

impl Schedule {
    /// With an id for the next entry, 1 to 128 bytes. It replaces the entry that has it.
    #[must_use]
    pub fn named(&self, id: impl Into<String>) -> Self {
        Self {
            id: Some(id.into()),
            ..self.clone()
        }
    }

    /// With the time zone of [`cron`](Self::cron): a name of the IANA database, like `Europe/Berlin`.
    #[must_use]
    pub fn time_zone(&self, time_zone: impl Into<String>) -> Self {
        Self {
            time_zone: Some(time_zone.into()),
            ..self.clone()
        }
    }

    /// Runs an action once, so long from now.
    ///
    /// # Errors
    ///
    /// What [`Schedule`] says, or an internal error if the arguments cannot be serialized.
    pub fn after(&self, delay: Duration, action: &str, args: impl Arguments) -> Result<String> {
        self.add(action, args, wit::Timing::After(float_ms(delay)))
    }

    /// Runs an action once, at this time in milliseconds since the Unix epoch; at once, if it has passed.
    ///
    /// # Errors
    ///
    /// As [`after`](Self::after).
    #[expect(clippy::cast_precision_loss, reason = "no time is beyond 2^53")]
    pub fn at(&self, at_ms: i64, action: &str, args: impl Arguments) -> Result<String> {
        self.add(action, args, wit::Timing::At(at_ms as f64))
    }

    /// Runs an action again and again at this interval, for the first time after that long. Times that have passed
    /// unused are made up for once.
    ///
    /// # Errors
    ///
    /// As [`after`](Self::after).
    pub fn every(&self, interval: Duration, action: &str, args: impl Arguments) -> Result<String> {
        self.add(action, args, wit::Timing::Every(float_ms(interval)))
    }

    /// Runs an action at the times that a cron expression means: five fields (minute, hour, day of month, month, day
    /// of week), or six with seconds first. Without a [`time_zone`](Self::time_zone) they are UTC.
    ///
    /// # Errors
    ///
    /// As [`after`](Self::after).
    pub fn cron(&self, expression: &str, action: &str, args: impl Arguments) -> Result<String> {
        let cron = wit::Cron {
            expression: expression.to_owned(),
            time_zone: self.time_zone.clone(),
        };
        self.add(action, args, wit::Timing::Cron(cron))
    }

    /// The entry of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Scheduled> {
        wit::get(id).map(Scheduled::new)
    }

    /// All entries, next first.
    #[must_use]
    pub fn list(&self) -> Vec<Scheduled> {
        wit::list().into_iter().map(Scheduled::new).collect()
    }

    /// Removes an entry; `false` if there is none of this id. A run that has begun goes on.
    pub fn cancel(&self, id: &str) -> bool {
        wit::cancel(id)
    }

    /// The last runs of all entries, oldest first: at most 100.
    #[must_use]
    pub fn history(&self) -> Vec<ScheduledRun> {
        wit::history().into_iter().map(ScheduledRun::new).collect()
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a tuple made for the occasion"
    )]
    fn add(&self, action: &str, args: impl Arguments, timing: wit::Timing) -> Result<String> {
        let entry = wit::NewEntry {
            id: self.id.clone(),
            action: action.to_owned(),
            args: args.encode()?,
            timing,
        };
        wit::add(&entry).map_err(Error::public)
    }
}

fn float_ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// An entry of the schedule.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scheduled {
    /// What names it within the actor.
    pub id: String,
    /// The action.
    pub action: String,
    /// Its arguments, a list.
    pub args: Value,
    /// When it runs next, in milliseconds since the Unix epoch.
    pub next_ms: i64,
    /// The milliseconds between two runs, if it was made with [`every`](Schedule::every).
    pub every_ms: Option<i64>,
    /// Its cron expression, if it has one.
    pub cron: Option<String>,
    /// The time zone of the expression; none is UTC.
    pub time_zone: Option<String>,
    /// How often its next run has been tried and has failed.
    pub failures: u32,
}

impl Scheduled {
    fn new(entry: wit::Entry) -> Self {
        let (cron, time_zone) = match entry.cron {
            Some(cron) => (Some(cron.expression), cron.time_zone),
            None => (None, None),
        };
        Self {
            id: entry.id,
            action: entry.action,
            args: decode(&entry.args).unwrap_or_default(),
            next_ms: whole_ms(entry.next_ms),
            every_ms: entry.every_ms.map(whole_ms),
            cron,
            time_zone,
            failures: entry.failures,
        }
    }
}

/// A run of an entry that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledRun {
    /// The entry's id.
    pub id: String,
    /// The action.
    pub action: String,
    /// When it should have run, in milliseconds since the Unix epoch.
    pub due_ms: i64,
    /// When it began.
    pub started_ms: i64,
    /// What became of it.
    pub outcome: Outcome,
    /// What it failed with.
    pub error: Option<String>,
}

impl ScheduledRun {
    fn new(run: wit::Run) -> Self {
        Self {
            id: run.id,
            action: run.action,
            due_ms: whole_ms(run.due_ms),
            started_ms: whole_ms(run.started_ms),
            outcome: match run.outcome {
                wit::Outcome::Done => Outcome::Done,
                wit::Outcome::Failed => Outcome::Failed,
                wit::Outcome::GivenUp => Outcome::GivenUp,
            },
            error: run.error,
        }
    }
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It is done.
    Done,
    /// It failed, and is to be tried again.
    Failed,
    /// It failed for the last time.
    GivenUp,
}
