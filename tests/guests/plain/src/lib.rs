//! An actor on the contract alone, without the SDK: it receives messages by `queues.receive`, which removes them, where the
//! SDK takes and completes them.

wit_bindgen::generate!({ path: "../../../wit", world: "actor", generate_all });

use std::cell::Cell;

use exports::greenroom::actor::description::{
    ActionDescription, ActorTypeDescription, ActorTypeOptions, ComponentDescription, Handlers,
    QueueDescription,
};
use exports::greenroom::actor::lifecycle::StopReason;
use exports::greenroom::actor::state::{Saved, StateSnapshot};
use exports::greenroom::actor::{actions, connections, description, lifecycle, raw, state};
use greenroom::actor::queues::{Wanted, receive};
use greenroom::actor::types::{
    Connection, Failure, Identity, PublicError, RestoredConnection, WebsocketMessage,
};
use wasi::http::types::{Request, Response};

/// CBOR: an array of so many items, of fewer than 24.
const ARRAY: u8 = 0x80;
/// Messages received at once.
const COUNT_MAX: u8 = 2;

thread_local! {
    /// How many messages it has received, fewer than 24: a number that is its own CBOR.
    static RECEIVED: Cell<u8> = const { Cell::new(0) };
    static IS_CHANGED: Cell<bool> = const { Cell::new(false) };
}

struct Plain;

impl description::Guest for Plain {
    fn describe() -> ComponentDescription {
        let action = |name: &str| ActionDescription {
            name: name.into(),
            parameters: vec![],
            result: None,
        };
        ComponentDescription {
            name: "plain".into(),
            sdk: String::new(),
            actor_types: vec![ActorTypeDescription {
                name: "plain".into(),
                actions: ["receive", "wait", "receiveAndBreak"].map(action).into(),
                events: vec![],
                queues: vec![QueueDescription {
                    name: "letters".into(),
                    type_name: String::new(),
                    guarded: false,
                }],
                handlers: Handlers::empty(),
                state_version: 1,
                migrates_from: vec![],
                options: ActorTypeOptions {
                    sleep_after_ms: None,
                    no_sleep: false,
                    action_timeout_ms: None,
                    stop_grace_ms: None,
                    connections_keep_awake: false,
                    websockets_hibernate: false,
                    cancel_abandoned: false,
                    queue_messages_max: None,
                    queue_message_bytes_max: None,
                    queue_attempts_max: None,
                },
            }],
        }
    }
}

impl lifecycle::Guest for Plain {
    async fn create(_: Identity, _: Option<Vec<u8>>) -> Result<(), Failure> {
        IS_CHANGED.set(true);
        Ok(())
    }

    fn migrate(_: Identity, _: u32, state: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Ok(state)
    }

    async fn wake(
        _: Identity,
        state: Option<Vec<u8>>,
        _: Vec<RestoredConnection>,
    ) -> Result<(), Failure> {
        RECEIVED.set(state.and_then(|state| state.first().copied()).unwrap_or(0));
        Ok(())
    }

    async fn run() -> Result<(), Failure> {
        Ok(())
    }

    async fn abort(_: StopReason) {}

    async fn stop(_: StopReason) -> Result<(), Failure> {
        Ok(())
    }
}

/// Receives, and answers `[how many so far, [bodies], [attempts]]`.
async fn receive_some(timeout_ms: Option<u32>) -> Result<Vec<u8>, PublicError> {
    let wanted = Wanted {
        queues: vec!["letters".into()],
        count_max: COUNT_MAX.into(),
        timeout_ms,
        in_run: false,
    };
    let messages = receive(wanted).await?;
    let count = messages.len() as u8;
    RECEIVED.set(RECEIVED.get() + count);
    IS_CHANGED.set(true);
    let bodies = messages.iter().flat_map(|message| &message.body);
    let attempts = messages.iter().map(|message| message.attempts as u8);
    let mut answer = vec![ARRAY + 3, RECEIVED.get(), ARRAY + count];
    answer.extend(bodies);
    answer.push(ARRAY + count);
    answer.extend(attempts);
    Ok(answer)
}

impl actions::Guest for Plain {
    async fn call(
        _: u32,
        _: Option<String>,
        action: String,
        _: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        let timeout_ms = (action != "wait").then_some(0);
        let answer = receive_some(timeout_ms).await.map_err(Failure::Public)?;
        assert_ne!(action, "receiveAndBreak", "as it was asked to");
        Ok(answer)
    }

    async fn cancel(_: u32) {}
}

impl state::Guest for Plain {
    fn snapshot() -> Saved {
        let state = if IS_CHANGED.replace(false) {
            StateSnapshot::Changed(vec![RECEIVED.get()])
        } else {
            StateSnapshot::Unchanged
        };
        Saved {
            state,
            connections: vec![],
        }
    }
}

impl connections::Guest for Plain {
    async fn connect(_: Connection) -> Result<(), Failure> {
        Ok(())
    }

    async fn disconnect(_: String) -> Result<(), Failure> {
        Ok(())
    }

    async fn may_subscribe(_: String, _: String) -> Result<bool, Failure> {
        Ok(true)
    }

    async fn may_publish(_: String, _: String) -> Result<bool, Failure> {
        Ok(true)
    }
}

impl raw::Guest for Plain {
    async fn on_request(_: String, _: Request) -> Result<Option<Response>, Failure> {
        Ok(None)
    }

    async fn on_websocket(_: String) -> Result<(), Failure> {
        Ok(())
    }

    async fn on_message(_: String, _: WebsocketMessage, _: u32) -> Result<(), Failure> {
        Ok(())
    }

    async fn on_close(_: String, _: u16, _: String) -> Result<(), Failure> {
        Ok(())
    }
}

export!(Plain);
