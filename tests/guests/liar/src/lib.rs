//! Breaks the contract, which the SDK does not let anybody do.

wit_bindgen::generate!({ path: "../../../wit", world: "actor", generate_all });

use exports::greenroom::actor::description::{
    ActionDescription, ActorTypeDescription, ActorTypeOptions, ComponentDescription,
};
use exports::greenroom::actor::lifecycle::StopReason;
use exports::greenroom::actor::state::StateSnapshot;
use exports::greenroom::actor::{actions, description, lifecycle, state};
use greenroom::actor::types::{Failure, Identity};

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
                actions: vec![action("garbage"), action("ping")],
                options: ActorTypeOptions {
                    sleep_after_ms: None,
                    no_sleep: false,
                    action_timeout_ms: None,
                    stop_grace_ms: None,
                },
            }],
        }
    }
}

impl lifecycle::Guest for Liar {
    async fn create(_: Identity, _: Option<Vec<u8>>) -> Result<(), Failure> {
        Ok(())
    }

    async fn wake(_: Identity, _: Option<Vec<u8>>) -> Result<(), Failure> {
        Ok(())
    }

    async fn stop(_: StopReason) -> Result<(), Failure> {
        Ok(())
    }
}

impl actions::Guest for Liar {
    async fn call(action: String, _: Vec<u8>) -> Result<Vec<u8>, Failure> {
        // A break without a beginning; or the text "pong".
        Ok(if action == "garbage" {
            vec![0xff]
        } else {
            b"\x64pong".to_vec()
        })
    }
}

impl state::Guest for Liar {
    fn snapshot() -> StateSnapshot {
        StateSnapshot::Unchanged
    }
}

export!(Liar);
