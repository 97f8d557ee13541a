//! Arguments in, results out.

use greenroom_value::{Value, from_slice, split_array, to_vec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::component::Actor;
use crate::conn::Conn;
use crate::error::{Error, Result, UserError};
use crate::http::Response;

/// What JavaScript calls `undefined`.
const NOTHING: &[u8] = &[0xf7];

/// The arguments of one call, taken one by one.
pub struct Args<'a> {
    items: Vec<&'a [u8]>,
    taken: usize,
}

impl<'a> Args<'a> {
    /// Splits the bytes of a call's arguments.
    ///
    /// # Errors
    ///
    /// `actor.validation_error` if there are more than `count`.
    pub fn new(bytes: &'a [u8], count: usize) -> Result<Self> {
        let items = split_array(bytes).map_err(|e| invalid(format!("the arguments: {e}")))?;
        if items.len() > count {
            let given = items.len();
            return Err(invalid(format!(
                "{given} arguments were given; the action takes {count}"
            )));
        }
        Ok(Self { items, taken: 0 })
    }

    /// The next argument. One that was left out is nothing, which only an `Option` can be.
    ///
    /// # Errors
    ///
    /// `actor.validation_error` if it is not a `T`.
    pub fn next<T: DeserializeOwned>(&mut self, name: &str) -> Result<T> {
        let item = self.items.get(self.taken).copied();
        self.taken += 1;
        from_slice(item.unwrap_or(NOTHING)).map_err(|error| {
            let number = self.taken;
            match item {
                Some(_) => invalid(format!("argument {number} ({name}): {error}")),
                None => invalid(format!("argument {number} ({name}) is missing")),
            }
        })
    }
}

fn invalid(message: String) -> Error {
    UserError::new(message)
        .with_group("actor")
        .with_code("validation_error")
        .into()
}

/// What an actor was created with. Without input it is nothing, which an `Option` or a [`Value`] can be.
///
/// # Errors
///
/// `actor.validation_error` if it is not a `T`.
///
/// [`Value`]: crate::Value
pub fn decode_input<T: DeserializeOwned>(input: Option<&[u8]>) -> Result<T> {
    from_slice(input.unwrap_or(NOTHING)).map_err(|error| match input {
        Some(_) => invalid(format!("the input: {error}")),
        None => invalid("the actor needs input to be created".to_owned()),
    })
}

/// An action's result.
///
/// # Errors
///
/// An internal error if it cannot be serialized.
pub fn encode<T: Serialize>(result: &T) -> Result<Vec<u8>> {
    Ok(to_vec(result)?)
}

/// The result of an action that has none.
#[must_use]
pub fn nothing() -> Vec<u8> {
    NOTHING.to_vec()
}

/// The connection of a call, for functions that need one.
///
/// # Errors
///
/// An internal error if the call has none.
pub fn required<A: Actor>(conn: Option<Conn<A>>) -> Result<Conn<A>> {
    conn.ok_or_else(|| Error::internal("this call has no connection"))
}

/// Any value of an action's result, for the hook before the response.
///
/// # Errors
///
/// An internal error if it is no value.
pub fn to_value(output: &[u8]) -> Result<Value> {
    Ok(from_slice(output)?)
}

/// What a handler of raw requests may give.
pub trait Answer {
    /// The response, if there is one.
    fn into_answer(self) -> Option<Response>;
}

impl Answer for Response {
    fn into_answer(self) -> Option<Response> {
        Some(self)
    }
}

impl Answer for Option<Response> {
    fn into_answer(self) -> Option<Response> {
        self
    }
}

impl Answer for () {
    fn into_answer(self) -> Option<Response> {
        None
    }
}
