//! Promises about schedules.

use greenroom_model::{Millis, Outcome, Scheduled, ScheduledRun, Timing};

use super::Awake;
use super::data::{entry, run};
use crate::{DataChanges, Opened, ScheduleChange, Storage};

fn changes(schedule: Vec<ScheduleChange>) -> DataChanges {
    DataChanges {
        schedule,
        ..DataChanges::default()
    }
}

/// The entries, in the order of their names.
fn entries(opened: &Opened) -> Vec<Scheduled> {
    let mut entries = opened.schedule.clone();
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    entries
}

pub(super) async fn entries_are_put_and_removed(storage: &dyn Storage) {
    let mut awake = Awake::new(storage, "schedule", "x").await;
    let cron = |time_zone: Option<&str>| Timing::Cron {
        expression: "0 \"9\" * * é".to_owned(),
        time_zone: time_zone.map(str::to_owned),
    };
    let every = Timing::Every {
        from_ms: i64::MIN,
        every_ms: 5_000,
    };
    let all = [
        entry("a", Timing::Once),
        entry("b", every),
        entry("c", cron(None)),
        entry("d/\0 ü", cron(Some("Europe/Vienna"))),
    ];
    let put = all.iter().cloned().map(ScheduleChange::Put).collect();
    awake.commit(changes(put)).await;
    assert_eq!(entries(awake.again().await), all);

    let failed = Scheduled {
        action: "other".to_owned(),
        due_at: Millis(30),
        try_at: Millis(35),
        failures: u32::MAX,
        ..entry("a", cron(None))
    };
    let changed = vec![
        ScheduleChange::Put(failed.clone()),
        ScheduleChange::Remove("b".into()),
        ScheduleChange::Remove("c".into()),
        ScheduleChange::Put(entry("c", Timing::Once)),
        ScheduleChange::Remove("d/\0 ü".into()),
        ScheduleChange::Remove("missing".into()),
        ScheduleChange::Put(entry("e", Timing::Once)),
        ScheduleChange::Remove("e".into()),
    ];
    awake.commit(changes(changed)).await;
    let wanted = [failed, entry("c", Timing::Once)];
    assert_eq!(entries(awake.again().await), wanted, "changed in order");

    let other = Awake::new(storage, "schedule", "y").await;
    assert_eq!(other.opened.schedule, []);
}

pub(super) async fn runs_are_remembered_as_far_as_wanted(storage: &dyn Storage) {
    let mut awake = Awake::new(storage, "runs", "x").await;
    let ran = |run: &ScheduledRun, keep_from| ScheduleChange::Ran {
        run: run.clone(),
        keep_from,
    };
    let runs = [
        run(9),
        ScheduledRun {
            outcome: Outcome::Failed,
            error: Some("it failed".to_owned()),
            ..run(10)
        },
        ScheduledRun {
            outcome: Outcome::GivenUp,
            error: Some(String::new()),
            ..run(11)
        },
        run(12),
    ];
    let all = runs.iter().map(|run| ran(run, 0)).collect();
    awake.commit(changes(all)).await;
    assert_eq!(awake.again().await.runs, runs, "oldest first");
    awake.commit(changes(vec![ran(&run(13), 11)])).await;
    let wanted = [runs[2].clone(), runs[3].clone(), run(13)];
    assert_eq!(awake.again().await.runs, wanted);
    awake.commit(changes(vec![ran(&run(14), u64::MAX)])).await;
    assert_eq!(awake.again().await.runs, []);
}
