//! Revision 5 of the account: a state of a third shape, which those of versions 1 and 2 are migrated to, step by step.

#[macro_use]
#[path = "../../account_v1/src/account.rs"]
mod account;
mod shape_3;

use greenroom_sdk::prelude::*;

use shape_3::{Account, AccountV1, AccountV2};

account! {
    revision: 5,
    state_version: 3,
    deposits_that_trap_percent: 0,
    also: {
        #[migrate(from = 1)]
        fn in_cents(old: AccountV1) -> AccountV2 {
            AccountV2::from_version_1(old)
        }

        #[migrate(from = 2)]
        fn in_a_currency(old: AccountV2) -> Self {
            Self::from_version_2(old)
        }
    }
}

greenroom_sdk::component!(name = "account"; Account);
