//! The smallest actor that is of use: how is state kept?

use greenroom_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Counter {
    count: i64,
}

#[actor]
impl Counter {
    #[action]
    fn increment(&mut self, by: i64) -> i64 {
        self.count += by;
        self.count
    }

    #[action]
    fn count(&self) -> i64 {
        self.count
    }
}

greenroom_sdk::component!(Counter);
