//! Events: what an actor tells its clients without being asked.

use std::fmt;
use std::marker::PhantomData;

use greenroom_value::to_vec;
use serde::Serialize;

use crate::bindings::greenroom::actor::events;
use crate::client::Arguments;

/// A declared event whose argument is a `T`.
///
/// ```
/// # use greenroom_sdk::prelude::*;
/// const NEW_COUNT: Event<i64> = Event::new("newCount");
/// ```
///
/// Named in `#[actor(events = [NEW_COUNT])]`, it is part of what the component says about itself. Any other name can
/// be sent as well, as a plain text.
pub struct Event<T: ?Sized> {
    name: &'static str,
    argument: PhantomData<fn(&T)>,
}

impl<T: ?Sized> Event<T> {
    /// An event of this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            argument: PhantomData,
        }
    }

    /// What clients subscribe to.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What the host is told of it. For the macros.
    #[doc(hidden)]
    #[must_use]
    pub fn type_name(&self) -> String {
        short_type_name::<T>()
    }
}

/// A type's name without its path, which says nothing to those who read it.
pub(crate) fn short_type_name<T: ?Sized>() -> String {
    let name = std::any::type_name::<T>();
    let mut short = String::with_capacity(name.len());
    for piece in name.split_inclusive(|c: char| !(c.is_alphanumeric() || "_:".contains(c))) {
        short.push_str(piece.rsplit("::").next().unwrap_or(piece));
    }
    short
}

impl<T: ?Sized> Clone for Event<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Event<T> {}

impl<T: ?Sized> fmt::Debug for Event<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Event").field(&self.name).finish()
    }
}

/// What names an event with an argument of type `T`: a declared [`Event`] of that type, or any text.
pub trait Named<T: ?Sized> {
    /// The event's name.
    fn event_name(&self) -> &str;
}

impl<T: ?Sized> Named<T> for Event<T> {
    fn event_name(&self) -> &str {
        self.name
    }
}

impl<T: ?Sized> Named<T> for &str {
    fn event_name(&self) -> &str {
        self
    }
}

/// One argument, as the array that crosses the border. What cannot be serialized is a fault to die of, as it is in
/// the state.
fn one<T: Serialize + ?Sized>(argument: &T) -> Vec<u8> {
    to_vec(&(argument,)).expect("the argument of an event can be serialized")
}

fn many(arguments: &impl Arguments) -> Vec<u8> {
    arguments
        .encode()
        .expect("the arguments of an event can be serialized")
}

pub(crate) fn broadcast<T: Serialize + ?Sized>(event: &impl Named<T>, argument: &T) {
    events::broadcast(event.event_name(), &one(argument));
}

pub(crate) fn broadcast_args(event: &str, arguments: &impl Arguments) {
    events::broadcast(event, &many(arguments));
}

pub(crate) fn send<T: Serialize + ?Sized>(conn: &str, event: &impl Named<T>, argument: &T) {
    events::send(conn, event.event_name(), &one(argument));
}

pub(crate) fn send_args(conn: &str, event: &str, arguments: &impl Arguments) {
    events::send(conn, event, &many(arguments));
}
