//! What is this engine's own: its files, its formats, its rows.

use greenroom_model::{
    KvSpan, MessageId, Millis, Outcome, QueueMessage, Scheduled, ScheduledRun, Timing,
};

use super::*;
use crate::conformance::{self, Awake};
use crate::{DataChanges, MessageChange, NewAlarm, ScheduleChange};

#[tokio::test]
async fn keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    conformance::all(&Sqlite::open(folder.path(), 1024).unwrap()).await;
}

#[tokio::test]
async fn what_was_committed_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let actor = conformance::commit_one(&Sqlite::open(folder.path(), 64).unwrap()).await;
    let again = Sqlite::open(folder.path(), 64).unwrap();
    conformance::find_committed(&again, actor).await;
}

#[test]
fn a_second_opener_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let _open = Sqlite::open(folder.path(), 64).unwrap();
    assert!(matches!(Sqlite::open(folder.path(), 64), Err(Error::InUse)));
}

#[test]
fn data_of_a_newer_release_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let connection = connect(&folder.path().join("greenroom.sqlite")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let refused = Sqlite::open(folder.path(), 64);
    assert!(matches!(
        refused,
        Err(Error::Format {
            found: 99,
            known: 4
        })
    ));
}

/// As if the disk, or somebody else's program, had done it.
fn damage(folder: &Path, sql: &str) {
    let connection = connect(&folder.join("greenroom.sqlite")).unwrap();
    assert_eq!(connection.execute(sql, []).unwrap(), 1, "{sql}");
}

fn something() -> DataChanges {
    let message = QueueMessage {
        id: MessageId(1),
        queue: "queue".into(),
        body: Bytes::from("body"),
        sent_at: Millis(1),
        attempts: 0,
        not_before: Millis(1),
        died_at: None,
    };
    let entry = Scheduled {
        id: "entry".into(),
        action: "act".into(),
        args: Bytes::from_static(b"\x80"),
        timing: Timing::Once,
        due_at: Millis(1),
        try_at: Millis(1),
        failures: 0,
        set_at: Millis(0),
    };
    let run = ScheduledRun {
        number: 1,
        id: "entry".into(),
        action: "act".into(),
        due_at: Millis(1),
        started_at: Millis(1),
        outcome: Outcome::Done,
        error: None,
    };
    let ran = ScheduleChange::Ran { run, keep_from: 0 };
    DataChanges {
        spans: Vec::new(),
        pairs: vec![(Bytes::from("key"), Some(Bytes::from("value")))],
        messages: vec![MessageChange::Insert(message)],
        schedule: vec![ScheduleChange::Put(entry), ran],
        alarm: Some(NewAlarm {
            at: Some(Millis(1)),
            set_at: Millis(0),
        }),
        is_doomed: false,
        counts_pairs: false,
    }
}

#[tokio::test]
async fn a_damaged_row_is_the_misfortune_of_its_actor_alone() {
    let no_text = "CAST(x'ff' AS TEXT)";
    for damaged in [
        format!("messages SET queue = {no_text}"),
        "messages SET id = -1".into(),
        "messages SET attempts = 4294967296".into(),
        format!("schedule SET id = {no_text}"),
        format!("schedule SET timing = {no_text}"),
        "schedule SET timing = '{\"never\":1}'".into(),
        "schedule SET failures = -1".into(),
        "runs SET number = -1".into(),
        "runs SET outcome = 3".into(),
        format!("runs SET error = {no_text}"),
        "actor_data SET kv_bytes = -1".into(),
        "actor_data SET next_message = -1".into(),
        "actor_data SET head = -1".into(),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(folder.path(), 64).unwrap();
        let mut victim = Awake::new(&sqlite, "damage", "victim").await;
        victim.commit(something()).await;
        let mut neighbour = Awake::new(&sqlite, "damage", "neighbour").await;
        let row = victim.actor.row;
        damage(
            folder.path(),
            &format!("UPDATE {damaged} WHERE row = {}", row.0),
        );

        let (first, opened) = oneshot::channel();
        let (second, kept) = oneshot::channel();
        let commands = vec![
            writer::Command::Open(row, first),
            writer::Command::Commit(neighbour.next_commit(None, something()), second),
        ];
        in_one_transaction(folder.path(), commands);
        let opened = opened.await.unwrap();
        assert!(matches!(opened, Err(Error::Engine(_))), "{damaged}");
        assert!(kept.await.unwrap().is_ok(), "{damaged}");
        assert_eq!(neighbour.again().await.messages.len(), 1, "{damaged}");
        let gone = sqlite.destroy(row).await;
        assert!(gone.unwrap(), "it can still be removed");
    }
}

/// Carries out commands on a writer's thread that finds all of them waiting.
fn in_one_transaction(folder: &Path, commands: Vec<writer::Command>) {
    let connection = connect(&folder.join("greenroom.sqlite")).unwrap();
    let (waiting, queue) = mpsc::channel(commands.len());
    for command in commands {
        waiting.try_send(command).unwrap();
    }
    drop(waiting);
    let writer = std::thread::spawn(|| writer::run(connection, queue, &fault::Faults::default()));
    writer.join().unwrap();
}

#[tokio::test]
async fn a_commit_does_not_fail_where_the_count_of_bytes_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(folder.path(), 64).unwrap();
    let mut awake = Awake::new(&sqlite, "damage", "x").await;
    for (damaged, kept) in [(-100, 0), (i64::MAX, i64::MAX.unsigned_abs())] {
        let sql = format!("UPDATE actor_data SET kv_bytes = {damaged}");
        damage(folder.path(), &sql);
        let everything = KvSpan {
            start: Bytes::new(),
            end: None,
        };
        let emptied = DataChanges {
            spans: vec![everything],
            ..DataChanges::default()
        };
        assert_eq!(awake.commit(something()).await.kv_bytes, Some(kept));
        awake.commit(emptied).await;
    }
}

#[tokio::test]
async fn an_alarm_of_a_damaged_actor_is_skipped_and_does_not_hide_others() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(folder.path(), 64).unwrap();
    let mut actors = Vec::new();
    for key in ["1", "2", "3", "4"] {
        let mut awake = Awake::new(&sqlite, "damage", key).await;
        awake.commit(something()).await;
        actors.push(awake.actor);
    }
    for index in [0, 1] {
        let row = actors[index].row.0;
        let sql = format!("UPDATE actors SET type = 'no/type' WHERE row = {row}");
        damage(folder.path(), &sql);
    }
    let due = sqlite.due_alarms(Millis(1), None, 1).await.unwrap();
    assert_eq!(due[0].actor, actors[2]);
    let after = Some((Millis(1), actors[2].row));
    let due = sqlite.due_alarms(Millis(1), after, 2).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].actor, actors[3]);
}
