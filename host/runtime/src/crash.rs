//! Why an instance can go on no longer.

use std::fmt;

use greenroom_model::{ActorError, codes};
use wasmtime::Trap;

/// How much is said of what a guest wrote last.
const REASON_CHARS_MAX: usize = 400;

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

    /// Why, in one line for operators. `output` is what the guest wrote last: usually why it panicked.
    #[must_use]
    pub fn reason(&self, output: &str) -> String {
        let Self::Trap(text) = self else {
            return self.to_string();
        };
        let lines = || output.lines().map(str::trim);
        let panic = lines().position(|line| line.contains("panicked at"));
        let said = lines()
            .skip(panic.unwrap_or_else(|| lines().count().saturating_sub(3)))
            .filter(|line| !line.is_empty() && !line.starts_with("note: "));
        let said = said.collect::<Vec<_>>().join(" ");
        let cause = match said.as_str() {
            // Behind the backtrace.
            "" => text.rsplit(": ").next().unwrap_or_default().trim(),
            said => said,
        };
        let cause: String = cause.chars().take(REASON_CHARS_MAX).collect();
        format!("it trapped: {cause}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_what_the_guest_said_or_else_what_the_engine_says() {
        let text = "error while executing at wasm backtrace:\n  0: 0x1\n: wasm trap: out of bounds";
        let trap = Crash::Trap(text.into());
        assert_eq!(trap.reason(""), "it trapped: out of bounds");
        let output =
            "hello\n\nthread 'main' (1) panicked at src/lib.rs:3:5:\nno owner\nnote: run with\n";
        let wanted = "it trapped: thread 'main' (1) panicked at src/lib.rs:3:5: no owner";
        assert_eq!(trap.reason(output), wanted);
        assert_eq!(trap.reason("a\nb\nc\nd"), "it trapped: b c d");
        assert_eq!(Crash::Cpu.reason("x"), Crash::Cpu.to_string());
    }
}
