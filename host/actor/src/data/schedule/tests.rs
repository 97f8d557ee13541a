use bytes::Bytes;

use super::*;

const NOW: Millis = Millis(1_000_000);

fn at(ms: i64) -> Millis {
    Millis(NOW.0 + ms)
}

fn schedule() -> Schedule {
    let limits = Limits {
        schedule_entries_max: 3,
        ..Limits::default()
    };
    Schedule::new(Vec::new(), Vec::new(), &limits, NOW)
}

fn add(schedule: &mut Schedule, id: &str, when: When) -> Result<String, ActorError> {
    let new = NewScheduled {
        id: (!id.is_empty()).then(|| id.to_owned()),
        action: "act".to_owned(),
        args: Bytes::from_static(&[0x80]),
        when,
    };
    schedule.add(new, NOW)
}

#[test]
fn entries_run_in_the_order_of_their_times_and_never_early() {
    let mut schedule = schedule();
    add(&mut schedule, "later", When::AfterMs(20)).unwrap();
    add(&mut schedule, "sooner", When::At(at(10))).unwrap();
    assert_eq!(schedule.next_at(), Some(at(10)));
    assert!(schedule.take_due(at(9)).is_none());
    let ids: Vec<String> = std::iter::from_fn(|| schedule.take_due(at(20)))
        .map(|entry| entry.id)
        .collect();
    assert_eq!(ids, ["sooner", "later"]);
    assert_eq!(schedule.next_at(), None);
    assert_eq!(schedule.alarm(), Some(at(10)), "if it ended now");
}

#[test]
fn a_run_that_is_done_is_gone_and_remembered() {
    let mut schedule = schedule();
    add(&mut schedule, "once", When::AfterMs(5)).unwrap();
    let entry = schedule.take_due(at(5)).unwrap();
    schedule.take_changes();
    schedule.ended(&entry, Ok(()), at(7));
    assert!(matches!(
        &schedule.take_changes()[..],
        [ScheduleChange::Ran { run, .. }, ScheduleChange::Remove(id)]
            if id == "once" && run.outcome == Outcome::Done && run.due_at == at(5)
    ));
    assert_eq!((schedule.alarm(), schedule.bytes), (None, 0));
}

#[test]
fn a_run_that_fails_is_tried_again_later_each_time_and_then_given_up() {
    let mut schedule = schedule();
    add(&mut schedule, "once", When::AfterMs(0)).unwrap();
    let mut now = NOW;
    let mut waits = Vec::new();
    while let Some(entry) = schedule.take_due(now) {
        schedule.ended(&entry, Err("no".to_owned()), now);
        if let Some(next) = schedule.next_at() {
            waits.push((next.0 - now.0) / 1_000);
            now = next;
        }
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64]);
    let outcomes = schedule.history().into_iter().map(|run| run.outcome);
    let outcomes: Vec<_> = outcomes.collect();
    assert_eq!(outcomes.len(), 8);
    assert_eq!(outcomes[7], Outcome::GivenUp);
    assert!(schedule.list().is_empty());
}

#[test]
fn an_interval_does_not_drift_and_does_not_make_up_for_lost_time() {
    let mut schedule = schedule();
    add(&mut schedule, "every", When::EveryMs(100)).unwrap();
    let entry = schedule.take_due(at(130)).unwrap();
    schedule.ended(&entry, Ok(()), at(150));
    assert_eq!(schedule.next_at(), Some(at(200)));
    let entry = schedule.take_due(at(950)).unwrap();
    assert_eq!(entry.due_at, at(200));
    schedule.ended(&entry, Ok(()), at(951));
    assert_eq!(schedule.next_at(), Some(at(1_000)), "once, not eight times");
    // The clock was set back: it goes on from where that is.
    let entry = schedule.take_due(at(1_000)).unwrap();
    schedule.ended(&entry, Ok(()), at(-520));
    assert_eq!(schedule.next_at(), Some(at(-500)));
}

#[test]
fn what_was_cancelled_or_replaced_while_it_ran_does_not_come_back() {
    let mut schedule = schedule();
    add(&mut schedule, "x", When::EveryMs(100)).unwrap();
    let entry = schedule.take_due(at(100)).unwrap();
    assert!(schedule.cancel("x"));
    schedule.ended(&entry, Err("no".to_owned()), at(110));
    assert!(schedule.list().is_empty());

    add(&mut schedule, "y", When::AfterMs(0)).unwrap();
    let entry = schedule.take_due(NOW).unwrap();
    add(&mut schedule, "y", When::AfterMs(50)).unwrap();
    schedule.ended(&entry, Ok(()), at(1));
    assert_eq!(schedule.next_at(), Some(at(50)), "the new one stays");
}

#[test]
fn a_crash_counts_as_a_failure_of_what_ran() {
    let mut schedule = schedule();
    add(&mut schedule, "runs", When::AfterMs(0)).unwrap();
    add(&mut schedule, "waits", When::AfterMs(50)).unwrap();
    schedule.take_due(NOW).unwrap();
    schedule.take_changes();
    let changes = schedule.crashed(NOW);
    assert!(matches!(
        &changes[..],
        [ScheduleChange::Ran { .. }, ScheduleChange::Put(entry)]
            if entry.id == "runs" && entry.failures == 1 && entry.try_at == at(1_000)
    ));
}

#[test]
fn a_clock_that_jumped_ahead_and_back_silences_nobody() {
    let mut schedule = schedule();
    let year = 365 * 86_400_000;
    add(&mut schedule, "every", When::EveryMs(100)).unwrap();
    let entry = schedule.take_due(at(year)).unwrap();
    schedule.ended(&entry, Ok(()), at(year));
    assert!(schedule.next_at() > Some(at(year)));
    schedule.set_clock(at(0));
    assert_eq!(schedule.next_at(), Some(at(100)));
    schedule.set_clock(at(1));
    assert_eq!(schedule.next_at(), Some(at(100)), "once is enough");
}

#[test]
fn what_was_decided_by_a_clock_that_ran_ahead_is_decided_anew() {
    let limits = Limits::default();
    let year = 365 * 86_400_000;
    let daily = || When::Cron {
        expression: "0 9 * * *".to_owned(),
        time_zone: None,
    };
    let decided = |when: When, by: Millis| {
        let mut ahead = Schedule::new(Vec::new(), Vec::new(), &limits, by);
        let new = NewScheduled {
            id: Some("x".to_owned()),
            action: "act".to_owned(),
            args: Bytes::from_static(&[0x80]),
            when,
        };
        ahead.add(new, by).unwrap();
        let mut woken = Schedule::new(ahead.list(), Vec::new(), &limits, NOW);
        let next = woken.next_at().unwrap();
        // It sleeps until then, and is woken for it.
        let mut kept = ahead.list();
        for change in woken.take_changes() {
            if let ScheduleChange::Put(entry) = change {
                kept = vec![entry];
            }
        }
        let mut again = Schedule::new(kept, Vec::new(), &limits, next);
        assert!(again.take_due(next).is_some(), "it is put off for ever");
        next
    };
    for when in [daily(), When::AfterMs(5_000), When::EveryMs(5_000)] {
        let right = decided(when.clone(), NOW);
        let wrong = decided(when.clone(), at(year));
        assert!(
            wrong <= right.max(at(5_000)),
            "{when:?}: {wrong:?}, not {right:?}"
        );
        assert!(wrong > NOW, "{when:?}: {wrong:?}");
    }
    let meant = When::At(at(year));
    assert_eq!(
        decided(meant, at(year)),
        at(year),
        "that is a time, not a delay"
    );
    // A step back of a few seconds does not make it come true twice.
    let nine_after = |after| {
        let next = cron::next("0 9 * * *", None, after);
        next.unwrap_or_else(|_| panic!("it comes true every day"))
    };
    let nine = nine_after(NOW);
    let tomorrow = nine_after(nine);
    let mut schedule = Schedule::new(Vec::new(), Vec::new(), &limits, NOW);
    add(&mut schedule, "x", daily()).unwrap();
    let entry = schedule.take_due(nine).unwrap();
    schedule.ended(&entry, Ok(()), Millis(nine.0 - 2_000));
    assert_eq!(schedule.next_at(), Some(tomorrow));
}

#[test]
fn what_a_crash_takes_back_is_neither_kept_nor_forgotten() {
    let mut schedule = schedule();
    add(&mut schedule, "tick", When::AfterMs(0)).unwrap();
    schedule.take_changes();
    schedule.take_due(NOW).unwrap();
    // It makes its own next time, and something else, and breaks down.
    add(&mut schedule, "tick", When::AfterMs(50)).unwrap();
    add(&mut schedule, "other", When::AfterMs(0)).unwrap();
    schedule.take_due(NOW).unwrap();
    let changes = schedule.crashed(NOW);
    assert!(matches!(
        &changes[..],
        [ScheduleChange::Ran { .. }, ScheduleChange::Put(entry)]
            if entry.id == "tick" && entry.failures == 1
    ));
}

#[test]
fn nonsense_is_refused() {
    let mut schedule = schedule();
    let every = |ms| When::EveryMs(ms);
    assert!(add(&mut schedule, "x", every(9)).is_err());
    assert!(add(&mut schedule, "x", every(-1)).is_err());
    assert!(add(&mut schedule, &"x".repeat(129), When::AfterMs(0)).is_err());
    for id in ["a", "b", "c", "c"] {
        add(&mut schedule, id, When::AfterMs(0)).unwrap();
    }
    let full = add(&mut schedule, "", When::AfterMs(0)).unwrap_err();
    assert!(full.is(codes::SCHEDULE_FULL));
}
