//! How an activation comes to its end in order: what was begun finishes, the guest is told, what is left is kept,
//! all within the grace.
//!
//! A turn may wait for another actor that calls back. Such a *callback* still gets in, by its lineage, or the
//! two would wait for each other until the grace is over. Other calls do not: an upgrade leaves them for
//! the next instance, and in every other case they go back to the router, which enters them again when
//! the activation has ended.

use std::ops::ControlFlow;

use futures::stream::StreamExt;
use greenroom_model::ActorTypeOptions;
use greenroom_runtime::{Guest, StopReason};
use tokio::time::Instant;
use tracing::warn;

use crate::activation::{Activation, End, Event, Running};
use crate::entry::{Entry, enter};
use crate::handle::Call;
use crate::orders::Order;
use crate::persist::next_kept;

/// How far a stop lets turns go.
#[derive(Clone, Copy)]
enum Until {
    /// Until nobody waits for an answer; turns that are overdue do not count.
    Answered,
    /// Until the guest has returned from its stop hook as well, from its run loop, and from the background work that it
    /// has announced.
    Stopped,
}

impl Activation<'_> {
    /// Stops; the end is what was ordered, unless something goes wrong.
    pub(crate) async fn stop<'g>(
        &mut self,
        guest: &'g Guest<'_>,
        mut running: Running<'g>,
        order: Order,
    ) -> End
    where
        Self: 'g,
    {
        let options = &self.active.description.options;
        let grace = ActorTypeOptions::or_default(options.stop_grace_ms, self.limits.stop_grace);
        let grace_over = Instant::now() + grace;
        // The hard end, for a guest that computes or does not return.
        self.turns.end_by(Some(grace_over + grace));
        let reason = match order {
            Order::Upgrade => StopReason::Upgrade,
            Order::Sleep => StopReason::Sleep,
            Order::Destroy => StopReason::Destroy,
        };
        self.data.abort(self.shared.is_closing());
        running.push(enter(guest, self.identity, Entry::Abort(reason)));
        // Who calls an actor that had asked to be no more calls the next of its name.
        if order != Order::Upgrade && !self.is_doomed {
            // Who called before the order is answered.
            while let Some(call) = self
                .left
                .pop_front()
                .or_else(|| self.mailbox.try_recv().ok())
            {
                self.admit(guest, &mut running, call);
            }
        }
        let mut draining = Draining {
            order,
            // Calls that do not end leave some of the time to the hook.
            grace_over: grace_over - grace / 4,
            until: Until::Answered,
        };
        if let Some(end) = self.drain(guest, &mut running, &draining).await {
            return end;
        }
        running.push(enter(guest, self.identity, Entry::Stop(reason)));
        draining.until = Until::Stopped;
        draining.grace_over = grace_over;
        if let Some(end) = self.drain(guest, &mut running, &draining).await {
            return end;
        }
        // After the stop hook, which may have had something to say to them.
        self.end_connections(order);
        if let Some(end) = self.drain(guest, &mut running, &draining).await {
            return end;
        }
        if order != Order::Upgrade {
            self.mailbox.close();
            // Dropping a call hands it back.
            while let Ok(call) = self.mailbox.try_recv() {
                drop(call);
            }
        }
        End::from(order)
    }

    /// Handles what happens until `running` is as far as wanted and everything is kept, or the grace is over.
    async fn drain<'g>(
        &mut self,
        guest: &'g Guest<'_>,
        running: &mut Running<'g>,
        draining: &Draining,
    ) -> Option<End>
    where
        Self: 'g,
    {
        let mut is_in_grace = true;
        loop {
            if is_in_grace {
                self.say_goodbyes(guest, running);
            }
            if Instant::now() < draining.grace_over {
                self.is_touched |= self.data.is_changed();
            }
            let is_busy =
                self.turns.has_callers() || !self.goodbyes.is_empty() || !self.requests.is_empty();
            let is_waited_for = match draining.until {
                Until::Answered => is_busy,
                Until::Stopped => !self.is_stopped || is_busy || self.data.holds_stop(),
            };
            // A request may be over for the guest while its response is still on its way.
            let is_running = is_in_grace && is_waited_for;
            if !is_running && self.commit.is_none() && !self.is_touched {
                return None;
            }
            let can_leave = self.left.len() < self.limits.mailbox_calls_max;
            let has_room = running.len() < self.limits.turns_max;
            let event = tokio::select! {
                biased;
                Some(ended) = running.next() => Event::Ended(ended),
                kept = next_kept(&mut self.commit) => Event::Committed(kept),
                Some(barrier) = self.barriers.recv() => Event::Waits(barrier),
                () = self.effects.notified() => Event::Sent,
                () = self.shared.is_gone.notified() => Event::Gone,
                () = self.data.changed.notified() => Event::Changed,
                Some(call) = self.mailbox.recv(), if is_running && can_leave => Event::Called(call),
                () = std::future::ready(()), if self.can_settle() => Event::Settle,
                () = tokio::time::sleep_until(draining.grace_over), if is_running => Event::GraceOver,
            };
            match event {
                Event::Called(call) if has_room && call.lineage.has(self.identity.id) => {
                    self.admit(guest, running, call);
                }
                Event::Called(call) if draining.order == Order::Upgrade => {
                    // Never handed back: who is, waits for the end of the activation, and this one goes on.
                    self.left.push_back(call);
                }
                // Dropping a call hands it back.
                Event::Called(call) => drop(call),
                Event::GraceOver if matches!(draining.until, Until::Answered) => {
                    return None;
                }
                Event::GraceOver => {
                    // What is left is cut off; what it has changed so far is kept.
                    is_in_grace = false;
                    self.is_touched = true;
                    self.is_stopped = true;
                    self.data.cut();
                    warn!(actor_id = %self.identity.id, turns = running.len(), "turns are cut off");
                    running.clear();
                    self.requests.clear();
                }
                other => match self.handle(guest, running, other).await {
                    ControlFlow::Break(end) => return Some(end),
                    ControlFlow::Continue(entries) if is_in_grace => {
                        self.enter_all(guest, running, entries);
                    }
                    ControlFlow::Continue(_) => {}
                },
            }
        }
    }

    /// Lets a call in, if there is room for another turn. Without room it is handed back, which is only for
    /// activations that end.
    fn admit<'g>(&mut self, guest: &'g Guest<'_>, running: &mut Running<'g>, call: Call)
    where
        Self: 'g,
    {
        if running.len() >= self.limits.turns_max {
            drop(call);
        } else if let Some(entry) = self.begin(call) {
            running.push(enter(guest, self.identity, entry));
        }
    }
}

/// What is being drained for.
struct Draining {
    order: Order,
    grace_over: Instant,
    until: Until,
}
