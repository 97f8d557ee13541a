//! What of a failure can be said to a stranger.
//!
//! Every code that the host itself gives to clients is listed in [`codes`], with its HTTP status, and
//! has a page under `docs/errors/`. A guest's own errors carry whatever group and code it chose.
//! Everything else is *internal*: logged in full where it is found, shown as
//! `rivetkit.internal_error`.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// A public error of the host: what names it, and the HTTP status that goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The family: who found the fault, as the stock client's users know it.
    pub group: &'static str,
    /// The name within the group. Stable.
    pub code: &'static str,
    /// The HTTP status of an answer that carries it.
    pub status: u16,
}

/// A failure as a client may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorError {
    /// The family of the code.
    pub group: Cow<'static, str>,
    /// What went wrong, for programs. Stable.
    pub code: Cow<'static, str>,
    /// What went wrong and what to do about it, for people.
    pub message: Cow<'static, str>,
    /// More about it, as CBOR.
    pub metadata: Option<Bytes>,
    /// The HTTP status of an answer that carries it.
    pub status: u16,
}

impl ActorError {
    /// One of the host's own errors, with a sentence for this occasion.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            group: Cow::Borrowed(code.group),
            code: Cow::Borrowed(code.code),
            message: message.into(),
            metadata: None,
            status: code.status,
        }
    }

    /// An error that a guest made for its callers. The stock server answers those with 500, unless their
    /// code is one of the host's own.
    #[must_use]
    pub fn from_guest(
        group: String,
        code: String,
        message: String,
        metadata: Option<Bytes>,
    ) -> Self {
        let is_known = |known: &&Code| known.group == group && known.code == code;
        let status = match codes::ALL.iter().find(is_known) {
            Some(known) => known.status,
            None if code == "forbidden" => 403,
            None => 500,
        };
        Self {
            group: Cow::Owned(group),
            code: Cow::Owned(code),
            message: Cow::Owned(message),
            metadata,
            status,
        }
    }

    /// The error that hides a detail. The caller of this function has logged it.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(codes::INTERNAL_ERROR, INTERNAL_ERROR_DESCRIPTION)
    }

    /// With more about the error, as CBOR.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Bytes) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Whether this is that one of the host's errors.
    #[must_use]
    pub fn is(&self, code: Code) -> bool {
        self.group == code.group && self.code == code.code
    }
}

impl fmt::Display for ActorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}: {}", self.group, self.code, self.message)
    }
}

impl std::error::Error for ActorError {}

/// What the stock client's users are told when nothing else may be told.
const INTERNAL_ERROR_DESCRIPTION: &str = "An internal error occurred";

macro_rules! codes {
    ($($(#[$docs:meta])* $name:ident = $group:literal . $code:literal, $status:literal;)*) => {
        /// Every error that the host itself gives to clients.
        pub mod codes {
            use super::Code;
            $($(#[$docs])* pub const $name: Code =
                Code { group: $group, code: $code, status: $status };)*
            /// All of them, for tests and documentation.
            pub const ALL: &[Code] = &[$($name),*];
        }
    };
}

codes! {
    /// There is no such actor, or not any more.
    NOT_FOUND = "actor"."not_found", 404;
    /// No deployed component has an actor type of that name.
    TYPE_NOT_FOUND = "actor"."type_not_found", 404;
    /// The actor type has no action of that name.
    ACTION_NOT_FOUND = "actor"."action_not_found", 404;
    /// The arguments are not what the action takes.
    VALIDATION_ERROR = "actor"."validation_error", 400;
    /// The action took longer than its type allows. It may still be running.
    ACTION_TIMED_OUT = "actor"."action_timed_out", 408;
    /// The path exists, but not for this HTTP method.
    METHOD_NOT_ALLOWED = "actor"."method_not_allowed", 405;
    /// The request cannot be read: bad framing, bad JSON, bad CBOR, an unknown encoding.
    INVALID_REQUEST = "actor"."invalid_request", 400;
    /// The key is too long or wrongly escaped.
    INVALID_KEY = "actor"."invalid_key", 400;
    /// The actor type's name is not one.
    INVALID_NAME = "actor"."invalid_name", 400;
    /// There is an actor of that name already.
    DUPLICATE_KEY = "actor"."duplicate_key", 400;
    /// The actor has as many calls waiting as it may hold. The action did not begin.
    OVERLOADED = "actor"."overloaded", 503;
    /// The actor kept leaving memory before the action could begin.
    STOPPING = "actor"."stopping", 503;
    /// The actor left memory while the action ran. Whether its writes were kept, nobody can tell.
    ABORTED = "actor"."aborted", 500;
    /// The guest's code broke down (a panic, a trap) while the action ran, or waited with others.
    CRASHED = "actor"."crashed", 500;
    /// The guest computed for too long without giving control back, and was stopped.
    CPU_LIMIT_EXCEEDED = "actor"."cpu_limit_exceeded", 500;
    /// The guest wanted more memory than an actor may have, and was stopped.
    MEMORY_LIMIT_EXCEEDED = "actor"."memory_limit_exceeded", 500;
    /// The guest answered with something that is not a value, and was stopped.
    INVALID_OUTPUT = "actor"."invalid_output", 500;
    /// The state has grown over its bound; it was not saved.
    STATE_TOO_LARGE = "actor"."state_too_large", 500;
    /// Creating or waking the actor took too long.
    START_TIMED_OUT = "actor"."start_timed_out", 500;
    /// A message to an actor is over its bound.
    INCOMING_TOO_LONG = "message"."incoming_too_long", 400;
    /// A message from an actor is over its bound.
    OUTGOING_TOO_LONG = "message"."outgoing_too_long", 400;
    /// A namespace that does not exist.
    NAMESPACE_NOT_FOUND = "namespace"."not_found", 400;
    /// A gateway query with a parameter that is unknown or has a bad value.
    QUERY_INVALID_PARAMS = "guard"."query_invalid_params", 400;
    /// A gateway query with one parameter given twice.
    QUERY_DUPLICATE_PARAM = "guard"."query_duplicate_param", 400;
    /// A gateway query with a token in its path.
    QUERY_PATH_TOKEN_SYNTAX = "guard"."query_path_token_syntax", 400;
    /// A gateway query with method `get` and parameters that only creation has.
    QUERY_GET_DISALLOWED_PARAMS = "guard"."query_get_disallowed_params", 400;
    /// A gateway query with method `getOrCreate` and no pool.
    QUERY_MISSING_POOL = "guard"."query_missing_pool", 400;
    /// The actor refuses this client, or what it asks for.
    AUTH_FORBIDDEN = "auth"."forbidden", 403;
    /// The actor's handler of raw HTTP requests gave no response.
    NO_RESPONSE = "actor"."no_response", 500;
    /// The actor type has no handler of raw WebSockets.
    NO_WEBSOCKET_HANDLER = "actor"."no_websocket_handler", 404;
    /// A WebSocket asks for an encoding that there is not.
    UNSUPPORTED_WEBSOCKET_ENCODING = "actor"."unsupported_websocket_encoding", 400;
    /// The actor stops, and this connection cannot outlive that.
    STOPPED = "actor"."stopped", 503;
    /// The client of a connection does not read what it is sent.
    TOO_SLOW = "message"."too_slow", 503;
    /// A request for an actor that leads nowhere.
    NO_ROUTE = "guard"."no_route", 404;
    /// The host cannot take the request now: it is stopping, or all its places are taken.
    SERVICE_UNAVAILABLE = "guard"."service_unavailable", 503;
    /// The client took too long over its request.
    REQUEST_TIMEOUT = "guard"."request_timeout", 408;
    /// No such route.
    ROUTE_NOT_FOUND = "api"."not_found", 404;
    /// A request body or parameter that makes no sense.
    BAD_REQUEST = "api"."bad_request", 400;
    /// A request that needs a token and has none, or a wrong one.
    UNAUTHORIZED = "api"."unauthorized", 401;
    /// A web page from elsewhere that wants to manage a host in development mode.
    FORBIDDEN = "api"."forbidden", 403;
    /// The upload is not a WebAssembly component.
    COMPONENT_INVALID = "component"."invalid", 400;
    /// The component does not export what an actor must, or not of the right type.
    COMPONENT_WRONG_WORLD = "component"."wrong_world", 400;
    /// The component imports something that actors are not given.
    COMPONENT_NOT_GRANTED = "component"."not_granted", 400;
    /// The component is larger than the host takes.
    COMPONENT_TOO_LARGE = "component"."too_large", 413;
    /// The component's description of itself fails or breaks a rule.
    COMPONENT_BAD_DESCRIPTION = "component"."bad_description", 400;
    /// An actor type in it belongs to another component.
    COMPONENT_TYPE_TAKEN = "component"."type_taken", 409;
    /// Another rollout of the component is under way, and does not go to everybody yet.
    COMPONENT_ROLLOUT_ACTIVE = "component"."rollout_active", 409;
    /// No rollout of the component is under way.
    COMPONENT_NO_ROLLOUT = "component"."no_rollout", 409;
    /// There is no earlier revision to go back to.
    COMPONENT_NO_EARLIER_REVISION = "component"."no_earlier_revision", 409;
    /// The component has no such revision, or its code is no longer kept.
    COMPONENT_REVISION_NOT_FOUND = "component"."revision_not_found", 404;
    /// Copies of actors do not start on the new revision.
    COMPONENT_REHEARSAL_FAILED = "component"."rehearsal_failed", 409;
    /// There is no component of that name.
    COMPONENT_NOT_FOUND = "component"."not_found", 404;
    /// The actor's queues hold as many messages, or bytes, as they may.
    QUEUE_FULL = "queue"."full", 400;
    /// A message is larger than its actor type takes.
    QUEUE_MESSAGE_TOO_LARGE = "queue"."message_too_large", 400;
    /// The message was completed before.
    QUEUE_ALREADY_COMPLETED = "queue"."already_completed", 400;
    /// A message that was taken before, in the same call, has not been completed.
    QUEUE_PREVIOUS_NOT_COMPLETED = "queue"."previous_message_not_completed", 400;
    /// A key of a pair is empty or too long.
    KV_KEY_TOO_LARGE = "kv"."key_too_large", 400;
    /// A value of a pair is too long.
    KV_VALUE_TOO_LARGE = "kv"."value_too_large", 400;
    /// The actor's key-value store has no room for this, or too much of it waits to be committed.
    KV_FULL = "kv"."full", 507;
    /// The name of a schedule's entry is empty or too long.
    SCHEDULE_INVALID_NAME = "schedule"."invalid_name", 400;
    /// A cron expression that cannot be read, or that never comes true.
    SCHEDULE_INVALID_CRON = "schedule"."invalid_cron_expression", 400;
    /// A time zone that there is not.
    SCHEDULE_INVALID_TIMEZONE = "schedule"."invalid_timezone", 400;
    /// A time or an interval that is none, or too short.
    SCHEDULE_INVALID_INTERVAL = "schedule"."invalid_interval", 400;
    /// The actor's schedule has as many entries, or bytes, as it may.
    SCHEDULE_FULL = "schedule"."max_schedules_exceeded", 507;
    /// Something went wrong that is nobody else's business.
    INTERNAL_ERROR = "rivetkit"."internal_error", 500;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        // Asked for now, not when it is built: what is built may be shared by checkouts in other places.
        let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        let folder = std::path::Path::new(&here).join("../../docs/errors");
        let mut pages: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "README.md")
            .collect();
        let mut wanted: Vec<String> = codes::ALL
            .iter()
            .map(|code| format!("{}.{}.md", code.group, code.code))
            .collect();
        pages.sort();
        wanted.sort();
        assert_eq!(pages, wanted);
    }
}
