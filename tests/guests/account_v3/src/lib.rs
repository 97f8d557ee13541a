//! Revision 3 of the account: a state of another shape, which that of version 1 is migrated to.

#[macro_use]
#[path = "../../account_v1/src/account.rs"]
mod account;
mod shape_2;

use greenroom_sdk::prelude::*;

use shape_2::{Account, AccountV1};

account! {
    revision: 3,
    state_version: 2,
    deposits_that_trap_percent: 0,
    also: {
        #[migrate(from = 1)]
        fn in_cents(old: AccountV1) -> Result<Self> {
            Self::from_version_1(old)
        }
    }
}

greenroom_sdk::component!(name = "account"; Account);
