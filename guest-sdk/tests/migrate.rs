//! A state of any version that there is a step for is read; of every other, the reason why not is told.

use greenroom_sdk::Actor;
use greenroom_sdk::bindings::exports::greenroom::actor::lifecycle::Guest;
use greenroom_sdk::bindings::greenroom::actor::types::{Failure, Identity, PublicError};
use greenroom_sdk::prelude::*;
use greenroom_sdk::private::{Entry, Registered};
use greenroom_value::{from_slice, to_vec};

/// Version 1: whole units, and nobody knew of what.
#[derive(Serialize, Deserialize)]
struct AccountV1 {
    balance: i64,
}

/// Version 3: hundredths. Version 2 had the same fields, in whole units.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Account {
    balance: i64,
    currency: String,
}

#[actor(state_version = 3)]
impl Account {
    // The order in the code does not matter.
    #[migrate(from = 2)]
    fn count_hundredths(old: Self) -> Self {
        Self {
            balance: old.balance * 100,
            ..old
        }
    }

    #[migrate(from = 1)]
    fn add_currency(AccountV1 { balance }: AccountV1) -> Result<Self> {
        match balance {
            -2 => Err(Error::internal("a debt of two")),
            -1 => Err(UserError::new("a debt").with_code("debt").into()),
            balance => Ok(Self {
                balance,
                currency: "EUR".to_owned(),
            }),
        }
    }

    #[action]
    fn balance(&self) -> i64 {
        self.balance
    }
}

/// Cannot read the states of its first two versions any more.
#[derive(Default, Serialize, Deserialize)]
struct Forgetful;

#[actor(state_version = 4)]
impl Forgetful {
    #[migrate(from = 3)]
    fn forget(_: Value) -> Self {
        Self
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Unversioned;

#[actor]
impl Unversioned {}

struct Component;

impl Registered for Component {
    const NAME: &'static str = "test";

    fn entries() -> &'static [Entry] {
        const { &[Entry::of::<Unversioned>(), Entry::of::<Account>()] }
    }
}

fn migrated(from: u32, state: &impl Serialize) -> Result<Account> {
    let migrated = Account::migrate(from, &to_vec(state)?)?;
    Ok(from_slice(&migrated)?)
}

fn account(balance: i64) -> Account {
    Account {
        balance,
        currency: "EUR".to_owned(),
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.expect_err("it is refused");
    assert_eq!(error.as_user(), None);
    error.message().to_owned()
}

#[test]
fn each_version_takes_the_steps_that_it_has_not_taken() {
    let old = AccountV1 { balance: 7 };
    assert_eq!(migrated(1, &old).expect("from 1"), account(700));
    assert_eq!(migrated(2, &account(7)).expect("from 2"), account(700));
}

#[test]
fn a_version_without_a_step_cannot_be_read() {
    let code = "this code has version";
    assert_eq!(
        refusal(migrated(9, &account(7))),
        format!("state version 9 cannot be read; {code} 3 and migrates from 1, 2")
    );
    assert_eq!(
        refusal(Forgetful::migrate(2, &[0xf6])),
        format!("state version 2 cannot be read; {code} 4 and migrates from 3")
    );
    assert_eq!(
        refusal(Unversioned::migrate(2, &[0xf6])),
        format!("state version 2 cannot be read; {code} 1 and migrates from none")
    );
}

#[test]
fn a_state_of_another_shape_than_its_version_says_does_not_parse() {
    assert_eq!(
        refusal(migrated(2, &AccountV1 { balance: 7 })),
        "a state of version 2 does not parse: missing field `currency`"
    );
    let refused = refusal(Account::migrate(1, b"\xff"));
    assert!(refused.starts_with("a state of version 1 does not parse: malformed CBOR"));
}

#[test]
fn what_a_step_fails_with_passes_through() {
    let internal = migrated(1, &AccountV1 { balance: -2 });
    assert_eq!(refusal(internal), "a debt of two");
    let public = migrated(1, &AccountV1 { balance: -1 }).expect_err("a debt");
    assert_eq!(public.code(), Some("debt"));
}

#[test]
fn the_host_is_told_the_versions() {
    let (account, other) = (Account::describe(), Unversioned::describe());
    assert_eq!(account.state_version, Account::STATE_VERSION);
    assert_eq!(
        (account.state_version, account.migrates_from),
        (3, vec![1, 2])
    );
    assert_eq!((other.state_version, other.migrates_from), (1, vec![]));
}

#[test]
fn the_export_finds_the_actor_type_and_makes_no_actor() {
    let migrate = |actor_type: &str, balance| {
        let identity = Identity {
            id: "0".repeat(32),
            actor_type: actor_type.to_owned(),
            key: vec!["a".to_owned()],
            namespace: "default".to_owned(),
        };
        let state = to_vec(&AccountV1 { balance }).expect("it can be encoded");
        Component::migrate(identity, 1, state)
    };
    // More than once in one instance: it is asked for copies of many states.
    for balance in [7, 8] {
        let migrated = migrate("account", balance).expect("it migrates");
        assert_eq!(from_slice(&migrated), Ok(account(balance * 100)));
    }
    let refused = migrate("account", -1);
    assert!(matches!(refused, Err(Failure::Public(PublicError { code, .. })) if code == "debt"));
    let unknown = migrate("nobody", 7);
    let text = "the component has no actor type nobody";
    assert!(matches!(unknown, Err(Failure::Internal(found)) if found == text));
}
