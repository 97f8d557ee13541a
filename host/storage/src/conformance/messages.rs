//! Promises about messages of queues.

use greenroom_model::{MessageId, Millis, QueueMessage};

use super::Awake;
use super::data::message;
use crate::{DataChanges, MessageChange, Storage};

fn changes(messages: Vec<MessageChange>) -> DataChanges {
    DataChanges {
        messages,
        ..DataChanges::default()
    }
}

fn update(id: u64, attempts: u32, not_before: i64, died_at: Option<i64>) -> MessageChange {
    MessageChange::Update {
        id: MessageId(id),
        attempts,
        not_before: Millis(not_before),
        died_at: died_at.map(Millis),
    }
}

pub(super) async fn change_in_order(storage: &dyn Storage) {
    let mut awake = Awake::new(storage, "messages", "x").await;
    // Ten and two: their order is that of numbers, not of texts.
    let ids = [1, 2, 3, 10];
    let inserted = ids.map(|id| MessageChange::Insert(message(id, "queue")));
    awake.commit(changes(inserted.to_vec())).await;
    let wanted = ids.map(|id| message(id, "queue"));
    assert_eq!(awake.again().await.messages, wanted, "oldest first");

    let dead = QueueMessage {
        attempts: 16,
        not_before: Millis(70),
        died_at: Some(Millis(80)),
        ..message(3, "queue")
    };
    let whole = QueueMessage {
        attempts: u32::MAX,
        died_at: Some(Millis(-1)),
        ..message(12, "another")
    };
    let changed = vec![
        MessageChange::Remove(MessageId(1)),
        update(2, 1, 50, None),
        update(2, 2, 60, None),
        update(3, 16, 70, Some(80)),
        MessageChange::Insert(message(11, "short")),
        update(11, 1, 90, None),
        MessageChange::Remove(MessageId(11)),
        MessageChange::Insert(whole.clone()),
    ];
    awake.commit(changes(changed)).await;
    let twice = QueueMessage {
        attempts: 2,
        not_before: Millis(60),
        ..message(2, "queue")
    };
    let wanted = [twice, dead, message(10, "queue"), whole];
    assert_eq!(awake.again().await.messages, wanted);

    awake.commit(changes(vec![update(3, 0, 0, None)])).await;
    let revived = &awake.again().await.messages[1];
    assert_eq!(revived.died_at, None, "dead letters can come back");
}

pub(super) async fn have_ids_that_are_never_used_again(storage: &dyn Storage) {
    let mut awake = Awake::new(storage, "messages-ids", "x").await;
    assert_eq!(awake.opened.next_message, MessageId(1));
    let two = [1, 2].map(|id| MessageChange::Insert(message(id, "queue")));
    awake.commit(changes(two.to_vec())).await;
    assert_eq!(awake.again().await.next_message, MessageId(3));
    let gone = [1, 2].map(|id| MessageChange::Remove(MessageId(id)));
    awake.commit(changes(gone.to_vec())).await;
    for state in [None, Some("state".into())] {
        awake.commit_with(state, DataChanges::default()).await;
    }
    let opened = awake.again().await;
    assert_eq!(opened.messages, []);
    assert_eq!(opened.next_message, MessageId(3));

    let at_once = vec![
        MessageChange::Insert(message(5, "queue")),
        MessageChange::Insert(message(4, "queue")),
        MessageChange::Remove(MessageId(5)),
        MessageChange::Remove(MessageId(4)),
    ];
    awake.commit(changes(at_once)).await;
    assert_eq!(awake.again().await.next_message, MessageId(6));
    awake
        .commit(changes(vec![MessageChange::Insert(message(3, "queue"))]))
        .await;
    let opened = awake.again().await;
    assert_eq!(opened.next_message, MessageId(6), "it never goes back");

    let other = Awake::new(storage, "messages-ids", "y").await;
    assert_eq!(other.opened.next_message, MessageId(1));
}

pub(super) async fn that_are_not_there_are_nobodys_fault(storage: &dyn Storage) {
    let mut awake = Awake::new(storage, "messages-missing", "x").await;
    let missing = vec![
        MessageChange::Insert(message(1, "queue")),
        update(2, 1, 1, None),
        update(u64::MAX, 1, 1, None),
        MessageChange::Remove(MessageId(3)),
        MessageChange::Remove(MessageId(u64::MAX)),
    ];
    awake.commit(changes(missing)).await;
    assert_eq!(awake.again().await.messages, [message(1, "queue")]);
    assert_eq!(awake.opened.next_message, MessageId(2));

    let twice = vec![MessageChange::Insert(message(1, "other"))];
    awake.commit(changes(twice)).await;
    let opened = awake.again().await;
    assert_eq!(opened.messages, [message(1, "other")], "the later one");
}
