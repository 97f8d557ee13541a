//! What callers notice of a deploy.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::host::Host;
use crate::load::{Caller, Load};
use crate::{ACTORS, CONNECTIONS, path, spread};

/// New revisions in a row.
const DEPLOYS: u8 = 10;
/// How long callers run before and after each.
const PAUSE: Duration = Duration::from_secs(1);

/// Calls of 1,000 awake actors, without deploys and with one after the other.
pub(crate) async fn swaps(host: &Host) -> Result<()> {
    let call = |connection, call| path(&format!("many-{}", spread(connection, call)), "increment");
    let load = |run| Load {
        connections: CONNECTIONS,
        run,
    };
    let calm = load(PAUSE * 5)
        .latencies(host.address, call, &AtomicBool::new(true))
        .await?;
    let is_over = AtomicBool::new(false);
    let deploys = async {
        for number in 0..DEPLOYS {
            sleep(PAUSE).await;
            deploy(host, number).await?;
        }
        is_over.store(true, Ordering::Relaxed);
        Ok(())
    };
    let load = load(PAUSE);
    let busy = load.latencies(host.address, call, &is_over);
    let (busy, took) = tokio::try_join!(busy, timed(deploys))?;
    let (p99_calm, p99_busy) = (part(&calm, 99), part(&busy, 99));
    println!(
        "calls of {ACTORS} actors, without deploys:  p50 {:>7.2} ms   p99 {:>7.2} ms   longest {:>8.2} ms",
        millis(part(&calm, 50)),
        millis(p99_calm),
        millis(part(&calm, 100)),
    );
    println!(
        "  with {DEPLOYS} deploys in {:>4.1} s:            p50 {:>7.2} ms   p99 {:>7.2} ms   longest {:>8.2} ms",
        took.as_secs_f64(),
        millis(part(&busy, 50)),
        millis(p99_busy),
        millis(part(&busy, 100)),
    );
    let ratio = p99_busy.as_secs_f64() / p99_calm.as_secs_f64();
    println!("  p99 with deploys / without:            {ratio:>7.2} x");
    Ok(())
}

/// A revision that differs from the others by a section that nobody reads.
async fn deploy(host: &Host, number: u8) -> Result<()> {
    let guests = std::env::var_os("GREENROOM_GUESTS").context("GREENROOM_GUESTS is not set")?;
    let mut bytes = tokio::fs::read(PathBuf::from(guests).join("bench.wasm")).await?;
    bytes.extend([0, 7, 5]);
    bytes.extend(b"again");
    bytes.push(number);
    let mut caller = Caller::connect(host.address).await?;
    caller.upload("/components", Bytes::from(bytes)).await?;
    loop {
        let status = caller.get("/components/bench/rollout").await?;
        if status["toMove"] == 0 {
            return Ok(());
        }
        sleep(Duration::from_millis(5)).await;
    }
}

async fn timed(work: impl Future<Output = Result<()>>) -> Result<Duration> {
    let began = Instant::now();
    work.await?;
    Ok(began.elapsed())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The latency that so many out of a hundred stay below. `sorted` is not empty.
fn part(sorted: &[Duration], percent: usize) -> Duration {
    let index = (sorted.len() * percent / 100).min(sorted.len() - 1);
    sorted[index]
}
