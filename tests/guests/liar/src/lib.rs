//! Breaks the contract, which the SDK does not let anybody do.

wit_bindgen::generate!({ path: "../../../wit", world: "actor", generate_all });

use std::cell::Cell;

use exports::greenroom::actor::description::{
    ActionDescription, ActorTypeDescription, ActorTypeOptions, ComponentDescription, Handlers,
};
use exports::greenroom::actor::lifecycle::StopReason;
use exports::greenroom::actor::state::{Saved, StateSnapshot};
use exports::greenroom::actor::{actions, connections, description, lifecycle, raw, state};
use greenroom::actor::types::{
    Connection, Failure, Identity, RestoredConnection, WebsocketMessage,
};
use wasi::http::types::{Request, Response};

thread_local! {
    static LIES: Cell<bool> = const { Cell::new(false) };
}

struct Liar;

impl description::Guest for Liar {
    fn describe() -> ComponentDescription {
        let action = |name: &str| ActionDescription {
            name: name.into(),
            parameters: vec![],
            result: None,
        };
        ComponentDescription {
            name: "liar".into(),
            sdk: String::new(),
            actor_types: vec![ActorTypeDescription {
                name: "liar".into(),
                actions: ["garbage", "ping", "event", "connection"]
                    .map(action)
                    .into(),
                events: vec![],
                queues: vec![],
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

impl lifecycle::Guest for Liar {
    async fn create(_: Identity, _: Option<Vec<u8>>) -> Result<(), Failure> {
        Ok(())
    }

    fn migrate(_: Identity, _: u32, state: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Ok(state)
    }

    async fn wake(
        _: Identity,
        _: Option<Vec<u8>>,
        _: Vec<RestoredConnection>,
    ) -> Result<(), Failure> {
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

impl actions::Guest for Liar {
    async fn call(
        _: u32,
        _: Option<String>,
        action: String,
        _: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        match action.as_str() {
            // A break without a beginning.
            "garbage" => return Ok(vec![0xff]),
            // An event whose arguments are no array.
            "event" => greenroom::actor::events::broadcast("e", &[0x05]),
            // A state for a connection that cannot be.
            "connection" => LIES.set(true),
            _ => {}
        }
        Ok(b"\x64pong".to_vec())
    }

    async fn cancel(_: u32) {}
}

impl state::Guest for Liar {
    fn snapshot() -> Saved {
        let lie = || ("nobody".to_owned(), vec![0xf6]);
        Saved {
            state: StateSnapshot::Unchanged,
            connections: LIES.get().then(lie).into_iter().collect(),
        }
    }
}

impl connections::Guest for Liar {
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

impl raw::Guest for Liar {
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

export!(Liar);
