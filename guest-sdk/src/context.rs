//! What an action can reach.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use crate::bindings::greenroom::actor::types::Identity;
use crate::bindings::greenroom::actor::{stopping, store};
use crate::client::Arguments;
use crate::component::Actor;
use crate::conn::Conn;
use crate::events::{self, Named};

/// Everything an action can reach but the state: who the actor is, and its vars.
///
/// Plain `fn` actions have the state as `self` and take `&Env<Self>` for the rest.
pub struct Env<A: Actor> {
    identity: Identity,
    vars: RefCell<Option<A::Vars>>,
    /// By id, which is by time.
    conns: RefCell<BTreeMap<String, Conn<A>>>,
}

impl<A: Actor> Env<A> {
    /// The actor's id: opaque, unique for ever.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.identity.id
    }

    /// The actor's key.
    #[must_use]
    pub fn key(&self) -> &[String] {
        &self.identity.key
    }

    /// The name of the actor's type.
    #[must_use]
    pub fn actor_type(&self) -> &str {
        &self.identity.actor_type
    }

    /// The namespace the actor lives in.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.identity.namespace
    }

    /// The connections of the actor, oldest first.
    ///
    /// Short ones (of stateless calls and raw requests) are among them if the type has connection state, a hook of
    /// connections, or a function that takes the connection.
    #[must_use]
    pub fn conns(&self) -> Vec<Conn<A>> {
        self.conns.borrow().values().cloned().collect()
    }

    /// The connection with this id, if it is one of [`conns`](Self::conns).
    #[must_use]
    pub fn conn(&self, id: &str) -> Option<Conn<A>> {
        self.conns.borrow().get(id).cloned()
    }

    /// Sends an event to every client that has subscribed to it: a declared [`Event`](crate::Event), or any name.
    ///
    /// # Panics
    ///
    /// If the argument cannot be serialized.
    #[expect(clippy::needless_pass_by_value, reason = "a constant or a text")]
    pub fn broadcast<T: Serialize + ?Sized>(&self, event: impl Named<T>, argument: &T) {
        events::broadcast(&event, argument);
    }

    /// Sends an event with several arguments, a tuple.
    ///
    /// # Panics
    ///
    /// If an argument cannot be serialized.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a tuple made for the occasion"
    )]
    pub fn broadcast_args(&self, event: &str, arguments: impl Arguments) {
        events::broadcast_args(event, &arguments);
    }

    /// Asks to sleep as soon as what was begun is finished. Connections that can hibernate stay open.
    pub fn sleep(&self) {
        stopping::sleep();
    }

    /// Asks to be removed for good, with all data, as soon as what was begun is finished.
    pub fn destroy(&self) {
        stopping::destroy();
    }

    /// Lends the vars: what the actor keeps in memory and nowhere else.
    ///
    /// # Panics
    ///
    /// If called again inside the closure, or while the vars are being made.
    pub fn vars<R>(&self, visit: impl FnOnce(&mut A::Vars) -> R) -> R {
        let mut vars = self.vars.borrow_mut();
        visit(
            vars.as_mut()
                .expect("the vars are made before anything else runs"),
        )
    }
}

/// What an `async` action gets: an [`Env`], and the state for a moment at a time. Cheap to clone.
pub struct Context<A: Actor>(Rc<Inner<A>>);

struct Inner<A: Actor> {
    env: Env<A>,
    state: RefCell<Option<A>>,
    /// The state may have changed since it was last saved.
    is_changed: Cell<bool>,
    /// The state may have changed since the hook for that last ran.
    is_touched: Cell<bool>,
}

impl<A: Actor> Clone for Context<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Actor> Deref for Context<A> {
    type Target = Env<A>;

    fn deref(&self) -> &Env<A> {
        &self.0.env
    }
}

impl<A: Actor> Context<A> {
    pub(crate) fn new(identity: Identity) -> Self {
        let env = Env {
            identity,
            vars: RefCell::default(),
            conns: RefCell::default(),
        };
        Self(Rc::new(Inner {
            env,
            state: RefCell::default(),
            is_changed: Cell::new(false),
            is_touched: Cell::new(false),
        }))
    }

    /// Lends the state to look at.
    ///
    /// # Panics
    ///
    /// If called inside the closure of [`update`](Self::update), or before the state was made.
    pub fn read<R>(&self, visit: impl FnOnce(&A) -> R) -> R {
        let state = self.0.state.borrow();
        visit(
            state
                .as_ref()
                .expect("the state is made before anything else runs"),
        )
    }

    /// Lends the state to change. It is saved before anything that the actor says afterwards is heard.
    ///
    /// # Panics
    ///
    /// If called inside the closure of [`read`](Self::read) or `update`, or before the state was made.
    pub fn update<R>(&self, visit: impl FnOnce(&mut A) -> R) -> R {
        self.0.is_changed.set(true);
        self.0.is_touched.set(true);
        let mut state = self.0.state.borrow_mut();
        visit(
            state
                .as_mut()
                .expect("the state is made before anything else runs"),
        )
    }

    /// Returns when everything changed so far is durable. Only for actions that go on for long: whatever an
    /// actor says waits for its writes anyway.
    pub async fn save(&self) {
        store::save().await;
    }

    /// Sees to it that everything changed so far is durable `within` this time, even if the action goes on.
    pub fn save_within(&self, within: Duration) {
        crate::spawn(async move {
            crate::time::sleep(within / 2).await;
            store::save().await;
        });
    }

    pub(crate) fn list(&self, conn: Conn<A>) {
        conn.set_listed(true);
        let mut conns = self.0.env.conns.borrow_mut();
        conns.insert(conn.id().to_owned(), conn);
    }

    pub(crate) fn unlist(&self, id: &str) -> Option<Conn<A>> {
        let conn = self.0.env.conns.borrow_mut().remove(id)?;
        conn.set_listed(false);
        Some(conn)
    }

    pub(crate) fn take_touched(&self) -> bool {
        self.0.is_touched.take()
    }

    pub(crate) fn take_changed_conns(&self) -> Vec<(String, Vec<u8>)> {
        let conns = self.0.env.conns.borrow();
        let changed = conns.iter();
        changed
            .filter_map(|(id, conn)| Some((id.clone(), conn.take_changed()?)))
            .collect()
    }

    pub(crate) fn set_state(&self, state: A, is_changed: bool) {
        *self.0.state.borrow_mut() = Some(state);
        self.0.is_changed.set(is_changed);
    }

    pub(crate) fn set_vars(&self, vars: A::Vars) {
        *self.0.env.vars.borrow_mut() = Some(vars);
    }

    /// The state, if it may have changed since it was last taken.
    pub(crate) fn take_changed<R>(&self, visit: impl FnOnce(&A) -> R) -> Option<R> {
        let is_changed = self.0.is_changed.take();
        let state = self.0.state.borrow();
        state.as_ref().filter(|_| is_changed).map(visit)
    }
}
