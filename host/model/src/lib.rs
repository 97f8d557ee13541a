//! The words everybody in the host shares: ids, errors, limits, time.
//!
//! No I/O, no async runtime, no engine: a crate that only needs to *name* things depends on this one
//! and nothing else.

mod call;
mod conn;
mod data;
mod description;
mod difference;
mod error;
mod id;
mod key;
mod limits;
mod ports;
mod time;

pub use call::{ActorSpecifier, Lineage, Target};
pub use conn::{
    Answer, ConnId, ConnKind, EVENT_FORMS, Event, Message, Opening, OpeningRequest, Outgoing,
};
pub use data::{
    Completion, KvPage, KvQuery, KvSpan, MessageId, NewScheduled, Outcome, QueueMessage, Scheduled,
    ScheduledRun, Timing, Wait, Wanted, When, WorkKind,
};
pub use description::{
    ActionDescription, ActorTypeDescription, ActorTypeOptions, BadDescription, Capability,
    ComponentDescription, EventDescription, Handlers, ParameterDescription, QueueDescription,
};
pub use difference::{Change, Difference, differences};
pub use error::{ActorError, Code, codes};
pub use id::{
    ActorId, ActorName, ActorType, ComponentHash, ComponentName, Generation, Head, InvalidName,
    Namespace, Revision,
};
pub use key::{ActorKey, InvalidKey};
pub use limits::Limits;
pub use ports::{ActorData, ConnSink, Outbound};
pub use time::{Clock, Millis, SystemClock};
