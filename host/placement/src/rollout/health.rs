//! How actors get on with a new revision, and when that is too badly.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use greenroom_actor::Report;
use greenroom_model::{ActorId, Limits};
use tokio::sync::Notify;
use tokio::time::Instant;

/// The window slides in so many steps.
const STEPS: u32 = 30;
/// Actors that are told apart; with more, half of them stand for all, then a quarter, and so on.
const ACTORS_MAX: usize = 20_000;
/// Reasons that are remembered, for whoever asks why.
const REASONS_MAX: usize = 16;
/// How much of a reason is.
const REASON_CHARS_MAX: usize = 500;

/// When a rollout goes back by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) window: Duration,
    /// Actors that may fail, out of a hundred.
    pub(crate) percent: u32,
    /// Failures that it takes at least.
    pub(crate) failures_min: u32,
    /// That some cannot start was known before, and accepted.
    pub(crate) is_forced: bool,
}

impl Bounds {
    pub(crate) const fn of(limits: &Limits, is_forced: bool) -> Self {
        Self {
            window: limits.rollout_window,
            percent: limits.rollout_failures_percent,
            failures_min: limits.rollout_failures_min,
            is_forced,
        }
    }
}

/// What became of actors on a revision while it is watched.
#[derive(Debug)]
pub(crate) struct Health {
    bounds: Bounds,
    inner: Mutex<Inner>,
    /// Told when it is too bad.
    tripped: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    steps: VecDeque<Step>,
    total: Counts,
    /// The actors that have been on the revision.
    all: HashSet<ActorId>,
    /// Those of them that could not start, and have not since.
    down: HashSet<ActorId>,
    /// When each of them was last heard of: it has started, done something, or failed.
    seen: HashMap<ActorId, Instant>,
    /// When each last did something, or failed.
    busy: HashMap<ActorId, Instant>,
    /// When each last failed.
    failing: HashMap<ActorId, Instant>,
    /// When those that are long past were last taken out.
    swept: Option<Instant>,
    reasons: Vec<String>,
    /// The last of them.
    last_reason: String,
    /// Of so many actors one is told apart: a power of two, less one.
    mask: u32,
    /// Why it was too bad, when it first was.
    verdict: Option<String>,
}

#[derive(Debug)]
struct Step {
    began: Instant,
    counts: Counts,
}

/// How many actors have started, could not start, and broke down after they had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Starts that went well.
    pub started: u64,
    /// Starts that did not.
    pub failed: u64,
    /// Those that broke down later.
    pub crashed: u64,
}

impl Counts {
    fn add(&mut self, report: Report<'_>) {
        match report {
            Report::Started => self.started += 1,
            Report::Failed(_) => self.failed += 1,
            Report::Crashed(_) => self.crashed += 1,
            Report::Busy => {}
        }
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            started: self.started + other.started,
            failed: self.failed + other.failed,
            crashed: self.crashed + other.crashed,
        }
    }
}

impl Health {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            inner: Mutex::default(),
            tripped: Notify::new(),
        }
    }

    pub(crate) fn report(&self, actor: ActorId, report: Report<'_>) {
        let mut inner = self.lock();
        let now = Instant::now();
        let Bounds {
            window, is_forced, ..
        } = self.bounds;
        inner.total.add(report);
        let report = match report {
            // It was known before.
            Report::Failed(reason) if is_forced => {
                inner.note(reason);
                Report::Busy
            }
            report => report,
        };
        inner.tell_apart(actor, report, now);
        inner.slide(now, window);
        let is_current = |step: &Step| now.duration_since(step.began) < window / STEPS;
        if !inner.steps.back().is_some_and(is_current) {
            inner.steps.push_back(Step {
                began: now,
                counts: Counts::default(),
            });
        }
        if let Some(step) = inner.steps.back_mut() {
            step.counts.add(report);
        }
        if let Report::Failed(reason) | Report::Crashed(reason) = report {
            inner.note(reason);
            self.judge(&mut inner, now);
        }
    }

    /// Why the revision is not to arrive, though it was not too bad so far: most of those that were on it could not start,
    /// or most of those that had something to do broke down over it, however few they are.
    pub(crate) fn objection(&self) -> Option<String> {
        let mut inner = self.lock();
        let Bounds {
            window,
            percent,
            failures_min,
            ..
        } = self.bounds;
        let now = Instant::now();
        inner.swept = None;
        inner.sweep(now, window);
        inner.slide(now, window);
        let is_too_much = |failing: usize, all: usize| failing * 100 > all * percent as usize;
        let (down, all) = (inner.down.len(), inner.all.len());
        let last = &inner.last_reason;
        if is_too_much(down, all) {
            return Some(format!(
                "{down} of {all} actors could not start ({percent} % may); for example: {last}"
            ));
        }
        let (failing, busy) = (inner.failing.len(), inner.busy.len());
        let failures = inner.recent().failed + inner.recent().crashed;
        let is_meant = failures >= failures_min.into() && inner.is_more_than_one();
        (is_meant && is_too_much(failing, busy)).then(|| {
            format!(
                "{failing} of the {busy} actors that had something to do within {window:?} failed ({percent} % may); for \
                 example: {last}"
            )
        })
    }

    /// An actor could not start on the revision that was there before, either.
    pub(crate) fn forgive(&self, actor: ActorId) {
        self.lock().forgive(actor);
    }

    /// Why the revision is to be rolled back, if it is.
    pub(crate) fn verdict(&self) -> Option<String> {
        self.lock().verdict.clone()
    }

    /// Waits for a verdict. Cancel-safe.
    pub(crate) async fn tripped(&self) -> String {
        loop {
            let mut told = std::pin::pin!(self.tripped.notified());
            told.as_mut().enable();
            if let Some(verdict) = self.verdict() {
                return verdict;
            }
            told.await;
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().total
    }

    /// Some of the reasons for failures, each once.
    pub(crate) fn reasons(&self) -> Vec<String> {
        self.lock().reasons.clone()
    }

    /// One actor that breaks down again and again says little of the others, so it is actors that are compared.
    fn judge(&self, inner: &mut Inner, now: Instant) {
        let recent = inner.recent();
        let failures = recent.failed + recent.crashed;
        let Bounds {
            window,
            percent,
            failures_min,
            ..
        } = self.bounds;
        inner.sweep(now, window);
        let (failing, seen) = (inner.failing.len() as u64, inner.seen.len() as u64);
        let is_too_much = failing * 100 > seen * u64::from(percent);
        let is_meant = failures >= failures_min.into() && inner.is_more_than_one();
        if inner.verdict.is_some() || !is_meant || !is_too_much {
            return;
        }
        let last = &inner.last_reason;
        inner.verdict = Some(format!(
            "{failing} of {seen} actors failed within {window:?} ({percent} % may), {failures} times: {} \
             could not start, {} broke down; for example: {last}",
            recent.failed, recent.crashed
        ));
        self.tripped.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Numbers, each of which is right by itself.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Notes what an actor has come to, if it is one of those that are told apart.
    fn tell_apart(&mut self, actor: ActorId, report: Report<'_>, now: Instant) {
        if luck(actor) & self.mask != 0 {
            return;
        }
        self.all.insert(actor);
        self.seen.insert(actor, now);
        match report {
            Report::Started => _ = self.down.remove(&actor),
            Report::Busy => _ = self.busy.insert(actor, now),
            Report::Failed(_) | Report::Crashed(_) => {
                self.busy.insert(actor, now);
                self.failing.insert(actor, now);
            }
        }
        if matches!(report, Report::Failed(_)) {
            self.down.insert(actor);
        }
        if self.all.len() > ACTORS_MAX {
            self.halve();
        }
    }

    /// From now on only half of the actors are told apart, whoever comes.
    fn halve(&mut self) {
        let mask = self.mask << 1 | 1;
        self.mask = mask;
        let is_told = |actor: &ActorId| luck(*actor) & mask == 0;
        self.all.retain(is_told);
        self.down.retain(is_told);
        for actors in [&mut self.seen, &mut self.busy, &mut self.failing] {
            actors.retain(|actor, _| is_told(actor));
        }
    }

    /// An actor that fails wherever it is says nothing of a revision.
    fn forgive(&mut self, actor: ActorId) {
        self.all.remove(&actor);
        self.down.remove(&actor);
        for actors in [&mut self.seen, &mut self.busy, &mut self.failing] {
            actors.remove(&actor);
        }
    }

    /// One actor alone says little of the others, if there are any.
    fn is_more_than_one(&self) -> bool {
        self.failing.len() > 1 || self.all.len() == 1
    }

    /// Takes the steps out that are long past.
    fn slide(&mut self, now: Instant, window: Duration) {
        let is_past = |step: &Step| now.duration_since(step.began) > window;
        while self.steps.front().is_some_and(is_past) {
            self.steps.pop_front();
        }
    }

    /// Takes out what is long past, from time to time.
    fn sweep(&mut self, now: Instant, window: Duration) {
        let is_recent = |at: &Instant| now.duration_since(*at) <= window;
        if self
            .swept
            .is_some_and(|swept| now.duration_since(swept) < window / STEPS)
        {
            return;
        }
        self.swept = Some(now);
        for actors in [&mut self.seen, &mut self.busy, &mut self.failing] {
            actors.retain(|_, at| is_recent(at));
        }
    }

    fn recent(&self) -> Counts {
        let recent = self.steps.iter().map(|step| step.counts);
        recent.fold(Counts::default(), Counts::plus)
    }

    fn note(&mut self, reason: &str) {
        // The first line; what follows is a backtrace.
        let line = reason.lines().next().unwrap_or_default();
        let reason: String = line.chars().take(REASON_CHARS_MAX).collect();
        self.last_reason.clone_from(&reason);
        if self.reasons.len() < REASONS_MAX && !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }
}

/// Bits of an id that are as good as random, and that no plan goes by.
#[expect(clippy::cast_possible_truncation, reason = "these bits are meant")]
const fn luck(actor: ActorId) -> u32 {
    (actor.as_u128() >> 24) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        Health::new(Bounds {
            window: Duration::from_secs(30),
            percent: 10,
            failures_min: 5,
            is_forced: false,
        })
    }

    /// One report of each of these actors.
    fn report(health: &Health, report: Report<'_>, actors: std::ops::Range<u128>) {
        actors.for_each(|actor| health.report(ActorId::from_u128(actor), report));
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_failing_actors_among_many_are_borne() {
        let health = health();
        report(&health, Report::Started, 0..100);
        report(&health, Report::Crashed("a panic\nwith a backtrace"), 0..10);
        assert_eq!(health.verdict(), None);
        report(&health, Report::Crashed("a panic\nelsewhere"), 10..11);
        let verdict = health.tripped().await;
        assert!(verdict.starts_with("11 of 100 actors failed"), "{verdict}");
        assert!(verdict.ends_with("a panic"), "{verdict}");
        assert_eq!(health.reasons(), ["a panic"]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_actor_among_many_may_fail_for_ever() {
        let health = health();
        report(&health, Report::Started, 0..100);
        for _ in 0..1_000 {
            report(&health, Report::Crashed("mine"), 7..8);
            report(&health, Report::Started, 7..8);
        }
        assert_eq!(health.verdict(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn so_few_failures_are_no_reason_however_few_actors_there_were() {
        let health = health();
        for _ in 0..4 {
            report(&health, Report::Failed("no owner"), 0..1);
        }
        assert_eq!(health.verdict(), None);
        report(&health, Report::Failed("no owner"), 0..1);
        assert!(health.verdict().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_actors_of_which_none_can_start_are_an_objection() {
        let health = health();
        report(&health, Report::Failed("no owner"), 0..3);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(health.verdict(), None, "so few");
        let objection = health.objection().unwrap();
        assert!(
            objection.starts_with("3 of 3 actors could not start"),
            "{objection}"
        );
        report(&health, Report::Started, 0..3);
        assert_eq!(health.objection(), None);
        report(&health, Report::Started, 3..100);
        report(&health, Report::Failed("no owner"), 0..3);
        assert_eq!(health.objection(), None, "so few of so many");
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_have_something_to_do_are_what_counts_in_the_end() {
        let health = health();
        report(&health, Report::Started, 0..100);
        for _ in 0..40 {
            tokio::time::advance(Duration::from_secs(1)).await;
            report(&health, Report::Crashed("over each call"), 0..3);
            if health.verdict().is_some() {
                break;
            }
        }
        // Those that only sit there have been forgotten.
        assert!(
            health
                .verdict()
                .is_some_and(|v| v.starts_with("3 of 3 actors"))
        );

        let health = self::health();
        report(&health, Report::Started, 0..100);
        report(&health, Report::Busy, 50..60);
        report(&health, Report::Crashed("over each call"), 0..3);
        report(&health, Report::Crashed("over each call"), 0..3);
        assert_eq!(health.verdict(), None);
        let objection = health.objection().unwrap();
        assert!(
            objection.starts_with("3 of the 13 actors that had something to do"),
            "{objection}"
        );
        report(&health, Report::Busy, 60..90);
        assert_eq!(health.objection(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn that_some_cannot_start_says_nothing_if_it_was_known() {
        let health = Health::new(Bounds {
            is_forced: true,
            ..health().bounds
        });
        report(&health, Report::Failed("no owner"), 0..50);
        report(&health, Report::Started, 50..60);
        assert_eq!((health.verdict(), health.objection()), (None, None));
        assert_eq!(health.counts().failed, 50);
        assert_eq!(health.reasons(), ["no owner"]);
        report(&health, Report::Crashed("a panic"), 50..60);
        assert!(health.verdict().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_everywhere_is_forgiven_and_one_alone_is_not_enough() {
        let health = health();
        report(&health, Report::Failed("no owner"), 0..1);
        assert!(health.objection().is_some());
        health.forgive(ActorId::from_u128(0));
        assert_eq!(health.objection(), None);
        report(&health, Report::Busy, 1..4);
        for _ in 0..100 {
            report(&health, Report::Crashed("mine"), 9..10);
        }
        assert_eq!((health.verdict(), health.objection()), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn with_very_many_actors_a_part_stands_for_all() {
        let health = health();
        let actors = |from: u128, to: u128| (from..to).map(|n| ActorId::from_u128(n << 24));
        for actor in actors(0, 50_000) {
            health.report(actor, Report::Started);
        }
        for actor in actors(0, 4_000) {
            health.report(actor, Report::Crashed("a panic"));
        }
        assert_eq!(health.verdict(), None, "8 of a hundred");
        assert!(health.lock().all.len() <= ACTORS_MAX);
        for actor in actors(4_000, 6_000) {
            health.report(actor, Report::Crashed("a panic"));
        }
        assert!(health.verdict().is_some(), "12 of a hundred");
        assert_eq!(health.counts().crashed, 6_000);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_long_past_does_not_count() {
        let health = health();
        report(&health, Report::Failed("x"), 0..4);
        tokio::time::advance(Duration::from_secs(31)).await;
        report(&health, Report::Failed("x"), 4..8);
        assert_eq!(health.verdict(), None);
        assert_eq!(health.counts().failed, 8);
    }
}
