//! What goes into a store and comes out of it.

use std::sync::Arc;

use bytes::Bytes;
use greenroom_model::{
    ActorId, ActorName, ActorType, ComponentHash, ComponentName, ConnId, Generation, Head, KvSpan,
    MessageId, Millis, Namespace, Opening, QueueMessage, Revision, Scheduled, ScheduledRun,
};

/// The store's own number for an actor: small, for the path that every commit takes. Never used again
/// after the actor is destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorRow(pub i64);

/// The store's own number for a revision of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevisionId(pub i64);

/// An actor, as the directory knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorRecord {
    /// Its number in this store.
    pub row: ActorRow,
    /// Its id.
    pub id: ActorId,
    /// Its name.
    pub name: ActorName,
    /// When it was created.
    pub created_at: Millis,
}

/// An actor to be created.
#[derive(Debug, Clone)]
pub struct NewActor {
    /// A fresh id.
    pub id: ActorId,
    /// Its name.
    pub name: ActorName,
    /// What its creation is given (CBOR).
    pub input: Option<Bytes>,
    /// Now.
    pub created_at: Millis,
}

/// What became of a creation.
#[derive(Debug, Clone)]
pub struct Created {
    /// The actor of that name.
    pub actor: ActorRecord,
    /// Whether it came into being just now.
    pub is_new: bool,
}

/// Which actors a listing is to show.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// Only of this namespace; `None` is all.
    pub namespace: Option<Namespace>,
    /// Only of this type.
    pub actor_type: Option<ActorType>,
    /// Only those after this one, which was the last of the page before.
    pub after: Option<ActorId>,
    /// At most so many.
    pub count_max: usize,
}

/// One page of a listing.
#[derive(Debug, Clone)]
pub struct Page {
    /// The actors.
    pub actors: Vec<ActorRecord>,
    /// Whether there are more after the last of them.
    pub has_more: bool,
}

/// What somebody who looked at an actor's state has seen of it, for a change that is only right while that is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateSeen {
    /// There was none.
    Nothing,
    /// Its shape had this version. Its content may change.
    OfVersion(u32),
    /// The commit that wrote it made this of the head. Nothing of it may change.
    At(Head),
}

impl StateSeen {
    /// Whether it is so of a state with this version and head; `version` is none if there is no state.
    #[must_use]
    pub fn is_so(self, version: Option<u32>, head: Head) -> bool {
        match self {
            Self::Nothing => version.is_none(),
            Self::OfVersion(seen) => version == Some(seen),
            Self::At(seen) => head == seen,
        }
    }
}

/// What a new activation starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The activation's generation: newer than every one before it.
    pub generation: Generation,
    /// What the activation's first commit builds on. 0: the actor has never committed, which means that
    /// it has to be created first.
    pub head: Head,
    /// The state as last committed.
    pub state: Option<Bytes>,
    /// The revision that wrote it.
    pub revision: Option<RevisionId>,
    /// The version of its shape.
    pub state_version: u32,
    /// What the commit that wrote it made of the head.
    pub state_head: Head,
    /// What was there before a newer revision migrated it, if that is still kept.
    pub replaced: Option<Replaced>,
    /// On which revision the actor stays, if it does not go with the others.
    pub pin: Option<Pin>,
    /// What its creation was given, while it has never committed.
    pub input: Option<Bytes>,
    /// The connections that were let in and not taken out, oldest first.
    pub conns: Vec<ConnRecord>,
    /// How many bytes its pairs have, keys and values. Pairs of a large span that was removed may count for a while.
    pub kv_bytes: u64,
    /// The messages of its queues, dead letters among them, oldest first.
    pub messages: Vec<QueueMessage>,
    /// The id that its next message gets.
    pub next_message: MessageId,
    /// Its schedule, in no order.
    pub schedule: Vec<Scheduled>,
    /// The last runs of its schedule, oldest first.
    pub runs: Vec<ScheduledRun>,
    /// When it must next be awake.
    pub alarm: Option<Millis>,
    /// It is to be destroyed: it has asked for that.
    pub is_doomed: bool,
}

/// A state as it was before a newer revision migrated it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced {
    /// The revision that migrated it.
    pub by: RevisionId,
    /// What the migrating commit made of the head. If that is not the state's head, the state has changed since.
    pub head: Head,
}

/// Why an actor stays on one revision while others of its type go on to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Where it stays.
    pub revision: RevisionId,
    /// The revision that it could not go to, and will not be tried on again. Absent: an operator has pinned it,
    /// and it goes nowhere.
    pub refused: Option<RevisionId>,
    /// Why, for people.
    pub reason: String,
    /// Since when.
    pub at: Millis,
}

/// A pinned actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedActor {
    /// It.
    pub actor: ActorRecord,
    /// Where it stays, and why.
    pub pin: Pin,
}

/// A connection of an actor, as far as it outlives the activation that let it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnRecord {
    /// How it began.
    pub opening: Arc<Opening>,
    /// Its state (CBOR), if the guest has given it one.
    pub state: Option<Bytes>,
}

/// What became of a connection.
#[derive(Debug, Clone)]
pub enum ConnChange {
    /// It is new, or has changed.
    Put(ConnRecord),
    /// It was taken out.
    Remove(ConnId),
}

/// Everything an actor changed since its last commit.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Whose.
    pub actor: ActorRow,
    /// The activation that commits.
    pub generation: Generation,
    /// The head that it builds on; the next is one more.
    pub head: Head,
    /// The revision whose code wrote this.
    pub revision: RevisionId,
    /// The version of the state's shape in that code.
    pub state_version: u32,
    /// The new state, if it changed.
    pub state: Option<Bytes>,
    /// Whether the state from before is kept beside the new one: this one was migrated.
    pub keeps_replaced: bool,
    /// What changed about its connections.
    pub conns: Vec<ConnChange>,
    /// What changed about the rest.
    pub data: DataChanges,
}

/// What an actor changed besides its state and its connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataChanges {
    /// Spans of its pairs that were removed: before `pairs`.
    pub spans: Vec<KvSpan>,
    /// Pairs that were written, or removed (no value), each key once.
    pub pairs: Vec<(Bytes, Option<Bytes>)>,
    /// Messages, in order.
    pub messages: Vec<MessageChange>,
    /// Its schedule, in order.
    pub schedule: Vec<ScheduleChange>,
    /// When it must next be awake, if that changed.
    pub alarm: Option<NewAlarm>,
    /// From now on it is to be destroyed as soon as it is awake.
    pub is_doomed: bool,
    /// How many bytes its pairs have is wanted in any case.
    pub counts_pairs: bool,
}

/// When an actor must next be awake, as decided at some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NewAlarm {
    /// When; `None` is not at all.
    pub at: Option<Millis>,
    /// When that was decided.
    pub set_at: Millis,
}

impl DataChanges {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Pairs, as far as a store has looked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredPairs {
    /// In order.
    pub pairs: Vec<(Bytes, Bytes)>,
    /// The last key that was looked at, if there may be more beyond it.
    pub upto: Option<Bytes>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageChange {
    /// It is new. Its id is above all before it; one with the id of another would take its place.
    Insert(QueueMessage),
    /// How it stands now. Nothing happens if it is not there.
    Update {
        /// Which.
        id: MessageId,
        /// How often it has been taken.
        attempts: u32,
        /// It cannot be taken before this.
        not_before: Millis,
        /// When it became a dead letter, if it is one.
        died_at: Option<Millis>,
    },
    /// It is dealt with.
    Remove(MessageId),
}

/// What became of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScheduleChange {
    /// An entry is new, or has changed.
    Put(Scheduled),
    /// The entry of this name is gone.
    Remove(String),
    /// A run is over; those numbered below `keep_from` are forgotten.
    Ran {
        /// It.
        run: ScheduledRun,
        /// The oldest that is kept.
        keep_from: u64,
    },
}

/// What a commit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// How many bytes the actor's pairs have now, keys and values, if that has changed or was asked for. (Looking it up
    /// in any case would be a cost for every commit.) Pairs of a large span that was removed may count for a while.
    pub kv_bytes: Option<u64>,
    /// Whether there are such, so that it will be less by itself; if it was asked how many bytes there are.
    pub is_shrinking: Option<bool>,
}

/// An actor that must be awake at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// When.
    pub at: Millis,
    /// Which.
    pub actor: ActorRecord,
}

/// A revision to be added.
#[derive(Debug, Clone)]
pub struct NewRevision {
    /// Its component.
    pub component: ComponentName,
    /// The hash of `bytes`.
    pub hash: ComponentHash,
    /// The Wasm.
    pub bytes: Bytes,
    /// Its actor types.
    pub actor_types: Vec<ActorType>,
    /// What it says of itself, as JSON; the store only keeps it.
    pub description: String,
    /// Now.
    pub created_at: Millis,
    /// Who deploys it, as they say themselves.
    pub deployed_by: String,
    /// What they say about it.
    pub message: String,
    /// How its component's actors are to go over to it, as JSON; the store only keeps it. Not used for the first
    /// revision of a component.
    pub plan: String,
    /// Of how many revisions of the component the bytes are kept, this one among them; and of those that are in use.
    pub kept_max: u32,
}

/// A revision, as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionRecord {
    /// Its number in this store.
    pub id: RevisionId,
    /// Its component.
    pub component: ComponentName,
    /// Its number within the component, from 1.
    pub number: Revision,
    /// The hash of its bytes.
    pub hash: ComponentHash,
    /// How many bytes.
    pub size_bytes: u64,
    /// What it says of itself, as JSON.
    pub description: String,
    /// When it was added.
    pub created_at: Millis,
    /// Who deployed it, as they say themselves.
    pub deployed_by: String,
    /// What they said about it.
    pub message: String,
    /// Why it was rolled back, if it was.
    pub rolled_back: Option<String>,
    /// When, if it was.
    pub rolled_back_at: Option<Millis>,
    /// Whether its bytes are still there.
    pub is_kept: bool,
}

/// What the actors of a component run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentRecord {
    /// The revision that is not in question.
    pub current: RevisionRecord,
    /// The way to another, if one has begun and not ended.
    pub rollout: Option<RolloutRecord>,
}

/// A rollout under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutRecord {
    /// Where it leads.
    pub target: RevisionRecord,
    /// How, as JSON.
    pub plan: String,
    /// Whether it is held up at present.
    pub is_paused: bool,
    /// When it began.
    pub begun_at: Millis,
}

/// What the actors of a component are to run on from now on.
#[derive(Debug, Clone)]
pub struct Switch {
    /// Which component.
    pub component: ComponentName,
    /// The revision that is not in question.
    pub current: RevisionId,
    /// The actor types that the component has, in either revision.
    pub actor_types: Vec<ActorType>,
    /// The rollout under way, if there is one: where it leads, how, and whether it is paused.
    pub rollout: Option<(RevisionId, String, bool)>,
    /// A revision that is rolled back by this, and why.
    pub rolled_back: Option<(RevisionId, String)>,
    /// Now.
    pub at: Millis,
}

/// What became of the actors whose states a revision has migrated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migrated {
    /// How many there are.
    pub count: u64,
    /// How many of them have changed their state since.
    pub committed_count: u64,
    /// Some of those that have.
    pub committed: Vec<ActorRecord>,
}

/// What became of a new revision.
#[derive(Debug, Clone)]
pub struct PutRevision {
    /// The newest revision of the component.
    pub revision: RevisionRecord,
    /// Whether it came into being just now; otherwise the component runs, or is about to run, on the same bytes already.
    pub is_new: bool,
}

/// Why a revision counts as rolled back whose rollout another has ended.
pub(crate) fn overtaken(number: u32) -> String {
    format!("revision {number} took its place before it had arrived")
}
