//! `pin`, `unpin`, `pins`: actors that stay on a revision of their own.

use clap::ArgMatches;
use form_urlencoded::Serializer;
use hyper::Method;
use serde_json::{Value as Json, json};

use super::actors::segment;
use super::named::{Named, items, time, word};
use super::{Exit, Output, one_line, table};
use crate::cli::text;
use crate::client::{Client, Failure, whole};

/// Lets an actor stay where it is, or on the revision that is said.
pub(super) async fn pin(client: &Client, output: &Output, matches: &ArgMatches) -> Exit {
    let mut query = Vec::new();
    let revision = matches.get_one::<u32>("revision");
    query.extend(revision.map(|revision| ("revision", revision.to_string())));
    let reason = matches.get_one::<String>("reason");
    query.extend(reason.map(|reason| ("reason", reason.clone())));
    let pinned = change(client, output, matches, Method::PUT, &query).await;
    told(output, pinned, |pinned| {
        let (actor, pin) = (&pinned["actor"], &pinned["pin"]);
        let name = format!("{} {}", word(&actor["name"]), word(&actor["key"]));
        format!("{name} stays on revision {}", pin["revision"])
    })
}

/// Lets an actor go with the others again.
pub(super) async fn unpin(client: &Client, output: &Output, matches: &ArgMatches) -> Exit {
    let unpinned = change(client, output, matches, Method::DELETE, &[]).await;
    told(output, unpinned, |unpinned| {
        let was_pinned = unpinned["wasPinned"] == true;
        let text = if was_pinned {
            "it goes with the others again"
        } else {
            "it was not pinned"
        };
        text.to_owned()
    })
}

async fn change(
    client: &Client,
    output: &Output,
    matches: &ArgMatches,
    method: Method,
    query: &[(&str, String)],
) -> Result<Json, Exit> {
    let named = Named::of(client, output, matches, false).await?;
    let changed = named.send(client, method, "pin", query).await;
    changed.map_err(|failure| output.failed(&failure))
}

fn told(output: &Output, answer: Result<Json, Exit>, text: impl FnOnce(&Json) -> String) -> Exit {
    match answer {
        Err(exit) => exit,
        Ok(answer) => {
            output.print(&answer, || text(&answer));
            Exit::Done
        }
    }
}

/// Lists the pinned actors of a component, all pages.
pub(super) async fn list(client: &Client, output: &Output, matches: &ArgMatches) -> Exit {
    match all(client, text(matches, "component")).await {
        Err(failure) => output.failed(&failure),
        Ok(pins) => {
            output.print(&json!({ "pins": pins }), || pins_table(&pins));
            Exit::Done
        }
    }
}

async fn all(client: &Client, component: &str) -> Result<Vec<Json>, Failure> {
    let mut pins = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = Serializer::new(String::new());
        query.append_pair("limit", "1000");
        if let Some(cursor) = &cursor {
            query.append_pair("cursor", cursor);
        }
        let path = format!("/components/{}/pins?{}", segment(component), query.finish());
        let page = client
            .send(Method::GET, &path, "application/json", whole(""))
            .await?;
        pins.extend_from_slice(items(&page["pins"]));
        cursor = page["pagination"]["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok(pins);
        }
    }
}

fn pins_table(pins: &[Json]) -> String {
    let number = |number: &Json| match number.as_u64() {
        Some(number) => number.to_string(),
        None => "gone".to_owned(),
    };
    let rows = pins.iter().map(|pinned| {
        let (actor, pin) = (&pinned["actor"], &pinned["pin"]);
        let could_not = match pin["refused"].as_u64() {
            Some(refused) => format!("could not start on {refused}: "),
            None => String::new(),
        };
        [
            word(&actor["name"]),
            word(&actor["key"]),
            word(&actor["namespace_id"]),
            number(&pin["revision"]),
            word(&pin["by"]),
            time(&pin["sinceMs"]),
            format!("{could_not}{}", one_line(&word(&pin["reason"]))),
        ]
    });
    let rows: Vec<[String; 7]> = rows.collect();
    let head = [
        "TYPE",
        "KEY",
        "NAMESPACE",
        "REVISION",
        "BY",
        "SINCE",
        "REASON",
    ];
    table(head, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_a_table() {
        let pins = [json!({
            "actor": { "name": "account", "key": "a/b", "namespace_id": "default" },
            "pin": { "revision": 1, "refused": 3, "by": "host", "reason": "no\nowner", "sinceMs": 0 },
        })];
        let shown = pins_table(&pins);
        let row = "account  a/b  default    1         host  1970-01-01T00:00:00Z  could not start on 3: no owner";
        assert_eq!(shown.lines().nth(1), Some(row));
    }
}
