//! From what somebody wants to a call into the guest, or to the answer that it cannot be.

use std::ops::ControlFlow;
use std::sync::Arc;

use greenroom_model::{ActorError, ActorSpecifier, ConnKind, Head, Lineage, codes};
use greenroom_runtime::Failure;

use crate::activation::{Activation, BeingOpened, End, FailedStart};
use crate::conn::Conn;
use crate::entry::{By, Entry, Sending};
use crate::gate::Held;
use crate::handle::{Begun, Call, Caller, Output, Reply, What, refuse};
use crate::persist::too_large;
use crate::revisions::Report;
use crate::turns::TurnId;

/// The longest name of an event that is subscribed to, in bytes.
const EVENT_NAME_BYTES_MAX: usize = 256;

impl Activation<'_> {
    /// The guest has started, or could not.
    pub(crate) fn started(
        &mut self,
        output: Result<Output, Failure>,
    ) -> ControlFlow<End, Vec<Entry>> {
        match output {
            Ok(Output::Migrated(state)) if state.len() > self.limits.state_bytes_max => {
                let error = too_large(state.len(), self.limits.state_bytes_max);
                let reason = Some(error.message.to_string());
                return ControlFlow::Break(End::Failed(FailedStart { error, reason }));
            }
            Ok(Output::Migrated(state)) => self.migrated = Some(state),
            Ok(_) => {}
            Err(failure) => {
                // What somebody gives to a creation is not the fault of the code that refuses it.
                let is_refusal = self.head == Head(0) && matches!(failure, Failure::Public(_));
                let reason = (!is_refusal).then(|| failure.to_string());
                let error = self.public(failure);
                return ControlFlow::Break(End::Failed(FailedStart { error, reason }));
            }
        }
        self.is_started = true;
        if self.is_serving() {
            self.serves();
        }
        // Clients that went while the actor was not there.
        for id in self.conns.orphans() {
            self.leave(id);
        }
        ControlFlow::Continue(self.begin_run().into_iter().collect())
    }

    /// From now on there are calls to be let in.
    pub(crate) fn serves(&self) {
        self.report_started();
        self.shared.set_started();
        self.turns.end_by(None);
    }

    pub(crate) fn report_started(&self) {
        let report = Report::Started;
        self.revisions
            .report(self.identity.id, self.active.revision_id, report);
    }

    /// Lets a call into the guest, if it can be carried out.
    pub(crate) fn begin(&mut self, call: Call) -> Option<Entry> {
        let (what, reply, lineage, number) = call.take();
        match what {
            What::Action { from, action, args } => {
                let (by, begun) = self.called_by(from, reply)?;
                let actions = &self.active.description.actions;
                if actions.iter().all(|known| known.name != action) {
                    begun.answer(Err(self.no_action(&action)));
                    return None;
                }
                if begun.has_gone() && self.active.description.options.cancel_abandoned {
                    return None;
                }
                let turn = self.turns.begin(number, begun, lineage);
                Some(Entry::Call {
                    turn,
                    by,
                    action,
                    args,
                })
            }
            What::Connect(conn) => self.begin_connect(conn, reply),
            What::Subscribe {
                conn,
                event,
                is_wanted,
            } => self.begin_subscribe(conn, event, is_wanted, reply),
            What::Message(conn, message) => {
                accept(reply);
                // To a connection that is on its way out nothing more can be said.
                self.conns
                    .get(conn.id())
                    .filter(|conn| !conn.is_closing())?;
                let turn = self.begin_raw(Begun::nobody(), lineage);
                let index = conn.next_message();
                Some(Entry::Message(turn, conn, message, index))
            }
            What::Send {
                from,
                queue,
                body,
                is_waited_for,
            } => {
                let message = Sending {
                    queue,
                    body,
                    is_waited_for,
                };
                self.begin_send(from, message, reply)
            }
            What::Inspect(what) => {
                self.inspect(what, reply);
                None
            }
            What::Request(opening, request) => {
                if !self.active.description.handlers.request {
                    _ = reply.send(Ok(Output::Response(None)));
                    return None;
                }
                let turn = self.begin_raw(Begun::reply(reply), lineage);
                let is_told = self.active.description.handlers.connections;
                Some(Entry::Request {
                    turn,
                    opening,
                    is_told,
                    request,
                })
            }
        }
    }

    fn begin_raw(&self, begun: Begun, lineage: Lineage) -> TurnId {
        let timeout = self.limits.request_timeout;
        self.turns.begin_within(timeout, begun, lineage)
    }

    /// By what an action is called, and whom to answer; nothing, if that is a connection that cannot call any more.
    fn called_by(&self, from: Caller, reply: Reply) -> Option<(By, Begun)> {
        match from {
            Caller::Conn(conn, number) => {
                accept(reply);
                let begun = Begun::conn(conn.clone(), number, self.specifier());
                let refused = conn.take_refusal().or_else(|| self.is_unknown(&conn));
                if let Some(error) = refused {
                    begun.answer(Err(error));
                    return None;
                }
                Some((By::Conn(conn.id()), begun))
            }
            Caller::Short(short) => {
                let is_told = self.active.description.handlers.connections;
                let by = if is_told {
                    By::Short(short.open())
                } else {
                    By::Nobody
                };
                Some((by, Begun::reply(reply)))
            }
        }
    }

    fn begin_connect(&mut self, conn: Arc<Conn>, reply: Reply) -> Option<Entry> {
        let handlers = &self.active.description.handlers;
        if conn.kind() == ConnKind::Websocket && !handlers.websocket {
            let actor_type = &self.identity.actor_type;
            let text = format!("actors of type {actor_type} take no raw WebSockets");
            refuse(reply, ActorError::new(codes::NO_WEBSOCKET_HANDLER, text));
            return None;
        }
        if self.conns.len() + self.opening.len() >= self.limits.actor_conns_max {
            let most = self.limits.actor_conns_max;
            let text = format!("the actor has {most} connections, as many as it may");
            refuse(reply, ActorError::new(codes::OVERLOADED, text));
            return None;
        }
        let waiting = self.opening.values();
        let waiting: usize = waiting.map(|opening| opening.conn.opening.bytes()).sum();
        let bytes = self.conns.opening_bytes() + waiting + conn.opening.bytes();
        if bytes > self.limits.actor_openings_bytes_max {
            let text =
                "what the actor's clients gave when they connected is as much as it may hold";
            refuse(reply, ActorError::new(codes::OVERLOADED, text));
            return None;
        }
        let timeout = self.limits.connect_timeout;
        let begun = Begun::reply(reply);
        let turn = self.turns.begin_within(timeout, begun, <_>::default());
        let can_hibernate = self.conns.can_hibernate(conn.kind());
        let opening = BeingOpened {
            conn: conn.clone(),
            state: None,
        };
        self.opening.insert(conn.id(), opening);
        Some(Entry::Connect {
            turn,
            conn,
            can_hibernate,
        })
    }

    fn begin_subscribe(
        &mut self,
        conn: Arc<Conn>,
        event: String,
        is_wanted: bool,
        reply: Reply,
    ) -> Option<Entry> {
        if self.conns.get(conn.id()).is_none() {
            // It is being told goodbye: there is nothing that it could still hear.
            accept(reply);
            return None;
        }
        let events = &self.active.description.events;
        let is_guarded = events
            .iter()
            .any(|known| known.guarded && known.name == event);
        if is_wanted && is_guarded {
            // Answered when it is decided: what the client sends next may count on the subscription.
            let timeout = self.limits.connect_timeout;
            let begun = Begun::reply(reply);
            let turn = self.turns.begin_within(timeout, begun, <_>::default());
            return Some(Entry::Subscribe(turn, conn, event));
        }
        accept(reply);
        // What is refused waits for a look at the state, like everything else that is said.
        self.is_touched = true;
        self.subscribe(&conn, event, is_wanted);
        None
    }

    pub(crate) fn subscribe(&mut self, conn: &Arc<Conn>, event: String, is_wanted: bool) {
        self.conns.subscribed();
        let most = self.limits.subscriptions_max;
        if is_wanted && event.len() > EVENT_NAME_BYTES_MAX {
            let text = format!("the name of an event has at most {EVENT_NAME_BYTES_MAX} bytes");
            self.gate.hold(Held::Refuse(
                conn.clone(),
                ActorError::new(codes::INVALID_REQUEST, text),
            ));
        } else if !conn.subscribe(event, is_wanted, most) {
            let text = format!("a connection can subscribe to {most} events");
            self.gate.hold(Held::Refuse(
                conn.clone(),
                ActorError::new(codes::INVALID_REQUEST, text),
            ));
        }
    }

    fn is_unknown(&self, conn: &Conn) -> Option<ActorError> {
        let text = "the connection is being closed";
        let is_known = self.conns.get(conn.id()).is_some() && !conn.is_closing();
        (!is_known).then(|| ActorError::new(codes::STOPPED, text))
    }

    fn no_action(&self, action: &str) -> ActorError {
        let text = format!(
            "the actor type {} has no action {:?}",
            self.identity.actor_type,
            action.chars().take(100).collect::<String>(),
        );
        ActorError::new(codes::ACTION_NOT_FOUND, text)
    }

    /// Who answers.
    pub(crate) fn specifier(&self) -> ActorSpecifier {
        ActorSpecifier {
            id: self.identity.id,
            key: self.identity.key.clone(),
            generation: self.generation,
        }
    }
}

/// It has begun; whatever else there is to say goes another way.
fn accept(reply: Reply) {
    _ = reply.send(Ok(Output::Done));
}
