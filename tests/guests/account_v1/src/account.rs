//! What all revisions of the account do, whatever the shape of their state is.
//!
//! The shape is an `Account` with `set`, `post`, `units` and `holder`. Balances are whole units at the border.

use std::hash::{BuildHasher, RandomState};

use greenroom_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) n: i64,
}

pub(crate) const JOBS: Queue<Job> = Queue::new("jobs");

/// The balance after a deposit.
pub(crate) const DEPOSITED: Event<i64> = Event::new("deposited");

/// Breaks down in so many of a hundred calls, wherever they come from: it remembers nothing.
pub(crate) fn trap_sometimes(percent: u64) {
    let drawn = RandomState::new().hash_one(0) % 100;
    assert!(drawn >= percent, "a deposit that breaks down");
}

/// One revision of the actor type, with what it does `also`.
macro_rules! account {
    (
        revision: $revision:literal,
        state_version: $state_version:literal,
        deposits_that_trap_percent: $percent:literal,
        also: { $($also:tt)* }
    ) => {
        use $crate::account::{DEPOSITED, JOBS, trap_sometimes};

        #[actor(state_version = $state_version, events = [DEPOSITED], queues = [JOBS])]
        impl Account {
            #[run]
            async fn run(cx: Context<Self>) -> Result<()> {
                loop {
                    let job = JOBS.take(&cx).await?;
                    cx.update(|account| account.post(job.body.n));
                    job.complete()?;
                }
            }

            #[action]
            fn open(&mut self, owner: String) {
                self.set(self.units(), owner);
            }

            #[action]
            fn deposit(&mut self, env: &Env<Self>, n: i64) -> i64 {
                trap_sometimes($percent);
                let balance = self.post(n);
                env.broadcast(DEPOSITED, &balance);
                balance
            }

            /// Deposits after some time; the id of the entry in the schedule.
            #[action]
            fn later(&self, env: &Env<Self>, ms: u64, n: i64) -> Result<String> {
                env.schedule().after(Duration::from_millis(ms), "deposit", (n,))
            }

            #[action]
            fn balance(&self) -> i64 {
                self.units()
            }

            #[action]
            fn owner(&self) -> String {
                self.holder().to_owned()
            }

            #[action]
            fn version(&self) -> u32 {
                $revision
            }

            /// The version of the code that ran, after some time.
            #[action]
            async fn slow(_cx: Context<Self>, ms: u64) -> u32 {
                time::sleep(Duration::from_millis(ms)).await;
                $revision
            }

            /// The whole state, as it is saved.
            #[action]
            fn raw_state(&self) -> Self {
                self.clone()
            }

            /// Sets what a later revision may stumble over.
            #[action]
            fn set_raw(&mut self, balance: i64, owner: String) {
                self.set(balance, owner);
            }

            $($also)*
        }
    };
}
