//! An actor's schedule, in memory while it is awake. Pure: what time it is is handed in.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use greenroom_model::{
    ActorError, Limits, Millis, NewScheduled, Outcome, Scheduled, ScheduledRun, Timing, When, codes,
};
use greenroom_storage::ScheduleChange;

use super::cron;

/// The longest name of an entry, in bytes.
const ID_BYTES_MAX: usize = 128;
/// The shortest interval of an entry that recurs, in milliseconds.
const EVERY_MS_MIN: i64 = 10;
/// How often a run is tried.
const TRIES_MAX: u32 = 8;
/// How long the first failure waits.
const AGAIN_AFTER_MS: i64 = 1_000;
/// How long a failure waits at most.
const AGAIN_AFTER_MS_MAX: i64 = 300_000;
/// Runs that are remembered.
const RUNS_MAX: usize = 100;
/// How much is remembered of what a run failed with, in bytes.
const ERROR_BYTES_MAX: usize = 512;
/// Changes that may wait to be committed, in bytes.
const CHANGED_BYTES_MAX: usize = 16 << 20;
/// What an entry costs besides its bytes.
const ENTRY_BYTES: usize = 128;
/// How far the clock has to be set back until a cron expression is looked at anew. After less it would come true twice.
const SET_BACK_MS: i64 = 3_600_000;
/// How far until a delay is counted anew.
const SLACK_MS: i64 = 1_000;

/// The schedule of one actor.
#[derive(Debug)]
pub(crate) struct Schedule {
    entries: HashMap<String, Scheduled>,
    /// Those that do not run, by when they are to be tried.
    order: BTreeSet<(Millis, String)>,
    /// Those that run, and for what time.
    running: HashMap<String, Running>,
    runs: VecDeque<ScheduledRun>,
    next_run: u64,
    bytes: usize,
    /// Entries that the store has never heard of.
    unstored: HashSet<String>,
    /// Bytes of the changes.
    changed_bytes: usize,
    entries_max: usize,
    bytes_max: usize,
    changes: Vec<ScheduleChange>,
}

#[derive(Debug)]
struct Running {
    /// As it was when it began.
    entry: Scheduled,
    started_at: Millis,
    /// The entry was removed, or replaced, since.
    is_stale: bool,
    /// And the store knows that, or will with the commit under way.
    is_replaced: bool,
}

impl Schedule {
    pub(crate) fn new(
        mut entries: Vec<Scheduled>,
        runs: Vec<ScheduledRun>,
        limits: &Limits,
        now: Millis,
    ) -> Self {
        let mut changes = Vec::new();
        for entry in &mut entries {
            if fit_to_clock(entry, now) {
                // Kept, or it would be fitted anew, and put off, at each start.
                changes.push(ScheduleChange::Put(entry.clone()));
            }
        }
        let order = entries.iter().map(|entry| (entry.try_at, entry.id.clone()));
        Self {
            order: order.collect(),
            bytes: entries.iter().map(size).sum(),
            entries: entries
                .into_iter()
                .map(|entry| (entry.id.clone(), entry))
                .collect(),
            running: HashMap::new(),
            next_run: runs.last().map_or(1, |run| run.number + 1),
            runs: runs.into(),
            unstored: HashSet::new(),
            changed_bytes: 0,
            entries_max: limits.schedule_entries_max,
            bytes_max: limits.schedule_bytes_max,
            changes,
        }
    }

    /// Adds an entry, or replaces the one of its name; its name.
    pub(crate) fn add(&mut self, new: NewScheduled, now: Millis) -> Result<String, ActorError> {
        let id = new.id.unwrap_or_else(made_up);
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            let text = format!("the name of a schedule's entry has 1 to {ID_BYTES_MAX} bytes");
            return Err(ActorError::new(codes::SCHEDULE_INVALID_NAME, text));
        }
        let (timing, due_at) = begin(new.when, now)?;
        let entry = Scheduled {
            id: id.clone(),
            action: new.action,
            args: new.args,
            timing,
            due_at,
            try_at: due_at,
            failures: 0,
            set_at: now,
        };
        let old = self.entries.get(&id);
        let bytes = self.bytes + size(&entry) - old.map_or(0, size);
        if (old.is_none() && self.entries.len() >= self.entries_max) || bytes > self.bytes_max {
            let (entries, bytes) = (self.entries_max, self.bytes_max);
            let text = format!("a schedule has at most {entries} entries, and {bytes} bytes");
            return Err(ActorError::new(codes::SCHEDULE_FULL, text));
        }
        let change = size(&entry);
        if self.changed_bytes + change > CHANGED_BYTES_MAX {
            let text = "too much of the schedule waits to be committed; save before going on";
            return Err(ActorError::new(codes::SCHEDULE_FULL, text));
        }
        self.changed_bytes += change;
        if !self.forget(&id) {
            self.unstored.insert(id.clone());
        }
        self.put(entry);
        Ok(id)
    }

    /// Removes an entry; whether there was one.
    pub(crate) fn cancel(&mut self, id: &str) -> bool {
        let is_known = self.forget(id);
        if is_known {
            self.changes.push(ScheduleChange::Remove(id.to_owned()));
        }
        is_known
    }

    pub(crate) fn get(&self, id: &str) -> Option<Scheduled> {
        self.entries.get(id).cloned()
    }

    pub(crate) fn list(&self) -> Vec<Scheduled> {
        let mut entries: Vec<Scheduled> = self.entries.values().cloned().collect();
        entries.sort_by(|a, b| (a.try_at, &a.id).cmp(&(b.try_at, &b.id)));
        entries
    }

    pub(crate) fn history(&self) -> Vec<ScheduledRun> {
        self.runs.iter().cloned().collect()
    }

    /// When something is to be tried next.
    pub(crate) fn next_at(&self) -> Option<Millis> {
        self.order.first().map(|(at, _)| *at)
    }

    /// When the actor must next be awake for it, if it ended now: what runs has not been done.
    pub(crate) fn alarm(&self) -> Option<Millis> {
        let running = self.running.iter().filter(|(_, run)| !run.is_stale);
        let running = running.map(|(_, run)| run.entry.due_at);
        running.chain(self.next_at()).min()
    }

    /// The first entry that is due, which runs from now on.
    pub(crate) fn take_due(&mut self, now: Millis) -> Option<Scheduled> {
        let (at, _) = self.order.first()?;
        if *at > now {
            return None;
        }
        let (_, id) = self.order.pop_first()?;
        let entry = self.entries.get(&id)?;
        let entry = entry.clone();
        let run = Running {
            entry: entry.clone(),
            started_at: now,
            is_stale: false,
            is_replaced: false,
        };
        self.running.insert(id, run);
        Some(entry)
    }

    /// A run is over.
    pub(crate) fn ended(&mut self, entry: &Scheduled, result: Result<(), String>, now: Millis) {
        let id = &entry.id;
        // Another run of this name may have begun, if the entry was replaced meanwhile.
        let is_its = |run: &Running| run.entry.due_at == entry.due_at;
        let Some(run) = self.running.get(id).filter(|run| is_its(run)) else {
            return;
        };
        let (started_at, is_stale) = (run.started_at, run.is_stale);
        self.running.remove(id);
        let failures = entry.failures + 1;
        let (outcome, error) = match result {
            Ok(()) => (Outcome::Done, None),
            Err(error) if failures < TRIES_MAX => (Outcome::Failed, Some(error)),
            Err(error) => (Outcome::GivenUp, Some(error)),
        };
        self.remember(entry, started_at, outcome, error);
        if is_stale {
            return;
        }
        let mut entry = entry.clone();
        entry.set_at = now;
        let next = if outcome == Outcome::Failed {
            entry.failures = failures;
            entry.try_at = again_at(failures, now);
            Some(entry)
        } else {
            recur(entry, started_at, now)
        };
        match next {
            Some(next) => self.put(next),
            None => _ = self.cancel(id),
        }
    }

    pub(crate) const fn is_unchanged(&self) -> bool {
        self.changes.is_empty()
    }

    /// What is to be committed now. If that fails, nothing more is kept at all.
    pub(crate) fn take_changes(&mut self) -> Vec<ScheduleChange> {
        self.changed_bytes = 0;
        self.unstored.clear();
        for run in self.running.values_mut() {
            run.is_replaced |= run.is_stale;
        }
        std::mem::take(&mut self.changes)
    }

    /// The clock was set back: nobody waits for what has become the far future.
    pub(crate) fn set_clock(&mut self, now: Millis) {
        let waiting = self
            .entries
            .values()
            .filter(|entry| entry.timing != Timing::Once || entry.failures > 0);
        let fitted: Vec<Scheduled> = waiting
            .filter(|entry| self.order.contains(&(entry.try_at, entry.id.clone())))
            .filter_map(|entry| {
                let mut fitted = entry.clone();
                fit_to_clock(&mut fitted, now).then_some(fitted)
            })
            .collect();
        for entry in fitted {
            self.forget(&entry.id);
            self.put(entry);
        }
    }

    /// The guest broke down, perhaps over what was running: that counts as a failure, or it would be tried again at
    /// once, for ever. Nothing else that has not been committed is kept.
    pub(crate) fn crashed(&mut self, now: Millis) -> Vec<ScheduleChange> {
        self.changes.clear();
        let running = std::mem::take(&mut self.running);
        for (id, mut run) in running {
            // What was not committed of it, or instead of it, is lost with all else.
            if !run.is_replaced && !self.unstored.contains(&id) {
                let entry = run.entry.clone();
                run.is_stale = false;
                self.running.insert(id, run);
                self.ended(&entry, Err("the actor broke down".to_owned()), now);
            }
        }
        self.take_changes()
    }

    fn put(&mut self, entry: Scheduled) {
        self.bytes += size(&entry);
        self.order.insert((entry.try_at, entry.id.clone()));
        self.changes.push(ScheduleChange::Put(entry.clone()));
        if let Some(old) = self.entries.insert(entry.id.clone(), entry) {
            self.bytes -= size(&old);
        }
    }

    /// Takes an entry out; whether there was one.
    fn forget(&mut self, id: &str) -> bool {
        let Some(entry) = self.entries.remove(id) else {
            return false;
        };
        self.bytes -= size(&entry);
        self.order.remove(&(entry.try_at, entry.id));
        if let Some(run) = self.running.get_mut(id) {
            run.is_stale = true;
        }
        true
    }

    fn remember(
        &mut self,
        entry: &Scheduled,
        started_at: Millis,
        outcome: Outcome,
        error: Option<String>,
    ) {
        let error = error.map(|mut error| {
            error.truncate(error.floor_char_boundary(ERROR_BYTES_MAX));
            error
        });
        let run = ScheduledRun {
            number: self.next_run,
            id: entry.id.clone(),
            action: entry.action.clone(),
            due_at: entry.due_at,
            started_at,
            outcome,
            error,
        };
        self.next_run += 1;
        self.runs.push_back(run.clone());
        while self.runs.len() > RUNS_MAX {
            self.runs.pop_front();
        }
        let keep_from = self.runs.front().map_or(0, |oldest| oldest.number);
        self.changes.push(ScheduleChange::Ran { run, keep_from });
    }
}

/// Ordered by time, like everything that is made up here.
fn made_up() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

fn size(entry: &Scheduled) -> usize {
    let timing = match &entry.timing {
        Timing::Once | Timing::After | Timing::Every { .. } => 0,
        Timing::Cron {
            expression,
            time_zone,
        } => expression.len() + time_zone.as_ref().map_or(0, String::len),
    };
    entry.id.len() + entry.action.len() + entry.args.len() + timing + ENTRY_BYTES
}

fn begin(when: When, now: Millis) -> Result<(Timing, Millis), ActorError> {
    let later = |ms: i64| Millis(now.0.saturating_add(ms));
    Ok(match when {
        When::At(at) => (Timing::Once, at),
        When::AfterMs(ms) => (Timing::After, later(ms.max(0))),
        When::EveryMs(every_ms) if every_ms >= EVERY_MS_MIN => {
            let from_ms = now.0;
            (Timing::Every { from_ms, every_ms }, later(every_ms))
        }
        When::EveryMs(every_ms) => {
            let text =
                format!("an interval of {every_ms} ms is too short; {EVERY_MS_MIN} is the least");
            return Err(ActorError::new(codes::SCHEDULE_INVALID_INTERVAL, text));
        }
        When::Cron {
            expression,
            time_zone,
        } => {
            let due_at = cron::next(&expression, time_zone.as_deref(), now)?;
            let timing = Timing::Cron {
                expression,
                time_zone,
            };
            (timing, due_at)
        }
    })
}

/// The entry with its next time; `None` if it was for once. Times that have passed are not made up for.
fn recur(mut entry: Scheduled, started_at: Millis, now: Millis) -> Option<Scheduled> {
    let after = entry.due_at.max(now);
    entry.due_at = match &entry.timing {
        Timing::Once | Timing::After => return None,
        Timing::Every { from_ms, every_ms } => {
            let next = step(*from_ms, *every_ms, after);
            let is_far = next.0.saturating_sub(now.0) > every_ms.saturating_add(SLACK_MS);
            // The clock was set back while it ran.
            if is_far {
                step(*from_ms, *every_ms, now)
            } else {
                next
            }
        }
        Timing::Cron {
            expression,
            time_zone,
        } => {
            let is_set_back = started_at.0.saturating_sub(now.0) > SET_BACK_MS;
            let after = if is_set_back { now } else { after };
            cron::next(expression, time_zone.as_deref(), after).ok()?
        }
    };
    entry.try_at = entry.due_at;
    entry.failures = 0;
    Some(entry)
}

/// The first step after `after`.
fn step(from_ms: i64, every_ms: i64, after: Millis) -> Millis {
    let steps = after.0.saturating_sub(from_ms).div_euclid(every_ms);
    let next = steps.saturating_add(1).saturating_mul(every_ms);
    Millis(from_ms.saturating_add(next))
}

/// Brings an entry nearer that waits for longer than it can have been meant to. Whether it was.
fn fit_to_clock(entry: &mut Scheduled, now: Millis) -> bool {
    let latest = |ms: i64| Millis(now.0.saturating_add(ms));
    if entry.failures > 0 {
        let is_far = entry.try_at > latest(AGAIN_AFTER_MS_MAX);
        entry.try_at = entry.try_at.min(latest(AGAIN_AFTER_MS_MAX));
        return is_far;
    }
    let is_ahead = |ms: i64| entry.set_at > latest(ms);
    let next = match &entry.timing {
        Timing::After => {
            is_ahead(SLACK_MS).then(|| latest(entry.due_at.0.saturating_sub(entry.set_at.0)))
        }
        Timing::Every { from_ms, every_ms } => {
            let is_far = entry.due_at > latest(every_ms.saturating_add(SLACK_MS));
            is_far.then(|| step(*from_ms, *every_ms, now))
        }
        Timing::Cron {
            expression,
            time_zone,
        } if is_ahead(SET_BACK_MS) => cron::next(expression, time_zone.as_deref(), now)
            .ok()
            .filter(|next| *next < entry.due_at),
        Timing::Once | Timing::Cron { .. } => None,
    };
    if let Some(next) = next {
        entry.due_at = next;
        entry.try_at = next;
        entry.set_at = now;
    }
    next.is_some()
}

fn again_at(failures: u32, now: Millis) -> Millis {
    let doublings = failures.saturating_sub(1).min(20);
    let wait = (AGAIN_AFTER_MS << doublings).min(AGAIN_AFTER_MS_MAX);
    Millis(now.0.saturating_add(wait))
}

#[cfg(test)]
mod tests;
