//! Revision 5 of the account: it reads the states of revisions 1 and 2, and never starts.

#[macro_use]
#[path = "../../account_v1/src/account.rs"]
mod account;
#[path = "../../account_v1/src/shape_1.rs"]
mod shape_1;

use greenroom_sdk::prelude::*;

use shape_1::Account;

account! {
    revision: 5,
    state_version: 1,
    deposits_that_trap_percent: 0,
    also: {
        #[on_wake]
        fn woken(&self) -> Result<()> {
            Err(Error::internal("this revision does not start"))
        }
    }
}

greenroom_sdk::component!(name = "account"; Account);
