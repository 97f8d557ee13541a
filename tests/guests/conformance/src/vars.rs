//! Group C, second half: saving on demand, and vars.

use std::collections::BTreeMap;
use std::future::pending;
use std::hash::{BuildHasher, RandomState};

use greenroom_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct SaveStateActor {
    value: i64,
}

/// Who notes how far an actor got.
#[handle("saveStateObserver", rename_all = "camelCase")]
trait Observer {
    async fn record_phase(&self, key: String, phase: String);
}

#[actor(rename_all = "camelCase")]
impl SaveStateActor {
    #[action]
    fn get_value(&self) -> i64 {
        self.value
    }

    #[action]
    async fn save_immediate_and_block(cx: Context<Self>, value: i64) -> Result<()> {
        cx.update(|actor| actor.value = value);
        cx.save().await;
        let observer = Observer::get_or_create(["observer"]);
        observer
            .record_phase(cx.key().join("/"), "immediate".into())
            .await?;
        pending().await
    }

    #[action]
    async fn save_deferred_and_block(cx: Context<Self>, value: i64, ms: u64) -> Result<()> {
        cx.update(|actor| actor.value = value);
        let observer = Observer::get_or_create(["observer"]);
        observer
            .record_phase(cx.key().join("/"), "deferred".into())
            .await?;
        time::sleep(Duration::from_millis(ms / 2)).await;
        cx.save().await;
        pending().await
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct SaveStateObserver {
    phases: BTreeMap<String, String>,
}

#[actor(rename_all = "camelCase")]
impl SaveStateObserver {
    #[action]
    fn record_phase(&mut self, key: String, phase: String) {
        self.phases.insert(key, phase);
    }

    #[action]
    fn get_phase(&self, key: String) -> Option<String> {
        self.phases.get(&key).cloned()
    }

    #[action]
    fn reset(&mut self, key: String) {
        self.phases.remove(&key);
    }
}

#[derive(Clone, Serialize)]
pub(crate) struct StaticVars {
    counter: u32,
    name: &'static str,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct StaticVarActor {
    value: i64,
}

#[actor(rename_all = "camelCase", vars = StaticVars)]
impl StaticVarActor {
    #[vars]
    fn vars() -> StaticVars {
        StaticVars {
            counter: 42,
            name: "test-actor",
        }
    }

    #[action]
    fn get_vars(&self, env: &Env<Self>) -> StaticVars {
        env.vars(|vars| vars.clone())
    }

    #[action]
    fn get_name(&self, env: &Env<Self>) -> &'static str {
        env.vars(|vars| vars.name)
    }
}

#[derive(Clone, Serialize)]
pub(crate) struct NestedVars {
    counter: u32,
    nested: Nested,
}

#[derive(Clone, Serialize)]
struct Nested {
    value: &'static str,
    array: Vec<u32>,
    obj: Object,
}

#[derive(Clone, Serialize)]
struct Object {
    key: &'static str,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct NestedVarActor {
    value: i64,
}

#[actor(rename_all = "camelCase", vars = NestedVars)]
impl NestedVarActor {
    #[vars]
    fn vars() -> NestedVars {
        let obj = Object { key: "value" };
        let nested = Nested {
            value: "original",
            array: vec![1, 2, 3],
            obj,
        };
        NestedVars {
            counter: 42,
            nested,
        }
    }

    #[action]
    fn get_vars(&self, env: &Env<Self>) -> NestedVars {
        env.vars(|vars| vars.clone())
    }

    #[action]
    fn modify_nested(&self, env: &Env<Self>) -> NestedVars {
        env.vars(|vars| {
            vars.nested.value = "modified";
            vars.nested.array.push(4);
            vars.nested.obj.key = "new-value";
            vars.clone()
        })
    }
}

/// Any number; different in each generation.
fn random(below: u64) -> u64 {
    RandomState::new().hash_one(0) % below
}

#[derive(Clone, Serialize)]
pub(crate) struct DynamicVars {
    random: f64,
    computed: String,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct DynamicVarActor {
    value: i64,
}

#[actor(rename_all = "camelCase", vars = DynamicVars)]
impl DynamicVarActor {
    #[vars]
    fn vars() -> DynamicVars {
        const PARTS: u64 = 1 << 32;
        DynamicVars {
            random: random(PARTS) as f64 / PARTS as f64,
            computed: format!("Actor-{}", random(1_000)),
        }
    }

    #[action]
    fn get_vars(&self, env: &Env<Self>) -> DynamicVars {
        env.vars(|vars| vars.clone())
    }
}

#[derive(Clone, Serialize)]
pub(crate) struct UniqueVars {
    id: u64,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct UniqueVarActor {
    value: i64,
}

#[actor(rename_all = "camelCase", vars = UniqueVars)]
impl UniqueVarActor {
    #[vars]
    fn vars() -> UniqueVars {
        UniqueVars {
            id: random(1_000_000),
        }
    }

    #[action]
    fn get_vars(&self, env: &Env<Self>) -> UniqueVars {
        env.vars(|vars| vars.clone())
    }
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DriverVars {
    has_driver_ctx: bool,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct DriverCtxActor {
    value: i64,
}

#[actor(rename_all = "camelCase", vars = DriverVars)]
impl DriverCtxActor {
    #[vars]
    fn vars() -> DriverVars {
        DriverVars {
            has_driver_ctx: false,
        }
    }

    #[action]
    fn get_vars(&self, env: &Env<Self>) -> DriverVars {
        env.vars(|vars| vars.clone())
    }
}
