//! `schedule`: what an actor is to do later.

use std::time::Duration;

use clap::ArgMatches;
use hyper::Method;
use serde_json::Value as Json;

use super::named::{Told, change, items, listed, time, word};
use super::{Exit, Output, one_line, table};
use crate::client::Client;

/// Lists what is to run, and the last runs.
pub(super) async fn list(client: &Client, output: &Output, matches: &ArgMatches) -> Exit {
    match listed(client, output, matches, "schedule", &[]).await {
        Err(exit) => exit,
        Ok(listed) => {
            output.print(&listed, || tables(&listed));
            Exit::Done
        }
    }
}

fn tables(listed: &Json) -> String {
    let entry = |entry: &Json| {
        [
            word(&entry["id"]),
            word(&entry["action"]),
            time(&entry["nextMs"]),
            recurs(entry),
            entry["failures"].to_string(),
        ]
    };
    let entries: Vec<[String; 5]> = items(&listed["entries"]).iter().map(entry).collect();
    let head = ["ID", "ACTION", "NEXT", "AGAIN", "FAILURES"];
    let mut shown = table(head, &entries);
    let run = |run: &Json| {
        let error = run["error"].as_str();
        [
            word(&run["id"]),
            word(&run["action"]),
            time(&run["dueMs"]),
            time(&run["startedMs"]),
            outcome(&run["outcome"]),
            error.map_or_else(String::new, one_line),
        ]
    };
    let runs: Vec<[String; 6]> = items(&listed["history"]).iter().map(run).collect();
    if !runs.is_empty() {
        let head = ["ID", "ACTION", "DUE", "STARTED", "OUTCOME", "ERROR"];
        shown.push_str("\n\n");
        shown.push_str(&table(head, &runs));
    }
    shown
}

fn recurs(entry: &Json) -> String {
    match (entry["everyMs"].as_u64(), entry["cron"].as_str()) {
        (Some(ms), _) => {
            let every = Duration::from_millis(ms);
            format!("every {}", humantime::format_duration(every))
        }
        (None, Some(cron)) => match entry["timeZone"].as_str() {
            Some(time_zone) => format!("{cron} ({time_zone})"),
            None => cron.to_owned(),
        },
        (None, None) => String::new(),
    }
}

fn outcome(outcome: &Json) -> String {
    match outcome.as_str() {
        Some("givenUp") => "given up".to_owned(),
        _ => word(outcome),
    }
}

/// Removes entries.
pub(super) async fn cancel(client: &Client, output: &Output, matches: &ArgMatches) -> Exit {
    let told = Told {
        json: "cancelled",
        text: "is cancelled",
    };
    let path = |entry: &str| format!("schedule/{entry}");
    change(client, output, matches, Method::DELETE, path, told).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_and_runs_are_tables() {
        let mut listed = json!({
            "entries": [
                { "id": "a", "action": "tick", "nextMs": 0, "dueMs": 0, "everyMs": 500, "failures": 0 },
                { "id": "b", "action": "tick", "nextMs": 0, "dueMs": 0, "cron": "0 3 * * *",
                  "timeZone": "Europe/Berlin", "failures": 1 },
                { "id": "c", "action": "tick", "nextMs": 0, "dueMs": 0, "failures": 0 },
            ],
            "history": [
                { "id": "b", "action": "tick", "dueMs": 0, "startedMs": 0, "outcome": "givenUp",
                  "error": "user.no:\nno" },
            ],
        });
        let shown = tables(&listed);
        for wanted in [
            "every 500ms",
            "0 3 * * * (Europe/Berlin)",
            "given up  user.no: no",
        ] {
            assert!(shown.contains(wanted), "{wanted} in {shown}");
        }
        assert_eq!(shown.lines().count(), 4 + 1 + 2);
        listed["history"] = json!([]);
        assert_eq!(tables(&listed).lines().count(), 4);
    }
}
