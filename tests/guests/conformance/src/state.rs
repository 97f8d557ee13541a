//! Group C, first half: being told of changes of the state.

use std::ptr;

use greenroom_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct OnStateChangeActor {
    value: i64,
    blob: Vec<u32>,
}

#[derive(Default)]
pub(crate) struct Changes {
    change_count: u32,
}

#[actor(rename_all = "camelCase", vars = Changes)]
impl OnStateChangeActor {
    #[on_state_change]
    fn changed(&self, env: &Env<Self>) {
        env.vars(|changes| changes.change_count += 1);
    }

    #[action]
    fn set_value(&mut self, n: i64) -> i64 {
        self.value = n;
        self.value
    }

    #[action]
    async fn increment_multiple(cx: Context<Self>, n: u32) -> i64 {
        increment_by_one(&cx, n);
        cx.read(|actor| actor.value)
    }

    #[action]
    fn get_value(&self) -> i64 {
        self.value
    }

    #[action]
    fn get_doubled(&self) -> i64 {
        2 * self.value
    }

    #[action]
    fn get_change_count(&self, env: &Env<Self>) -> u32 {
        env.vars(|changes| changes.change_count)
    }

    #[action]
    fn reset_change_count(&self, env: &Env<Self>) {
        env.vars(|changes| changes.change_count = 0);
    }

    #[action]
    async fn state_identity_stable(cx: Context<Self>) -> bool {
        let first = cx.read(ptr::from_ref);
        cx.read(|actor| ptr::eq(actor, first))
    }

    #[action]
    fn seed_large(&mut self, n: u32) -> u32 {
        self.blob = (0..n).collect();
        n
    }

    #[action]
    async fn churn(cx: Context<Self>, n: u32) -> i64 {
        let start = time::now_ms();
        increment_by_one(&cx, n);
        time::now_ms() - start
    }
}

/// Each time a change of its own.
fn increment_by_one(cx: &Context<OnStateChangeActor>, times: u32) {
    for _ in 0..times {
        cx.update(|actor| actor.value += 1);
    }
}
