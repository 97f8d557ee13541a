//! Revision 9 of the account: as revision 3, but its migration computes for a while.

#[macro_use]
#[path = "../../account_v1/src/account.rs"]
mod account;
#[path = "../../account_v3/src/shape_2.rs"]
mod shape_2;

use greenroom_sdk::prelude::*;

use shape_2::{Account, AccountV1};

/// Some 20 ms.
const TURNS: u32 = 20_000_000;

account! {
    revision: 9,
    state_version: 2,
    deposits_that_trap_percent: 0,
    also: {
        #[migrate(from = 1)]
        fn in_cents(old: AccountV1) -> Result<Self> {
            for turn in 0..TURNS {
                std::hint::black_box(turn);
            }
            Self::from_version_1(old)
        }
    }
}

greenroom_sdk::component!(name = "account"; Account);
