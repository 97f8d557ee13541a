//! What can go wrong in an action, and what its caller gets of it.

use std::fmt;

use greenroom_value::{Value, decode, encode, to_vec};
use serde::Serialize;

use crate::bindings::greenroom::actor::types::{Failure, PublicError};

/// What actions give that may fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error for the caller, whole: it gets the message, the code and the metadata.
///
/// Deliberately not a [`std::error::Error`]: those become [`Error`]s that the caller does not see.
#[derive(Debug, Clone, PartialEq)]
pub struct UserError {
    group: String,
    code: String,
    message: String,
    metadata: Option<Vec<u8>>,
}

impl UserError {
    /// An error with this message and the code `user_error`.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            group: "user".to_owned(),
            code: "user_error".to_owned(),
            message: message.into(),
            metadata: None,
        }
    }

    /// An error that says that the caller may not do that (`auth.forbidden`, HTTP status 403).
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(message).with_group("auth").with_code("forbidden")
    }

    /// With a code of its own, for programs.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = code.into();
        self
    }

    /// In another group than `user`.
    #[must_use]
    pub fn with_group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }

    /// The family of its code.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Its code, for programs.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Its message, for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// More about it, if there is more.
    #[must_use]
    pub fn metadata(&self) -> Option<Value> {
        self.metadata
            .as_deref()
            .and_then(|bytes| decode(bytes).ok())
    }

    /// With more about it. What cannot be serialized is replaced by the reason why.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Serialize) -> Self {
        let bytes = to_vec(&metadata).unwrap_or_else(|error| encode(&error.to_string().into()));
        self.metadata = Some(bytes);
        self
    }
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}: {}", self.group, self.code, self.message)
    }
}

/// Why an action failed.
///
/// `?` turns a [`UserError`] into one that the caller sees, and every [`std::error::Error`] into one that
/// it does not: it is told `internal_error`, and the host's log has the whole story.
#[derive(Debug)]
pub struct Error(Kind);

#[derive(Debug)]
enum Kind {
    User(UserError),
    Internal(String),
}

impl Error {
    /// An error that the caller does not see; the text goes to the log.
    pub fn internal(text: impl Into<String>) -> Self {
        Self(Kind::Internal(text.into()))
    }

    /// What the caller sees of it, if it sees anything.
    #[must_use]
    pub const fn as_user(&self) -> Option<&UserError> {
        match &self.0 {
            Kind::User(error) => Some(error),
            Kind::Internal(_) => None,
        }
    }

    /// The family of its code, if the caller sees it.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.as_user().map(UserError::group)
    }

    /// Its code, if the caller sees it.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.as_user().map(UserError::code)
    }

    /// What it says: to the caller, or in the log.
    #[must_use]
    pub fn message(&self) -> &str {
        match &self.0 {
            Kind::User(error) => error.message(),
            Kind::Internal(text) => text,
        }
    }

    /// More about it, if there is more and the caller sees it.
    #[must_use]
    pub fn metadata(&self) -> Option<Value> {
        self.as_user().and_then(UserError::metadata)
    }

    /// Whether it says that something was given up, because the actor stops or because it was cancelled.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.group() == Some("actor") && self.code() == Some("aborted")
    }

    /// What the host refuses, as it is: for the caller, too. (`?` alone would make an internal error of it.)
    pub(crate) fn public(error: PublicError) -> Self {
        let PublicError {
            group,
            code,
            message,
            metadata,
        } = error;
        Self(Kind::User(UserError {
            group,
            code,
            message,
            metadata,
        }))
    }

    pub(crate) fn into_wit(self) -> Failure {
        match self.0 {
            Kind::Internal(text) => Failure::Internal(text),
            Kind::User(UserError {
                group,
                code,
                message,
                metadata,
            }) => Failure::Public(PublicError {
                group,
                code,
                message,
                metadata,
            }),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::User(error) => error.fmt(f),
            Kind::Internal(text) => f.write_str(text),
        }
    }
}

impl From<UserError> for Error {
    fn from(error: UserError) -> Self {
        Self(Kind::User(error))
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        Self(Kind::Internal(text))
    }
}
