//! What an action can reach.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::Deref;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

use serde::Serialize;

use crate::bindings::greenroom::actor::types::Identity;
use crate::bindings::greenroom::actor::{stopping, store};
use crate::cancel::{Abort, Calls};
use crate::client::Arguments;
use crate::component::Actor;
use crate::conn::Conn;
use crate::events::{self, Named};
use crate::receive::Scope;
use crate::waits::wait;

/// Everything an action can reach but the state: who the actor is, and its vars.
///
/// Plain `fn` actions have the state as `self` and take `&Env<Self>` for the rest.
pub struct Env<A: Actor> {
    identity: Identity,
    vars: RefCell<Option<A::Vars>>,
    /// By id, which is by time.
    conns: RefCell<BTreeMap<String, Conn<A>>>,
    abort: Abort,
    /// What it is the environment of.
    inner: Weak<Inner<A>>,
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

    pub(crate) const fn abort(&self) -> &Abort {
        &self.abort
    }

    /// A context for what is no call of its own.
    pub(crate) fn context(&self) -> Context<A> {
        let inner = self.inner.upgrade();
        Context {
            inner: inner.expect("it is a part of what it points to"),
            scope: Scope::new(false),
        }
    }
}

/// What an `async` action gets: an [`Env`], and the state for a moment at a time. Cheap to clone; clones belong to the
/// same call.
pub struct Context<A: Actor> {
    inner: Rc<Inner<A>>,
    scope: Rc<Scope>,
}

struct Inner<A: Actor> {
    env: Env<A>,
    state: RefCell<Option<A>>,
    /// The state may have changed since it was last saved.
    is_changed: Cell<bool>,
    /// The state may have changed since the hook for that last ran.
    is_touched: Cell<bool>,
    calls: Calls,
}

impl<A: Actor> Clone for Context<A> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            scope: self.scope.clone(),
        }
    }
}

impl<A: Actor> Deref for Context<A> {
    type Target = Env<A>;

    fn deref(&self) -> &Env<A> {
        &self.inner.env
    }
}

impl<A: Actor> Context<A> {
    pub(crate) fn new(identity: Identity) -> Self {
        let inner = Rc::new_cyclic(|inner| Inner {
            env: Env {
                identity,
                vars: RefCell::default(),
                conns: RefCell::default(),
                abort: Abort::default(),
                inner: inner.clone(),
            },
            state: RefCell::default(),
            is_changed: Cell::new(false),
            is_touched: Cell::new(false),
            calls: Calls::default(),
        });
        Self {
            inner,
            scope: Scope::new(false),
        }
    }

    /// The context of one call, or hook, or of the run loop.
    pub(crate) fn enter(&self, is_run: bool) -> Self {
        Self {
            inner: self.inner.clone(),
            scope: Scope::new(is_run),
        }
    }

    /// Lends the state to look at.
    ///
    /// # Panics
    ///
    /// If called inside the closure of [`update`](Self::update), or before the state was made.
    pub fn read<R>(&self, visit: impl FnOnce(&A) -> R) -> R {
        let state = self.inner.state.borrow();
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
        self.inner.is_changed.set(true);
        self.inner.is_touched.set(true);
        let mut state = self.inner.state.borrow_mut();
        visit(
            state
                .as_mut()
                .expect("the state is made before anything else runs"),
        )
    }

    /// Returns when everything changed so far is durable. Only for actions that go on for long: whatever an
    /// actor says waits for its writes anyway. The hook for changed states runs first, if the state has changed.
    pub async fn save(&self) {
        self.settle();
        wait(store::save()).await;
    }

    /// Sees to it that everything changed so far is durable `within` this time, even if the action goes on.
    pub fn save_within(&self, within: Duration) {
        let cx = self.clone();
        crate::spawn(async move {
            crate::time::sleep(within / 2).await;
            cx.save().await;
        });
    }

    pub(crate) fn list(&self, conn: Conn<A>) {
        conn.set_listed(true);
        let mut conns = self.inner.env.conns.borrow_mut();
        conns.insert(conn.id().to_owned(), conn);
    }

    pub(crate) fn unlist(&self, id: &str) -> Option<Conn<A>> {
        let conn = self.inner.env.conns.borrow_mut().remove(id)?;
        conn.set_listed(false);
        Some(conn)
    }

    pub(crate) const fn scope(&self) -> &Rc<Scope> {
        &self.scope
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.inner.calls
    }

    /// Runs the hook for changed states, if the state has changed since it last ran.
    pub(crate) fn settle(&self) {
        // What goes on in the background while the actor is still being made has no vars to show it.
        let is_made = self.inner.env.vars.borrow().is_some();
        if is_made
            && self.inner.is_touched.take()
            && let Err(error) = A::on_state_change(self.enter(false))
        {
            // It is told of a change that has happened; there is nothing for the caller to know.
            crate::log::error(format!("on_state_change: {error}"));
        }
    }

    /// Runs what is no turn, and the hook for changed states whenever it begins to wait, and at its end.
    pub(crate) async fn settling<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|task| {
            let poll = future.as_mut().poll(task);
            self.settle();
            poll
        })
        .await
    }

    pub(crate) fn take_changed_conns(&self) -> Vec<(String, Vec<u8>)> {
        let conns = self.inner.env.conns.borrow();
        let changed = conns.iter();
        changed
            .filter_map(|(id, conn)| Some((id.clone(), conn.take_changed()?)))
            .collect()
    }

    pub(crate) fn set_state(&self, state: A, is_changed: bool) {
        *self.inner.state.borrow_mut() = Some(state);
        self.inner.is_changed.set(is_changed);
    }

    pub(crate) fn set_vars(&self, vars: A::Vars) {
        *self.inner.env.vars.borrow_mut() = Some(vars);
    }

    /// The state, if it may have changed since it was last taken.
    pub(crate) fn take_changed<R>(&self, visit: impl FnOnce(&A) -> R) -> Option<R> {
        let is_changed = self.inner.is_changed.take();
        let state = self.inner.state.borrow();
        state.as_ref().filter(|_| is_changed).map(visit)
    }
}
