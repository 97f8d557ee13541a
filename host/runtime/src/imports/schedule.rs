use greenroom_model::{
    ActorError, Millis, NewScheduled, Outcome, Scheduled, ScheduledRun, Timing, When, codes,
};

use super::{to_wit, value};
use crate::bindings::greenroom::actor::schedule;
use crate::bindings::greenroom::actor::types::PublicError;
use crate::ctx::Ctx;

/// The farthest moment that JavaScript's `Date` knows, either way, in milliseconds.
const MOMENT_MAX: f64 = 8.64e15;

impl schedule::Host for Ctx {
    fn add(&mut self, entry: schedule::NewEntry) -> wasmtime::Result<Result<String, PublicError>> {
        let args = value(entry.args)?;
        let when = match when(entry.timing) {
            Ok(when) => when,
            Err(error) => return Ok(Err(to_wit(error))),
        };
        let entry = NewScheduled {
            id: entry.id,
            action: entry.action,
            args,
            when,
        };
        Ok(self.data.schedule(entry).map_err(to_wit))
    }

    fn get(&mut self, id: String) -> wasmtime::Result<Option<schedule::Entry>> {
        Ok(self.data.scheduled(&id).map(entry))
    }

    fn list(&mut self) -> wasmtime::Result<Vec<schedule::Entry>> {
        Ok(self.data.schedule_list().into_iter().map(entry).collect())
    }

    fn cancel(&mut self, id: String) -> wasmtime::Result<bool> {
        Ok(self.data.unschedule(&id))
    }

    fn history(&mut self) -> wasmtime::Result<Vec<schedule::Run>> {
        Ok(self.data.schedule_history().into_iter().map(run).collect())
    }
}

fn when(timing: schedule::Timing) -> Result<When, ActorError> {
    Ok(match timing {
        schedule::Timing::At(at) => When::At(Millis(moment(at)?)),
        schedule::Timing::After(ms) => When::AfterMs(moment(ms)?.max(0)),
        schedule::Timing::Every(ms) => When::EveryMs(moment(ms)?),
        schedule::Timing::Cron(cron) => When::Cron {
            expression: cron.expression,
            time_zone: cron.time_zone,
        },
    })
}

/// A number from a guest as whole milliseconds. Never earlier than it says.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn moment(ms: f64) -> Result<i64, ActorError> {
    if ms.abs() <= MOMENT_MAX {
        return Ok(ms.ceil() as i64);
    }
    let text = format!("{ms} is no number of milliseconds that can be scheduled");
    Err(ActorError::new(codes::SCHEDULE_INVALID_INTERVAL, text))
}

#[expect(clippy::cast_precision_loss, reason = "moments are far below 2^53")]
const fn ms(at: Millis) -> f64 {
    at.0 as f64
}

fn entry(entry: Scheduled) -> schedule::Entry {
    let next_ms = ms(entry.try_at);
    let (every_ms, cron) = match entry.timing {
        Timing::Once | Timing::After => (None, None),
        Timing::Every { every_ms, .. } => (Some(ms(Millis(every_ms))), None),
        Timing::Cron {
            expression,
            time_zone,
        } => (
            None,
            Some(schedule::Cron {
                expression,
                time_zone,
            }),
        ),
    };
    schedule::Entry {
        id: entry.id,
        action: entry.action,
        args: entry.args.into(),
        next_ms,
        every_ms,
        cron,
        failures: entry.failures,
    }
}

fn run(run: ScheduledRun) -> schedule::Run {
    schedule::Run {
        id: run.id,
        action: run.action,
        due_ms: ms(run.due_at),
        started_ms: ms(run.started_at),
        outcome: match run.outcome {
            Outcome::Done => schedule::Outcome::Done,
            Outcome::Failed => schedule::Outcome::Failed,
            Outcome::GivenUp => schedule::Outcome::GivenUp,
        },
        error: run.error,
    }
}
