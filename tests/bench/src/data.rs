//! What actors have besides their state: alarms, queues, pairs.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::time::Instant;

use crate::host::Host;
use crate::load::{Caller, Load};
use crate::{ACTORS, line, path_of, spread};

/// Alarms of each actor, all at the same time.
const ALARMS_EACH: usize = 10;
/// The alarms of all actors are due within this time.
const ALARMS_WITHIN: Duration = Duration::from_secs(1);
/// How long they may take.
const ALARMS_MAX: Duration = Duration::from_secs(60);
/// Messages that are sent at once.
const MESSAGES: u32 = 5_000;

/// How late sleeping actors are woken when many have to be at once.
pub(crate) async fn alarms(host: &Host) -> Result<()> {
    let mut caller = Caller::connect(host.address).await?;
    // Once for nothing, which shows how long it takes.
    let began = Instant::now();
    set_alarms(host, &mut caller, |_| 0, 0).await?;
    let ahead = 2 * began.elapsed() + Duration::from_secs(2);
    let ring = Instant::now() + ahead;
    let first = now_ms(&mut caller).await? + millis(ahead);
    let within = millis(ALARMS_WITHIN);
    let due = |index: usize| {
        let share = i64::try_from(index * 1_000 / ACTORS).unwrap_or(0);
        first + within * share / 1_000
    };
    set_alarms(host, &mut caller, due, ALARMS_EACH).await?;
    if Instant::now() >= ring {
        bail!("it took too long to put the actors to sleep");
    }
    tokio::time::sleep_until(ring + ALARMS_WITHIN).await;
    // None of them falls asleep again.
    while host.awake(&mut caller, "benchAlarm").await? < ACTORS {
        if Instant::now() > ring + ALARMS_MAX {
            bail!("not all actors have been woken");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut late = Vec::with_capacity(ACTORS * ALARMS_EACH);
    for index in 0..ACTORS {
        late.extend(late_of(&mut caller, index).await?);
    }
    late.sort_unstable();
    let at = |percent: usize| late[(late.len() - 1) * percent / 100];
    let (count, p50, p99) = (late.len(), at(50), at(99));
    let what = format!("{count} alarms of {ACTORS} sleeping actors");
    println!("{what:<40} p50 {p50:>6} ms  p99 {p99:>6} ms  late, all due in {ALARMS_WITHIN:?}");
    Ok(())
}

/// Sets the alarms of each actor to the time `due(actor)`, and puts them all to sleep.
async fn set_alarms(
    host: &Host,
    caller: &mut Caller,
    due: impl Fn(usize) -> i64,
    count: usize,
) -> Result<()> {
    for index in 0..ACTORS {
        let args = json!({ "args": [due(index), count] });
        caller.post(&alarm(index, "set"), &args).await?;
    }
    host.sleep_all(caller).await
}

/// How late an actor was for each of its alarms, in milliseconds.
async fn late_of(caller: &mut Caller, index: usize) -> Result<Vec<i64>> {
    let deadline = Instant::now() + ALARMS_MAX;
    loop {
        let answer = caller
            .post(&alarm(index, "late"), &json!({ "args": [] }))
            .await?;
        let late: Vec<i64> = serde_json::from_value(answer["output"].clone())?;
        match late.len() {
            ALARMS_EACH => return Ok(late),
            _ if Instant::now() > deadline => bail!("actor {index} rang {} times", late.len()),
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// The time by the clock that actors see.
async fn now_ms(caller: &mut Caller) -> Result<i64> {
    let path = path_of("bench", "clock", "action/fire");
    caller.post(&path, &json!({ "args": [] })).await?;
    let path = path_of("bench", "clock", "action/fired");
    let answer = caller.post(&path, &json!({ "args": [] })).await?;
    answer["output"].as_i64().context("a time is a number")
}

fn alarm(index: usize, action: &str) -> String {
    path_of(
        "benchAlarm",
        &format!("{index}"),
        &format!("action/{action}"),
    )
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Messages that the run loop of one actor takes and completes, which the actor sends to itself.
pub(crate) async fn queue(host: &Host, run: Duration, commit_rate: f64) -> Result<()> {
    let mut caller = Caller::connect(host.address).await?;
    let fill = path_of("benchQueue", "one", "action/fill");
    let send = path_of("benchQueue", "one", "queue/pieces");
    let (mut count, mut began, mut warm) = (0_u32, Instant::now(), true);
    let end = began + run / 5 + run;
    while Instant::now() < end {
        if warm && began.elapsed() >= run / 5 {
            (count, began, warm) = (0, Instant::now(), false);
        }
        caller
            .post(&fill, &json!({ "args": [MESSAGES - 1] }))
            .await?;
        // The last is completed when all are, and that is on disk.
        let last = caller
            .post(&send, &json!({ "body": 0, "wait": true }))
            .await?;
        if last["status"] != "completed" {
            bail!("the last message was not completed: {last}");
        }
        count += MESSAGES;
    }
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    line(
        "messages through one run loop",
        rate,
        "messages/s",
        commit_rate,
        "SQLite",
    );
    Ok(())
}

/// Calls that write one pair and read another.
pub(crate) async fn pairs(host: &Host, load: &Load, echo_rate: f64) -> Result<()> {
    let rate = load
        .rate(host.address, |connection, call| {
            let key = format!("{}", spread(connection, call));
            path_of("benchPairs", &key, "action/put_and_get")
        })
        .await?;
    let what = "put and get of a pair, 1,000 actors";
    line(what, rate, "calls/s", echo_rate, "echo");
    Ok(())
}
