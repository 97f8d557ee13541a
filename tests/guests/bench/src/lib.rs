//! For load runs.

use greenroom_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Bench {
    count: i64,
    fired: i64,
}

#[actor]
impl Bench {
    #[action]
    fn increment(&mut self, n: i64) -> i64 {
        self.count += n;
        self.count
    }

    #[action]
    fn count(&self) -> i64 {
        self.count
    }

    #[action]
    fn fire(&mut self) {
        self.fired = time::now_ms();
    }

    #[action]
    fn fired(&self) -> i64 {
        self.fired
    }
}

greenroom_sdk::component!(Bench);
