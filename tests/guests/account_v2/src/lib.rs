//! Revision 2 of the account: the same state, and one action more.

#[macro_use]
#[path = "../../account_v1/src/account.rs"]
mod account;
#[path = "../../account_v1/src/shape_1.rs"]
mod shape_1;

use greenroom_sdk::prelude::*;

use shape_1::Account;

account! {
    revision: 2,
    state_version: 1,
    deposits_that_trap_percent: 0,
    also: {
        #[action]
        fn double(&mut self) -> i64 {
            self.post(self.units())
        }
    }
}

greenroom_sdk::component!(name = "account"; Account);
