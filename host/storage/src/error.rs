use greenroom_model::{ActorType, ComponentName};

/// What an engine's calls give.
pub type Result<T> = std::result::Result<T, Error>;

/// Why storage could not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another activation has taken the actor over, or it was destroyed. The one that asked must end.
    #[error("the commit does not build on the actor's newest generation and head")]
    Fenced,

    /// The actor does not exist (any more).
    #[error("the actor does not exist")]
    Gone,

    /// An actor type belongs to another component.
    #[error("the actor type {actor_type} belongs to the component {owner}")]
    TypeTaken {
        /// The type.
        actor_type: ActorType,
        /// Whose it is.
        owner: ComponentName,
    },

    /// More is waiting than the engine lets wait. Nothing has happened.
    #[error("the storage engine has as many commands waiting as it may hold")]
    Overloaded,

    /// Another process has this data open.
    #[error("the data directory is in use by another process")]
    InUse,

    /// The data is from a newer release, or not ours.
    #[error("the data has format {found}; this release reads up to {known}")]
    Format {
        /// What the data says.
        found: i64,
        /// The newest format that we know.
        known: i64,
    },

    /// The engine itself failed. Nothing of what was asked was kept; trying again may help.
    #[error("the storage engine failed")]
    Engine(#[source] anyhow::Error),
}

impl Error {
    pub(crate) fn engine(error: impl Into<anyhow::Error>) -> Self {
        Self::Engine(error.into())
    }
}
