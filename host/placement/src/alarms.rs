//! Wakes sleeping actors when their time comes.
//!
//! When an actor must next be awake is in the store, kept with the commit that made it so. An awake actor looks after
//! that itself; here is who looks after the others. What is due is read in batches of a bounded size, so that it does
//! not matter how many actors sleep. To be woken is all that an actor needs: it then finds out by itself
//! what is due.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use greenroom_actor::Ended;
use greenroom_model::{ActorId, Clock, Millis};
use greenroom_storage::{ActorRow, Storage};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, warn};

use crate::activations::Activations;

/// Alarms read at once.
const BATCH_MAX: usize = 256;
/// How often the store is looked at even if nothing is known to be due: the clock may have been set.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The shortest time between two looks at everything that is due.
const LOOK_MIN: Duration = Duration::from_millis(5);
/// How long an actor that broke down is left alone, the first time.
const PAUSE_MS: i64 = 100;
/// How long it is left alone at most.
const PAUSE_MS_MAX: i64 = 60_000;
/// Actors of which it is remembered that they broke down.
const BROKEN_MAX: usize = 10_000;

/// How long one actor that is being woken keeps others waiting.
const WAKE_MAX: Duration = Duration::from_secs(1);

/// How far the clock is set back before that matters, in milliseconds.
const SLACK_MS: i64 = 1_000;

/// Nothing is known to be due.
const NEVER: i64 = i64::MAX;

/// What is known of alarms besides what is in the store.
pub(crate) struct Alarms {
    clock: Arc<dyn Clock>,
    /// When the store has to be looked at next, in milliseconds since the epoch.
    next: AtomicI64,
    /// The latest time that the clock has shown.
    latest: AtomicI64,
    sooner: Notify,
    broken: Mutex<HashMap<ActorId, Broken>>,
}

/// An actor that broke down when it was awake last.
#[derive(Debug, Clone, Copy)]
struct Broken {
    times: u32,
    until: Millis,
}

impl Alarms {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            next: AtomicI64::new(0),
            // The clock may have run ahead when a host was here before: the first look says that it was set back.
            latest: AtomicI64::new(NEVER),
            sooner: Notify::new(),
            broken: Mutex::default(),
        }
    }

    /// An activation has ended; from now on its alarm is looked after here.
    pub(crate) fn ended(&self, id: ActorId, ended: Ended) {
        match ended {
            Ended::Asleep(alarm) => {
                self.broken().remove(&id);
                if let Some(at) = alarm {
                    self.look_at(at);
                }
            }
            Ended::Gone => _ = self.broken().remove(&id),
            Ended::Broken => {
                let until = self.pause(id);
                self.look_at(until);
            }
        }
    }

    fn look_at(&self, at: Millis) {
        if self.next.fetch_min(at.0, Ordering::AcqRel) > at.0 {
            self.sooner.notify_one();
        }
    }

    /// Until when an actor that broke down is left alone: it would only break down again, at full speed.
    fn pause(&self, id: ActorId) -> Millis {
        let now = self.clock.now();
        let mut broken = self.broken();
        if broken.len() >= BROKEN_MAX {
            broken.retain(|_, broken| broken.until > now);
        }
        let times = broken.get(&id).map_or(0, |broken| broken.times);
        let wait = (PAUSE_MS << times.min(20)).min(PAUSE_MS_MAX);
        let until = Millis(now.0.saturating_add(wait));
        if broken.len() < BROKEN_MAX {
            let times = times.saturating_add(1);
            broken.insert(id, Broken { times, until });
        }
        until
    }

    /// Until when it is to be left alone, if it is.
    fn paused_until(&self, id: ActorId, now: Millis) -> Option<Millis> {
        let broken = self.broken();
        let until = broken.get(&id).map(|broken| broken.until);
        until.filter(|until| *until > now)
    }

    fn broken(&self) -> MutexGuard<'_, HashMap<ActorId, Broken>> {
        // A map is never left half changed.
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the clock was set back since this was last asked, or may have been. Then it goes on from where it is.
    fn was_set_back(&self, now: Millis) -> bool {
        let is_back = self.latest.load(Ordering::Acquire).saturating_sub(now.0) > SLACK_MS;
        if is_back {
            self.latest.store(now.0, Ordering::Release);
        } else {
            self.latest.fetch_max(now.0, Ordering::AcqRel);
        }
        is_back
    }

    /// Waits until the store has to be looked at. Cancel-safe.
    async fn wait(&self) {
        loop {
            let now = self.clock.now();
            if now.0.saturating_add(SLACK_MS) < self.latest.load(Ordering::Acquire) {
                return;
            }
            let ms = self.next.load(Ordering::Acquire).saturating_sub(now.0);
            let Ok(ms @ 1..) = u64::try_from(ms) else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(ms).min(LOOK_AGAIN)) => {}
                () = self.sooner.notified() => {}
            }
        }
    }
}

/// Wakes actors for as long as it is driven.
pub(crate) async fn run(
    alarms: Arc<Alarms>,
    activations: Arc<Activations>,
    storage: Arc<dyn Storage>,
    wakes_max: usize,
) {
    let places = Arc::new(Semaphore::new(wakes_max));
    let tasks = TaskTracker::new();
    loop {
        alarms.wait().await;
        // Whatever is said from now on is news.
        alarms.next.store(NEVER, Ordering::Release);
        match look(&alarms, &activations, &*storage, &places, &tasks).await {
            Ok(next) => alarms.look_at(next),
            Err(error) => {
                error!(%error, "the alarms cannot be read; trying again");
                tokio::time::sleep(LOOK_AGAIN).await;
                alarms.look_at(Millis(0));
            }
        }
        tokio::time::sleep(LOOK_MIN).await;
    }
}

/// Has everybody woken who was to be by a clock that ran ahead: they decide anew when that is.
async fn pull(storage: &dyn Storage, now: Millis) -> greenroom_storage::Result<()> {
    let set_after = Millis(now.0.saturating_add(SLACK_MS));
    let mut count = 0;
    loop {
        let pulled = storage.pull_alarms(set_after, now, BATCH_MAX).await?;
        count += pulled;
        if pulled < BATCH_MAX {
            break;
        }
    }
    if count > 0 {
        warn!(
            count,
            "alarms were set by a clock that ran ahead; their actors are woken to look again"
        );
    }
    Ok(())
}

/// Wakes everybody who is due, and returns when to look again.
async fn look(
    alarms: &Alarms,
    activations: &Arc<Activations>,
    storage: &dyn Storage,
    places: &Arc<Semaphore>,
    tasks: &TaskTracker,
) -> greenroom_storage::Result<Millis> {
    let now = alarms.clock.now();
    if alarms.was_set_back(now) {
        // Not done: it is looked at again.
        let again = |_: &greenroom_storage::Error| alarms.latest.store(NEVER, Ordering::Release);
        pull(storage, now).await.inspect_err(again)?;
    }
    let mut next = Millis(
        now.0
            .saturating_add(i64::try_from(LOOK_AGAIN.as_millis()).unwrap_or(0)),
    );
    let mut after: Option<(Millis, ActorRow)> = None;
    loop {
        let due = storage.due_alarms(now, after, BATCH_MAX).await?;
        let Some(last) = due.last() else { break };
        after = Some((last.at, last.actor.row));
        for alarm in due {
            let id = alarm.actor.id;
            // An awake actor does by itself what is due; if it ends before that, it is looked at again.
            if activations.get(id).is_some() {
                continue;
            }
            if let Some(until) = alarms.paused_until(id, now) {
                next = next.min(until);
                continue;
            }
            let Ok(place) = places.clone().acquire_owned().await else {
                break;
            };
            let (activations, actor) = (activations.clone(), Arc::new(alarm.actor));
            tasks.spawn(async move {
                let _place = place;
                debug!(actor_id = %actor.id, "waking an actor for its alarm");
                let waking = async {
                    match activations.get_or_activate(&actor).await {
                        Ok(handle) => handle.started().await,
                        Err(error) => debug!(actor_id = %actor.id, %error, "it cannot be woken"),
                    }
                };
                // One that takes long goes on without holding up the others; one that has not begun is found again.
                _ = timeout(WAKE_MAX, waking).await;
            });
        }
    }
    if let Some(first) = storage.next_alarm(now).await? {
        next = next.min(first);
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that stands still until it is set.
    struct Still(AtomicI64);

    impl Clock for Still {
        fn now(&self) -> Millis {
            Millis(self.0.load(Ordering::Relaxed))
        }
    }

    fn alarms() -> (Arc<Still>, Alarms) {
        let clock = Arc::new(Still(AtomicI64::new(1_000)));
        (clock.clone(), Alarms::new(clock))
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_is_set_sooner_is_waited_for() {
        let (clock, alarms) = alarms();
        alarms.next.store(NEVER, Ordering::Release);
        assert!(alarms.was_set_back(clock.now()), "it may have been, before");
        let waits = timeout(Duration::from_secs(9), alarms.wait());
        assert!(waits.await.is_err(), "nothing is due");
        let id = ActorId::from_u128(1);
        alarms.ended(id, Ended::Asleep(Some(Millis(1_500))));
        let waits = timeout(Duration::from_secs(9), alarms.wait());
        assert!(waits.await.is_err(), "the wall clock decides, not ours");
        clock.0.store(1_500, Ordering::Relaxed);
        alarms.wait().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_is_noticed_and_alarms_that_it_had_set_are_due() {
        let (clock, alarms) = alarms();
        alarms.next.store(NEVER, Ordering::Release);
        for (now, is_back) in [
            (5_000, true),
            (4_500, false),
            (9_000, false),
            (8_000, false),
        ] {
            clock.0.store(now, Ordering::Relaxed);
            assert_eq!(alarms.was_set_back(clock.now()), is_back, "{now}");
        }
        let waits = timeout(Duration::from_secs(9), alarms.wait());
        assert!(waits.await.is_err(), "a small step is none");
        clock.0.store(7_000, Ordering::Relaxed);
        alarms.wait().await;
        assert!(alarms.was_set_back(clock.now()));
        assert!(!alarms.was_set_back(clock.now()));
    }

    #[test]
    fn who_breaks_down_is_left_alone_longer_each_time_until_it_sleeps_well() {
        let (clock, alarms) = alarms();
        let id = ActorId::from_u128(1);
        let mut waits = Vec::new();
        for _ in 0..12 {
            alarms.ended(id, Ended::Broken);
            let now = clock.now();
            let until = alarms.paused_until(id, now).unwrap();
            waits.push(until.0 - now.0);
            clock.0.store(until.0, Ordering::Relaxed);
            assert_eq!(alarms.paused_until(id, until), None);
        }
        assert_eq!(waits[..4], [100, 200, 400, 800]);
        assert_eq!(waits[11], 60_000);
        alarms.ended(id, Ended::Asleep(None));
        alarms.ended(id, Ended::Broken);
        let until = alarms.paused_until(id, clock.now()).unwrap();
        assert_eq!(until.0 - clock.now().0, 100);
    }
}
