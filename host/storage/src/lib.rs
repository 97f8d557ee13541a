//! Where actors' data lives.
//!
//! An engine implements [`Storage`] once and gets the rest of the host for free. What it must promise is
//! written as code in `conformance.rs`, which every engine's tests run:
//! [`Sqlite`] is the embedded engine, [`Memory`] keeps nothing and is for tests.
//!
//! The traits are shaped for an engine that is shared by many hosts, too: everything is async, commits
//! of many actors can share one round trip and one disk flush, and the one-writer rule (generation
//! and head, compared inside the commit) needs nobody's clock.

#[cfg(test)]
mod conformance;
mod error;
mod memory;
mod record;
mod sqlite;

use async_trait::async_trait;
use bytes::Bytes;
use greenroom_model::{ActorId, ActorName, ComponentHash, ComponentName, KvQuery, Millis};

pub use error::{Error, Result};
pub use memory::Memory;
pub use record::{
    ActorRecord, ActorRow, Alarm, Commit, ComponentRecord, ConnChange, ConnRecord, Created,
    DataChanges, Kept, ListQuery, MessageChange, Migrated, NewActor, NewAlarm, NewRevision, Opened,
    Page, Pin, PinnedActor, PutRevision, Replaced, RevisionId, RevisionRecord, RolloutRecord,
    ScheduleChange, StateSeen, StoredPairs, Switch,
};
pub use sqlite::Sqlite;

/// An engine that keeps the data of many actors, and of the components they run on.
pub trait Storage: Directory + Actors + Alarms + Components + Pins {}

impl<T: Directory + Actors + Alarms + Components + Pins> Storage for T {}

/// Which actors there are.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// The actor of this name.
    async fn resolve(&self, name: &ActorName) -> Result<Option<ActorRecord>>;

    /// The actor with this id.
    async fn find(&self, id: ActorId) -> Result<Option<ActorRecord>>;

    /// Creates the actor, unless there is one of its name already, which is returned then. Durable
    /// when it returns.
    async fn create(&self, actor: NewActor) -> Result<Created>;

    /// One page of actors, oldest first.
    async fn list(&self, query: ListQuery) -> Result<Page>;
}

/// The data of actors, each in the hands of its one activation.
#[async_trait]
pub trait Actors: Send + Sync + 'static {
    /// Takes the actor over for a new activation and reads what it starts from.
    ///
    /// From here on, commits of every older generation fail: an activation that was cut off cannot
    /// overwrite what its successor writes.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`] if the actor was destroyed.
    async fn open(&self, actor: ActorRow) -> Result<Opened>;

    /// The state that there was before the actor's was migrated, if that is kept and nothing has changed since: what
    /// [`restore`](Self::restore) would put back. With the revision that wrote it, and its version.
    async fn replaced(&self, actor: ActorRow) -> Result<Option<(RevisionId, u32, Bytes)>>;

    /// What an activation would start from, without taking the actor over: nothing changes for anybody.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`] if the actor was destroyed.
    async fn peek(&self, actor: ActorRow) -> Result<Opened>;

    /// Puts back the state that was there before it was migrated, unless it has changed since; `false`
    /// then, or if none is kept. Nothing else that the actor has is touched. Every older generation fails from here on. Durable when it returns.
    async fn restore(&self, actor: ActorRow) -> Result<bool>;

    /// Keeps everything in `commit`, or nothing of it. Durable when it returns.
    ///
    /// An actor has at most one commit under way; dropping the future does not take the commit back.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] if a newer activation has opened the actor, the commit does not build on the
    /// newest head, the actor was destroyed, or the state was migrated by a revision that an operator has pinned the actor
    /// away from meanwhile; the activation must end without showing anything.
    async fn commit(&self, commit: Commit) -> Result<Kept>;

    /// The values of these keys of an actor's key-value store, all as of one moment. An actor
    /// that is gone has none. If they would have more than `bytes_max` bytes together, there are fewer of them than keys.
    async fn kv_get(
        &self,
        actor: ActorRow,
        keys: Vec<Bytes>,
        bytes_max: usize,
    ) -> Result<Vec<Option<Bytes>>>;

    /// Some pairs of an actor's key-value store, as last committed: at most `query.count_max`, and no
    /// more than `bytes_max` bytes of keys and values (but one pair at least, unless there is none as far as was looked).
    async fn kv_list(
        &self,
        actor: ActorRow,
        query: KvQuery,
        bytes_max: usize,
    ) -> Result<StoredPairs>;

    /// Removes the actor, its name and all its data. `false` if it was gone already. Durable when it
    /// returns.
    async fn destroy(&self, actor: ActorRow) -> Result<bool>;
}

/// When actors must be awake.
#[async_trait]
pub trait Alarms: Send + Sync + 'static {
    /// The alarms at or before `now`, earliest first (then by row), at most `count_max` of them: those
    /// after `after`, which was the last of the batch before. With fewer there are no more.
    async fn due_alarms(
        &self,
        now: Millis,
        after: Option<(Millis, ActorRow)>,
        count_max: usize,
    ) -> Result<Vec<Alarm>>;

    /// The first alarm after `after`.
    async fn next_alarm(&self, after: Millis) -> Result<Option<Millis>>;

    /// Makes at most `count_max` alarms due at `now` that were set later than `set_after`: by a clock that ran ahead. How
    /// many.
    async fn pull_alarms(&self, set_after: Millis, now: Millis, count_max: usize) -> Result<usize>;
}

/// The components that actors run on.
#[async_trait]
pub trait Components: Send + Sync + 'static {
    /// Adds a revision, unless the component is on the way to, or on, the same bytes. The first of a component is
    /// its current one at once; a rollout leads to any other. It takes the place of one that may be under way, whose revision counts as
    /// rolled back: nobody has seen it arrive. Bytes of
    /// revisions beyond `kept_max` are dropped, except those that are current, pinned to, on the way, or the last to have migrated some
    /// actor's state. Durable
    /// when it returns.
    ///
    /// # Errors
    ///
    /// [`Error::TypeTaken`] if one of its actor types belongs to another component; nothing has
    /// changed then.
    async fn put_revision(&self, revision: NewRevision) -> Result<PutRevision>;

    /// What all components run on, by name.
    async fn components(&self) -> Result<Vec<ComponentRecord>>;

    /// Changes what a component runs on, all of it or nothing. Durable when it returns.
    async fn switch(&self, switch: Switch) -> Result<()>;

    /// The revision with this id.
    async fn revision(&self, id: RevisionId) -> Result<Option<RevisionRecord>>;

    /// All revisions of a component, newest first.
    async fn revisions(&self, component: &ComponentName) -> Result<Vec<RevisionRecord>>;

    /// The Wasm bytes with this hash.
    async fn component_bytes(&self, hash: ComponentHash) -> Result<Option<Bytes>>;

    /// The actors whose states this revision has migrated, as far as what was there before is kept; those that
    /// have changed their state since by name, at most `count_max` of them.
    async fn migrated(&self, by: RevisionId, count_max: usize) -> Result<Migrated>;

    /// Forgets what was there before this revision migrated it, of at most `count_max` actors. How many there were:
    /// with fewer than that, nothing is left.
    async fn forget_replaced(&self, by: RevisionId, count_max: usize) -> Result<usize>;
}

/// Which actors stay on a revision of their own.
#[async_trait]
pub trait Pins: Send + Sync + 'static {
    /// Pins an actor, in place of an earlier pin. Holds from its next [`open`](Actors::open) on. Durable when it
    /// returns.
    ///
    /// A pin because of a refused revision takes the place of none that an operator has made, and is only made while some
    /// component is on that revision, or on the way to it. One that an operator makes is only made while the code of its
    /// revision is kept. With `seen`, either is only made if that is still so of the state. `false` if it was not made.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`] if the actor was destroyed.
    async fn pin(&self, actor: ActorRow, pin: Pin, seen: Option<StateSeen>) -> Result<bool>;

    /// Lets an actor go with the others again, if it is pinned: because `refused` was refused or, without that, whyever.
    /// `false` if not. Durable when it returns.
    async fn unpin(&self, actor: ActorRow, refused: Option<RevisionId>) -> Result<bool>;

    /// Pinned actors of a component, oldest first, at most `count_max` of them: those after `after`, which was
    /// the last of the page before.
    async fn pinned(
        &self,
        component: &ComponentName,
        after: Option<ActorRow>,
        count_max: usize,
    ) -> Result<Vec<PinnedActor>>;
}
