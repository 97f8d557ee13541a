//! The macros of `greenroom-sdk`, which documents how to use them.

mod actor;
mod connections;
mod describe;
mod function;
mod handle;
mod migrate;
mod names;
mod roles;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Turns an `impl` block into an actor type.
///
/// | setting | default | |
/// |---|---|---|
/// | `name = "…"` | the type's name, in camelCase | what clients call it by |
/// | `rename_all = "camelCase"` | as written | how actions without a name of their own are called |
/// | `state_version = 2` | `1` | the version of the shape of its state |
/// | `vars = Type` | `()` | what is kept in memory only |
/// | `sleep_after = "30s"` | the host's | idle time before it sleeps |
/// | `no_sleep` | off | it never sleeps for want of work |
/// | `action_timeout = "60s"` | the host's | time before a caller is told that it timed out |
/// | `stop_grace = "15s"` | the host's | time for everything between the decision to stop and the end |
/// | `conn_state = Type` | `()` | what each connection carries |
/// | `events = [A, B]` | none | declared events, constants of type `Event` |
/// | `connections_keep_awake` | off | it does not sleep while a realtime connection is open |
/// | `websockets_hibernate` | off | raw WebSockets stay open while it sleeps |
/// | `cancel_abandoned` | off | an async action whose caller has gone, or was told that it timed out, is dropped |
/// | `queues = [A, B]` | none | its queues, constants of type `Queue` |
/// | `queue_messages_max = 10` | the host's | messages in all its queues together |
/// | `queue_message_bytes_max = 64` | the host's | one message, in bytes of CBOR |
/// | `queue_attempts_max = 3` | the host's | how often a message is taken before it is a dead letter |
///
/// Functions in the block are marked `#[action]` (or `#[action(name = "group.member")]`), `#[create]`,
/// `#[vars]`, `#[on_wake]`, `#[run]`, `#[on_sleep]`, `#[on_destroy]`, `#[on_state_change]`, `#[before_response]`;
/// for connections `#[before_connect]`, `#[conn_state]`, `#[on_connect]`, `#[on_disconnect]`,
/// `#[can_subscribe]`, `#[can_publish]`; for raw HTTP and WebSockets `#[on_request]`, `#[on_websocket]`, `#[on_message]`,
/// `#[on_close]`. `#[migrate(from = 1)]` marks a step that makes a state of version 2 out of one of version 1: a plain
/// `fn name(old: OldState) -> NewState`, or a `Result` of it, once for each version, without a gap up to `state_version`.
/// What is not marked stays what it is.
#[proc_macro_attribute]
pub fn actor(settings: TokenStream, block: TokenStream) -> TokenStream {
    let mut parsed = actor::Settings::default();
    let parser = syn::meta::parser(|meta| parsed.take(&meta));
    parse_macro_input!(settings with parser);
    let block = parse_macro_input!(block as syn::ItemImpl);
    actor::expand(&parsed, block)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Turns a trait into a typed handle of another actor.
///
/// `#[handle("inventory")] trait Inventory { async fn reserve(&self, count: u32) -> bool; }` makes a struct
/// `Inventory` with the functions `get`, `get_or_create`, `create`, `with_id`, and the method `reserve`, which
/// gives `Result<bool, CallError>`. It is a `client::Handle`, too, which sends messages to queues. `rename_all` and `#[action(name = "…")]` work as in `#[actor]`.
#[proc_macro_attribute]
pub fn handle(settings: TokenStream, item: TokenStream) -> TokenStream {
    let settings = parse_macro_input!(settings as handle::Settings);
    let item = parse_macro_input!(item as syn::ItemTrait);
    handle::expand(&settings, &item)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
