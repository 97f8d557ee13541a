//! The actors that an outside acceptance run calls by name, for each group of its catalogue a module or two.

mod actions;
mod connections;
mod errors;
mod identity;
mod permissions;
mod raw_http;
mod raw_websocket;
mod state;
mod vars;

use actions::{
    AsyncActionActor, ConcurrentActionActor, LargePayloadActor, LargePayloadConnActor,
    NestedActionActor, PromiseActor, SyncActionActor,
};
use connections::{
    ConnPreflightVisibilityActor, ConnStateActor, CounterWithLifecycle, CounterWithParams,
    RequestAccessActor,
};
use errors::{
    CustomTimeoutActor, DefaultTimeoutActor, ErrorHandlingActor, LongTimeoutActor,
    ShortTimeoutActor, SyncTimeoutActor,
};
use identity::{Counter, InputActor, MetadataActor, StatelessActor};
use permissions::AccessControlActor;
use raw_http::{
    RawHttpActor, RawHttpHonoActor, RawHttpNoHandlerActor, RawHttpRequestPropertiesActor,
    RawHttpVoidReturnActor,
};
use raw_websocket::{
    RawWebSocketActor, RawWebSocketAsyncOpenActor, RawWebSocketBinaryActor,
    RawWebSocketConnContextActor,
};
use state::OnStateChangeActor;
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
    LargePayloadConnActor,
    ShortTimeoutActor,
    LongTimeoutActor,
    DefaultTimeoutActor,
    SyncTimeoutActor,
    CustomTimeoutActor,
    ErrorHandlingActor,
    OnStateChangeActor,
    SaveStateActor,
    SaveStateObserver,
    StaticVarActor,
    NestedVarActor,
    DynamicVarActor,
    UniqueVarActor,
    DriverCtxActor,
    CounterWithParams,
    CounterWithLifecycle,
    ConnStateActor,
    ConnPreflightVisibilityActor,
    RequestAccessActor,
    AccessControlActor,
    RawHttpActor,
    RawHttpNoHandlerActor,
    RawHttpVoidReturnActor,
    RawHttpHonoActor,
    RawHttpRequestPropertiesActor,
    RawWebSocketActor,
    RawWebSocketBinaryActor,
    RawWebSocketAsyncOpenActor,
    RawWebSocketConnContextActor,
);
