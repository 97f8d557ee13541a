//! Promises about states that a newer revision has migrated, and about pins.

use bytes::Bytes;
use greenroom_model::{ActorType, ComponentHash, ComponentName, Head, Millis};

use super::{Awake, state};
use crate::{
    ActorRow, Commit, DataChanges, Error, NewAlarm, NewRevision, Opened, Pin, Replaced, RevisionId,
    StateSeen, Storage, Switch,
};

/// An actor with a state of version 1, by revision 1.
async fn old<'a>(storage: &'a dyn Storage, key: &str) -> Awake<'a> {
    let mut awake = Awake::new(storage, "migrated", key).await;
    let old = Some(Bytes::from("old"));
    awake.commit_with(old, DataChanges::default()).await;
    awake
}

/// The commit with which revision `by` migrates it.
fn migration(awake: &Awake<'_>, by: i64) -> Commit {
    Commit {
        revision: RevisionId(by),
        state_version: 2,
        keeps_replaced: true,
        ..state(&awake.actor, &awake.opened, "new")
    }
}

async fn migrate(storage: &dyn Storage, awake: &mut Awake<'_>, by: i64) {
    let commit = migration(awake, by);
    storage.commit(commit).await.unwrap();
    awake.opened.head.0 += 1;
}

fn is(opened: &Opened, state: &'static str, version: u32, revision: i64) {
    assert_eq!(opened.state, Some(Bytes::from(state)));
    assert_eq!(opened.state_version, version);
    assert_eq!(opened.revision, Some(RevisionId(revision)));
}

pub(super) async fn states_are_kept_beside_and_put_back(storage: &dyn Storage) {
    let mut awake = old(storage, "back").await;
    is(awake.again().await, "old", 1, 1);
    assert!(!storage.restore(awake.actor.row).await.unwrap());
    migrate(storage, &mut awake, 41).await;
    let opened = awake.again().await.clone();
    is(&opened, "new", 2, 41);
    let by = RevisionId(41);
    let head = opened.head;
    assert_eq!(opened.replaced, Some(Replaced { by, head }));
    assert_eq!(opened.state_head, head);

    // What has nothing to do with the state does not count.
    let no_state = DataChanges {
        alarm: Some(NewAlarm {
            at: Some(Millis(5)),
            set_at: Millis(0),
        }),
        ..DataChanges::default()
    };
    awake.commit(no_state).await;
    let opened = awake.again().await.clone();
    assert_eq!(opened.state_head, head);

    let before = storage.replaced(awake.actor.row).await.unwrap();
    assert_eq!(before, Some((RevisionId(1), 1, Bytes::from("old"))));
    assert!(storage.restore(awake.actor.row).await.unwrap());
    let late = storage.commit(state(&awake.actor, &opened, "late")).await;
    assert!(
        matches!(late, Err(Error::Fenced)),
        "who had it open is cut off"
    );
    let opened = awake.again().await;
    is(opened, "old", 1, 1);
    assert_eq!(opened.replaced, None);
    assert!(opened.head > Head(head.0 + 1), "a head is never used twice");
    assert_eq!(opened.alarm, Some(Millis(5)));
    assert!(!storage.restore(awake.actor.row).await.unwrap());
}

pub(super) async fn states_that_were_committed_over_stay(storage: &dyn Storage) {
    let by = RevisionId(42);
    let mut untouched = old(storage, "untouched").await;
    migrate(storage, &mut untouched, by.0).await;
    let mut used = old(storage, "used").await;
    migrate(storage, &mut used, by.0).await;
    let more = Commit {
        revision: by,
        state_version: 2,
        ..state(&used.actor, &used.opened, "more")
    };
    storage.commit(more).await.unwrap();
    let migrated = storage.migrated(by, 10).await.unwrap();
    assert_eq!((migrated.count, migrated.committed_count), (2, 1));
    assert_eq!(migrated.committed, [used.actor.clone()]);
    assert_eq!(storage.replaced(used.actor.row).await.unwrap(), None);
    assert!(!storage.restore(used.actor.row).await.unwrap());
    is(used.again().await, "more", 2, by.0);
}

pub(super) async fn states_are_forgotten_in_batches(storage: &dyn Storage) {
    let by = RevisionId(43);
    for key in ["1", "2", "3"] {
        let mut awake = old(storage, key).await;
        migrate(storage, &mut awake, by.0).await;
    }
    assert_eq!(storage.forget_replaced(by, 2).await.unwrap(), 2);
    assert_eq!(storage.migrated(by, 0).await.unwrap().count, 1);
    assert_eq!(storage.forget_replaced(by, 2).await.unwrap(), 1);
    assert_eq!(storage.forget_replaced(by, 2).await.unwrap(), 0);
}

pub(super) async fn nothing_is_kept_by_a_fenced_commit(storage: &dyn Storage) {
    let mut awake = old(storage, "fenced").await;
    let stale = migration(&awake, 44);
    awake.again().await;
    assert!(matches!(storage.commit(stale).await, Err(Error::Fenced)));
    let opened = awake.again().await;
    is(opened, "old", 1, 1);
    assert_eq!(opened.replaced, None);
    let missing = Commit {
        actor: ActorRow(999_999),
        ..migration(&awake, 44)
    };
    assert!(matches!(storage.commit(missing).await, Err(Error::Fenced)));
}

pub(super) async fn peeking_changes_nothing(storage: &dyn Storage) {
    let mut awake = old(storage, "peek").await;
    let before = awake.again().await.clone();
    let peeked = storage.peek(awake.actor.row).await.unwrap();
    assert_eq!(peeked, before);
    let same = Opened {
        head: Head(before.head.0),
        ..before
    };
    storage
        .commit(state(&awake.actor, &same, "on"))
        .await
        .unwrap();
    assert!(storage.destroy(awake.actor.row).await.unwrap());
    let gone = storage.peek(awake.actor.row).await;
    assert!(matches!(gone, Err(Error::Gone)));
}

fn pinning(component: &ComponentName) -> NewRevision {
    NewRevision {
        component: component.clone(),
        hash: ComponentHash([77; 32]),
        bytes: Bytes::from("p"),
        actor_types: vec![ActorType::new("pinned").unwrap()],
        description: String::new(),
        created_at: Millis(1),
        deployed_by: String::new(),
        message: String::new(),
        plan: String::new(),
        kept_max: 9,
    }
}

pub(super) async fn pins_hold_until_they_are_taken_out(storage: &dyn Storage) {
    let component = ComponentName::new("pinning").unwrap();
    let revision = storage
        .put_revision(pinning(&component))
        .await
        .unwrap()
        .revision
        .id;
    // The one that it is on counts as well, for what is refused.
    let pin = |refused: Option<RevisionId>| Pin {
        revision,
        refused,
        reason: "it could not".into(),
        at: Millis(5),
    };
    let mut first = old(storage, "pin1").await;
    let mut second = old(storage, "pin2").await;
    storage.pin(first.actor.row, pin(None), None).await.unwrap();
    let (row, refused) = (second.actor.row, Some(revision));
    assert!(
        !storage
            .pin(row, pin(Some(RevisionId(7))), None)
            .await
            .unwrap()
    );
    assert_eq!(second.again().await.pin, None, "nobody goes there");
    storage.pin(row, pin(None), None).await.unwrap();
    assert!(!storage.pin(row, pin(refused), None).await.unwrap());
    assert_eq!(second.again().await.pin, Some(pin(None)), "an operator's");
    assert!(!storage.unpin(row, refused).await.unwrap());
    assert!(storage.unpin(row, None).await.unwrap());
    assert!(storage.pin(row, pin(refused), None).await.unwrap());
    assert_eq!(first.again().await.pin, Some(pin(None)));
    assert_eq!(second.again().await.pin, Some(pin(refused)));

    only_as_looked_at(storage, &first, &pin(None)).await;
    let page = storage.pinned(&component, None, 1).await.unwrap();
    assert_eq!(page.len(), 1);
    assert_eq!(page[0].actor, first.actor);
    let after = Some(page[0].actor.row);
    let page = storage.pinned(&component, after, 5).await.unwrap();
    assert_eq!(page.len(), 1);
    assert_eq!(page[0].pin, pin(refused));

    assert!(storage.unpin(first.actor.row, None).await.unwrap());
    assert!(!storage.unpin(first.actor.row, None).await.unwrap());
    assert_eq!(first.again().await.pin, None);
    let switch = |rolled_back| Switch {
        component: component.clone(),
        current: revision,
        actor_types: Vec::new(),
        rollout: None,
        rolled_back: Some((rolled_back, "why".into())),
        at: Millis(6),
    };
    storage.switch(switch(RevisionId(6))).await.unwrap();
    assert_eq!(second.again().await.pin, Some(pin(refused)));
    storage.switch(switch(revision)).await.unwrap();
    assert_eq!(
        second.again().await.pin,
        None,
        "what it stayed away from is gone"
    );
    storage
        .pin(second.actor.row, pin(None), None)
        .await
        .unwrap();
    assert!(storage.destroy(second.actor.row).await.unwrap());
    let nobody = storage.pinned(&component, None, 5).await.unwrap();
    assert!(nobody.is_empty());
    let gone = storage.pin(second.actor.row, pin(None), None).await;
    assert!(matches!(gone, Err(Error::Gone)));
}

/// An operator's pin is made only while things are as they were when somebody looked.
async fn only_as_looked_at(storage: &dyn Storage, awake: &Awake<'_>, pin: &Pin) {
    let opened = storage.peek(awake.actor.row).await.unwrap();
    let (head, version) = (opened.state_head, opened.state_version);
    let others = [
        StateSeen::Nothing,
        StateSeen::OfVersion(version + 1),
        StateSeen::At(Head(head.0 + 1)),
    ];
    for other in others {
        let made = storage.pin(awake.actor.row, pin.clone(), Some(other)).await;
        assert!(!made.unwrap(), "{other:?}");
    }
    for seen in [StateSeen::OfVersion(version), StateSeen::At(head)] {
        let made = storage.pin(awake.actor.row, pin.clone(), Some(seen)).await;
        assert!(made.unwrap(), "{seen:?}");
    }
    let nowhere = Pin {
        revision: RevisionId(7_777),
        ..pin.clone()
    };
    assert!(!storage.pin(awake.actor.row, nowhere, None).await.unwrap());
}
