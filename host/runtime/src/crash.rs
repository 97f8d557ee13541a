//! Why an instance can go on no longer.

use std::fmt;

use greenroom_model::{ActorError, codes};
use wasmtime::Trap;

/// What broke an instance. Everything it had in memory is gone; what was committed is not.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Crash {
    /// It computed for too long without giving control back.
    #[error("it computed for too long without giving control back")]
    Cpu,
    /// It wanted more memory than it may have.
    #[error("it wanted more memory than it may have")]
    Memory,
    /// It handed over something that breaks the contract.
    #[error("it broke the contract: {0}")]
    Contract(String),
    /// It sent more at a stretch than may wait to leave.
    #[error("it sent more events and messages than may wait to leave")]
    Outbox,
    /// A panic, a failed assertion, an access out of bounds, and so on.
    #[error("it trapped: {0}")]
    Trap(String),
    /// There is no room for another instance.
    #[error("no room for another instance: {0}")]
    NoRoom(String),
    /// The host ended it.
    #[error("it was ended: {0}")]
    Killed(&'static str),
}

/// An error of ours on its way through wasmtime, from an import or a callback to [`Crash::from_engine`].
#[derive(Debug)]
pub(crate) struct Raised(pub(crate) Crash);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Raised {}

impl Crash {
    /// What an error that came out of wasmtime means.
    pub(crate) fn from_engine(error: &wasmtime::Error) -> Self {
        if let Some(Raised(crash)) = error.downcast_ref() {
            return crash.clone();
        }
        let text = format!("{error:#}");
        if error.is::<wasmtime::PoolConcurrencyLimitError>() {
            return Self::NoRoom(text);
        }
        if error.is::<Trap>() || error.is::<wasmtime_wasi::I32Exit>() {
            return Self::Trap(text);
        }
        // What is left is data that wasmtime could not lift: over the bound, not UTF-8, a bad handle.
        Self::Contract(text)
    }

    /// What callers are told.
    #[must_use]
    pub fn to_actor_error(&self) -> ActorError {
        match self {
            Self::Cpu => ActorError::new(
                codes::CPU_LIMIT_EXCEEDED,
                "the actor computed for too long without waiting and was stopped; split long work \
                 up, or wait in between",
            ),
            Self::Memory => ActorError::new(
                codes::MEMORY_LIMIT_EXCEEDED,
                "the actor wanted more memory than it may have and was stopped",
            ),
            Self::Contract(_) => ActorError::new(
                codes::INVALID_OUTPUT,
                "the actor's code answered with something that is not a value and was stopped",
            ),
            Self::Outbox => ActorError::new(
                codes::OUTGOING_TOO_LONG,
                "the actor sent more events and messages than may wait to leave and was stopped; wait in \
                 between",
            ),
            Self::Trap(_) => ActorError::new(
                codes::CRASHED,
                "the actor's code broke down; the next call starts it from its last commit",
            ),
            Self::NoRoom(_) => ActorError::new(
                codes::SERVICE_UNAVAILABLE,
                "the host has no room for this actor now",
            ),
            Self::Killed(_) => ActorError::new(
                codes::ABORTED,
                "the actor was stopped while this call was running",
            ),
        }
    }
}
