//! `queue`: the messages of an actor.

use clap::ArgMatches;
use hyper::Method;
use serde_json::Value as Json;

use super::named::{Told, change, items, listed, time, word};
use super::{Exit, Output, table};
use crate::client::Client;

/// Lists the messages.
pub(super) async fn list(client: &Client, output: &Output, matches: &ArgMatches) -> Exit {
    messages(client, output, matches, "queue").await
}

/// Lists the dead letters.
pub(super) async fn dead(client: &Client, output: &Output, matches: &ArgMatches) -> Exit {
    messages(client, output, matches, "dead-letters").await
}

async fn messages(client: &Client, output: &Output, matches: &ArgMatches, part: &str) -> Exit {
    let has_bodies = matches.get_flag("bodies");
    let limit: Option<&u32> = matches.get_one("limit");
    let mut query = Vec::new();
    query.extend(limit.map(|limit| ("limit", limit.to_string())));
    query.extend(has_bodies.then(|| ("bodies", "true".to_owned())));
    match listed(client, output, matches, part, &query).await {
        Err(exit) => exit,
        Ok(listed) => {
            let is_dead = part == "dead-letters";
            output.print(&listed, || messages_table(&listed, is_dead, has_bodies));
            Exit::Done
        }
    }
}

fn messages_table(listed: &Json, is_dead: bool, has_bodies: bool) -> String {
    let messages = items(&listed["messages"]);
    let last = |message: &Json| match message["notBeforeMs"].as_i64() {
        _ if is_dead => time(&message["diedAtMs"]),
        Some(0) => String::new(),
        _ => time(&message["notBeforeMs"]),
    };
    let rows: Vec<[String; 6]> = messages
        .iter()
        .map(|message| {
            let body = message.get("body").filter(|_| has_bodies);
            [
                word(&message["id"]),
                word(&message["name"]),
                message["attempts"].to_string(),
                time(&message["sentAtMs"]),
                last(message),
                body.map_or_else(String::new, Json::to_string),
            ]
        })
        .collect();
    let last = if is_dead { "DIED" } else { "NOT BEFORE" };
    let body = if has_bodies { "BODY" } else { "" };
    let mut shown = table(["ID", "QUEUE", "ATTEMPTS", "SENT", last, body], &rows);
    let size = listed["size"].as_u64().unwrap_or_default();
    if size > rows.len() as u64 {
        shown.push_str(&format!("\n… of {size}; --limit shows more"));
    }
    shown
}

/// Puts dead letters back.
pub(super) async fn retry(client: &Client, output: &Output, matches: &ArgMatches) -> Exit {
    let told = Told {
        json: "retried",
        text: "is back in its queue, with a new id",
    };
    let path = |message: &str| format!("dead-letters/{message}/retry");
    change(client, output, matches, Method::POST, path, told).await
}

/// Removes dead letters.
pub(super) async fn discard(client: &Client, output: &Output, matches: &ArgMatches) -> Exit {
    let told = Told {
        json: "discarded",
        text: "is discarded",
    };
    let path = |message: &str| format!("dead-letters/{message}");
    change(client, output, matches, Method::DELETE, path, told).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_a_table() {
        let mut listed = json!({ "size": 3, "messages": [{
            "id": "7", "name": "tasks", "sentAtMs": 1_000, "attempts": 2, "notBeforeMs": 0,
            "body": { "a": 1 },
        }] });
        let shown = messages_table(&listed, false, false);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines[0],
            "ID  QUEUE  ATTEMPTS  SENT                  NOT BEFORE"
        );
        assert_eq!(lines[1], "7   tasks  2         1970-01-01T00:00:01Z");
        assert_eq!(lines[2], "… of 3; --limit shows more");
        listed["size"] = json!(1);
        listed["messages"][0]["diedAtMs"] = json!(2_000);
        let shown = messages_table(&listed, true, true);
        assert!(
            shown.ends_with("1970-01-01T00:00:02Z  {\"a\":1}"),
            "{shown}"
        );
        assert!(shown.contains("DIED"), "{shown}");
    }
}
