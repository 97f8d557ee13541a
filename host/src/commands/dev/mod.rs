//! `dev`: builds a crate and deploys it, again whenever it changes.
//!
//! Everything happens in one task, one thing after another: a change that is made meanwhile is taken up next. What was
//! started, a host or a build, ends with it.

mod build;
mod host;
mod local;
mod watch;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::ArgMatches;
use serde_json::Value as Json;
use tokio::time::{Instant, sleep};

use super::deploy::refused_lines;
use super::named::{items, word};
use super::rollout::{self, End};
use super::upload::upload;
use super::{Exit, Output, report, runtime};
use crate::assemble::Signals;
use crate::client::{Client, Failure};
use host::Host;
use watch::Watch;

/// How often it is looked whether the awake actors have moved.
const MOVED_EVERY: Duration = Duration::from_millis(20);
/// How long that is waited for. An action that was begun may go on for as long.
const MOVED_MAX: Duration = Duration::from_secs(60);
/// How often a rollout is looked at that is being watched by the host.
const WATCHED_EVERY: Duration = Duration::from_millis(500);

/// For people, always.
const OUTPUT: Output = Output { is_json: false };

/// Develops a crate until it is interrupted.
pub(super) fn run(matches: &ArgMatches) -> Exit {
    let folder = matches.get_one::<PathBuf>("path");
    let folder = match folder.map(|folder| crate_in(folder)).transpose() {
        Ok(folder) => folder.unwrap_or_default(),
        Err(error) => return OUTPUT.usage(&format!("{error:#}")),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return OUTPUT.usage(&format!("cannot start: {error}")),
    };
    runtime.block_on(develop(matches, &folder))
}

fn crate_in(folder: &Path) -> Result<PathBuf> {
    let found = folder.canonicalize().ok();
    let found = found.filter(|folder| folder.join("Cargo.toml").is_file());
    found.with_context(|| format!("{} is not the folder of a crate", folder.display()))
}

async fn develop(matches: &ArgMatches, folder: &Path) -> Exit {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return OUTPUT.usage(&format!("cannot start: {error:#}")),
    };
    let found = tokio::select! {
        biased;
        _ = signals.next() => return Exit::Done,
        found = Host::find_or_start(matches, folder) => found,
    };
    let mut host = match found {
        Ok(host) => host,
        Err(Failure::Unreachable(error)) => {
            OUTPUT.say(&format!("greenroom: {error:#}"));
            return Exit::Failed;
        }
        Err(failure) => return OUTPUT.failed(&failure),
    };
    let client = match host.client(matches) {
        Ok(client) => client,
        Err(error) => return OUTPUT.usage(&format!("{error:#}")),
    };
    let exit = tokio::select! {
        biased;
        _ = signals.next() => Exit::Done,
        exit = host.ended() => exit,
        exit = again_and_again(&client, folder) => exit,
    };
    host.stop(&mut signals).await;
    exit
}

async fn again_and_again(client: &Client, folder: &Path) -> Exit {
    let mut watch = match Watch::new(folder) {
        Ok(watch) => watch,
        Err(error) => {
            OUTPUT.say(&format!(
                "greenroom: the folder cannot be watched: {error:#}"
            ));
            return Exit::Failed;
        }
    };
    OUTPUT.say("greenroom: whatever it can do is granted, and deploys are by \"dev\"");
    let mut watched = None;
    let mut noticed = Instant::now();
    loop {
        // Before the build, so that no change is missed.
        watch.follow().await;
        if let Some(deployed) = round(client, folder, noticed).await {
            watched = Some(deployed);
        }
        noticed = tokio::select! {
            biased;
            changed = watch.changed() => match changed {
                Some(noticed) => noticed,
                None => return Exit::Failed,
            },
            never = tell_end(client, &mut watched) => match never {},
        };
    }
}

/// A revision that was deployed here, and that the host may still go back from.
struct Watched {
    component: String,
    revision: u64,
}

/// Says so when a rollout is rolled back. Does not return: a change is what comes next. Cancel-safe.
async fn tell_end(client: &Client, watched: &mut Option<Watched>) -> Infallible {
    while let Some(Watched {
        component,
        revision,
    }) = watched
    {
        sleep(WATCHED_EVERY).await;
        let end = match rollout::look(client, component).await {
            Ok(status) => rollout::end(&status, *revision),
            // It is looked for again. A host that is gone for good is noticed otherwise.
            Err(_) => None,
        };
        match end {
            // Somebody may hold it up, and let it go on later.
            None | Some(End::Waits) => {}
            Some(End::RolledBack(why)) => {
                print(&format!("revision {revision} was rolled back: {why}"));
                *watched = None;
            }
            Some(End::Arrived | End::Superseded) => *watched = None,
        }
    }
    std::future::pending().await
}

/// Builds and deploys once. What goes wrong is said, and leaves everything as it was.
async fn round(client: &Client, folder: &Path, noticed: Instant) -> Option<Watched> {
    let file = match build::build(folder).await {
        Ok(file) => file,
        Err(error) => {
            OUTPUT.say(&format!("greenroom: {error:#}; what was deployed goes on"));
            return None;
        }
    };
    let built = Instant::now();
    match deploy(client, &file).await {
        Ok(deployed) => {
            let checked = Instant::now();
            told(client, &deployed, [noticed, built, checked]).await
        }
        Err(Failure::Refused(error)) => {
            for line in refused_lines(&error) {
                OUTPUT.say(&line);
            }
            OUTPUT.say("greenroom: it was not deployed; what was deployed goes on");
            None
        }
        Err(Failure::Unreachable(error)) => {
            OUTPUT.say(&format!(
                "greenroom: it is not known whether it was deployed: {error:#}"
            ));
            None
        }
    }
}

async fn deploy(client: &Client, file: &Path) -> Result<Json, Failure> {
    let bytes = tokio::fs::read(file).await;
    let bytes = bytes.with_context(|| format!("cannot read {}", file.display()))?;
    let name = file.display().to_string();
    let query = "by=dev&grant=all&rehearse=auto";
    upload(client, &name, Bytes::from(bytes), query).await
}

/// Says what was deployed, once the awake actors are on it.
async fn told(client: &Client, deployed: &Json, times: [Instant; 3]) -> Option<Watched> {
    let component = deployed["component"].as_str()?.to_owned();
    let revision = deployed["revision"].as_u64()?;
    if deployed["isNew"] != true {
        print(&format!("unchanged, still revision {revision}"));
        return None;
    }
    for line in report::lines(&deployed["report"]) {
        print(&line);
    }
    let [noticed, built, checked] = times;
    match moved(client, &component, revision).await {
        Ok(status) => {
            let seconds = |from: Instant, to: Instant| format_seconds(to - from);
            let times = format!(
                "{} (build {}, check and rehearse {}, swap {})",
                seconds(noticed, Instant::now()),
                seconds(noticed, built),
                seconds(built, checked),
                seconds(checked, Instant::now()),
            );
            standing(&status, revision, &times)
                .iter()
                .for_each(|line| print(line));
        }
        Err(failure) => _ = OUTPUT.failed(&failure),
    }
    Some(Watched {
        component,
        revision,
    })
}

/// Waits until awake actors have moved to a revision, at most for so long; gives how things stand then.
async fn moved(client: &Client, component: &str, revision: u64) -> Result<Json, Failure> {
    let end = Instant::now() + MOVED_MAX;
    loop {
        let status = rollout::look(client, component).await?;
        let is_under_way = status["target"].as_u64() == Some(revision);
        let has_moved = !is_under_way || count(&status, "toMove") == 0;
        if has_moved || Instant::now() > end {
            return Ok(status);
        }
        sleep(MOVED_EVERY).await;
    }
}

fn count(status: &Json, name: &str) -> u64 {
    status[name].as_u64().unwrap_or_default()
}

/// What there is to be said of a revision that was just deployed. (That it was rolled back is told by whoever watches it.)
fn standing(status: &Json, revision: u64, times: &str) -> Vec<String> {
    let is_it = |name: &str| status[name].as_u64() == Some(revision);
    if !is_it("target") && !is_it("current") {
        return Vec::new();
    }
    let (left, failed) = (count(status, "toMove"), count(status, "failedStarts"));
    let mut lines = Vec::new();
    if failed > 0 {
        lines.push(format!(
            "revision {revision} is deployed, but actors could not start on it and stay on the old code ({failed} times):"
        ));
        let reasons = items(&status["reasons"]);
        lines.extend(reasons.iter().map(|reason| format!("  {}", word(reason))));
    }
    if left > 0 {
        lines.push(format!(
            "revision {revision} is deployed; {left} awake actors have not started on it yet"
        ));
    } else if count(status, "onNewest") > 0 {
        lines.push(format!("revision {revision} answers after {times}"));
    } else if failed == 0 {
        // Nobody is awake.
        lines.push(format!("revision {revision} is ready after {times}"));
    }
    lines
}

/// In seconds, with as many digits as matter.
fn format_seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        seconds if seconds < 0.1 => format!("{seconds:.3} s"),
        seconds if seconds < 10.0 => format!("{seconds:.2} s"),
        seconds => format!("{seconds:.1} s"),
    }
}

fn print(line: &str) {
    OUTPUT.print(&Json::Null, || line.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deployed_answers_only_if_somebody_runs_on_it() {
        let status = |target: u64, moves: u64, failed: u64, newest: u64| {
            serde_json::json!({ "target": target, "current": 1, "toMove": moves, "failedStarts": failed,
                "onNewest": newest, "reasons": ["no owner"] })
        };
        let said = |status| standing(&status, 2, "1 s").join("|");
        assert_eq!(said(status(2, 0, 0, 3)), "revision 2 answers after 1 s");
        assert_eq!(said(status(2, 0, 0, 0)), "revision 2 is ready after 1 s");
        assert!(said(status(2, 4, 0, 0)).contains("4 awake actors have not started"));
        let failed = said(status(2, 0, 3, 0));
        assert!(
            failed.contains("could not start on it") && failed.ends_with("|  no owner"),
            "{failed}"
        );
        assert_eq!(said(status(3, 0, 0, 0)), "");
    }

    #[test]
    fn times_have_the_digits_that_matter() {
        let shown = |ms| format_seconds(Duration::from_millis(ms));
        assert_eq!(shown(4), "0.004 s");
        assert_eq!(shown(1_834), "1.83 s");
        assert_eq!(shown(61_250), "61.2 s");
    }
}
