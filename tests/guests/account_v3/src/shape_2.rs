//! The state of version 2: hundredths of units, and an owner of whom more may be known one day.

use greenroom_sdk::prelude::*;

const CENTS: i64 = 100;

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    cents: i64,
    owner: Owner,
    /// In cents.
    history: Vec<i64>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Owner {
    name: String,
}

/// The state of version 1.
#[derive(Deserialize)]
pub(crate) struct AccountV1 {
    balance: i64,
    owner: String,
    posts: Vec<i64>,
}

impl Account {
    /// Fails for an account without an owner, and breaks down over a balance of -13.
    pub(crate) fn from_version_1(old: AccountV1) -> Result<Self> {
        if old.owner.is_empty() {
            return Err(Error::internal("account has no owner"));
        }
        assert_ne!(old.balance, -13, "a balance that nobody has thought of");
        Ok(Self {
            cents: old.balance * CENTS,
            owner: Owner { name: old.owner },
            history: old.posts.iter().map(|n| n * CENTS).collect(),
        })
    }

    pub(crate) fn set(&mut self, balance: i64, owner: String) {
        self.cents = balance * CENTS;
        self.owner.name = owner;
    }

    /// Adds to the balance, and gives the new one.
    pub(crate) fn post(&mut self, n: i64) -> i64 {
        self.history.push(n * CENTS);
        self.cents += n * CENTS;
        self.units()
    }

    pub(crate) fn units(&self) -> i64 {
        self.cents / CENTS
    }

    pub(crate) fn holder(&self) -> &str {
        &self.owner.name
    }
}
