//! Calls to other actors, of this or any other component, in the same namespace.
//!
//! [`#[handle]`](crate::handle) makes a typed handle out of a trait; [`Handle`] is what is under it. Calls may
//! run at the same time (`futures::future::join_all`), and the called actor may call back into this one
//! meanwhile.

use std::fmt;
use std::time::Duration;

use greenroom_value::{Value, decode, from_slice, to_vec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::greenroom::actor::client as wit;
use crate::bindings::greenroom::actor::types::PublicError;
use crate::queues::{Completion, Queue};
use crate::time::to_ms;
use crate::waits::{self, wait};

/// Why a call to another actor failed: what a client outside would be told.
///
/// Used with `?` in an action, it becomes an internal error there; answer with a
/// [`UserError`](crate::UserError) to tell your own caller more.
#[derive(Debug, Clone, PartialEq)]
pub struct CallError {
    /// The family of the code: `user` for the action's own errors, `actor` for the host's, and so on.
    pub group: String,
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// More about it.
    pub metadata: Option<Value>,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}: {}", self.group, self.code, self.message)
    }
}

impl std::error::Error for CallError {}

impl From<PublicError> for CallError {
    fn from(error: PublicError) -> Self {
        let PublicError {
            group,
            code,
            message,
            metadata,
        } = error;
        let metadata = metadata.and_then(|metadata| decode(&metadata).ok());
        Self {
            group,
            code,
            message,
            metadata,
        }
    }
}

impl CallError {
    /// What was sent, or what came back, is not what was expected.
    fn mismatch(message: String) -> Self {
        let (group, code) = ("client".to_owned(), "mismatch".to_owned());
        Self {
            group,
            code,
            message,
            metadata: None,
        }
    }
}

/// Another actor, by what it is called.
#[derive(Debug, Clone)]
pub struct Handle {
    target: Target,
}

#[derive(Debug, Clone)]
enum Target {
    Get(String, Vec<String>),
    GetOrCreate(String, Vec<String>, Option<Vec<u8>>),
    Id(String),
}

impl Handle {
    /// The actor of this type and key, if it exists.
    pub fn get(actor_type: &str, key: impl IntoKey) -> Self {
        Self {
            target: Target::Get(actor_type.to_owned(), key.into_key()),
        }
    }

    /// The actor of this type and key, created by the first call if it does not exist.
    pub fn get_or_create(actor_type: &str, key: impl IntoKey) -> Self {
        Self {
            target: Target::GetOrCreate(actor_type.to_owned(), key.into_key(), None),
        }
    }

    /// The actor with this id, if it exists.
    pub fn with_id(id: impl Into<String>) -> Self {
        Self {
            target: Target::Id(id.into()),
        }
    }

    /// Creates the actor of this type and key.
    ///
    /// # Errors
    ///
    /// `actor.duplicate_key` if there is one already.
    pub async fn create(
        actor_type: &str,
        key: impl IntoKey,
        input: Option<impl Serialize>,
    ) -> Result<Self, CallError> {
        let address = wit::Address {
            actor_type: actor_type.to_owned(),
            key: key.into_key(),
        };
        let input = input.map(|input| encode(&input)).transpose()?;
        let id = wait(wit::create(address, input))
            .await
            .map_err(CallError::from)?;
        Ok(Self::with_id(id))
    }

    /// With what the actor is given if this handle creates it.
    ///
    /// # Errors
    ///
    /// `client.mismatch` if it cannot be serialized.
    pub fn with_input(mut self, input: impl Serialize) -> Result<Self, CallError> {
        if let Target::GetOrCreate(_, _, given) = &mut self.target {
            *given = Some(encode(&input)?);
        }
        Ok(self)
    }

    /// Runs an action and waits for its result. `args` is a tuple of the arguments.
    ///
    /// # Errors
    ///
    /// What the action failed with, or why it could not run; `client.mismatch` if the result is not an `R`.
    pub async fn call<R: DeserializeOwned>(
        &self,
        action: &str,
        args: impl Arguments,
    ) -> Result<R, CallError> {
        let args = args.encode()?;
        let output = wait(wit::call(self.to_wit(), action.to_owned(), args)).await?;
        from_slice(&output)
            .map_err(|error| CallError::mismatch(format!("the result of {action}: {error}")))
    }

    /// Sends a message to a queue that both sides have declared. Otherwise as [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_to<T: Serialize>(&self, queue: Queue<T>, body: &T) -> Result<(), CallError> {
        self.send(queue.name(), body).await
    }

    /// Sends a message to a queue of the actor. Returns when it is in its queue, durably.
    ///
    /// # Errors
    ///
    /// `queue.full`, `queue.message_too_large`, `auth.forbidden`, or why it could not be sent.
    pub async fn send(
        &self,
        queue: &str,
        body: &(impl Serialize + ?Sized),
    ) -> Result<(), CallError> {
        self.send_for(queue, encode(body)?, wit::Wait::No).await?;
        Ok(())
    }

    /// Sends a message to a queue of the actor, and waits until it is completed, or received. `None` waits as long as
    /// the host does (5 minutes).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_and_wait(
        &self,
        queue: &str,
        body: &(impl Serialize + ?Sized),
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Completion, CallError> {
        let wait = wit::Wait::Until(timeout.into().map(to_ms));
        let completion = self.send_for(queue, encode(body)?, wait).await?;
        Completion::new(completion).map_err(|error| CallError::mismatch(error.to_string()))
    }

    async fn send_for(
        &self,
        queue: &str,
        body: Vec<u8>,
        wait: wit::Wait,
    ) -> Result<wit::Completion, CallError> {
        let sending = wit::send(self.to_wit(), queue.to_owned(), body, wait);
        Ok(waits::wait(sending).await?)
    }

    /// The actor's id; it is created first if the handle says so.
    ///
    /// # Errors
    ///
    /// `actor.not_found`.
    pub async fn resolve(&self) -> Result<String, CallError> {
        Ok(wait(wit::resolve(self.to_wit())).await?)
    }

    fn to_wit(&self) -> wit::Target {
        let address = |actor_type: &String, key: &Vec<String>| wit::Address {
            actor_type: actor_type.clone(),
            key: key.clone(),
        };
        match &self.target {
            Target::Get(actor_type, key) => wit::Target::Get(address(actor_type, key)),
            Target::GetOrCreate(actor_type, key, input) => {
                wit::Target::GetOrCreate(wit::GetOrCreate {
                    address: address(actor_type, key),
                    input: input.clone(),
                })
            }
            Target::Id(id) => wit::Target::Id(id.clone()),
        }
    }
}

fn encode(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, CallError> {
    to_vec(value).map_err(|error| CallError::mismatch(error.to_string()))
}

/// What can be a key: a text, or a list of texts.
pub trait IntoKey {
    /// The key's parts.
    fn into_key(self) -> Vec<String>;
}

impl IntoKey for &str {
    fn into_key(self) -> Vec<String> {
        vec![self.to_owned()]
    }
}

impl IntoKey for String {
    fn into_key(self) -> Vec<String> {
        vec![self]
    }
}

impl<S: Into<String>, const N: usize> IntoKey for [S; N] {
    fn into_key(self) -> Vec<String> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<S: Into<String>> IntoKey for Vec<S> {
    fn into_key(self) -> Vec<String> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<S: AsRef<str>> IntoKey for &[S] {
    fn into_key(self) -> Vec<String> {
        self.iter().map(|part| part.as_ref().to_owned()).collect()
    }
}

/// What can be arguments: a tuple of what serde can serialize.
pub trait Arguments {
    /// The arguments as a CBOR array.
    ///
    /// # Errors
    ///
    /// `client.mismatch` if one of them cannot be serialized.
    fn encode(&self) -> Result<Vec<u8>, CallError>;
}

impl Arguments for () {
    fn encode(&self) -> Result<Vec<u8>, CallError> {
        Ok(vec![0x80])
    }
}

macro_rules! tuples {
    ($(($($name:ident),+))*) => {$(
        impl<$($name: Serialize),+> Arguments for ($($name,)+) {
            fn encode(&self) -> Result<Vec<u8>, CallError> {
                encode(self)
            }
        }
    )*};
}
tuples!((A)(A, B)(A, B, C)(A, B, C, D)(A, B, C, D, E)(
    A, B, C, D, E, F
)(A, B, C, D, E, F, G)(A, B, C, D, E, F, G, H));
