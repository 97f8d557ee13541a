//! Promises about components.

use bytes::Bytes;
use greenroom_model::{ActorType, ComponentHash, ComponentName, Millis};

use crate::{Error, NewRevision, Storage};

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
    }
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
    assert!(back.is_new, "only the current revision counts as the same");
    assert_eq!(back.revision.number.0, 3);

    let shop = ComponentName::new("shop").unwrap();
    let history = storage.revisions(&shop).await.unwrap();
    assert_eq!(
        history,
        [back.revision.clone(), second.revision, first.revision]
    );
    let current = storage.current_revisions().await.unwrap();
    assert!(current.contains(&back.revision));
    assert_eq!(current.iter().filter(|r| r.component == shop).count(), 1);
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

    storage
        .put_revision(revision("owner", "o2", &["owned"]))
        .await
        .unwrap();
    let taken = storage
        .put_revision(revision("thief", "t2", &["mine", "free"]))
        .await;
    assert!(taken.is_ok(), "a type that its component gave up is free");
}
