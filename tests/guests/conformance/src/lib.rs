//! The actors that an outside acceptance run calls by name, one module for each group of its catalogue.
//!
//! `counter` does not broadcast yet: events are not built.

mod actions;
mod errors;
mod identity;
mod vars;

use actions::{
    AsyncActionActor, ConcurrentActionActor, LargePayloadActor, NestedActionActor, PromiseActor,
    SyncActionActor,
};
use errors::{
    CustomTimeoutActor, DefaultTimeoutActor, ErrorHandlingActor, LongTimeoutActor,
    ShortTimeoutActor, SyncTimeoutActor,
};
use identity::{Counter, InputActor, MetadataActor, StatelessActor};
use vars::{
    DriverCtxActor, DynamicVarActor, NestedVarActor, SaveStateActor, SaveStateObserver,
    StaticVarActor, UniqueVarActor,
};

greenroom_sdk::component!(
    Counter,
    InputActor,
    MetadataActor,
    StatelessActor,
    SyncActionActor,
    AsyncActionActor,
    PromiseActor,
    ConcurrentActionActor,
    NestedActionActor,
    LargePayloadActor,
    ShortTimeoutActor,
    LongTimeoutActor,
    DefaultTimeoutActor,
    SyncTimeoutActor,
    CustomTimeoutActor,
    ErrorHandlingActor,
    SaveStateActor,
    SaveStateObserver,
    StaticVarActor,
    NestedVarActor,
    DynamicVarActor,
    UniqueVarActor,
    DriverCtxActor,
);
