//! Every bound of the host, with its unit, in one place.
//!
//! The binary fills this from flags, environment and file; see `greenroom serve --help` for what
//! each is for an operator.

use std::time::Duration;

/// What may grow, and how far.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Activations in memory at once. Beyond it, the one idle longest goes to sleep first.
    pub awake_max: usize,
    /// How long a call waits for one of those places before it is refused.
    pub awake_wait_max: Duration,
    /// Calls that wait in one actor's mailbox; one more is refused.
    pub mailbox_calls_max: usize,
    /// Turns running at once inside one actor; further calls wait in the mailbox.
    pub turns_max: usize,
    /// Times a call is entered again when an activation ended before the call began.
    pub reentries_max: u32,

    /// How long an actor stays awake without work, where its type does not say.
    pub sleep_after: Duration,
    /// How long an action may take, where its type does not say.
    pub action_timeout: Duration,
    /// How long a stopping activation may take over what it began, where its type does not say.
    pub stop_grace: Duration,
    /// How long a guest's start (instantiate, create or wake) may take.
    pub start_timeout: Duration,

    /// How long a guest may take to let a connection in, or to allow a subscription.
    pub connect_timeout: Duration,
    /// How long a guest may take until it begins to answer a raw HTTP request.
    pub request_timeout: Duration,
    /// Long connections of one actor; one more is refused.
    pub actor_conns_max: usize,
    /// Params and opening requests of all connections of one actor, in bytes: its guest holds them all.
    pub actor_openings_bytes_max: usize,
    /// Events that one connection may be subscribed to.
    pub subscriptions_max: usize,
    /// Bytes of events and messages of one actor that wait to leave; a guest that sends more is cut off.
    pub outbox_bytes_max: usize,

    /// Linear memory of one activation, in bytes.
    pub guest_memory_bytes_max: usize,
    /// Time that a guest may compute without giving control back.
    pub guest_burst_max: Duration,
    /// Bytes a guest may hand over in one host call, and values that it may read of its pairs in one.
    pub guest_message_bytes_max: usize,
    /// Resources, waits and subtasks that one guest may hold.
    pub guest_handles_max: usize,
    /// Output of a guest (stdout, stderr, last lines) kept for its crash report, in bytes.
    pub guest_output_bytes_max: usize,
    /// State of one actor, in bytes of CBOR.
    pub state_bytes_max: usize,

    /// Messages in all queues of one actor, where its type does not say.
    pub queue_messages_max: usize,
    /// One message of a queue, in bytes of CBOR, where the actor type does not say.
    pub queue_message_bytes_max: usize,
    /// All messages of one actor, in bytes: it holds them all while it is awake.
    pub queue_bytes_max: usize,
    /// How often a message may be taken, where its actor type does not say.
    pub queue_attempts_max: u32,
    /// How long a sender may wait for the completion of its message.
    pub queue_wait_max: Duration,
    /// All pairs of one actor, in bytes.
    pub kv_bytes_max: u64,
    /// Entries in the schedule of one actor.
    pub schedule_entries_max: usize,
    /// The schedule of one actor, in bytes: it holds it while it is awake.
    pub schedule_bytes_max: usize,
    /// Sleeping actors that are woken for their alarms at once.
    pub alarm_wakes_max: usize,

    /// An uploaded component, in bytes.
    pub component_bytes_max: usize,
    /// Actor types in one component.
    pub component_types_max: usize,
    /// How long a component may take to describe itself.
    pub describe_timeout: Duration,

    /// Connections that clients hold open at once.
    pub connections_max: usize,
    /// Requests under way at once, over all connections; one more is refused.
    pub requests_max: usize,
    /// Uploads of components under way at once; one more is refused.
    pub uploads_max: usize,
    /// Head of one request (request line and headers), in bytes.
    pub head_bytes_max: usize,
    /// How long a client may take over a request's head, and idle between requests.
    pub head_timeout: Duration,
    /// How long a client may take over a request's body.
    pub body_timeout: Duration,
    /// How long a write to a client may make no progress.
    pub write_timeout: Duration,
    /// Pause between two pings on a WebSocket.
    pub ping_every: Duration,
    /// After so long without anything from a WebSocket's client, not even a pong, it is gone.
    pub silence_max: Duration,
    /// Body of an action call from outside, in bytes.
    pub incoming_bytes_max: usize,
    /// Answer of an action call to outside, in bytes.
    pub outgoing_bytes_max: usize,
    /// Body of a raw HTTP request or response, each way, in bytes.
    pub raw_body_bytes_max: usize,
    /// Message on a raw WebSocket, each way, in bytes.
    pub raw_message_bytes_max: usize,
    /// WebSockets that clients hold open at once, over all actors; one more is closed at once.
    pub websockets_max: usize,
    /// Bytes that wait for a slow client of one connection; with more, it is closed.
    pub conn_queue_bytes_max: usize,
    /// Bytes that wait for clients of all connections. The less is left, the less one may have; it is closed then.
    pub conn_queues_bytes_max: usize,
    /// Frames that wait for a slow client of one connection; with more, it is closed.
    pub conn_queue_frames_max: usize,
    /// Input of a creation over REST, in bytes of CBOR.
    pub input_bytes_max: usize,
    /// Actors in one page of a listing.
    pub page_actors_max: usize,

    /// Revisions of one component whose bytes are kept, besides those that something runs on.
    pub revisions_kept_max: u32,
    /// Awake actors of one component that go over to another revision at once.
    pub rollout_moves_max: usize,
    /// How long a rollout is watched after the last actor has gone over.
    pub rollout_window: Duration,
    /// How many actors may fail on a new revision, out of a hundred that have started or done something on it within the
    /// window.
    pub rollout_failures_percent: u32,
    /// How many failures it takes at least to roll back.
    pub rollout_failures_min: u32,
    /// Actors that are rehearsed before a deploy, unless it says otherwise.
    pub rehearsal_actors_max: usize,
    /// How long a rehearsal may take.
    pub rehearsal_max: Duration,

    /// Names remembered by the directory, so that a call needs no look-up in the store.
    pub directory_names_max: usize,
    /// Commands waiting for the store's writer.
    pub store_queue_max: usize,
    /// How long a stopping host may take over everything.
    pub shutdown_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            awake_max: 8_000,
            awake_wait_max: Duration::from_secs(10),
            mailbox_calls_max: 1_024,
            turns_max: 1_024,
            reentries_max: 8,
            sleep_after: Duration::from_secs(30),
            action_timeout: Duration::from_secs(60),
            stop_grace: Duration::from_secs(15),
            start_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(300),
            actor_conns_max: 16_384,
            actor_openings_bytes_max: 8 << 20,
            subscriptions_max: 1_024,
            outbox_bytes_max: 16 << 20,
            guest_memory_bytes_max: 64 << 20,
            guest_burst_max: Duration::from_secs(5),
            guest_message_bytes_max: 16 << 20,
            // A turn that waits takes about five; all of `turns_max` have to fit.
            guest_handles_max: 16_384,
            guest_output_bytes_max: 8 << 10,
            state_bytes_max: 8 << 20,
            queue_messages_max: 1_000,
            queue_message_bytes_max: 64 << 10,
            queue_bytes_max: 16 << 20,
            queue_attempts_max: 16,
            queue_wait_max: Duration::from_secs(300),
            kv_bytes_max: 1 << 30,
            schedule_entries_max: 10_000,
            schedule_bytes_max: 4 << 20,
            alarm_wakes_max: 64,
            component_bytes_max: 64 << 20,
            component_types_max: 256,
            describe_timeout: Duration::from_secs(5),
            connections_max: 10_000,
            requests_max: 20_000,
            uploads_max: 4,
            head_bytes_max: 64 << 10,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            ping_every: Duration::from_secs(30),
            silence_max: Duration::from_secs(75),
            incoming_bytes_max: 64 << 10,
            outgoing_bytes_max: 1 << 20,
            raw_body_bytes_max: 20 << 20,
            raw_message_bytes_max: 8 << 20,
            websockets_max: 20_000,
            conn_queue_bytes_max: 8 << 20,
            conn_queues_bytes_max: 512 << 20,
            conn_queue_frames_max: 16_384,
            input_bytes_max: 4 << 20,
            page_actors_max: 100,
            revisions_kept_max: 20,
            rollout_moves_max: 16,
            rollout_window: Duration::from_secs(30),
            rollout_failures_percent: 10,
            rollout_failures_min: 5,
            rehearsal_actors_max: 10_000,
            rehearsal_max: Duration::from_secs(300),
            directory_names_max: 200_000,
            store_queue_max: 32_768,
            shutdown_max: Duration::from_secs(20),
        }
    }
}
