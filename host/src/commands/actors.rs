//! `actors`, `call`, `destroy`.

use clap::ArgMatches;
use form_urlencoded::Serializer;
use greenroom_model::ActorKey;
use hyper::Method;
use serde_json::{Value as Json, json};

use super::{Exit, Output, table};
use crate::cli::text;
use crate::client::{Client, Failure, whole};

const JSON: &str = "application/json";

/// Lists actors, all pages.
pub(super) async fn list(client: &Client, output: &Output, matches: &ArgMatches) -> Exit {
    let mut actors = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = Serializer::new(String::new());
        query.append_pair("namespace", text(matches, "namespace"));
        if let Some(actor_type) = matches.get_one::<String>("type") {
            query.append_pair("name", actor_type);
        }
        if let Some(cursor) = &cursor {
            query.append_pair("cursor", cursor);
        }
        let path = format!("/actors?{}", query.finish());
        match client.send(Method::GET, &path, JSON, whole("")).await {
            Err(failure) => return output.failed(&failure),
            Ok(mut page) => {
                if let Json::Array(more) = page["actors"].take() {
                    actors.extend(more);
                }
                cursor = page["pagination"]["cursor"].as_str().map(str::to_owned);
            }
        }
        if cursor.is_none() {
            break;
        }
    }
    let rows: Vec<[String; 4]> = actors.iter().map(row).collect();
    output.print(&json!({ "actors": actors }), || {
        table(["TYPE", "KEY", "AWAKE", "ID"], &rows)
    });
    Exit::Done
}

fn row(actor: &Json) -> [String; 4] {
    let field = |name: &str| actor[name].as_str().unwrap_or("?").to_owned();
    let awake = if actor["awake"] == json!(true) {
        "yes"
    } else {
        "no"
    };
    [
        field("name"),
        field("key"),
        awake.to_owned(),
        field("actor_id"),
    ]
}

/// Runs an action, on an actor that is created if need be.
pub(super) async fn call(client: &Client, output: &Output, matches: &ArgMatches) -> Exit {
    let key = match ActorKey::from_serialized(text(matches, "key")) {
        Ok(key) => key.parts(),
        Err(error) => return output.usage(&error.to_string()),
    };
    let args = matches.get_many::<String>("args").unwrap_or_default();
    let args: Vec<Json> = args.map(|arg| argument(arg)).collect();
    let mut query = Serializer::new(String::new());
    query.append_pair("rvt-namespace", text(matches, "namespace"));
    query
        .append_pair("rvt-method", "getOrCreate")
        .append_pair("rvt-runner", "default");
    if !key.is_empty() {
        query.append_pair("rvt-key", &key.join(","));
    }
    let path = format!(
        "/gateway/{}/action/{}?{}",
        segment(text(matches, "actor-type")),
        segment(text(matches, "action")),
        query.finish()
    );
    let body = json!({ "args": args }).to_string();
    match client.send(Method::POST, &path, JSON, whole(body)).await {
        Err(failure) => output.failed(&failure),
        Ok(mut answer) => {
            let result = match answer["output"].take() {
                // What the protocol writes for nothing.
                Json::Array(tag) if tag == [json!("$Undefined"), json!(0)] => Json::Null,
                result => result,
            };
            output.print(&result, || result.to_string());
            Exit::Done
        }
    }
}

/// JSON; what is not JSON is a text.
fn argument(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_owned()))
}

/// A path segment, with what is not plain escaped.
pub(super) fn segment(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(byte.into());
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Removes an actor.
pub(super) async fn destroy(client: &Client, output: &Output, matches: &ArgMatches) -> Exit {
    let namespace = text(matches, "namespace");
    match remove(client, matches, namespace).await {
        Err(failure) => output.failed(&failure),
        Ok(id) => {
            let shown = json!({ "destroyed": id });
            output.print(&shown, || format!("{id} is destroyed"));
            Exit::Done
        }
    }
}

async fn remove(client: &Client, matches: &ArgMatches, namespace: &str) -> Result<String, Failure> {
    let (actor_type, key) = (text(matches, "actor-type"), text(matches, "key"));
    let id = find(client, namespace, actor_type, key).await?;
    let query = Serializer::new(String::new())
        .append_pair("namespace", namespace)
        .finish();
    client
        .send(
            Method::DELETE,
            &format!("/actors/{id}?{query}"),
            JSON,
            whole(""),
        )
        .await?;
    Ok(id)
}

/// The id of the actor of this type and key.
pub(super) async fn find(
    client: &Client,
    namespace: &str,
    actor_type: &str,
    key: &str,
) -> Result<String, Failure> {
    let mut query = Serializer::new(String::new());
    query.append_pair("namespace", namespace);
    query.append_pair("name", actor_type);
    query.append_pair("key", key);
    let path = format!("/actors?{}", query.finish());
    let found = client.send(Method::GET, &path, JSON, whole("")).await?;
    let id = found["actors"][0]["actor_id"].as_str();
    id.map(str::to_owned).ok_or_else(|| {
        let message = "there is no such actor";
        Failure::Refused(json!({ "group": "actor", "code": "not_found", "message": message }))
    })
}
