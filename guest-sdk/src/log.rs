//! Lines for the operator. The host adds which actor they are from.

use crate::bindings::greenroom::actor::log::{Level, log};

/// Writes a line that matters only to whoever works on the actor.
pub fn debug(message: impl AsRef<str>) {
    log(Level::Debug, "", message.as_ref());
}

/// Writes a line that is worth keeping.
pub fn info(message: impl AsRef<str>) {
    log(Level::Info, "", message.as_ref());
}

/// Writes a line about something handled, but not normal.
pub fn warn(message: impl AsRef<str>) {
    log(Level::Warn, "", message.as_ref());
}

/// Writes a line that a person should look at.
pub fn error(message: impl AsRef<str>) {
    log(Level::Error, "", message.as_ref());
}
