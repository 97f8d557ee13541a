//! Revision 1 of an account whose state changes its shape later on.

#[macro_use]
mod account;
mod shape_1;

use greenroom_sdk::prelude::*;

use shape_1::Account;

account! {
    revision: 1,
    state_version: 1,
    deposits_that_trap_percent: 0,
    also: {}
}

greenroom_sdk::component!(name = "account"; Account);
