//! Promises about alarms. Whoever sets one destroys its actor in the end: others look at all there are.

use greenroom_model::Millis;

use super::Awake;
use crate::{ActorRecord, ActorRow, Alarm, DataChanges, NewAlarm, Storage};

fn at(alarm: Option<i64>) -> DataChanges {
    set(alarm, 0)
}

fn set(alarm: Option<i64>, set_at: i64) -> DataChanges {
    DataChanges {
        alarm: Some(NewAlarm {
            at: alarm.map(Millis),
            set_at: Millis(set_at),
        }),
        ..DataChanges::default()
    }
}

pub(super) async fn set_by_a_clock_that_ran_ahead_are_due(storage: &dyn Storage) {
    let mut actors = Vec::new();
    for (index, set_at) in [900, 100, 901, 100].into_iter().enumerate() {
        let mut awake = Awake::new(storage, "alarms-ahead", &index.to_string()).await;
        let alarm = 1_000 + i64::try_from(index).unwrap();
        awake.commit(set(Some(alarm), set_at)).await;
        actors.push(awake.actor);
    }
    let due = async |now: i64| {
        let due = storage.due_alarms(Millis(now), None, 10).await.unwrap();
        due.into_iter().map(|alarm| alarm.actor).collect::<Vec<_>>()
    };
    let pull = async || {
        let pulled = storage.pull_alarms(Millis(200), Millis(150), 1).await;
        pulled.unwrap()
    };
    assert_eq!([pull().await, pull().await, pull().await], [1, 1, 0]);
    let (ahead, right): (Vec<_>, Vec<_>) = actors
        .iter()
        .cloned()
        .enumerate()
        .partition(|(n, _)| n % 2 == 0);
    let only = |some: Vec<(usize, ActorRecord)>| {
        some.into_iter().map(|(_, actor)| actor).collect::<Vec<_>>()
    };
    assert_eq!(due(150).await, only(ahead));
    assert_eq!(due(2_000).await[2..], only(right));
    for actor in actors {
        assert!(storage.destroy(actor.row).await.unwrap());
    }
}

pub(super) async fn come_in_batches_earliest_first(storage: &dyn Storage) {
    let mut wanted = Vec::new();
    let times = [500, 300, 300, -100, 501, 300, i64::MIN];
    for (index, time) in times.into_iter().enumerate() {
        let mut awake = Awake::new(storage, "alarms", &index.to_string()).await;
        awake.commit(at(Some(time))).await;
        wanted.push(Alarm {
            at: Millis(time),
            actor: awake.actor,
        });
    }
    wanted.sort_by_key(|alarm| (alarm.at, alarm.actor.row));
    let late = wanted.pop().unwrap();

    for count_max in [1, 2, 3, 6, 100] {
        let mut seen: Vec<Alarm> = Vec::new();
        loop {
            let after: Option<(Millis, ActorRow)> = seen.last().map(|a| (a.at, a.actor.row));
            let batch = storage.due_alarms(Millis(500), after, count_max).await;
            let batch = batch.unwrap();
            assert!(batch.len() <= count_max);
            let is_last = batch.len() < count_max;
            seen.extend(batch);
            if is_last {
                break;
            }
        }
        assert_eq!(seen, wanted, "in batches of {count_max}");
    }
    assert_eq!(storage.due_alarms(Millis(500), None, 0).await.unwrap(), []);

    for (after, next) in [
        (299, Some(300)),
        (300, Some(500)),
        (500, Some(501)),
        (501, None),
    ] {
        let found = storage.next_alarm(Millis(after)).await.unwrap();
        assert_eq!(found, next.map(Millis), "after {after}");
    }
    for alarm in wanted.into_iter().chain([late]) {
        assert!(storage.destroy(alarm.actor.row).await.unwrap());
    }
}

pub(super) async fn are_moved_and_taken_back(storage: &dyn Storage) {
    let mut awake = Awake::new(storage, "alarms-moved", "x").await;
    let due = async |now: i64| {
        let due = storage.due_alarms(Millis(now), None, 10).await.unwrap();
        due.iter().map(|alarm| alarm.at.0).collect::<Vec<_>>()
    };
    awake.commit(at(None)).await;
    awake.commit(at(Some(10))).await;
    awake.commit(DataChanges::default()).await;
    assert_eq!(awake.again().await.alarm, Some(Millis(10)));
    assert_eq!((due(9).await, due(10).await), (vec![], vec![10]));
    for moved in [20, 5] {
        awake.commit(at(Some(moved))).await;
        assert_eq!(awake.again().await.alarm, Some(Millis(moved)));
        assert_eq!(due(1_000).await, [moved], "it is one");
        let next = storage.next_alarm(Millis(0)).await.unwrap();
        assert_eq!(next, Some(Millis(moved)));
    }
    awake.commit(at(None)).await;
    assert_eq!(awake.again().await.alarm, None);
    assert!(due(i64::MAX).await.is_empty());
    assert_eq!(storage.next_alarm(Millis(i64::MIN)).await.unwrap(), None);
    awake.commit(at(Some(30))).await;
    assert!(storage.destroy(awake.actor.row).await.unwrap());
    assert!(due(i64::MAX).await.is_empty());
}
