//! What an awake actor has besides its state: its pairs, its queues, its schedule, its background work.
//!
//! Both sides meet here: the guest, whose imports come in as [`ActorData`] while it runs, and the activation's loop, which
//! commits what has changed and decides by it whether the actor may sleep. A lock is between them, held for
//! moments. The rules are pure and stand beside: `pairs.rs`, `queue.rs`, `schedule.rs`, `cron.rs`.

mod cron;
mod guest;
mod pairs;
mod queue;
mod schedule;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use greenroom_model::{
    ActorError, ActorId, Clock, Limits, MessageId, Millis, QueueMessage, Scheduled, WorkKind,
};
use greenroom_storage::{ActorRow, DataChanges, Kept, NewAlarm, Opened, Storage};
use tokio::sync::Notify;

use self::pairs::Pairs;
use self::queue::{Bounds, Queue};
use self::schedule::Schedule;
use crate::revisions::ActiveType;
use crate::waiters::{Waiters, Waiting};

/// How often the clock is looked at while something is due later: it may be set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How far the clock is set back before that matters, in milliseconds.
const SLACK_MS: i64 = 1_000;

/// When an actor is awake again, whose run loop had to leave a message lying when it was put to sleep.
const AGAIN_AFTER_MS: i64 = 1_000;

/// Where an actor's data is, and by what rules.
pub(crate) struct Setup {
    pub(crate) actor: ActorRow,
    pub(crate) id: ActorId,
    pub(crate) active: Arc<ActiveType>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) limits: Arc<Limits>,
}

/// The data of one instance.
pub(crate) struct Data {
    setup: Setup,
    inner: Mutex<Inner>,
    /// Something has changed that the loop has to look at.
    pub(crate) changed: Notify,
    /// What is due next may have changed.
    timing: Notify,
    /// There may be messages to receive.
    arrived: Notify,
}

struct Inner {
    pairs: Pairs,
    queue: Queue,
    schedule: Schedule,
    run: Run,
    /// Receives of the run loop that wait.
    run_waits: usize,
    /// It waits for something else as well.
    waits_for_others: bool,
    wait_until: usize,
    keep_awake: usize,
    /// Messages that were completed, for those who may wait for that.
    completed: Vec<(MessageId, Option<Bytes>)>,
    /// Bytes of the replies that have not left; then of those that leave with the commit under way.
    reply_bytes: usize,
    reply_bytes_committing: usize,
    is_aborted: bool,
    /// Something that the guest did by itself is over, or waits: it may have changed its state before.
    has_paused: bool,
    /// The stop came over a message that somebody had taken.
    is_interrupted: bool,
    /// Something was sent after the stop had begun.
    has_late_mail: bool,
    /// What still ran was cut off.
    is_cut: bool,
    /// The guest is lost, and is about to be dropped with all that it has.
    is_lost: bool,
    /// The run loop is to be taken up again when the host is back.
    is_resumed: bool,
    /// The actor is to be destroyed, and whether the store has still to hear of it.
    is_doomed: bool,
    dooms: bool,
    /// The latest time that the clock has shown.
    latest: Millis,
    /// As the store has it; then with the commit under way.
    alarm: Option<Millis>,
    alarm_committing: Option<Millis>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    /// The type has none, it has not begun, or it is over.
    None,
    Running,
}

impl Data {
    pub(crate) fn new(setup: Setup, opened: &mut Opened) -> Self {
        let limits = &setup.limits;
        let description = &setup.active.description;
        let now = setup.clock.now();
        let inner = Inner {
            pairs: Pairs::new(opened.kv_bytes, limits.kv_bytes_max),
            queue: Queue::new(
                description,
                Bounds::of(description, limits),
                std::mem::take(&mut opened.messages),
                opened.next_message,
                now,
            ),
            schedule: Schedule::new(
                std::mem::take(&mut opened.schedule),
                std::mem::take(&mut opened.runs),
                limits,
                now,
            ),
            run: Run::None,
            run_waits: 0,
            waits_for_others: false,
            wait_until: 0,
            keep_awake: 0,
            completed: Vec::new(),
            reply_bytes: 0,
            reply_bytes_committing: 0,
            is_aborted: false,
            has_paused: false,
            is_interrupted: false,
            has_late_mail: false,
            is_cut: false,
            is_lost: false,
            is_resumed: false,
            is_doomed: opened.is_doomed,
            dooms: false,
            latest: now,
            alarm: opened.alarm,
            alarm_committing: opened.alarm,
        };
        Self {
            setup,
            inner: Mutex::new(inner),
            changed: Notify::new(),
            timing: Notify::new(),
            arrived: Notify::new(),
        }
    }

    pub(crate) fn now(&self) -> Millis {
        self.setup.clock.now()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing below panics halfway through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message from outside; `None` if there is no such queue. With `is_waited_for`, a place to wait for its
    /// completion.
    pub(crate) fn enqueue(
        &self,
        queue: String,
        body: Bytes,
        delay: Option<Duration>,
        is_waited_for: bool,
    ) -> Result<Option<(MessageId, Option<Waiting>)>, ActorError> {
        let mut inner = self.lock();
        let Some(id) = inner.queue.send(queue, body, self.now(), delay)? else {
            return Ok(None);
        };
        inner.has_late_mail |= inner.is_aborted;
        // Before anybody can complete it.
        let Setup {
            waiters, id: actor, ..
        } = &self.setup;
        let waiting = is_waited_for.then(|| waiters.wait_for(*actor, id));
        drop(inner);
        self.announce();
        Ok(Some((id, waiting)))
    }

    /// Tells receivers, the loop and its timer.
    fn announce(&self) {
        self.arrived.notify_waiters();
        self.touch();
    }

    fn touch(&self) {
        self.timing.notify_one();
        self.changed.notify_one();
    }

    /// The run loop begins, or is over.
    pub(crate) fn set_running(&self, is_running: bool) {
        self.lock().run = if is_running { Run::Running } else { Run::None };
    }

    /// The activation begins to stop: nobody receives any more. `is_resumed`: the run loop is to be taken up again
    /// when the host is back.
    pub(crate) fn abort(&self, is_resumed: bool) {
        let mut inner = self.lock();
        inner.is_resumed = is_resumed && inner.is_run_busy();
        inner.is_aborted = true;
        drop(inner);
        self.arrived.notify_waiters();
    }

    /// Whether something of it does not let the actor sleep.
    pub(crate) fn keeps_awake(&self) -> bool {
        let inner = self.lock();
        inner.keep_awake > 0 || inner.is_run_busy()
    }

    /// Whether a stop has to wait for something.
    pub(crate) fn holds_stop(&self) -> bool {
        self.lock().holds_stop()
    }

    /// The instance is about to be dropped. If the guest `is_lost`, that it lets go of a message says nothing.
    pub(crate) fn lose(&self, is_lost: bool) {
        self.lock().is_lost = is_lost;
    }

    /// The actor is to be destroyed, and that is kept: it may not come to it before the host dies.
    pub(crate) fn doom(&self) {
        let mut inner = self.lock();
        inner.dooms |= !inner.is_doomed;
        inner.is_doomed = true;
    }

    /// What still runs is cut off.
    pub(crate) fn cut(&self) {
        self.lock().is_cut = true;
    }

    /// Whether the guest may be changing its state by itself.
    pub(crate) fn is_working(&self) -> bool {
        let inner = self.lock();
        inner.keep_awake + inner.wait_until > 0 || inner.is_run_busy()
    }

    /// Whether there may be something to be committed.
    pub(crate) fn is_changed(&self) -> bool {
        let mut inner = self.lock();
        std::mem::take(&mut inner.has_paused) || !inner.is_unchanged()
    }

    /// Messages that were completed since this was last asked, as far as somebody waits for that.
    pub(crate) fn take_completed(&self) -> Vec<(MessageId, Option<Bytes>)> {
        let mut completed = std::mem::take(&mut self.lock().completed);
        let Setup { waiters, id, .. } = &self.setup;
        completed.retain(|(message, _)| waiters.is_waited_for(*id, *message));
        completed
    }

    /// Returns when something is due: an entry of the schedule, or a message that was delayed. Cancel-safe.
    pub(crate) async fn due(&self) {
        loop {
            match self.until_due() {
                Some(Duration::ZERO) => return,
                Some(wait) => {
                    // The clock may be set meanwhile.
                    let wait = wait.min(LOOK_AGAIN);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.timing.notified() => {}
                    }
                }
                None => self.timing.notified().await,
            }
        }
    }

    fn until_due(&self) -> Option<Duration> {
        let now = self.now();
        let mut inner = self.lock();
        inner.look_at_clock(now);
        if inner.queue.has_due(now) {
            return Some(Duration::ZERO);
        }
        let message = inner.queue.next_at(now);
        let at = inner.schedule.next_at().into_iter().chain(message).min()?;
        let ms = u64::try_from(at.0.saturating_sub(now.0)).unwrap_or(0);
        Some(Duration::from_millis(ms))
    }

    /// The first entry of the schedule that is due. Those who wait for delayed messages are told to look.
    pub(crate) fn take_due(&self) -> Option<Scheduled> {
        let now = self.now();
        let mut inner = self.lock();
        let has_messages = inner.queue.take_due(now);
        let entry = inner.schedule.take_due(now);
        drop(inner);
        if has_messages {
            self.arrived.notify_waiters();
        }
        entry
    }

    /// A scheduled run is over.
    pub(crate) fn ran(&self, entry: &Scheduled, result: Result<(), String>) {
        self.lock().schedule.ended(entry, result, self.now());
        self.timing.notify_one();
    }

    /// What is to be committed now; `is_last` is the last time before the actor sleeps. There is no commit under way.
    pub(crate) fn take_changes(&self, is_last: bool) -> Option<DataChanges> {
        let now = self.now();
        let has_run = self.setup.active.description.handlers.run;
        let mut inner = self.lock();
        // What is decided now is not to be by a clock that ran ahead.
        inner.look_at_clock(now);
        if inner.is_cut || (is_last && !inner.holds_stop()) {
            // Nobody will complete these any more.
            inner.is_interrupted |= inner.queue.restore_all();
        }
        let alarm = inner.alarm_at(now, has_run);
        let is_earlier = match (alarm, inner.alarm) {
            (Some(new), Some(old)) => new < old,
            (new, None) => new.is_some(),
            (None, Some(_)) => false,
        };
        // A late alarm costs a look at the actor; an early one costs a commit now.
        let must = is_earlier || (is_last && alarm != inner.alarm);
        if inner.is_unchanged() && !must {
            return None;
        }
        let (spans, pairs) = inner.pairs.take_changes();
        let is_new = alarm != inner.alarm;
        inner.alarm_committing = alarm;
        inner.reply_bytes_committing = inner.reply_bytes;
        let changes = DataChanges {
            spans,
            pairs,
            messages: inner.queue.take_changes(),
            schedule: inner.schedule.take_changes(),
            alarm: is_new.then_some(NewAlarm {
                at: alarm,
                set_at: now,
            }),
            is_doomed: std::mem::take(&mut inner.dooms),
            counts_pairs: inner.pairs.take_wants_count(),
        };
        if inner.queue.take_refused() {
            self.arrived.notify_waiters();
        }
        Some(changes)
    }

    /// The commit under way, if it had changes of these, is durable.
    pub(crate) fn committed(&self, kept: Kept) {
        let mut inner = self.lock();
        inner.pairs.committed(kept);
        inner.queue.committed();
        inner.reply_bytes -= std::mem::take(&mut inner.reply_bytes_committing);
        inner.alarm = inner.alarm_committing;
    }

    /// The messages that wait or are taken.
    pub(crate) fn messages(&self) -> Vec<QueueMessage> {
        self.lock().queue.messages()
    }

    /// When the actor must next be awake, as far as the store knows.
    pub(crate) fn alarm(&self) -> Option<Millis> {
        self.lock().alarm
    }

    /// The guest broke down: what has to be kept of that.
    pub(crate) fn crashed(&self) -> DataChanges {
        let now = self.now();
        let mut inner = self.lock();
        let was_busy = inner.is_run_busy();
        let messages = inner.queue.crashed(now);
        let schedule = inner.schedule.crashed(now);
        let has_run = self.setup.active.description.handlers.run;
        let has_to_run = has_run && (was_busy || !messages.is_empty());
        let alarm = if has_to_run {
            Some(Millis(0))
        } else {
            inner.schedule.alarm().into_iter().chain(inner.alarm).min()
        };
        inner.alarm_committing = alarm;
        DataChanges {
            messages,
            schedule,
            alarm: (alarm != inner.alarm).then_some(NewAlarm {
                at: alarm,
                set_at: now,
            }),
            ..DataChanges::default()
        }
    }

    fn count(&self, kind: WorkKind, change: impl Fn(usize) -> usize) {
        let mut inner = self.lock();
        let count = match kind {
            WorkKind::WaitUntil => &mut inner.wait_until,
            WorkKind::KeepAwake => &mut inner.keep_awake,
        };
        *count = change(*count);
        inner.has_paused = true;
        drop(inner);
        self.changed.notify_one();
    }
}

impl Inner {
    /// If the clock was set back, nobody waits for what has become the far future.
    fn look_at_clock(&mut self, now: Millis) {
        let was_set_back = self.latest.0.saturating_sub(now.0) > SLACK_MS;
        self.latest = if was_set_back {
            now
        } else {
            self.latest.max(now)
        };
        if was_set_back {
            self.schedule.set_clock(now);
            self.queue.set_clock(now);
        }
    }

    fn holds_stop(&self) -> bool {
        self.keep_awake + self.wait_until > 0 || self.run == Run::Running
    }

    fn is_run_busy(&self) -> bool {
        self.run == Run::Running && (self.run_waits == 0 || self.waits_for_others)
    }

    fn is_unchanged(&self) -> bool {
        self.pairs.is_unchanged()
            && self.queue.is_unchanged()
            && self.schedule.is_unchanged()
            && !self.dooms
    }

    /// When the actor must next be awake, if it ended now.
    fn alarm_at(&self, now: Millis, has_run: bool) -> Option<Millis> {
        // A run loop that is at work has to be taken up again at once, and a destruction to be carried out.
        if self.is_doomed || self.is_resumed || (self.is_run_busy() && !self.is_aborted) {
            return Some(Millis(0));
        }
        // So has one for which there is a message: it may not have got round to it.
        let has_mail = self.has_late_mail || (self.queue.has_ready() && !self.is_aborted);
        if has_run && has_mail {
            return Some(Millis(0));
        }
        let delayed = self.queue.first_delayed().filter(|_| has_run);
        let interrupted = has_run && self.is_interrupted;
        let again = interrupted.then(|| Millis(now.0.saturating_add(AGAIN_AFTER_MS)));
        let schedule = self.schedule.alarm();
        schedule.into_iter().chain(delayed).chain(again).min()
    }
}
