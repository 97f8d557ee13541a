//! For load runs.

mod data;

use greenroom_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Bench {
    count: i64,
    fired: i64,
}

const TICK: Event<i64> = Event::new("tick");

#[actor(events = [TICK])]
impl Bench {
    #[action]
    fn tell(&self, env: &Env<Self>, number: i64) {
        env.broadcast(TICK, &number);
    }

    #[action]
    fn keep_and_tell(&mut self, env: &Env<Self>, number: i64) {
        self.count = number;
        env.broadcast(TICK, &number);
    }

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

greenroom_sdk::component!(Bench, data::BenchAlarm, data::BenchPairs, data::BenchQueue);
