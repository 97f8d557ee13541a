//! `rollout`: how actors go over to new code.

use std::time::Duration;

use clap::ArgMatches;
use form_urlencoded::Serializer;
use hyper::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value as Json;
use tokio::time::sleep;

use super::actors::segment;
use super::named::{items, time, word};
use super::{Exit, Output, one_line};
use crate::cli::text as given;
use crate::client::{Client, Failure, whole};

/// How often a rollout that is followed is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What a rollout to a revision has come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is the current revision.
    Arrived,
    /// Somebody has to say how it goes on.
    Waits,
    /// A later one took its place.
    Superseded,
    /// It was gone back from, for this reason.
    RolledBack(String),
}

/// What has become of the rollout to a revision; `None`, if it goes on by itself.
pub(super) fn end(status: &Json, revision: u64) -> Option<End> {
    let number = |name: &str| status[name].as_u64();
    if number("target") == Some(revision) {
        let waits = matches!(status["state"].as_str(), Some("waiting" | "paused"));
        return waits.then_some(End::Waits);
    }
    let rolled_back = &status["rolledBack"];
    if rolled_back["revision"].as_u64() == Some(revision) {
        return Some(End::RolledBack(word(&rolled_back["reason"])));
    }
    Some(match number("current").unwrap_or_default() {
        current if current == revision => End::Arrived,
        current if current > revision => End::Superseded,
        // The reason is only told of the newest one.
        _ => End::RolledBack("the revisions say why".to_owned()),
    })
}

/// How the rollout of a component stands.
pub(super) async fn look(client: &Client, component: &str) -> Result<Json, Failure> {
    ask(client, Method::GET, component, "").await
}

async fn ask(
    client: &Client,
    method: Method,
    component: &str,
    rest: &str,
) -> Result<Json, Failure> {
    let path = format!("/components/{}/rollout{rest}", segment(component));
    let json = "application/json";
    client.send(method, &path, json, whole("")).await
}

/// Follows the rollout to a revision until it goes on by itself no longer, with a line about it on a terminal.
pub(super) async fn follow(
    client: &Client,
    component: &str,
    revision: u64,
) -> Result<(Json, End), Failure> {
    let line = ProgressBar::new_spinner().with_prefix(component.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {msg}") {
        line.set_style(style);
    }
    loop {
        let status = look(client, component).await;
        if !matches!(&status, Ok(status) if end(status, revision).is_none()) {
            line.finish_and_clear();
        }
        let status = status?;
        if let Some(end) = end(&status, revision) {
            return Ok((status, end));
        }
        line.set_message(brief(&status));
        line.tick();
        sleep(LOOK_EVERY).await;
    }
}

/// Says how things stand, once or until nothing is under way.
pub(super) async fn status(client: &Client, output: &Output, matches: &ArgMatches) -> Exit {
    let component = given(matches, "component");
    let is_watched = matches.get_flag("watch");
    let (mut told, mut target) = (String::new(), None);
    loop {
        let status = match look(client, component).await {
            Ok(status) => status,
            Err(failure) => return output.failed(&failure),
        };
        let is_over = status["state"] == "none";
        if !is_watched || is_over {
            output.print(&status, || text(component, &status));
            let end = target.and_then(|target| end(&status, target));
            return match end {
                Some(End::RolledBack(_)) => Exit::Failed,
                _ => Exit::Done,
            };
        }
        target = status["target"].as_u64();
        let line = brief(&status);
        if line != told {
            output.print(&status, || format!("{component}: {line}"));
            told = line;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Tells a rollout how it goes on. The order is the last word of the command.
pub(super) async fn order(
    client: &Client,
    output: &Output,
    matches: &ArgMatches,
    command: &str,
) -> Exit {
    let component = given(matches, "component");
    let order = command.rsplit(' ').next().unwrap_or_default();
    let mut query = Serializer::new(String::new());
    if let Ok(Some(percent)) = matches.try_get_one::<f64>("percent") {
        query.append_pair("percent", &percent.to_string());
    }
    if let Ok(Some(reason)) = matches.try_get_one::<String>("reason") {
        query.append_pair("reason", reason);
    }
    let rest = format!("/{order}?{}", query.finish());
    match ask(client, Method::POST, component, &rest).await {
        Err(failure) => output.failed(&failure),
        Ok(status) => {
            output.print(&status, || text(component, &status));
            Exit::Done
        }
    }
}

/// One line for somebody who watches.
fn brief(status: &Json) -> String {
    let Json::String(state) = &status["state"] else {
        return String::new();
    };
    let to = status["target"].as_u64().unwrap_or_default();
    let failures = match (status["failedStarts"].as_u64(), status["crashes"].as_u64()) {
        (Some(0), Some(0)) => String::new(),
        (failed, crashed) => format!(
            ", {} could not start, {} broke down",
            failed.unwrap_or_default(),
            crashed.unwrap_or_default()
        ),
    };
    format!(
        "{state}, to revision {to}: {} of {} awake actors have still to move{failures}",
        status["toMove"], status["awake"]
    )
}

/// How things stand, in words.
pub(super) fn text(component: &str, status: &Json) -> String {
    let mut lines = Vec::new();
    let current = &status["current"];
    let mut say = |name: &str, what: String| lines.push(format!("  {name:<10}  {what}"));
    let first = match (status["state"].as_str(), status["target"].as_u64()) {
        (Some(state), Some(target)) => {
            say("plan", plan(&status["plan"]));
            say("since", time(&status["begunAtMs"]));
            format!("{component}: {state}, from revision {current} to revision {target}")
        }
        _ => format!("{component}: on revision {current}, and no rollout is under way"),
    };
    say(
        "awake",
        format!(
            "{}, with {} still to move and {} on the newest revision",
            status["awake"], status["toMove"], status["onNewest"]
        ),
    );
    if !status["target"].is_null() {
        say(
            "starts",
            format!(
                "{} went well, {} failed, {} broke down later",
                status["started"], status["failedStarts"], status["crashes"]
            ),
        );
        for reason in items(&status["reasons"]) {
            say("because", one_line(&word(reason)));
        }
        if let Some(migrated) = migrated(&status["migrated"]) {
            say("migrated", migrated);
        }
    }
    let rolled_back = &status["rolledBack"];
    if !rolled_back.is_null() {
        let why = one_line(&word(&rolled_back["reason"]));
        let revision = &rolled_back["revision"];
        lines.push(format!("revision {revision} was rolled back: {why}"));
        if let Some(migrated) = migrated(&rolled_back["migrated"]) {
            lines.push(format!("  migrated    {migrated}"));
        }
    }
    lines.insert(0, first);
    lines.join("\n")
}

fn plan(plan: &Json) -> String {
    let list = |name: &str| super::report::names(&plan[name]);
    let (types, keys) = (list("actorTypes"), list("keys"));
    let percent = plan["percent"].as_f64().unwrap_or(100.0);
    let mut words = match percent {
        percent if percent >= 100.0 => "all actors".to_owned(),
        percent => format!("{percent} % of the actors"),
    };
    if !types.is_empty() {
        words.push_str(&format!(" of {types}"));
    }
    if !keys.is_empty() {
        words.push_str(&format!(" whose keys match {}", keys.replace(", ", " or ")));
    }
    words
}

/// Whose states have been migrated, and who cannot go back because they have changed it since.
fn migrated(migrated: &Json) -> Option<String> {
    let count = migrated["count"].as_u64().filter(|count| *count > 0)?;
    let since = migrated["committedSinceCount"].as_u64().unwrap_or_default();
    let named = items(&migrated["committedSince"]);
    let names = named.iter().map(|actor| {
        let parts = items(&actor["key"]).iter().map(word);
        let key = parts.collect::<Vec<_>>().join("/");
        format!("{} {key}", word(&actor["actorType"]))
    });
    let names = names.collect::<Vec<_>>().join(", ");
    let more = since.saturating_sub(named.len() as u64);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(match since {
        0 => format!("the states of {count}, none of which has changed it since"),
        since => format!("the states of {count}, of which {since} changed it since: {names}{more}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rollout_ends_in_one_of_four_ways() {
        let end = |state: &str, current: u64, target: Json, rolled_back: Json| {
            let status = json!({ "state": state, "current": current, "target": target,
                "rolledBack": rolled_back });
            end(&status, 2)
        };
        let none = || Json::Null;
        assert_eq!(end("moving", 1, json!(2), none()), None);
        assert_eq!(end("watching", 1, json!(2), none()), None);
        assert_eq!(end("waiting", 1, json!(2), none()), Some(End::Waits));
        assert_eq!(end("paused", 1, json!(2), none()), Some(End::Waits));
        assert_eq!(end("none", 2, none(), none()), Some(End::Arrived));
        assert_eq!(end("moving", 2, json!(3), none()), Some(End::Arrived));
        assert_eq!(end("none", 3, none(), none()), Some(End::Superseded));
        let back = json!({ "revision": 2, "reason": "bad" });
        let rolled_back = Some(End::RolledBack("bad".to_owned()));
        assert_eq!(end("none", 1, none(), back), rolled_back);
        let other = end("moving", 1, json!(3), none());
        assert!(matches!(other, Some(End::RolledBack(_))));
    }

    #[test]
    fn a_status_is_told_in_words() {
        let mut status = json!({
            "state": "waiting", "current": 1, "target": 2, "begunAtMs": 0,
            "plan": { "percent": 10.0, "actorTypes": ["account"], "keys": ["a*", "b"] },
            "awake": 12, "toMove": 3, "onNewest": 9, "started": 9, "failedStarts": 1, "crashes": 0,
            "reasons": ["no\nowner"], "rolledBack": null,
            "migrated": { "count": 5, "committedSinceCount": 2,
                "committedSince": [{ "actorType": "account", "key": ["a", "b"] }] },
        });
        let wanted = "\
account: waiting, from revision 1 to revision 2
  plan        10 % of the actors of account whose keys match a* or b
  since       1970-01-01T00:00:00Z
  awake       12, with 3 still to move and 9 on the newest revision
  starts      9 went well, 1 failed, 0 broke down later
  because     no owner
  migrated    the states of 5, of which 2 changed it since: account a/b and 1 more";
        assert_eq!(text("account", &status), wanted);
        status["target"] = Json::Null;
        status["rolledBack"] = json!({ "revision": 2, "reason": "bad",
            "migrated": { "count": 1, "committedSinceCount": 0, "committedSince": [] } });
        let wanted = "\
account: on revision 1, and no rollout is under way
  awake       12, with 3 still to move and 9 on the newest revision
revision 2 was rolled back: bad
  migrated    the states of 1, none of which has changed it since";
        assert_eq!(text("account", &status), wanted);
    }
}
