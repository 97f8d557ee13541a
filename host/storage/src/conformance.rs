//! What every engine promises, as code. Each engine's tests run [`all`] on it.

mod alarms;
mod data;
mod kv;
mod messages;
mod migrated;
mod revisions;
mod schedule;

use std::sync::Arc;

use bytes::Bytes;
use greenroom_model::{
    ActorId, ActorKey, ActorName, ActorType, ConnKind, Generation, Head, Millis, Namespace,
    Opening, OpeningRequest,
};

use crate::{
    ActorRecord, Commit, ConnChange, ConnRecord, Created, DataChanges, Error, Kept, ListQuery,
    NewActor, Opened, RevisionId, Storage,
};

pub(crate) async fn all(storage: &dyn Storage) {
    a_name_is_one_actor(storage).await;
    namespaces_do_not_meet(storage).await;
    listing_pages_through_everything_once(storage).await;
    a_new_actor_has_its_input_until_it_has_committed(storage).await;
    commits_build_on_each_other(storage).await;
    an_older_generation_is_fenced(storage).await;
    a_commit_on_an_old_head_is_fenced(storage).await;
    a_commit_without_state_keeps_the_state(storage).await;
    a_fenced_commit_does_not_disturb_its_neighbours(storage).await;
    connections_are_kept_with_the_commit_that_changed_them(storage).await;
    many_creations_of_one_name_make_one_actor(storage).await;
    a_destroyed_actor_is_gone_and_its_name_is_free(storage).await;
    data::is_kept_with_the_commit_that_changed_it(storage).await;
    data::of_a_fenced_commit_is_left_alone(storage).await;
    data::of_a_destroyed_actor_is_gone(storage).await;
    kv::pairs_are_read_as_they_were_committed(storage).await;
    kv::several_keys_are_read_as_of_one_moment(storage).await;
    kv::spans_are_removed_before_pairs_are_written(storage).await;
    kv::actors_do_not_see_each_others_pairs(storage).await;
    kv::a_listing_keeps_to_its_bounds(storage).await;
    kv::pairs_and_their_bytes_are_exact_whatever_happens(storage).await;
    messages::change_in_order(storage).await;
    messages::have_ids_that_are_never_used_again(storage).await;
    messages::that_are_not_there_are_nobodys_fault(storage).await;
    schedule::entries_are_put_and_removed(storage).await;
    schedule::runs_are_remembered_as_far_as_wanted(storage).await;
    alarms::come_in_batches_earliest_first(storage).await;
    alarms::are_moved_and_taken_back(storage).await;
    alarms::set_by_a_clock_that_ran_ahead_are_due(storage).await;
    revisions::are_numbered_and_the_same_bytes_are_not_new(storage).await;
    revisions::have_types_that_belong_to_one_component(storage).await;
    revisions::are_gone_over_to_and_back_from(storage).await;
    revisions::lose_their_bytes_when_they_are_old_and_unused(storage).await;
    migrated::states_are_kept_beside_and_put_back(storage).await;
    migrated::states_that_were_committed_over_stay(storage).await;
    migrated::states_are_forgotten_in_batches(storage).await;
    migrated::nothing_is_kept_by_a_fenced_commit(storage).await;
    migrated::peeking_changes_nothing(storage).await;
    migrated::pins_hold_until_they_are_taken_out(storage).await;
}

/// For tests that open an engine again.
pub(crate) async fn commit_one(storage: &dyn Storage) -> ActorRecord {
    let actor = create(storage, "again", &["one"]).await.actor;
    let opened = storage.open(actor.row).await.unwrap();
    let commit = Commit {
        data: data::of_every_kind(),
        ..state(&actor, &opened, "kept")
    };
    storage.commit(commit).await.unwrap();
    actor
}

/// That what [`commit_one`] did is there, and fences what came before.
pub(crate) async fn find_committed(storage: &dyn Storage, actor: ActorRecord) {
    assert_eq!(storage.find(actor.id).await.unwrap(), Some(actor.clone()));
    let opened = storage.open(actor.row).await.unwrap();
    assert_eq!(opened.state, Some(Bytes::from("kept")));
    assert_eq!((opened.generation, opened.head), (Generation(2), Head(1)));
    data::find_every_kind(storage, &actor, &opened).await;
}

/// An actor that is awake, and commits one thing after the other.
pub(crate) struct Awake<'a> {
    pub(crate) actor: ActorRecord,
    pub(crate) opened: Opened,
    storage: &'a dyn Storage,
}

impl<'a> Awake<'a> {
    pub(crate) async fn new(storage: &'a dyn Storage, namespace: &str, key: &str) -> Self {
        let actor = create(storage, namespace, &[key]).await.actor;
        let opened = storage.open(actor.row).await.unwrap();
        Self {
            actor,
            opened,
            storage,
        }
    }

    pub(crate) async fn commit(&mut self, data: DataChanges) -> Kept {
        self.commit_with(None, data).await
    }

    pub(crate) async fn commit_with(&mut self, new: Option<Bytes>, data: DataChanges) -> Kept {
        let commit = self.next_commit(new, data);
        let kept = self.storage.commit(commit).await.unwrap();
        self.opened.head.0 += 1;
        kept
    }

    pub(crate) fn next_commit(&self, new: Option<Bytes>, data: DataChanges) -> Commit {
        Commit {
            state: new,
            data,
            ..state(&self.actor, &self.opened, "")
        }
    }

    /// What the next activation starts from.
    pub(crate) async fn again(&mut self) -> &Opened {
        self.opened = self.storage.open(self.actor.row).await.unwrap();
        &self.opened
    }
}

fn name(namespace: &str, key: &[&str]) -> ActorName {
    ActorName {
        namespace: Namespace::new(namespace).unwrap(),
        actor_type: ActorType::new("thing").unwrap(),
        key: ActorKey::new(key).unwrap(),
    }
}

async fn create(storage: &dyn Storage, namespace: &str, key: &[&str]) -> Created {
    let new = NewActor {
        id: ActorId::generate(),
        name: name(namespace, key),
        input: Some(Bytes::from("input")),
        created_at: Millis(7),
    };
    storage.create(new).await.unwrap()
}

fn state(actor: &ActorRecord, opened: &Opened, state: &'static str) -> Commit {
    Commit {
        actor: actor.row,
        generation: opened.generation,
        head: opened.head,
        revision: RevisionId(1),
        state_version: 1,
        state: Some(Bytes::from(state)),
        keeps_replaced: false,
        conns: Vec::new(),
        data: DataChanges::default(),
    }
}

async fn a_name_is_one_actor(storage: &dyn Storage) {
    let first = create(storage, "name", &["a", "b/c", ""]).await;
    assert!(first.is_new);
    let second = create(storage, "name", &["a", "b/c", ""]).await;
    assert!(!second.is_new);
    assert_eq!(second.actor, first.actor);
    let other = create(storage, "name", &["a"]).await;
    assert!(other.is_new, "a prefix of a key is another key");

    let found = storage.resolve(&first.actor.name).await.unwrap();
    assert_eq!(found, Some(first.actor.clone()));
    assert_eq!(
        storage.find(first.actor.id).await.unwrap(),
        Some(first.actor)
    );
    assert_eq!(
        storage.resolve(&name("name", &["missing"])).await.unwrap(),
        None
    );
    assert_eq!(storage.find(ActorId::generate()).await.unwrap(), None);
}

async fn namespaces_do_not_meet(storage: &dyn Storage) {
    let here = create(storage, "here", &["x"]).await;
    let there = create(storage, "there", &["x"]).await;
    assert!(here.is_new && there.is_new);
    assert_ne!(here.actor.id, there.actor.id);
}

async fn listing_pages_through_everything_once(storage: &dyn Storage) {
    let mut wanted = Vec::new();
    for key in ["1", "2", "3", "4", "5"] {
        wanted.push(create(storage, "list", &[key]).await.actor);
    }
    wanted.sort_by_key(|actor| actor.id);
    let mut query = ListQuery {
        namespace: Some(Namespace::new("list").unwrap()),
        actor_type: Some(ActorType::new("thing").unwrap()),
        after: None,
        count_max: 2,
    };
    let mut seen = Vec::new();
    loop {
        let page = storage.list(query.clone()).await.unwrap();
        assert!(page.actors.len() <= 2);
        query.after = page.actors.last().map(|actor| actor.id);
        seen.extend(page.actors);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(seen, wanted);
    query.after = None;
    query.actor_type = Some(ActorType::new("nothing").unwrap());
    assert!(storage.list(query).await.unwrap().actors.is_empty());
}

async fn a_new_actor_has_its_input_until_it_has_committed(storage: &dyn Storage) {
    let actor = create(storage, "input", &["x"]).await.actor;
    for generation in 1..=2 {
        let opened = storage.open(actor.row).await.unwrap();
        assert_eq!(opened.generation, Generation(generation));
        assert_eq!((opened.head, opened.state), (Head(0), None));
        assert_eq!(opened.input, Some(Bytes::from("input")));
    }
    let opened = storage.open(actor.row).await.unwrap();
    storage
        .commit(state(&actor, &opened, "made"))
        .await
        .unwrap();
    let opened = storage.open(actor.row).await.unwrap();
    assert_eq!((opened.head, opened.input), (Head(1), None));
    assert_eq!(opened.state, Some(Bytes::from("made")));
    assert_eq!(opened.revision, Some(RevisionId(1)));
}

async fn commits_build_on_each_other(storage: &dyn Storage) {
    let actor = create(storage, "chain", &["x"]).await.actor;
    let mut opened = storage.open(actor.row).await.unwrap();
    for written in ["one", "two", "three"] {
        storage
            .commit(state(&actor, &opened, written))
            .await
            .unwrap();
        opened.head.0 += 1;
    }
    let opened = storage.open(actor.row).await.unwrap();
    assert_eq!(
        (opened.head, opened.state),
        (Head(3), Some(Bytes::from("three")))
    );
}

async fn an_older_generation_is_fenced(storage: &dyn Storage) {
    let actor = create(storage, "fence", &["x"]).await.actor;
    let older = storage.open(actor.row).await.unwrap();
    let newer = storage.open(actor.row).await.unwrap();
    let refused = storage.commit(state(&actor, &older, "older")).await;
    assert!(
        matches!(refused, Err(Error::Fenced)),
        "even before the newer has committed"
    );
    storage
        .commit(state(&actor, &newer, "newer"))
        .await
        .unwrap();
    let refused = storage.commit(state(&actor, &older, "older")).await;
    assert!(matches!(refused, Err(Error::Fenced)));
    let opened = storage.open(actor.row).await.unwrap();
    assert_eq!(opened.state, Some(Bytes::from("newer")));
}

async fn a_commit_on_an_old_head_is_fenced(storage: &dyn Storage) {
    let actor = create(storage, "head", &["x"]).await.actor;
    let opened = storage.open(actor.row).await.unwrap();
    storage
        .commit(state(&actor, &opened, "once"))
        .await
        .unwrap();
    let refused = storage.commit(state(&actor, &opened, "twice")).await;
    assert!(matches!(refused, Err(Error::Fenced)));
    let opened = storage.open(actor.row).await.unwrap();
    assert_eq!(opened.state, Some(Bytes::from("once")));
}

async fn a_commit_without_state_keeps_the_state(storage: &dyn Storage) {
    let actor = create(storage, "stateless", &["x"]).await.actor;
    let mut opened = storage.open(actor.row).await.unwrap();
    storage
        .commit(state(&actor, &opened, "kept"))
        .await
        .unwrap();
    opened.head.0 += 1;
    let empty = Commit {
        state: None,
        ..state(&actor, &opened, "")
    };
    storage.commit(empty).await.unwrap();
    let opened = storage.open(actor.row).await.unwrap();
    assert_eq!(
        (opened.head, opened.state),
        (Head(2), Some(Bytes::from("kept")))
    );
}

async fn a_fenced_commit_does_not_disturb_its_neighbours(storage: &dyn Storage) {
    let mut actors = Vec::new();
    for key in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        let actor = create(storage, "neighbours", &[key]).await.actor;
        let opened = storage.open(actor.row).await.unwrap();
        actors.push((actor, opened));
    }
    for (_, opened) in actors.iter_mut().step_by(2) {
        opened.generation.0 -= 1;
    }
    let commits = actors
        .iter()
        .map(|(actor, opened)| storage.commit(state(actor, opened, "x")));
    let kept = futures::future::join_all(commits).await;
    for (index, kept) in kept.iter().enumerate() {
        assert_eq!(kept.is_ok(), index % 2 == 1, "{index}: {kept:?}");
    }
}

async fn connections_are_kept_with_the_commit_that_changed_them(storage: &dyn Storage) {
    let actor = create(storage, "connections", &["x"]).await.actor;
    let mut opened = storage.open(actor.row).await.unwrap();
    let conns = [ConnKind::Realtime, ConnKind::Websocket].map(|kind| ConnRecord {
        opening: Arc::new(Opening {
            request: Some(OpeningRequest {
                method: "GET".into(),
                url: "http://host/connect?a=1".into(),
                headers: vec![("x-odd".into(), Bytes::from_static(b"\xe9\0"))],
            }),
            ..Opening::plain(kind)
        }),
        state: None,
    });
    let [first, second] = &conns;
    let change = |opened: &Opened, conns: Vec<ConnChange>| Commit {
        conns,
        ..state(&actor, opened, "s")
    };
    let both = conns.iter().cloned().map(ConnChange::Put).collect();
    let fenced = Opened {
        head: Head(7),
        ..opened.clone()
    };
    let refused = storage.commit(change(&fenced, both)).await;
    assert!(matches!(refused, Err(Error::Fenced)));
    assert!(storage.open(actor.row).await.unwrap().conns.is_empty());

    opened.generation.0 += 1;
    let both = conns.iter().cloned().map(ConnChange::Put).collect();
    storage.commit(change(&opened, both)).await.unwrap();
    let mut opened = storage.open(actor.row).await.unwrap();
    assert_eq!(opened.conns, conns, "oldest first");
    let changed = ConnRecord {
        state: Some(Bytes::from("mine")),
        ..second.clone()
    };
    let changes = vec![
        ConnChange::Remove(first.opening.id),
        ConnChange::Put(changed.clone()),
    ];
    storage.commit(change(&opened, changes)).await.unwrap();
    opened.head.0 += 1;
    assert_eq!(storage.open(actor.row).await.unwrap().conns, [changed]);
}

async fn many_creations_of_one_name_make_one_actor(storage: &dyn Storage) {
    let all = (0..32).map(|_| create(storage, "race", &["x"]));
    let all = futures::future::join_all(all).await;
    assert_eq!(all.iter().filter(|created| created.is_new).count(), 1);
    assert!(all.iter().all(|created| created.actor == all[0].actor));
}

async fn a_destroyed_actor_is_gone_and_its_name_is_free(storage: &dyn Storage) {
    let actor = create(storage, "destroy", &["x"]).await.actor;
    let opened = storage.open(actor.row).await.unwrap();
    storage.commit(state(&actor, &opened, "old")).await.unwrap();
    assert!(storage.destroy(actor.row).await.unwrap());
    assert!(!storage.destroy(actor.row).await.unwrap());

    assert_eq!(storage.find(actor.id).await.unwrap(), None);
    assert_eq!(storage.resolve(&actor.name).await.unwrap(), None);
    assert!(matches!(storage.open(actor.row).await, Err(Error::Gone)));
    let late = Commit {
        head: Head(1),
        ..state(&actor, &opened, "late")
    };
    assert!(matches!(storage.commit(late).await, Err(Error::Fenced)));

    let next = create(storage, "destroy", &["x"]).await;
    assert!(next.is_new);
    assert_ne!((next.actor.id, next.actor.row), (actor.id, actor.row));
    assert_eq!(storage.open(next.actor.row).await.unwrap().state, None);
}
