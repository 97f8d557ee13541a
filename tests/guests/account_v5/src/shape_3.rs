//! The state of version 3: hundredths of a currency, and perhaps more than one owner.

use greenroom_sdk::prelude::*;

const CENTS: i64 = 100;
const CURRENCY: &str = "EUR";

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    cents: i64,
    currency: String,
    owners: Vec<String>,
    /// In cents.
    history: Vec<i64>,
}

/// The state of version 2.
#[derive(Deserialize)]
pub(crate) struct AccountV2 {
    cents: i64,
    owner: Owner,
    history: Vec<i64>,
}

#[derive(Deserialize)]
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

impl AccountV2 {
    pub(crate) fn from_version_1(old: AccountV1) -> Self {
        Self {
            cents: old.balance * CENTS,
            owner: Owner { name: old.owner },
            history: old.posts.iter().map(|n| n * CENTS).collect(),
        }
    }
}

impl Account {
    pub(crate) fn from_version_2(old: AccountV2) -> Self {
        Self {
            cents: old.cents,
            currency: CURRENCY.to_owned(),
            owners: vec![old.owner.name],
            history: old.history,
        }
    }

    pub(crate) fn set(&mut self, balance: i64, owner: String) {
        self.cents = balance * CENTS;
        self.currency = CURRENCY.to_owned();
        self.owners = vec![owner];
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
        self.owners.first().map_or("", String::as_str)
    }
}
