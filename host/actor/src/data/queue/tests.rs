use super::*;

const NOW: Millis = Millis(1_000_000);

fn queue(attempts_max: u32) -> Queue {
    let bounds = Bounds {
        messages_max: 3,
        message_bytes_max: 8,
        bytes_max: 16,
        attempts_max,
    };
    Queue {
        declared: ["a", "b"].map(str::to_owned).into(),
        bounds,
        waiting: BTreeMap::new(),
        delayed: BTreeSet::new(),
        taken: BTreeMap::new(),
        dead: BTreeMap::new(),
        received: Vec::new(),
        committing: Vec::new(),
        next: MessageId(1),
        bytes: 0,
        dead_bytes: 0,
        changed_bytes: 0,
        changes: Vec::new(),
        has_refused: false,
    }
}

fn send(queue: &mut Queue, name: &str) -> u64 {
    let sent = queue.send(name.to_owned(), Bytes::from_static(b"1"), NOW, None);
    sent.unwrap().unwrap().0
}

fn wanted(names: &[&str], count_max: usize, is_take: bool) -> Wanted {
    Wanted {
        queues: names.iter().map(|name| (*name).to_owned()).collect(),
        count_max,
        is_take,
        ..Wanted::default()
    }
}

fn ids(messages: &[QueueMessage]) -> Vec<u64> {
    messages.iter().map(|message| message.id.0).collect()
}

#[test]
fn a_batch_keeps_the_order_of_sending_over_its_queues() {
    let mut queue = queue(5);
    send(&mut queue, "a");
    send(&mut queue, "b");
    send(&mut queue, "a");
    assert_eq!(ids(&queue.receive(&wanted(&["b"], 9, false), NOW)), [2]);
    assert_eq!(ids(&queue.receive(&wanted(&[], 9, false), NOW)), [1, 3]);
    assert!(queue.receive(&wanted(&[], 9, false), NOW).is_empty());
    assert_eq!((queue.len(), queue.bytes), (0, 0));
}

#[test]
fn bounds_are_answers() {
    let mut queue = queue(5);
    let mut send = |name: &str, bytes: usize| {
        queue.send(name.to_owned(), Bytes::from(vec![0; bytes]), NOW, None)
    };
    assert_eq!(send("nowhere", 1).unwrap(), None);
    let error = send("a", 9).unwrap_err();
    assert!(error.is(codes::QUEUE_MESSAGE_TOO_LARGE));
    send("a", 8).unwrap();
    send("a", 8).unwrap();
    assert!(send("a", 1).unwrap_err().message.contains("16 bytes"));
    send("a", 0).unwrap();
    let error = send("a", 0).unwrap_err();
    assert!(error.is(codes::QUEUE_FULL));
    assert!(error.message.contains("Queue is full. Limit is 3"));
}

#[test]
fn what_is_given_back_comes_again_in_its_place_and_later_each_time() {
    let mut queue = queue(3);
    let first = MessageId(send(&mut queue, "a"));
    send(&mut queue, "a");
    let take = wanted(&[], 1, true);
    assert_eq!(queue.receive(&take, NOW)[0].attempts, 1);
    queue.give_back(first, NOW);
    let again = queue.receive(&take, NOW);
    assert_eq!((again[0].id, again[0].attempts), (first, 2));
    queue.give_back(first, NOW);
    assert_eq!(ids(&queue.receive(&take, NOW)), [2], "the first waits now");
    assert_eq!(queue.next_at(NOW), Some(Millis(NOW.0 + 100)));
    let later = Millis(NOW.0 + 100);
    assert!(queue.take_due(later));
    assert_eq!(ids(&queue.receive(&take, later)), [1]);
    queue.give_back(first, later);
    assert!(queue.receive(&take, Millis(i64::MAX)).is_empty());
    assert_eq!(ids(&queue.dead_letters()), [1]);
    assert_eq!(queue.put_back(first).unwrap(), Some(MessageId(3)));
    let back = queue.receive(&take, NOW);
    assert_eq!(
        (back[0].id.0, back[0].attempts),
        (3, 1),
        "behind the others"
    );
}

#[test]
fn what_a_stop_interrupts_is_no_attempt() {
    let mut queue = queue(1);
    let id = MessageId(send(&mut queue, "a"));
    for _ in 0..3 {
        let taken = queue.receive(&wanted(&[], 1, true), NOW);
        assert_eq!(taken[0].attempts, 1);
        assert!(queue.restore(id));
    }
    assert!(queue.dead_letters().is_empty());
}

#[test]
fn a_delayed_message_is_found_when_its_time_has_come() {
    let mut queue = queue(3);
    let delay = Some(Duration::from_secs(1));
    let sent = queue.send("a".to_owned(), Bytes::new(), NOW, delay);
    sent.unwrap().unwrap();
    let all = wanted(&[], 1, false);
    assert!(queue.receive(&all, Millis(NOW.0 + 999)).is_empty());
    assert!(!queue.take_due(Millis(NOW.0 + 999)));
    assert!(queue.take_due(Millis(NOW.0 + 1_000)));
    assert_eq!(queue.next_at(NOW), None, "it is told once");
    // Even if the clock is set back just then.
    assert_eq!(ids(&queue.receive(&all, NOW)), [1]);
}

#[test]
fn a_crash_counts_as_an_attempt_of_all_that_the_guest_had() {
    let mut queue = queue(2);
    for _ in 0..3 {
        send(&mut queue, "a");
    }
    queue.take_changes();
    queue.committed();
    queue.receive(&wanted(&[], 1, false), NOW);
    queue.take_changes();
    queue.receive(&wanted(&[], 1, true), NOW);
    let had: Vec<(u64, u32)> = queue
        .crashed(NOW)
        .into_iter()
        .map(|change| match change {
            MessageChange::Update { id, attempts, .. } => (id.0, attempts),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(had, [(1, 1), (2, 1)]);
}

#[test]
fn taking_and_giving_back_for_ever_fills_no_memory() {
    let mut queue = queue(1);
    let take = wanted(&[], 1, true);
    let mut id = MessageId(send(&mut queue, "a"));
    let mut rounds = 0;
    while !queue.receive(&take, NOW).is_empty() {
        queue.give_back(id, NOW);
        id = queue.put_back(id).unwrap().expect("a dead letter");
        rounds += 1;
        assert!(rounds < 1_000_000, "nobody stops it");
    }
    assert!(queue.changes.len() < CHANGED_BYTES_MAX / CHANGE_BYTES + 10);
    queue.take_changes();
    assert!(queue.take_refused());
    assert_eq!(queue.receive(&take, NOW).len(), 1);
    assert!(!queue.take_refused());
}

#[test]
fn what_is_put_back_needs_room_like_what_is_sent() {
    let mut queue = queue(1);
    let first = MessageId(send(&mut queue, "a"));
    assert_eq!(queue.receive(&wanted(&[], 1, true), NOW).len(), 1);
    queue.give_back(first, NOW);
    for _ in 0..3 {
        send(&mut queue, "a");
    }
    let error = queue.put_back(first).unwrap_err();
    assert!(error.is(codes::QUEUE_FULL));
    assert_eq!(ids(&queue.dead_letters()), [1]);
    assert_eq!(queue.put_back(MessageId(77)).unwrap(), None);
}

#[test]
fn a_clock_that_is_set_back_does_not_make_what_came_back_wait() {
    const AHEAD: Millis = Millis(NOW.0 + 1_000_000_000);
    let mut queue = queue(9);
    let first = MessageId(send(&mut queue, "a"));
    for _ in 0..3 {
        let now = Millis(AHEAD.0 + 10_000);
        assert_eq!(queue.receive(&wanted(&[], 1, true), now).len(), 1);
        queue.give_back(first, AHEAD);
    }
    assert!(queue.next_at(NOW).is_some_and(|at| at >= AHEAD));
    queue.set_clock(NOW);
    let latest = Millis(NOW.0 + AGAIN_AFTER_MS_MAX);
    assert!(queue.next_at(NOW).is_some_and(|at| at <= latest));
    assert_eq!(ids(&queue.receive(&wanted(&[], 1, true), latest)), [1]);
    assert!(!queue.has_ready());

    // One that was sent with a delay waits for as long as that, whenever it was sent.
    let delay = Some(Duration::from_secs(5));
    let sent = queue.send("a".to_owned(), Bytes::new(), AHEAD, delay);
    sent.unwrap();
    queue.set_clock(NOW);
    assert_eq!(queue.next_at(NOW), Some(Millis(NOW.0 + 5_000)));
    assert!(
        queue.take_changes().iter().any(|change| matches!(
            change, MessageChange::Update { not_before, .. } if not_before.0 == NOW.0 + 5_000
        )),
        "it is kept"
    );
}
