//! The state of version 1: whole units, and a bare name.

use greenroom_sdk::prelude::*;

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    balance: i64,
    owner: String,
    posts: Vec<i64>,
}

impl Account {
    pub(crate) fn set(&mut self, balance: i64, owner: String) {
        self.balance = balance;
        self.owner = owner;
    }

    /// Adds to the balance, and gives the new one.
    pub(crate) fn post(&mut self, n: i64) -> i64 {
        self.posts.push(n);
        self.balance += n;
        self.balance
    }

    pub(crate) fn units(&self) -> i64 {
        self.balance
    }

    pub(crate) fn holder(&self) -> &str {
        &self.owner
    }
}
