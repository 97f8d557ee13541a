//! What leaves the actor besides answers, and connections that come and go.

use std::sync::Arc;

use greenroom_model::{ActorError, ConnId, ConnKind, Outgoing, codes};
use greenroom_runtime::{Crash, Effect, Failure, Guest};

use crate::activation::{Activation, End, Goodbye};
use crate::body::{GatedBody, Over};
use crate::conn::Conn;
use crate::entry::Entry;
use crate::gate::Held;
use crate::handle::Output;
use crate::orders::Order;
use crate::turns::TurnId;

/// The close code of a connection that ends as it should.
const NORMAL: u16 = 1000;
/// What a guest is told of a connection that the host has to close.
const GOING_AWAY: u16 = 1001;
/// The longest reason that a close frame can carry, in bytes.
const REASON_BYTES_MAX: usize = 123;

impl Activation<'_> {
    /// Takes what turns have sent into the gate. Comes before anything that they did afterwards.
    pub(crate) fn take_effects(&mut self, guest: &Guest<'_>) -> Option<End> {
        let effects = guest.take_effects();
        if effects.is_empty() {
            return None;
        }
        self.is_touched = true;
        let bytes: usize = effects.iter().map(Effect::len).sum();
        if self.gate.add_bytes(bytes) > self.limits.outbox_bytes_max {
            return Some(self.crashed(&Crash::Outbox));
        }
        effects.into_iter().for_each(|effect| self.hold(effect));
        None
    }

    /// A connection that the guest may speak to: one that it has let in, or is about to.
    fn spoken_to(&self, id: ConnId) -> Option<&Arc<Conn>> {
        let opening = self.opening.get(&id).map(|opening| &opening.conn);
        opening.or_else(|| self.conns.get(id))
    }

    fn hold(&mut self, effect: Effect) {
        match effect {
            Effect::Broadcast(event) => {
                let audience = self.conns.subscribers(&event.name);
                if !audience.is_empty() {
                    self.gate.hold(Held::Broadcast(audience, event));
                }
            }
            Effect::Send(id, event) => {
                let conn = self.spoken_to(id);
                if let Some(conn) = conn.filter(|conn| conn.kind() == ConnKind::Realtime) {
                    let held = Held::Send(conn.clone(), Outgoing::Event(event));
                    self.gate.hold(held);
                }
            }
            Effect::Message(id, message) => {
                let conn = self.spoken_to(id);
                if let Some(conn) = conn.filter(|conn| conn.kind() == ConnKind::Websocket) {
                    let held = Held::Send(conn.clone(), Outgoing::Message(message));
                    self.gate.hold(held);
                }
            }
            Effect::Close(id, code, reason) => {
                if let Some(conn) = self.spoken_to(id) {
                    let code = code.filter(|code| is_sendable(*code)).unwrap_or(NORMAL);
                    let held = Held::Close(conn.clone(), code, cut(reason));
                    self.gate.hold(held);
                }
            }
            Effect::Sleep => self.shared.orders.give(Order::Sleep),
            Effect::Destroy => {
                self.data.doom();
                self.shared.orders.give(Order::Destroy);
            }
        }
    }

    /// The guest has let a connection in, or has not.
    pub(crate) fn connected(
        &mut self,
        turn: TurnId,
        conn: Arc<Conn>,
        output: Result<Output, Failure>,
    ) -> Option<Entry> {
        let opening = self.opening.remove(&conn.id());
        if let Err(failure) = output {
            let error = self.public(failure);
            if let Some(caller) = self.turns.end(turn) {
                self.gate.hold(Held::Answer(caller, Err(error)));
            }
            return None;
        }
        let state = opening.and_then(|opening| opening.state);
        self.conns.insert(conn.clone(), state);
        if conn.gone().is_some() || !self.turns.is_waited_for(turn) {
            // The client did not wait for it.
            self.turns.end(turn);
            self.leave(conn.id());
            return None;
        }
        self.sockets.insert(&conn);
        self.gate.hold(Held::Open(conn.clone()));
        if conn.kind() == ConnKind::Websocket {
            return Some(Entry::Websocket(turn, conn));
        }
        if let Some(caller) = self.turns.end(turn) {
            self.gate.hold(Held::Answer(caller, Ok(Output::Done)));
        }
        None
    }

    /// A subscription was allowed, or not.
    pub(crate) fn subscribed(
        &mut self,
        turn: TurnId,
        conn: &Arc<Conn>,
        event: String,
        is_allowed: bool,
        output: Result<Output, Failure>,
    ) {
        match output {
            Ok(_) if is_allowed => self.subscribe(conn, event, true),
            Ok(_) => {
                let text = format!("this connection may not have the event {event:?}");
                let error = ActorError::new(codes::AUTH_FORBIDDEN, text);
                self.gate.hold(Held::Refuse(conn.clone(), error));
            }
            Err(failure) => {
                let error = self.public(failure);
                self.gate.hold(Held::Refuse(conn.clone(), error));
            }
        }
        if let Some(caller) = self.turns.end(turn) {
            // After the refusal, so that what the client sends next meets it.
            self.gate.hold(Held::Answer(caller, Ok(Output::Done)));
        }
    }

    /// The guest has answered a raw request, or has not.
    pub(crate) fn responded(
        &mut self,
        turn: TurnId,
        id: ConnId,
        is_told: bool,
        output: Result<Output, Failure>,
    ) {
        let output = match output {
            Ok(Output::Response(Some(response))) => {
                self.requests.insert(id, is_told);
                let over = Over {
                    shared: self.shared.clone(),
                    id,
                };
                let bytes_max = self.limits.raw_body_bytes_max;
                let barriers = self.barrier_sender.clone();
                let response = response.map(|body| {
                    let body = GatedBody::new(body, barriers, bytes_max, over);
                    http_body_util::BodyExt::boxed_unsync(body)
                });
                Ok(Output::Response(Some(Box::new(response))))
            }
            Ok(_) => {
                let text = "onRequest handler must return a Response";
                Err(ActorError::new(codes::NO_RESPONSE, text))
            }
            Err(failure) => Err(self.public(failure)),
        };
        let is_over = output.is_err();
        if let Some(caller) = self.turns.end(turn) {
            self.gate.hold(Held::Answer(caller, output));
        }
        if is_over && is_told {
            self.leave_short(id);
        }
    }

    /// Those who are gone are taken out.
    pub(crate) fn take_gone(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        if self.active.description.options.cancel_abandoned {
            let abandoned = self.turns.of_calls(&self.shared.take_abandoned());
            entries.extend(abandoned.into_iter().map(Entry::Cancel));
        }
        for id in self.shared.take_gone() {
            if self.active.description.options.cancel_abandoned {
                entries.extend(self.turns.of_conn(id).into_iter().map(Entry::Cancel));
            }
            match self.requests.remove(&id) {
                Some(true) => self.leave_short(id),
                Some(false) => {}
                None => self.leave(id),
            }
        }
        entries
    }

    /// Has the guest told that a long connection is over, once.
    pub(crate) fn leave(&mut self, id: ConnId) {
        self.leave_as(id, None);
    }

    fn leave_as(&mut self, id: ConnId, how: Option<(u16, String)>) {
        if let Some(closed) = self.conns.leave(id, how) {
            self.goodbyes.push_back(Goodbye { id, closed });
        }
    }

    /// Has the guest told that a short connection is over.
    pub(crate) fn leave_short(&mut self, id: ConnId) {
        let closed = None;
        self.goodbyes.push_back(Goodbye { id, closed });
    }

    /// Closes what cannot outlive a sleep or a destruction, and has the guest told.
    pub(crate) fn end_connections(&mut self, order: Order) {
        let reason = match order {
            Order::Upgrade => return,
            Order::Sleep => "actor.stopped",
            Order::Destroy => "",
        };
        let ending = self.conns.ending(order == Order::Destroy);
        for conn in ending {
            let id = conn.id();
            conn.set_ended();
            self.gate.hold(Held::Close(conn, NORMAL, reason.to_owned()));
            self.leave_as(id, Some((GOING_AWAY, reason.to_owned())));
        }
    }
}

/// Which codes may stand in a close frame (RFC 6455, section 7.4).
const fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

fn cut(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    reason
}
