//! Revision 10 of the account: as revision 3, but when it wakes its state becomes larger than the tests allow.

#[macro_use]
#[path = "../../account_v1/src/account.rs"]
mod account;
#[path = "../../account_v3/src/shape_2.rs"]
mod shape_2;

use greenroom_sdk::prelude::*;

use shape_2::{Account, AccountV1};

/// Each is some bytes.
const POSTS: i64 = 50_000;

account! {
    revision: 10,
    state_version: 2,
    deposits_that_trap_percent: 0,
    also: {
        #[migrate(from = 1)]
        fn in_cents(old: AccountV1) -> Result<Self> {
            Self::from_version_1(old)
        }

        #[on_wake]
        fn woken(&mut self) {
            for n in 0..POSTS {
                self.post(n);
            }
        }
    }
}

greenroom_sdk::component!(name = "account"; Account);
