//! `components` and `revisions`.

use clap::ArgMatches;
use hyper::Method;
use serde_json::Value as Json;

use super::actors::segment;
use super::named::{items, time, word};
use super::{Exit, Output, one_line, table};
use crate::cli::text;
use crate::client::{Client, whole};

/// How much of a hash tells it from the others.
const HASH_CHARS: usize = 12;

/// Lists what is deployed.
pub(super) async fn list(client: &Client, output: &Output) -> Exit {
    let listed = client
        .send(Method::GET, "/components", "application/json", whole(""))
        .await;
    let listed = match listed {
        Ok(listed) => listed,
        Err(failure) => return output.failed(&failure),
    };
    output.print(&listed, || {
        let components = items(&listed["components"]).iter();
        let rows: Vec<[String; 5]> = components
            .map(|component| {
                [
                    word(&component["component"]),
                    component["revision"].to_string(),
                    component["sizeBytes"].to_string(),
                    hash(component),
                    types(component),
                ]
            })
            .collect();
        table(
            ["COMPONENT", "REVISION", "BYTES", "HASH", "ACTOR TYPES"],
            &rows,
        )
    });
    Exit::Done
}

/// The names of the actor types of a component.
pub(super) fn types(component: &Json) -> String {
    let types = items(&component["actorTypes"]).iter();
    let names = types.filter_map(|actor_type| actor_type["name"].as_str());
    names.collect::<Vec<_>>().join(", ")
}

fn hash(revision: &Json) -> String {
    word(&revision["hash"]).chars().take(HASH_CHARS).collect()
}

/// Lists the revisions of a component.
pub(super) async fn revisions(client: &Client, output: &Output, matches: &ArgMatches) -> Exit {
    let path = format!("/components/{}", segment(text(matches, "component")));
    let listed = client
        .send(Method::GET, &path, "application/json", whole(""))
        .await;
    match listed {
        Err(failure) => output.failed(&failure),
        Ok(listed) => {
            output.print(&listed, || revisions_table(&listed));
            Exit::Done
        }
    }
}

fn revisions_table(listed: &Json) -> String {
    let text = |text: &Json| text.as_str().map_or_else(String::new, one_line);
    let rows = items(&listed["revisions"]).iter().map(|revision| {
        let is_kept = revision["isKept"] != false;
        let kept = if is_kept { "" } else { ", code not kept" };
        [
            revision["revision"].to_string(),
            format!("{}{kept}", word(&revision["status"])),
            time(&revision["createdAtMs"]),
            text(&revision["deployedBy"]),
            revision["sizeBytes"].to_string(),
            hash(revision),
            text(&revision["message"]),
            text(&revision["rolledBack"]),
        ]
    });
    let rows: Vec<[String; 8]> = rows.collect();
    let head = [
        "REVISION",
        "STATUS",
        "DEPLOYED",
        "BY",
        "BYTES",
        "HASH",
        "MESSAGE",
        "ROLLED BACK BECAUSE",
    ];
    table(head, &rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn revisions_are_a_table() {
        let listed = json!({ "revisions": [{
            "revision": 2, "status": "rolled back", "createdAtMs": 0, "deployedBy": "ann", "message": "a\nb",
            "sizeBytes": 10, "hash": "0123456789abcdef", "rolledBack": "it failed", "isKept": false,
        }] });
        let shown = revisions_table(&listed);
        let row = "2         rolled back, code not kept  1970-01-01T00:00:00Z  ann  10     0123456789ab  \
                   a b      it failed";
        assert_eq!(shown.lines().nth(1), Some(row));
    }
}
