//! Revision 6 of the account: it reads the states of revisions 1 and 2, and its start never ends.

#[macro_use]
#[path = "../../account_v1/src/account.rs"]
mod account;
#[path = "../../account_v1/src/shape_1.rs"]
mod shape_1;

use greenroom_sdk::prelude::*;

use shape_1::Account;

account! {
    revision: 6,
    state_version: 1,
    deposits_that_trap_percent: 0,
    also: {
        #[on_wake]
        async fn woken(_cx: Context<Self>) -> Result<()> {
            loop {
                time::sleep(Duration::from_secs(3_600)).await;
            }
        }
    }
}

greenroom_sdk::component!(name = "account"; Account);
