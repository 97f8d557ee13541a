//! Wants an actor type that belongs to another component.

use greenroom_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Counter {
    stolen: i64,
}

#[actor]
impl Counter {
    #[action]
    fn increment(&mut self, _by: i64) -> i64 {
        self.stolen += 1;
        self.stolen
    }
}

greenroom_sdk::component!(Counter);
