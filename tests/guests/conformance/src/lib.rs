//! The actors that an outside acceptance run calls by name, for each group of its catalogue a module or two.

mod actions;
mod connections;
mod errors;
mod hibernation;
mod identity;
mod kv;
mod lifecycle;
mod many_queues;
mod permissions;
mod queues;
mod raw_http;
mod raw_websocket;
mod run_loop;
mod schedule;
mod sleep;
mod sleep_sockets;
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
use hibernation::{FileSystemHibernationCleanupActor, HibernationActor};
use identity::{Counter, InputActor, MetadataActor, StatelessActor};
use kv::KvActor;
use lifecycle::{
    DestroyAbortSignalActor, DestroyActor, DestroyObserver, LifecycleObserver, StartStopRaceActor,
};
use many_queues::{ManyQueueActionParentActor, ManyQueueChildActor, ManyQueueRunParentActor};
use permissions::{AccessControlActor, AccessControlNoQueuesActor};
use queues::{QueueActor, QueueLimitedActor};
use raw_http::{
    RawHttpActor, RawHttpHonoActor, RawHttpNoHandlerActor, RawHttpRequestPropertiesActor,
    RawHttpVoidReturnActor,
};
use raw_websocket::{
    RawWebSocketActor, RawWebSocketAsyncOpenActor, RawWebSocketBinaryActor,
    RawWebSocketConnContextActor,
};
use run_loop::{
    RunIgnoresAbortStopTimeout, RunSelfInitiatedDestroy, RunSelfInitiatedSleep, RunWithEarlyExit,
    RunWithError, RunWithQueueConsumer, RunWithTicks, RunWithoutHandler,
};
use schedule::Scheduled;
use sleep::{
    CounterWaitUntilProbe, Sleep, SleepWithLongRpc, SleepWithNoSleepOption, SleepWithRawHttp,
    SleepWithRawWebSocket, SleepWithWaitUntilInOnWake, SleepWithWaitUntilMessage,
};
use sleep_sockets::{
    SleepAbortListenerVarsActor, SleepRawWsAddEventListenerClose,
    SleepRawWsAddEventListenerMessage, SleepRawWsDelayedSendOnSleep, SleepRawWsOnClose,
    SleepRawWsOnMessage, SleepRawWsSendOnSleep, SleepRawWsVarsExceedsGrace,
    SleepWaitUntilVarsDuringGrace,
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
    AccessControlNoQueuesActor,
    RawHttpActor,
    RawHttpNoHandlerActor,
    RawHttpVoidReturnActor,
    RawHttpHonoActor,
    RawHttpRequestPropertiesActor,
    RawWebSocketActor,
    RawWebSocketBinaryActor,
    RawWebSocketAsyncOpenActor,
    RawWebSocketConnContextActor,
    QueueActor,
    QueueLimitedActor,
    ManyQueueChildActor,
    ManyQueueActionParentActor,
    ManyQueueRunParentActor,
    KvActor,
    Scheduled,
    LifecycleObserver,
    StartStopRaceActor,
    DestroyObserver,
    DestroyActor,
    DestroyAbortSignalActor,
    RunWithTicks,
    RunWithQueueConsumer,
    RunWithEarlyExit,
    RunWithError,
    RunWithoutHandler,
    RunSelfInitiatedSleep,
    RunSelfInitiatedDestroy,
    RunIgnoresAbortStopTimeout,
    Sleep,
    SleepWithLongRpc,
    SleepWithWaitUntilMessage,
    SleepWithRawHttp,
    SleepWithRawWebSocket,
    SleepWithNoSleepOption,
    SleepWithWaitUntilInOnWake,
    CounterWaitUntilProbe,
    SleepRawWsAddEventListenerMessage,
    SleepRawWsAddEventListenerClose,
    SleepRawWsOnMessage,
    SleepRawWsOnClose,
    SleepRawWsSendOnSleep,
    SleepRawWsDelayedSendOnSleep,
    SleepAbortListenerVarsActor,
    SleepWaitUntilVarsDuringGrace,
    SleepRawWsVarsExceedsGrace,
    HibernationActor,
    FileSystemHibernationCleanupActor,
);
