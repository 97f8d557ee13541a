//! Promises about components.

use bytes::Bytes;
use greenroom_model::{ActorType, ComponentHash, ComponentName, Millis};

use crate::{ComponentRecord, Error, NewRevision, Pin, RevisionId, Storage, Switch};

fn revision(component: &str, bytes: &'static str, types: &[&str]) -> NewRevision {
    let mut hash = [0; 32];
    hash[..bytes.len()].copy_from_slice(bytes.as_bytes());
    NewRevision {
        component: ComponentName::new(component).unwrap(),
        hash: ComponentHash(hash),
        bytes: Bytes::from(bytes),
        actor_types: types
            .iter()
            .map(|name| ActorType::new(name).unwrap())
            .collect(),
        description: format!("{{\"of\":\"{bytes}\"}}"),
        created_at: Millis(9),
        deployed_by: "ann".into(),
        message: format!("this is {bytes}"),
        plan: format!("way to {bytes}"),
        kept_max: 3,
    }
}

fn to(component: &str, current: RevisionId, types: &[&str]) -> Switch {
    Switch {
        component: ComponentName::new(component).unwrap(),
        current,
        actor_types: types
            .iter()
            .map(|name| ActorType::new(name).unwrap())
            .collect(),
        rollout: None,
        rolled_back: None,
        at: Millis(11),
    }
}

async fn component(storage: &dyn Storage, name: &str) -> ComponentRecord {
    let components = storage.components().await.unwrap();
    let mut found = components.into_iter();
    found
        .find(|c| c.current.component.as_str() == name)
        .unwrap()
}

pub(super) async fn are_numbered_and_the_same_bytes_are_not_new(storage: &dyn Storage) {
    let first = storage
        .put_revision(revision("shop", "v1", &["cart"]))
        .await
        .unwrap();
    assert!(first.is_new);
    assert_eq!(first.revision.number.0, 1);
    let again = storage
        .put_revision(revision("shop", "v1", &["cart"]))
        .await
        .unwrap();
    assert!(!again.is_new);
    assert_eq!(again.revision, first.revision);
    let second = storage
        .put_revision(revision("shop", "v2", &["cart", "till"]))
        .await
        .unwrap();
    assert_eq!(second.revision.number.0, 2);
    let back = storage
        .put_revision(revision("shop", "v1", &["cart"]))
        .await
        .unwrap();
    assert!(back.is_new, "only the newest counts as the same");
    assert_eq!(back.revision.number.0, 3);
    assert_eq!(back.revision.message, "this is v1");
    assert_eq!(back.revision.deployed_by, "ann");

    let shop = ComponentName::new("shop").unwrap();
    let history = storage.revisions(&shop).await.unwrap();
    let ids: Vec<RevisionId> = history.iter().map(|revision| revision.id).collect();
    let wanted = [&back, &second, &first].map(|put| put.revision.id);
    assert_eq!(ids, wanted);
    let shop = component(storage, "shop").await;
    assert_eq!(shop.current.number.0, 1, "nobody has gone anywhere yet");
    let rollout = shop.rollout.unwrap();
    assert_eq!(rollout.target, back.revision);
    assert_eq!(rollout.plan, "way to v1");
    assert_eq!((rollout.is_paused, rollout.begun_at), (false, Millis(9)));
    let overtaken = storage.revision(second.revision.id).await.unwrap().unwrap();
    assert!(overtaken.rolled_back.is_some(), "it never arrived");
    let bytes = storage.component_bytes(back.revision.hash).await.unwrap();
    assert_eq!(bytes, Some(Bytes::from("v1")));
    assert_eq!(
        storage
            .component_bytes(ComponentHash([9; 32]))
            .await
            .unwrap(),
        None
    );
}

pub(super) async fn have_types_that_belong_to_one_component(storage: &dyn Storage) {
    storage
        .put_revision(revision("owner", "o1", &["owned", "free"]))
        .await
        .unwrap();
    let refused = storage
        .put_revision(revision("thief", "t1", &["mine", "owned"]))
        .await;
    let Err(Error::TypeTaken { actor_type, owner }) = refused else {
        panic!("the type was taken: {refused:?}");
    };
    assert_eq!((actor_type.as_str(), owner.as_str()), ("owned", "owner"));
    let thief = ComponentName::new("thief").unwrap();
    assert!(
        storage.revisions(&thief).await.unwrap().is_empty(),
        "nothing has changed"
    );

    let next = storage
        .put_revision(revision("owner", "o2", &["owned"]))
        .await
        .unwrap();
    let too_early = storage
        .put_revision(revision("thief", "t2", &["mine", "free"]))
        .await;
    assert!(too_early.is_err(), "the component may yet go back");
    let done = to("owner", next.revision.id, &["owned"]);
    storage.switch(done).await.unwrap();
    let taken = storage
        .put_revision(revision("thief", "t2", &["mine", "free"]))
        .await;
    assert!(taken.is_ok(), "a type that its component gave up is free");
}

pub(super) async fn are_gone_over_to_and_back_from(storage: &dyn Storage) {
    let put = async |bytes| {
        let new = revision("way", bytes, &["wanderer"]);
        storage.put_revision(new).await.unwrap().revision
    };
    let first = put("w1").await;
    let second = put("w2").await;
    let paused = Switch {
        rollout: Some((second.id, "slower".into(), true)),
        ..to("way", first.id, &["wanderer"])
    };
    storage.switch(paused).await.unwrap();
    let rollout = component(storage, "way").await.rollout.unwrap();
    assert_eq!((rollout.plan.as_str(), rollout.is_paused), ("slower", true));
    assert_eq!(rollout.begun_at, Millis(9), "it is the same rollout");

    let back = Switch {
        rolled_back: Some((second.id, "it trapped".into())),
        ..to("way", first.id, &["wanderer"])
    };
    storage.switch(back).await.unwrap();
    let way = component(storage, "way").await;
    assert_eq!((way.current, way.rollout), (first.clone(), None));
    let found = storage.revision(second.id).await.unwrap().unwrap();
    assert_eq!(found.rolled_back.as_deref(), Some("it trapped"));

    let again = storage
        .put_revision(revision("way", "w2", &["wanderer"]))
        .await
        .unwrap();
    assert!(again.is_new, "what was rolled back can be tried again");
    assert_eq!(again.revision.number.0, 3);
    let done = to("way", again.revision.id, &["wanderer"]);
    storage.switch(done).await.unwrap();
    let way = component(storage, "way").await;
    assert_eq!((way.current, way.rollout), (again.revision, None));
    assert_eq!(storage.revision(RevisionId(999)).await.unwrap(), None);
}

pub(super) async fn lose_their_bytes_when_they_are_old_and_unused(storage: &dyn Storage) {
    let put = async |bytes| {
        let new = revision("old", bytes, &["elder"]);
        let put = storage.put_revision(new).await.unwrap().revision;
        let switch = to("old", put.id, &["elder"]);
        storage.switch(switch).await.unwrap();
        put
    };
    let first = put("x1").await;
    let actor = super::create(storage, "elders", &["pinned"]).await.actor;
    let pin = Pin {
        revision: first.id,
        refused: None,
        reason: String::new(),
        at: Millis(1),
    };
    storage.pin(actor.row, pin, None).await.unwrap();
    let mut all = vec![first];
    for bytes in ["x2", "x3", "x4", "x5"] {
        all.push(put(bytes).await);
    }
    let old = ComponentName::new("old").unwrap();
    let found = storage.revisions(&old).await.unwrap();
    let kept: Vec<(u32, bool)> = found.iter().map(|r| (r.number.0, r.is_kept)).collect();
    assert_eq!(
        kept,
        [(5, true), (4, true), (3, true), (2, false), (1, true)]
    );
    for revision in found {
        let bytes = storage.component_bytes(revision.hash).await.unwrap();
        assert_eq!(bytes.is_some(), revision.is_kept);
    }
    assert!(storage.destroy(actor.row).await.unwrap());
}
