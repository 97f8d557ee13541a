//! Revision 10 of the account: as revision 3, but every deposit breaks down, before it has changed anything.

#[macro_use]
#[path = "../../account_v1/src/account.rs"]
mod account;
#[path = "../../account_v3/src/shape_2.rs"]
mod shape_2;

use greenroom_sdk::prelude::*;

use shape_2::{Account, AccountV1};

account! {
    revision: 10,
    state_version: 2,
    deposits_that_trap_percent: 100,
    also: {
        #[migrate(from = 1)]
        fn in_cents(old: AccountV1) -> Result<Self> {
            Self::from_version_1(old)
        }
    }
}

greenroom_sdk::component!(name = "account"; Account);
