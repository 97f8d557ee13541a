//! `make bench`: speed and memory of the release build, each figure beside a yardstick from the same run.
//!
//! Absolute figures say as much about the machine as about the host; the ratios are what to compare.
//! Client, yardsticks and host share the machine, as they do in every run before and after.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

mod data;
mod host;
mod load;
mod sockets;
mod swap;
mod yardstick;

use std::time::Duration;

use anyhow::Result;

use crate::host::Host;
use crate::load::{Caller, Load};

/// HTTP connections of every load run.
const CONNECTIONS: usize = 64;
/// How long each load run takes, after a warm-up of a fifth of it.
const RUN: Duration = Duration::from_secs(5);
/// Actors of the spread-out load.
const ACTORS: usize = 1_000;
/// Samples of a latency.
const SAMPLES: usize = 500;
/// Subscribers of one room.
const SUBSCRIBERS: usize = 200;
/// Connections that are counted for their memory, and the actors that they are spread over.
const IDLE_CONNECTIONS: usize = 10_000;
const IDLE_ACTORS: usize = 1_000;
/// Actors that are counted for their memory.
const COUNTED: usize = 4_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    println!("{CONNECTIONS} HTTP connections, strict durability, {RUN:?} a run\n");
    let echo = yardstick::echo().await?;
    let echo_rate = Load {
        connections: CONNECTIONS,
        run: RUN,
    }
    .rate(echo, |_, _| "/".into())
    .await?;
    println!("yardstick: bare hyper echo               {echo_rate:>9.0} requests/s");
    let commit_rate = yardstick::commits(CONNECTIONS, ACTORS, RUN).await?;
    println!("yardstick: bare SQLite group commit      {commit_rate:>9.0} commits/s\n");

    let host = Host::start().await?;
    let load = Load {
        connections: CONNECTIONS,
        run: RUN,
    };
    let read = load.rate(host.address, |_, _| path("one", "count")).await?;
    line("warm reads, one actor", read, "calls/s", echo_rate, "echo");
    let one = load
        .rate(host.address, |_, _| path("one", "increment"))
        .await?;
    line("warm writes, one actor", one, "calls/s", echo_rate, "echo");
    let many = load
        .rate(host.address, |connection, call| {
            path(&format!("many-{}", spread(connection, call)), "increment")
        })
        .await?;
    line(
        "warm writes, 1,000 actors",
        many,
        "calls/s",
        echo_rate,
        "echo",
    );
    line(
        "  the same, as commits",
        many,
        "commits/s",
        commit_rate,
        "SQLite",
    );
    let reads = load
        .rate(host.address, |connection, call| {
            path(&format!("many-{}", spread(connection, call)), "count")
        })
        .await?;
    line(
        "warm reads, 1,000 actors",
        reads,
        "calls/s",
        echo_rate,
        "echo",
    );

    data::queue(&host, RUN, commit_rate).await?;
    data::pairs(&host, &load, echo_rate).await?;

    println!();
    latencies(&host, echo).await?;
    data::alarms(&host).await?;
    println!();
    swap::swaps(&host).await?;
    println!();
    fan_out(&host).await?;
    println!();
    memory(&host).await?;
    println!();
    idle_connections(&host).await?;
    host.stop().await
}

/// The path of an action of the actor type `bench`.
fn path(key: &str, action: &str) -> String {
    path_of("bench", key, &format!("action/{action}"))
}

/// The path of something that an actor is asked for, by its type and key.
fn path_of(actor_type: &str, key: &str, what: &str) -> String {
    format!(
        "/gateway/{actor_type}/{what}?rvt-namespace=default&rvt-method=getOrCreate\
         &rvt-runner=default&rvt-key={key}"
    )
}

/// Another actor for every call, without two connections on the same at once too often.
const fn spread(connection: usize, call: usize) -> usize {
    (connection * 617 + call * 7) % ACTORS
}

fn line(what: &str, rate: f64, unit: &str, yardstick: f64, of: &str) {
    let ratio = rate / yardstick;
    println!("{what:<40} {rate:>9.0} {unit:<10} {ratio:>6.2} of {of}");
}

async fn latencies(host: &Host, echo: std::net::SocketAddr) -> Result<()> {
    let mut caller = Caller::connect(echo).await?;
    let mut times = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        times.push(caller.call("/").await?);
    }
    let base = quantiles("bare hyper echo", times, None);

    let mut caller = Caller::connect(host.address).await?;
    let mut times = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        times.push(caller.call(&path("warm", "increment")).await?);
    }
    quantiles("warm write", times, Some(base));
    let mut times = Vec::with_capacity(SAMPLES);
    for sample in 0..SAMPLES {
        times.push(
            caller
                .call(&path(&format!("new-{sample}"), "increment"))
                .await?,
        );
    }
    quantiles("first call to a new actor", times, Some(base));
    let mut times = Vec::with_capacity(SAMPLES);
    for sample in 0..SAMPLES {
        let key = format!("new-{sample}");
        host.put_to_sleep(&mut caller, &key).await?;
        times.push(caller.call(&path(&key, "increment")).await?);
    }
    quantiles("call that wakes an actor", times, Some(base));
    Ok(())
}

/// Prints median and 99th percentile; returns the median.
fn quantiles(what: &str, mut times: Vec<Duration>, base: Option<Duration>) -> Duration {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    let (p50, p99) = (at(50), at(99));
    let ratio = base.map_or(1.0, |base| p50.as_secs_f64() / base.as_secs_f64());
    println!("{what:<40} p50 {p50:>9.1?}  p99 {p99:>9.1?}  {ratio:>6.2} of echo's p50");
    p50
}

async fn fan_out(host: &Host) -> Result<()> {
    println!("one sender, {SUBSCRIBERS} subscribers");
    let bare = sockets::bare_fan_out(SUBSCRIBERS, RUN).await?;
    deliveries("yardstick: bare WebSocket fan-out", &bare, None);
    for (what, action) in [
        ("event", "tell"),
        ("event of a durable change", "keep_and_tell"),
    ] {
        let run = sockets::host_fan_out(host.address, action, action, SUBSCRIBERS, RUN).await?;
        deliveries(what, &run, Some(&bare));
    }
    Ok(())
}

fn deliveries(what: &str, run: &sockets::FanOut, base: Option<&sockets::FanOut>) {
    let p99 = |run: &sockets::FanOut| {
        let index = run.latencies.len().saturating_sub(1) * 99 / 100;
        run.latencies.get(index).copied().unwrap_or_default()
    };
    let rate = base.map_or(1.0, |base| run.deliveries / base.deliveries);
    let late = base.map_or(1.0, |base| p99(run).as_secs_f64() / p99(base).as_secs_f64());
    println!(
        "{what:<40} {:>9.0} deliveries/s {rate:>6.2}  p99 {:>9.1?} {late:>6.2} of the yardstick",
        run.deliveries,
        p99(run),
    );
}

async fn idle_connections(host: &Host) -> Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let mut caller = Caller::connect(host.address).await?;
    // First the actors, so that they are not counted.
    for index in 0..IDLE_ACTORS {
        caller
            .call(&path(&format!("idle-{index}"), "count"))
            .await?;
    }
    host.sleep_all(&mut caller).await?;
    let before = host.resident_kib()?;
    let open = sockets::open_many(host.address, IDLE_CONNECTIONS, IDLE_ACTORS).await?;
    host.sleep_all(&mut caller).await?;
    let after = host.resident_kib()?;
    let awake = host.awake(&mut caller, "bench").await?;
    #[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
    let each = (after - before) as f64 / open.len() as f64;
    println!(
        "{} open connections to {IDLE_ACTORS} sleeping actors, {awake} of them awake: {each:.1} KiB each",
        open.len()
    );
    Ok(())
}

async fn memory(host: &Host) -> Result<()> {
    let mut caller = Caller::connect(host.address).await?;
    host.sleep_all(&mut caller).await?;
    let before = host.resident_kib()?;
    for index in 0..COUNTED {
        caller
            .call(&path(&format!("counted-{index}"), "increment"))
            .await?;
    }
    let awake = host.resident_kib()?;
    host.sleep_all(&mut caller).await?;
    let asleep = host.resident_kib()?;
    #[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
    let each = |kib: i64| kib as f64 / COUNTED as f64;
    println!("resident memory, host without awake actors {before:>9} KiB");
    println!(
        "  for each awake idle actor (of {COUNTED})      {:>9.1} KiB",
        each(awake - before)
    );
    println!(
        "  for each sleeping actor                  {:>9.1} KiB",
        each(asleep - before)
    );
    Ok(())
}
