//! What an actor does without being called, and what is sent to its queues.

use std::sync::Arc;

use greenroom_model::{ActorError, Scheduled, codes};
use greenroom_runtime::Failure;

use crate::activation::Activation;
use crate::entry::{Entry, Sending};
use crate::gate::Held;
use crate::handle::{Begun, Inspect, Inspected, Output, Reply, Short};
use crate::turns::TurnId;
use greenroom_model::{ActorData, ConnId};

/// Scheduled actions that begin at once, before anything else is looked at.
const DUE_BATCH: usize = 64;

impl Activation<'_> {
    /// The run loop, if the type has one.
    pub(crate) fn begin_run(&self) -> Option<Entry> {
        let has_run = self.active.description.handlers.run;
        self.data.set_running(has_run);
        has_run.then_some(Entry::Run)
    }

    /// Begins what is due, in the order of its time.
    pub(crate) fn begin_due(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        while entries.len() < DUE_BATCH
            && let Some(entry) = self.data.take_due()
        {
            let actions = &self.active.description.actions;
            if actions.iter().all(|known| known.name != entry.action) {
                let text = format!("there is no action {:?} any more", entry.action);
                self.data.ran(&entry, Err(text));
                self.is_touched = true;
                continue;
            }
            let turn = self.turns.begin_alone();
            self.scheduled.insert(turn, entry.clone());
            entries.push(Entry::Scheduled(turn, Box::new(entry)));
        }
        entries
    }

    /// Turns have become overdue. One that was scheduled has failed by that, and is told so: it is tried again, and must not
    /// go on beside that. A call is told, if its type wants to know.
    pub(crate) fn take_overdue(&mut self, turns: Vec<TurnId>) -> Vec<Entry> {
        let wants_to_know = self.active.description.options.cancel_abandoned;
        let mut told = Vec::new();
        for turn in turns {
            // A goodbye that never ends is left behind, so that others can be said.
            if self.saying.remove(&turn) {
                continue;
            }
            let scheduled = self.scheduled.remove(&turn);
            if wants_to_know || scheduled.is_some() {
                told.push(Entry::Cancel(turn));
            }
            if let Some(entry) = scheduled {
                self.is_touched = true;
                self.data.ran(&entry, Err("Action timed out".to_owned()));
            }
        }
        told
    }

    /// A scheduled action has ended. Its changes and the entry's are committed together.
    pub(crate) fn ran(&mut self, turn: TurnId, entry: &Scheduled, output: Result<Output, Failure>) {
        if let Some(nobody) = self.turns.end(turn) {
            nobody.answer(Ok(Output::Done));
        }
        let result = match output {
            Ok(_) => Ok(()),
            Err(Failure::Internal(text)) => {
                self.public(Failure::Internal(text.clone()));
                Err(text)
            }
            Err(Failure::Public(error)) => Err(error.to_string()),
        };
        // If it was overdue, that has been noted already.
        if self.scheduled.remove(&turn).is_some() {
            self.data.ran(entry, result);
        }
    }

    /// Lets a message into its queue, or asks the guest about its sender first.
    pub(crate) fn begin_send(
        &mut self,
        from: Short,
        message: Sending,
        reply: Reply,
    ) -> Option<Entry> {
        let description = &self.active.description;
        let queue = description
            .queues
            .iter()
            .find(|known| known.name == message.queue);
        let Some(queue) = queue else {
            _ = reply.send(Ok(Output::Sent(None)));
            return None;
        };
        let is_guarded = queue.guarded;
        if is_guarded || description.handlers.connections {
            let timeout = self.limits.connect_timeout;
            let begun = Begun::reply(reply);
            let turn = self.turns.begin_within(timeout, begun, <_>::default());
            return Some(Entry::Send {
                turn,
                opening: from.open(),
                is_guarded,
                message: Box::new(message),
            });
        }
        let sent = self.enqueue(message);
        self.gate.hold(Held::Answer(Begun::reply(reply), sent));
        None
    }

    fn enqueue(&mut self, message: Sending) -> Result<Output, ActorError> {
        self.is_touched = true;
        let Sending {
            queue,
            body,
            is_waited_for,
        } = message;
        let sent = self.data.enqueue(queue, body, None, is_waited_for)?;
        Ok(Output::Sent(sent.and_then(|(_, waiting)| waiting)))
    }

    /// The guest has said whether a message may be sent.
    pub(crate) fn sent(
        &mut self,
        turn: TurnId,
        short: Option<ConnId>,
        message: Option<Box<Sending>>,
        output: Result<Output, Failure>,
    ) {
        let sent = match (message, output) {
            (Some(message), Ok(_)) => self.enqueue(*message),
            (None, Ok(_)) => {
                let text = "this connection may not send to that queue";
                Err(ActorError::new(codes::AUTH_FORBIDDEN, text))
            }
            (_, Err(failure)) => Err(self.public(failure)),
        };
        if let Some(caller) = self.turns.end(turn) {
            self.gate.hold(Held::Answer(caller, sent));
        }
        if let Some(id) = short {
            self.leave_short(id);
        }
    }

    /// Lets those who wait know of messages that were completed, once that is durable.
    pub(crate) fn take_completed(&mut self) {
        for (id, reply) in self.data.take_completed() {
            self.is_touched = true;
            let waiters: Arc<_> = self.waiters.clone();
            let held = Held::Complete(waiters, self.identity.id, id, reply);
            self.gate.hold(held);
        }
    }

    /// Tells an operator, or does what one wants.
    pub(crate) fn inspect(&mut self, what: Inspect, reply: Reply) {
        let data = self.data;
        self.is_touched = true;
        let inspected = match what {
            Inspect::Queue => Inspected::Messages(data.messages()),
            Inspect::DeadLetters => Inspected::Messages(data.dead_letters()),
            Inspect::PutBack(id) => match data.put_back(id) {
                Ok(id) => Inspected::PutBack(id),
                Err(error) => {
                    self.gate
                        .hold(Held::Answer(Begun::reply(reply), Err(error)));
                    return;
                }
            },
            Inspect::Discard(id) => Inspected::Done(data.discard(id)),
            Inspect::Schedule => Inspected::Schedule(data.schedule_list(), data.schedule_history()),
            Inspect::Unschedule(id) => Inspected::Done(data.unschedule(&id)),
        };
        let output = Ok(Output::Inspected(inspected));
        self.gate.hold(Held::Answer(Begun::reply(reply), output));
    }
}
