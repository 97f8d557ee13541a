//! Revision 8 of the account: as revision 3, but its migration wants all the memory there is.

#[macro_use]
#[path = "../../account_v1/src/account.rs"]
mod account;
#[path = "../../account_v3/src/shape_2.rs"]
mod shape_2;

use greenroom_sdk::prelude::*;

use shape_2::{Account, AccountV1};

account! {
    revision: 8,
    state_version: 2,
    deposits_that_trap_percent: 0,
    also: {
        #[migrate(from = 1)]
        fn in_cents(old: AccountV1) -> Result<Self> {
            let mut all: Vec<Vec<u8>> = Vec::new();
            while std::hint::black_box(&all).len() < usize::MAX {
                all.push(vec![1; 1 << 20]);
            }
            Self::from_version_1(old)
        }
    }
}

greenroom_sdk::component!(name = "account"; Account);
