//! Promises about what an actor has besides its state and its connections, all kinds together.

use bytes::Bytes;
use greenroom_model::{
    Head, KvQuery, KvSpan, MessageId, Millis, Outcome, QueueMessage, Scheduled, ScheduledRun,
    Timing,
};

use super::{Awake, create, state};
use crate::{
    ActorRecord, Commit, DataChanges, Error, MessageChange, NewAlarm, Opened, ScheduleChange,
    Storage,
};

/// When [`of_every_kind`] wants the actor to be awake.
const ALARM: Millis = Millis(1_000);

pub(super) const EVERYTHING: KvSpan = KvSpan {
    start: Bytes::new(),
    end: None,
};

pub(super) fn message(id: u64, queue: &str) -> QueueMessage {
    QueueMessage {
        id: MessageId(id),
        queue: queue.to_owned(),
        body: Bytes::from(format!("body of {id}")),
        sent_at: Millis(10),
        attempts: 0,
        not_before: Millis(10),
        died_at: None,
    }
}

pub(super) fn entry(id: &str, timing: Timing) -> Scheduled {
    Scheduled {
        id: id.to_owned(),
        action: "act".to_owned(),
        args: Bytes::from_static(b"\x80"),
        timing,
        due_at: Millis(20),
        try_at: Millis(21),
        failures: 0,
        set_at: Millis(3),
    }
}

pub(super) fn run(number: u64) -> ScheduledRun {
    ScheduledRun {
        number,
        id: "entry".to_owned(),
        action: "act".to_owned(),
        due_at: Millis(20),
        started_at: Millis(22),
        outcome: Outcome::Done,
        error: None,
    }
}

/// Something of each kind: what [`find_every_kind`] finds.
pub(super) fn of_every_kind() -> DataChanges {
    let pair = (Bytes::from("key"), Some(Bytes::from("value")));
    let ran = ScheduleChange::Ran {
        run: run(1),
        keep_from: 0,
    };
    DataChanges {
        spans: Vec::new(),
        pairs: vec![pair],
        messages: vec![MessageChange::Insert(message(1, "queue"))],
        schedule: vec![ScheduleChange::Put(entry("entry", Timing::Once)), ran],
        alarm: Some(NewAlarm {
            at: Some(ALARM),
            set_at: Millis(1),
        }),
        is_doomed: true,
        counts_pairs: false,
    }
}

pub(super) async fn find_every_kind(storage: &dyn Storage, actor: &ActorRecord, opened: &Opened) {
    assert_eq!(opened.kv_bytes, 8);
    assert_eq!(opened.messages, [message(1, "queue")]);
    assert_eq!(opened.next_message, MessageId(2));
    assert_eq!(opened.schedule, [entry("entry", Timing::Once)]);
    assert_eq!(opened.runs, [run(1)]);
    assert_eq!(opened.alarm, Some(ALARM));
    assert!(opened.is_doomed);
    assert_eq!(pairs(storage, actor).await, ["key=value"]);
    assert!(is_alarmed(storage, actor).await);
}

async fn find_nothing(storage: &dyn Storage, actor: &ActorRecord, opened: &Opened) {
    let empty = Opened {
        generation: opened.generation,
        head: opened.head,
        state: opened.state.clone(),
        revision: opened.revision,
        state_version: 1,
        state_head: opened.state_head,
        replaced: None,
        pin: None,
        input: opened.input.clone(),
        conns: Vec::new(),
        kv_bytes: 0,
        messages: Vec::new(),
        next_message: MessageId(1),
        schedule: Vec::new(),
        runs: Vec::new(),
        alarm: None,
        is_doomed: false,
    };
    assert_eq!(*opened, empty);
    assert!(pairs(storage, actor).await.is_empty());
    assert!(!is_alarmed(storage, actor).await);
}

async fn pairs(storage: &dyn Storage, actor: &ActorRecord) -> Vec<String> {
    let query = KvQuery {
        span: EVERYTHING,
        reverse: false,
        count_max: 100,
    };
    let page = storage.kv_list(actor.row, query, 1_000).await.unwrap();
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let pairs = page.pairs.iter();
    pairs
        .map(|(k, v)| format!("{}={}", text(k), text(v)))
        .collect()
}

async fn is_alarmed(storage: &dyn Storage, actor: &ActorRecord) -> bool {
    let due = storage.due_alarms(ALARM, None, 100).await.unwrap();
    due.iter().any(|alarm| alarm.actor == *actor)
}

pub(super) async fn is_kept_with_the_commit_that_changed_it(storage: &dyn Storage) {
    let mut awake = Awake::new(storage, "data", "x").await;
    find_nothing(storage, &awake.actor, &awake.opened).await;
    let kept = awake.commit(of_every_kind()).await;
    assert_eq!(kept.kv_bytes, Some(8));
    let kept = awake.commit(DataChanges::default()).await;
    assert_eq!(kept.kv_bytes, None, "it has not changed");
    awake.again().await;
    find_every_kind(storage, &awake.actor, &awake.opened).await;
    assert!(storage.destroy(awake.actor.row).await.unwrap());
}

pub(super) async fn of_a_fenced_commit_is_left_alone(storage: &dyn Storage) {
    let mut awake = Awake::new(storage, "data-fenced", "x").await;
    let older = awake.opened.clone();
    awake.again().await;
    let wrong = Opened {
        head: Head(7),
        ..awake.opened.clone()
    };
    for fenced in [&older, &wrong] {
        let commit = Commit {
            data: of_every_kind(),
            ..state(&awake.actor, fenced, "fenced")
        };
        let refused = storage.commit(commit).await;
        assert!(matches!(refused, Err(Error::Fenced)));
    }
    awake.again().await;
    find_nothing(storage, &awake.actor, &awake.opened).await;

    awake.commit(of_every_kind()).await;
    let remove_all = DataChanges {
        spans: vec![EVERYTHING],
        pairs: Vec::new(),
        messages: vec![MessageChange::Remove(MessageId(1))],
        schedule: vec![ScheduleChange::Remove("entry".into())],
        alarm: Some(NewAlarm::default()),
        ..DataChanges::default()
    };
    let commit = Commit {
        data: remove_all,
        ..state(&awake.actor, &older, "fenced")
    };
    assert!(matches!(storage.commit(commit).await, Err(Error::Fenced)));
    awake.again().await;
    find_every_kind(storage, &awake.actor, &awake.opened).await;
    assert!(storage.destroy(awake.actor.row).await.unwrap());
}

pub(super) async fn of_a_destroyed_actor_is_gone(storage: &dyn Storage) {
    let mut awake = Awake::new(storage, "data-destroyed", "x").await;
    awake.commit(of_every_kind()).await;
    let mut other = Awake::new(storage, "data-destroyed", "y").await;
    other.commit(of_every_kind()).await;
    let actor = awake.actor;
    assert!(storage.destroy(actor.row).await.unwrap());

    let late = Commit {
        data: of_every_kind(),
        ..state(&actor, &awake.opened, "late")
    };
    assert!(matches!(storage.commit(late).await, Err(Error::Fenced)));
    assert!(pairs(storage, &actor).await.is_empty());
    let values = storage
        .kv_get(actor.row, vec![Bytes::from("key")], 1_000)
        .await;
    assert_eq!(values.unwrap(), [None]);
    assert!(!is_alarmed(storage, &actor).await);
    let next = create(storage, "data-destroyed", &["x"]).await.actor;
    let opened = storage.open(next.row).await.unwrap();
    find_nothing(storage, &next, &opened).await;

    other.again().await;
    find_every_kind(storage, &other.actor, &other.opened).await;
    assert!(storage.destroy(other.actor.row).await.unwrap());
}
