//! Promises about alarms. Whoever sets one destroys its actor in the end: others look at all there are.

use greenroom_model::Millis;

use super::Awake;
use crate::{ActorRow, Alarm, DataChanges, Storage};

fn at(alarm: Option<i64>) -> DataChanges {
    DataChanges {
        alarm: Some(alarm.map(Millis)),
        ..DataChanges::default()
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
