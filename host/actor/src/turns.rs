//! What runs inside the guest, and by when it has to answer.
//!
//! The table is shared between the activation's loop, which begins and ends turns, and its watchdog,
//! which stands outside: while the guest computes, nothing inside moves. A turn that has not answered
//! by its deadline is *overdue*: its caller is told, and it goes on without one (nothing can end a
//! single call of a guest).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use greenroom_model::{ActorError, ActorId, ConnId, Lineage, codes};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::handle::Begun;

/// How often an instance with overdue turns is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Tells turns of one instance apart.
pub(crate) type TurnId = u64;

/// The turns of one instance.
#[derive(Debug)]
pub(crate) struct Turns {
    table: Mutex<Table>,
    /// The watchdog has something new to look at.
    changed: Notify,
    /// There are turns that are overdue.
    is_overdue: Notify,
    timeout: Duration,
    /// So many turns may run on without a caller before the instance is given up.
    overdue_max: usize,
    /// Whether the loop is told of calls that become overdue.
    keeps_told: bool,
}

#[derive(Debug, Default)]
struct Table {
    last: TurnId,
    /// In time.
    running: BTreeMap<TurnId, Turn>,
    /// The same, by when they have to have answered.
    deadlines: BTreeSet<(Instant, TurnId)>,
    overdue: usize,
    /// When a turn last began or ended.
    moved: Option<Instant>,
    /// When the whole instance has to be gone.
    end_by: Option<Instant>,
    /// The deadline that the watchdog knows of.
    watched: Option<Instant>,
    /// Turns that are overdue, for the loop to take. As many as there are.
    told: Vec<TurnId>,
}

#[derive(Debug)]
struct Turn {
    deadline: Instant,
    /// The number of the call that it is for, if it can be abandoned.
    call: Option<u64>,
    /// The loop is told when it becomes overdue.
    is_told: bool,
    caller: Begun,
    lineage: Lineage,
}

impl Turns {
    /// A table whose turns have `timeout` each, for an instance that has to have started by `start_by`.
    ///
    /// With `keeps_told`, [`overdue`](Self::overdue) tells of calls as well.
    pub(crate) fn new(
        timeout: Duration,
        overdue_max: usize,
        start_by: Instant,
        keeps_told: bool,
    ) -> Self {
        let table = Table {
            end_by: Some(start_by),
            ..Table::default()
        };
        Self {
            table: Mutex::new(table),
            changed: Notify::new(),
            is_overdue: Notify::new(),
            timeout,
            overdue_max,
            keeps_told,
        }
    }

    /// A turn that has the time that actions have, for the call of this number.
    pub(crate) fn begin(&self, call: u64, caller: Begun, lineage: Lineage) -> TurnId {
        let keeps_told = self.keeps_told;
        self.insert(self.timeout, (Some(call), keeps_told), caller, lineage)
    }

    /// A turn that is for no call, and has the time that actions have.
    pub(crate) fn begin_alone(&self) -> TurnId {
        self.begin_alone_within(self.timeout)
    }

    /// A turn that is for no call, of whose end by `timeout` the loop is told.
    pub(crate) fn begin_alone_within(&self, timeout: Duration) -> TurnId {
        let nobody = (Begun::nobody(), Lineage::default());
        self.insert(timeout, (None, true), nobody.0, nobody.1)
    }

    pub(crate) fn begin_within(
        &self,
        timeout: Duration,
        caller: Begun,
        lineage: Lineage,
    ) -> TurnId {
        self.insert(timeout, (None, false), caller, lineage)
    }

    fn insert(
        &self,
        timeout: Duration,
        (call, is_told): (Option<u64>, bool),
        caller: Begun,
        lineage: Lineage,
    ) -> TurnId {
        let mut table = self.lock();
        table.last += 1;
        let id = table.last;
        let now = Instant::now();
        let deadline = now + timeout;
        table.moved = Some(now);
        let turn = Turn {
            deadline,
            call,
            is_told,
            caller,
            lineage,
        };
        table.running.insert(id, turn);
        table.deadlines.insert((deadline, id));
        if table.watched.is_none_or(|watched| deadline < watched) {
            self.changed.notify_one();
        }
        id
    }

    /// Whom to answer, unless the turn is overdue.
    pub(crate) fn end(&self, id: TurnId) -> Option<Begun> {
        let mut table = self.lock();
        let turn = table.running.remove(&id);
        table.moved = Some(Instant::now());
        match turn {
            Some(turn) => {
                table.deadlines.remove(&(turn.deadline, id));
                Some(turn.caller)
            }
            None => {
                table.overdue -= 1;
                None
            }
        }
    }

    /// Whether the turn still has a caller.
    pub(crate) fn is_waited_for(&self, id: TurnId) -> bool {
        self.lock().running.contains_key(&id)
    }

    /// On whose behalf actor `id` calls others now: its own, and that of everybody who waits for its turns.
    pub(crate) fn lineage(&self, id: ActorId) -> Lineage {
        Lineage::of(self.lock().running.values().map(|turn| &turn.lineage), id)
    }

    /// The turns that these calls began.
    pub(crate) fn of_calls(&self, calls: &[u64]) -> Vec<TurnId> {
        self.matching(|turn| turn.call.is_some_and(|call| calls.contains(&call)))
    }

    /// The calls of a connection.
    pub(crate) fn of_conn(&self, id: ConnId) -> Vec<TurnId> {
        self.matching(|turn| turn.caller.is_of(id))
    }

    fn matching(&self, is_meant: impl Fn(&Turn) -> bool) -> Vec<TurnId> {
        let table = self.lock();
        let meant = table.running.iter().filter(|(_, turn)| is_meant(turn));
        meant.map(|(id, _)| *id).collect()
    }

    /// Returns turns that have just become overdue: scheduled ones, and calls if they are told. Cancel-safe.
    pub(crate) async fn overdue(&self) -> Vec<TurnId> {
        loop {
            let told = std::mem::take(&mut self.lock().told);
            if !told.is_empty() {
                return told;
            }
            self.is_overdue.notified().await;
        }
    }

    /// Whether some turn still has a caller.
    pub(crate) fn has_callers(&self) -> bool {
        !self.lock().running.is_empty()
    }

    /// Bounds the life of the instance, or lifts the bound.
    pub(crate) fn end_by(&self, end_by: Option<Instant>) {
        self.lock().end_by = end_by;
        self.changed.notify_one();
    }

    /// The instance is gone: every caller left is told why.
    pub(crate) fn refuse_all(&self, error: &ActorError) {
        let mut table = self.lock();
        let running = std::mem::take(&mut table.running);
        table.deadlines.clear();
        drop(table);
        running
            .into_values()
            .for_each(|turn| turn.caller.answer(Err(error.clone())));
    }

    /// Watches the deadlines, and has to run for as long as the instance does. Returns when the instance
    /// has to be given up: it is due to be gone, too much in it never ends, or a turn is overdue and calls are
    /// `waiting` of which none gets in, which means that the guest blocks all of itself.
    pub(crate) async fn watch(&self, waiting: impl Fn() -> usize) {
        loop {
            let next = self.lock().next_deadline();
            match next {
                None => self.changed.notified().await,
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    () = self.changed.notified() => {}
                },
            }
            if self.tell_overdue(Instant::now(), &waiting) {
                return;
            }
        }
    }

    /// Tells the callers of turns that are due; whether the instance has to be given up.
    fn tell_overdue(&self, now: Instant, waiting: &impl Fn() -> usize) -> bool {
        let mut table = self.lock();
        while let Some((deadline, id)) = table.deadlines.first().copied() {
            if deadline > now {
                break;
            }
            table.deadlines.pop_first();
            table.overdue += 1;
            if let Some(turn) = table.running.remove(&id) {
                if turn.is_told {
                    table.told.push(id);
                    self.is_overdue.notify_one();
                }
                turn.caller.answer(Err(timed_out()));
            }
        }
        let is_due = table.end_by.is_some_and(|end_by| end_by <= now);
        let is_still = table.moved.is_some_and(|moved| moved + self.timeout <= now);
        let is_blocked = table.overdue > 0 && is_still && waiting() > 0;
        is_due || is_blocked || table.overdue > self.overdue_max
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing below panics halfway through a change.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn next_deadline(&mut self) -> Option<Instant> {
        let turn = self.deadlines.first().map(|(deadline, _)| *deadline);
        self.watched = turn;
        // A guest that lets nobody in is noticed by looking again and again.
        let again = (self.overdue > 0).then(|| Instant::now() + LOOK_AGAIN);
        turn.into_iter().chain(self.end_by).chain(again).min()
    }
}

fn timed_out() -> ActorError {
    ActorError::new(codes::ACTION_TIMED_OUT, "Action timed out")
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::handle::CallError;

    fn turns() -> Turns {
        let start_by = Instant::now() + Duration::from_secs(1);
        let turns = Turns::new(Duration::from_secs(60), 100, start_by, false);
        turns.end_by(None);
        turns
    }

    #[tokio::test(start_paused = true)]
    async fn an_overdue_turn_answers_without_ending() {
        let turns = turns();
        let (reply, mut answer) = oneshot::channel();
        let id = turns.begin(0, Begun::reply(reply), Lineage::default());
        let watched = tokio::time::timeout(Duration::from_secs(59), turns.watch(|| 0));
        assert!(watched.await.is_err());
        assert!(answer.try_recv().is_err(), "not yet");
        let watched = tokio::time::timeout(Duration::from_secs(2), turns.watch(|| 0));
        assert!(watched.await.is_err(), "a turn does not end the instance");
        let Ok(Err(CallError::Failed(error))) = answer.try_recv() else {
            panic!("an answer")
        };
        assert!(error.is(codes::ACTION_TIMED_OUT));
        assert!(!turns.has_callers());
        assert!(turns.end(id).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_begun_while_watching_is_watched() {
        let turns = turns();
        let (early, _early_answer) = oneshot::channel();
        let early = turns.begin(0, Begun::reply(early), Lineage::default());
        let begin_later = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            turns.end(early);
            let (late, answer) = oneshot::channel();
            turns.begin(0, Begun::reply(late), Lineage::default());
            answer.await
        };
        let answered = tokio::select! {
            () = turns.watch(|| 0) => panic!("nothing ends the instance"),
            answered = begin_later => answered,
        };
        assert!(answered.is_ok_and(|answer| answer.is_err()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_that_lets_nobody_in_is_given_up() {
        let turns = turns();
        let (reply, _answer) = oneshot::channel();
        turns.begin(0, Begun::reply(reply), Lineage::default());
        let watched = tokio::time::timeout(Duration::from_secs(61), turns.watch(|| 1));
        assert!(watched.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_instance_is_watched_too() {
        let turns = turns();
        turns.end_by(Some(Instant::now() + Duration::from_secs(5)));
        let watched = tokio::time::timeout(Duration::from_secs(6), turns.watch(|| 0));
        assert!(watched.await.is_ok());
    }
}
