//! States of older versions, for the code that the macro writes around an actor's steps.
//!
//! That each step takes what the one before it gives, and that the last gives the actor, is left to the compiler. This
//! does not compile:
//!
//! ```compile_fail
//! # use greenroom_sdk::prelude::*;
//! # #[derive(Serialize, Deserialize)] struct AccountV1 { balance: i64 }
//! # #[derive(Serialize, Deserialize)] struct AccountV2 { balance: i64, currency: String }
//! # #[derive(Default, Serialize, Deserialize)] struct Account { cents: i64, currency: String }
//! #[actor(state_version = 3)]
//! impl Account {
//!     #[migrate(from = 1)]
//!     fn add_currency(old: AccountV1) -> AccountV2 {
//!         AccountV2 { balance: old.balance, currency: "EUR".to_owned() }
//!     }
//!
//!     #[migrate(from = 2)]
//!     fn count_cents(old: AccountV1) -> Self {
//!         Self { cents: old.balance * 100, currency: "EUR".to_owned() }
//!     }
//! }
//! ```

use greenroom_value::from_slice;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// A state as the code of the version `from` has saved it.
///
/// # Errors
///
/// An internal error if it is not a `T`.
pub fn decode_state<T: DeserializeOwned>(from: u32, state: &[u8]) -> Result<T> {
    from_slice(state).map_err(|error| {
        Error::internal(format!("a state of version {from} does not parse: {error}"))
    })
}

/// What the code of the version `current` says to a state of another one that no step begins with.
#[must_use]
pub fn unreadable(from: u32, current: u32, steps: &[u32]) -> Error {
    let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
    let steps = match &*steps {
        [] => "none".to_owned(),
        steps => steps.join(", "),
    };
    Error::internal(format!(
        "state version {from} cannot be read; this code has version {current} and migrates from {steps}"
    ))
}
