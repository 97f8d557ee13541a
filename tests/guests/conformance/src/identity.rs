//! Group A: identity and input.

use std::collections::BTreeMap;

use greenroom_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Counter {
    count: i64,
}

const NEW_COUNT: Event<i64> = Event::new("newCount");

#[actor(rename_all = "camelCase", events = [NEW_COUNT])]
impl Counter {
    #[action]
    fn increment(&mut self, env: &Env<Self>, x: i64) -> i64 {
        self.count += x;
        env.broadcast(NEW_COUNT, &self.count);
        self.count
    }

    #[action]
    fn set_count(&mut self, env: &Env<Self>, x: i64) -> i64 {
        self.count = x;
        env.broadcast(NEW_COUNT, &self.count);
        self.count
    }

    #[action]
    fn get_count(&self) -> i64 {
        self.count
    }

    #[action]
    fn get_key(&self, env: &Env<Self>) -> Vec<String> {
        env.key().to_vec()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InputActor {
    initial_input: Value,
    on_create_input: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inputs {
    initial_input: Value,
    on_create_input: Value,
}

#[actor(rename_all = "camelCase")]
impl InputActor {
    #[create]
    fn create(input: Value) -> Self {
        Self {
            initial_input: input.clone(),
            on_create_input: input,
        }
    }

    #[action]
    fn get_inputs(&self) -> Inputs {
        Inputs {
            initial_input: self.initial_input.clone(),
            on_create_input: self.on_create_input.clone(),
        }
    }
}

type Tags = BTreeMap<String, Value>;

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct MetadataActor {
    actor_name: String,
    stored_tags: Tags,
    stored_region: Option<String>,
    last_metadata: Option<Metadata>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Metadata {
    name: String,
    tags: Tags,
    region: Option<String>,
}

#[actor(rename_all = "camelCase")]
impl MetadataActor {
    #[on_wake]
    fn woken(&mut self, env: &Env<Self>) {
        self.actor_name = env.actor_type().to_owned();
    }

    #[action]
    fn setup_test_tags(&mut self, tags: Tags) -> Tags {
        self.stored_tags = tags;
        self.stored_tags.clone()
    }

    #[action]
    fn setup_test_region(&mut self, region: String) -> String {
        self.stored_region = Some(region.clone());
        region
    }

    #[action]
    fn get_metadata(&mut self, env: &Env<Self>) -> Metadata {
        let metadata = Metadata {
            name: env.actor_type().to_owned(),
            tags: self.stored_tags.clone(),
            region: self.stored_region.clone(),
        };
        self.last_metadata = Some(metadata.clone());
        metadata
    }

    #[action]
    fn get_actor_name(&self, env: &Env<Self>) -> String {
        env.actor_type().to_owned()
    }

    #[action]
    fn get_tag(&self, key: String) -> Option<Value> {
        self.stored_tags.get(&key).cloned()
    }

    #[action]
    fn get_tags(&self) -> Tags {
        self.stored_tags.clone()
    }

    #[action]
    fn get_region(&self) -> Option<String> {
        self.stored_region.clone()
    }

    #[action]
    fn get_stored_actor_name(&self) -> String {
        self.actor_name.clone()
    }

    #[action]
    fn get_last_metadata(&self) -> Option<Metadata> {
        self.last_metadata.clone()
    }
}

/// A type without fields is how a Rust actor has no state.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct StatelessActor;

#[derive(Serialize)]
struct Attempt {
    success: bool,
    error: &'static str,
}

#[actor(rename_all = "camelCase")]
impl StatelessActor {
    #[action]
    fn ping(&self) -> &'static str {
        "pong"
    }

    #[action]
    fn echo(&self, text: String) -> String {
        text
    }

    #[action]
    fn get_actor_id(&self, env: &Env<Self>) -> String {
        env.id().to_owned()
    }

    #[action]
    fn try_get_state(&self) -> Attempt {
        Attempt {
            success: false,
            error: "this actor type has no state",
        }
    }

    #[action]
    fn try_get_db(&self) -> Attempt {
        Attempt {
            success: false,
            error: "this actor type has no database",
        }
    }
}
