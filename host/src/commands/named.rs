//! Commands about what one actor has.

use std::time::{Duration, UNIX_EPOCH};

use clap::ArgMatches;
use form_urlencoded::Serializer;
use hyper::Method;
use serde_json::{Value as Json, json};

use super::actors::{find, segment};
use super::{Exit, Output};
use crate::cli::text;
use crate::client::{Client, Failure, whole};

/// The last millisecond that the usual way to write a time has a word for.
const TIME_MS_MAX: u64 = 253_402_300_799_999;

/// An actor, and the things of it that are named.
pub(super) struct Named {
    namespace: String,
    id: String,
    things: Vec<String>,
}

/// What is said of a thing that was changed.
pub(super) struct Told {
    pub(super) json: &'static str,
    pub(super) text: &'static str,
}

/// Lists what is at `part` of an actor.
///
/// # Errors
///
/// How the program ends; why has been said.
pub(super) async fn listed(
    client: &Client,
    output: &Output,
    matches: &ArgMatches,
    part: &str,
    query: &[(&str, String)],
) -> Result<Json, Exit> {
    let named = Named::of(client, output, matches, false).await?;
    let listed = named.send(client, Method::GET, part, query).await;
    listed.map_err(|failure| output.failed(&failure))
}

/// Changes the things that are named, one after another; stops at the first that is not there.
pub(super) async fn change(
    client: &Client,
    output: &Output,
    matches: &ArgMatches,
    method: Method,
    path: impl Fn(&str) -> String,
    told: Told,
) -> Exit {
    let named = match Named::of(client, output, matches, true).await {
        Ok(named) => named,
        Err(exit) => return exit,
    };
    for thing in &named.things {
        let part = path(&segment(thing));
        match named.send(client, method.clone(), &part, &[]).await {
            Ok(_) => {
                let shown = json!({ told.json: thing });
                output.print(&shown, || format!("{thing} {}", told.text));
            }
            Err(failure) => {
                if !output.is_json {
                    output.say(&format!("{thing} was not changed"));
                }
                return output.failed(&failure);
            }
        }
    }
    Exit::Done
}

impl Named {
    /// What a command line names: an actor, by its id or by type and key, and things of it if there are to be some.
    ///
    /// # Errors
    ///
    /// How the program ends; why has been said.
    pub(super) async fn of(
        client: &Client,
        output: &Output,
        matches: &ArgMatches,
        has_things: bool,
    ) -> Result<Self, Exit> {
        let namespace = text(matches, "namespace");
        let id = matches.get_one::<String>("id");
        let words = matches.get_many::<String>("words").unwrap_or_default();
        let words: Vec<&str> = words.map(String::as_str).collect();
        let (name, things) = match (id, words.as_slice()) {
            (Some(_), things) => (None, things),
            (None, [actor_type, key, things @ ..]) => (Some((*actor_type, *key)), things),
            (None, _) => {
                let text = "it does not say which actor: give its type and its key, or --id";
                return Err(output.usage(text));
            }
        };
        if has_things == things.is_empty() {
            return Err(output.usage(if has_things {
                "it does not say which: name one or more behind the actor"
            } else {
                "it takes a type and a key, or --id, and nothing else"
            }));
        }
        let id = match name {
            None => id.cloned().unwrap_or_default(),
            Some((actor_type, key)) => find(client, namespace, actor_type, key)
                .await
                .map_err(|failure| output.failed(&failure))?,
        };
        Ok(Self {
            namespace: namespace.to_owned(),
            id,
            things: things.iter().map(|thing| (*thing).to_owned()).collect(),
        })
    }

    /// Sends a request to a part of the actor.
    pub(super) async fn send(
        &self,
        client: &Client,
        method: Method,
        part: &str,
        query: &[(&str, String)],
    ) -> Result<Json, Failure> {
        let query = Serializer::new(String::new())
            .append_pair("namespace", &self.namespace)
            .extend_pairs(query)
            .finish();
        let path = format!("/actors/{}/{part}?{query}", segment(&self.id));
        client
            .send(method, &path, "application/json", whole(""))
            .await
    }
}

/// A list; nothing, if it is none.
pub(super) fn items(list: &Json) -> &[Json] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A text as it is.
pub(super) fn word(text: &Json) -> String {
    text.as_str().unwrap_or("?").to_owned()
}

/// A time in milliseconds as people write it, to the second.
pub(super) fn time(ms: &Json) -> String {
    match ms.as_u64().filter(|ms| *ms <= TIME_MS_MAX) {
        Some(ms) => {
            let time = UNIX_EPOCH + Duration::from_millis(ms);
            humantime::format_rfc3339_seconds(time).to_string()
        }
        None => ms.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_none_is_shown_as_it_is() {
        assert_eq!(
            time(&json!(253_402_300_799_999_u64)),
            "9999-12-31T23:59:59Z"
        );
        for odd in [json!(253_402_300_800_000_u64), json!(-1), Json::Null] {
            assert_eq!(time(&odd), odd.to_string());
        }
    }
}
