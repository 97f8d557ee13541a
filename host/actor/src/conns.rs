//! The connections of one awake actor: those that its guest knows of.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use greenroom_model::{ActorTypeDescription, ConnId, ConnKind, Opening};
use greenroom_runtime::Restored;
use greenroom_storage::{ConnChange, ConnRecord};

use crate::conn::Conn;

/// Events whose audiences are remembered.
const AUDIENCES_MAX: usize = 16;

/// The connections of an activation. Ids are ordered by time, and so are these.
#[derive(Debug, Default)]
pub(crate) struct Conns {
    live: BTreeMap<ConnId, Live>,
    counts: Counts,
    /// Who hears which event, as far as that was asked since it last changed.
    audiences: HashMap<String, Arc<[Arc<Conn>]>>,
    /// Whether they are saved.
    is_saved: bool,
    changed: BTreeSet<ConnId>,
    removed: Vec<ConnId>,
    connections_keep_awake: bool,
    websockets_hibernate: bool,
}

/// What is asked all the time, counted instead of looked for.
#[derive(Debug, Default)]
struct Counts {
    /// How many bytes all their openings have.
    opening_bytes: usize,
    realtime: usize,
    websockets: usize,
    /// Those of them that the guest is being told are gone.
    leaving: usize,
}

impl Counts {
    fn add(&mut self, opening: &Opening) {
        self.opening_bytes += opening.bytes();
        if let Some(count) = self.of(opening.kind) {
            *count += 1;
        }
    }

    fn remove(&mut self, live: &Live) {
        self.opening_bytes -= live.opening.bytes();
        self.leaving -= usize::from(live.is_leaving);
        if let Some(count) = self.of(live.opening.kind) {
            *count -= 1;
        }
    }

    const fn of(&mut self, kind: ConnKind) -> Option<&mut usize> {
        match kind {
            ConnKind::Realtime => Some(&mut self.realtime),
            ConnKind::Websocket => Some(&mut self.websockets),
            ConnKind::Call | ConnKind::Request => None,
        }
    }
}

#[derive(Debug)]
struct Live {
    opening: Arc<Opening>,
    /// `None` if the client went while the actor was not there.
    conn: Option<Arc<Conn>>,
    state: Option<Bytes>,
    /// The guest is being told that it is gone.
    is_leaving: bool,
    /// The store knows it, or will with the commit under way.
    is_stored: bool,
}

impl Conns {
    /// Those that the store knows, and those whose sockets are there.
    pub(crate) fn restore(
        description: &ActorTypeDescription,
        records: Vec<ConnRecord>,
        sockets: Vec<Arc<Conn>>,
    ) -> Self {
        let ActorTypeDescription {
            handlers, options, ..
        } = description;
        let mut conns = Self {
            // Handlers of raw WebSockets hear of their end as well.
            is_saved: handlers.connections || handlers.websocket,
            connections_keep_awake: options.connections_keep_awake,
            websockets_hibernate: options.websockets_hibernate,
            ..Self::default()
        };
        for ConnRecord { opening, state } in records {
            let live = Live {
                opening,
                conn: None,
                state,
                is_leaving: false,
                is_stored: true,
            };
            conns.live.insert(live.opening.id, live);
        }
        for conn in sockets {
            let live = conns.live.entry(conn.id()).or_insert_with(|| Live {
                opening: conn.opening.clone(),
                conn: None,
                state: None,
                is_leaving: false,
                is_stored: false,
            });
            live.conn = Some(conn);
        }
        for live in conns.live.values() {
            conns.counts.add(&live.opening);
        }
        conns
    }

    /// What the guest is told of them when it wakes.
    pub(crate) fn to_restored(&self) -> Vec<Restored> {
        let restored = self.live.values().map(|live| Restored {
            opening: live.opening.clone(),
            can_hibernate: self.can_hibernate(live.opening.kind),
            state: live.state.clone(),
        });
        restored.collect()
    }

    /// Those whose clients are gone already.
    pub(crate) fn orphans(&self) -> Vec<ConnId> {
        let orphans = self.live.iter().filter(|(_, live)| live.conn.is_none());
        orphans.map(|(id, _)| *id).collect()
    }

    pub(crate) const fn can_hibernate(&self, kind: ConnKind) -> bool {
        match kind {
            ConnKind::Realtime => true,
            ConnKind::Websocket => self.websockets_hibernate,
            ConnKind::Call | ConnKind::Request => false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// How many bytes all their openings have.
    pub(crate) const fn opening_bytes(&self) -> usize {
        self.counts.opening_bytes
    }

    pub(crate) fn insert(&mut self, conn: Arc<Conn>, state: Option<Bytes>) {
        let id = conn.id();
        let live = Live {
            opening: conn.opening.clone(),
            conn: Some(conn),
            state,
            is_leaving: false,
            is_stored: false,
        };
        self.audiences.clear();
        self.counts.add(&live.opening);
        // Ids are unique: nobody is replaced.
        self.live.insert(id, live);
        self.changed.insert(id);
    }

    /// The socket of a connection that the guest knows of and that is still there.
    pub(crate) fn get(&self, id: ConnId) -> Option<&Arc<Conn>> {
        let live = self.live.get(&id).filter(|live| !live.is_leaving);
        live.and_then(|live| live.conn.as_ref())
    }

    /// Begins to take a connection out: what the guest is to be told of how it went, if it is a raw WebSocket.
    /// `None` if there is no such connection, or it is being taken out already.
    pub(crate) fn leave(
        &mut self,
        id: ConnId,
        how: Option<(u16, String)>,
    ) -> Option<Option<(u16, String)>> {
        let live = self.live.get_mut(&id).filter(|live| !live.is_leaving)?;
        live.is_leaving = true;
        self.counts.leaving += 1;
        let how = how.or_else(|| live.conn.as_ref().and_then(|conn| conn.gone()));
        // One that went while the actor was not there vanished.
        let how = how.unwrap_or_else(|| (1006, String::new()));
        Some((live.opening.kind == ConnKind::Websocket).then_some(how))
    }

    /// The guest has been told that it is gone.
    pub(crate) fn remove(&mut self, id: ConnId) {
        if let Some(live) = self.live.remove(&id) {
            self.audiences.clear();
            self.counts.remove(&live);
            self.changed.remove(&id);
            if live.is_stored {
                self.removed.push(id);
            }
        }
    }

    /// Who has subscribed to an event. It is one list for all its events, until somebody subscribes or goes.
    pub(crate) fn subscribers(&mut self, event: &str) -> Arc<[Arc<Conn>]> {
        if let Some(audience) = self.audiences.get(event) {
            return audience.clone();
        }
        let open = self.live.values().filter_map(|live| live.conn.as_ref());
        let audience: Arc<[_]> = open
            .filter(|conn| conn.is_subscribed(event))
            .cloned()
            .collect();
        if self.audiences.len() >= AUDIENCES_MAX {
            self.audiences.clear();
        }
        self.audiences.insert(event.to_owned(), audience.clone());
        audience
    }

    /// Somebody has subscribed to something, or no longer.
    pub(crate) fn subscribed(&mut self) {
        self.audiences.clear();
    }

    /// All that have to go when the actor sleeps, or is destroyed.
    pub(crate) fn ending(&self, is_destroyed: bool) -> Vec<Arc<Conn>> {
        let open = self.live.values().filter(|live| !live.is_leaving);
        open.filter_map(|live| live.conn.as_ref())
            .filter(|conn| is_destroyed || !self.can_hibernate(conn.kind()))
            .cloned()
            .collect()
    }

    /// Whether one of them does not let the actor sleep for want of work.
    pub(crate) const fn keep_awake(&self) -> bool {
        self.would_lose() || self.connections_keep_awake && self.counts.realtime > 0
    }

    /// Whether something is under way with one of them, or one would be closed if the actor slept.
    pub(crate) const fn would_lose(&self) -> bool {
        self.counts.leaving > 0 || !self.websockets_hibernate && self.counts.websockets > 0
    }

    /// Takes up what the guest says of their states. States of short connections are not kept.
    pub(crate) fn set_states(&mut self, states: Vec<(ConnId, Bytes)>) {
        for (id, state) in states {
            if let Some(live) = self.live.get_mut(&id) {
                live.state = Some(state);
                self.changed.insert(id);
            }
        }
    }

    /// What has to be kept of them with the next commit.
    pub(crate) fn take_changes(&mut self) -> Vec<ConnChange> {
        let changed = std::mem::take(&mut self.changed);
        let removed = std::mem::take(&mut self.removed);
        // A type that has stopped saving them may have some left in the store.
        let mut changes: Vec<ConnChange> = removed.into_iter().map(ConnChange::Remove).collect();
        for id in changed.iter().filter(|_| self.is_saved) {
            if let Some(live) = self.live.get_mut(id) {
                live.is_stored = true;
                changes.push(ConnChange::Put(ConnRecord {
                    opening: live.opening.clone(),
                    state: live.state.clone(),
                }));
            }
        }
        changes
    }
}
