//! Revision 1 of a component that is replaced under load.

use greenroom_sdk::prelude::*;

const VERSION: u32 = 1;

#[derive(Default, Serialize, Deserialize)]
struct Rollout {
    count: i64,
}

#[actor]
impl Rollout {
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
    fn version(&self) -> u32 {
        VERSION
    }

    /// The version of the code that ran, after some time.
    #[action]
    async fn slow(_cx: Context<Self>, ms: u64) -> u32 {
        time::sleep(Duration::from_millis(ms)).await;
        VERSION
    }
}

greenroom_sdk::component!(name = "rollout"; Rollout);
