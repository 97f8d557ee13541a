//! `deploy`: components in, and what the host found out about them.

use bytes::Bytes;
use clap::ArgMatches;
use form_urlencoded::Serializer;
use serde_json::Value as Json;

use super::components::types;
use super::report::{self, names};
use super::rollout::{self, End};
use super::upload::upload;
use super::{Exit, Output, refusal};
use crate::client::{Client, Failure};

/// Deploys components one after another; stops at the first that is refused or rolled back.
pub(super) async fn deploy(client: &Client, output: &Output, matches: &ArgMatches) -> Exit {
    let query = query(matches);
    let mut files = matches.get_many::<String>("file").unwrap_or_default();
    while let Some(file) = files.next() {
        let exit = one(client, output, matches, file, &query).await;
        if exit == Exit::Done {
            continue;
        }
        if !output.is_json {
            for skipped in files {
                output.say(&format!("{skipped} was not tried"));
            }
        }
        return exit;
    }
    Exit::Done
}

async fn one(
    client: &Client,
    output: &Output,
    matches: &ArgMatches,
    file: &str,
    query: &str,
) -> Exit {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) => return output.usage(&format!("cannot read {file}: {error}")),
    };
    match upload(client, file, bytes, query).await {
        Ok(deployed) => {
            output.print(&deployed, || deployed_text(&deployed));
            match deployed["revision"].as_u64() {
                Some(revision) if matches.get_flag("wait") => {
                    let component = deployed["component"].as_str().unwrap_or_default();
                    wait(client, output, component, revision).await
                }
                _ => Exit::Done,
            }
        }
        Err(failure) => {
            if !output.is_json {
                output.say(&match &failure {
                    Failure::Refused(_) => {
                        format!("{file} was not deployed, and has changed nothing")
                    }
                    // It may have arrived; then it is carried out.
                    Failure::Unreachable(_) => format!(
                        "it is not known whether {file} was deployed; greenroom components tells"
                    ),
                });
            }
            match &failure {
                Failure::Refused(error) if !output.is_json && has_report(error) => {
                    for line in refused_lines(error) {
                        output.say(&line);
                    }
                    Exit::Failed
                }
                _ => output.failed(&failure),
            }
        }
    }
}

/// How it is to be deployed, as the host takes it.
fn query(matches: &ArgMatches) -> String {
    let mut query = Serializer::new(String::new());
    let by = matches.get_one::<String>("by").cloned();
    let by = by.or_else(|| std::env::var("USER").ok());
    query.append_pair("by", &by.unwrap_or_default());
    for name in ["message", "grant", "rehearse", "types"] {
        if let Some(value) = matches.get_one::<String>(name) {
            query.append_pair(name, value);
        }
    }
    for (name, flag) in [("force", "force"), ("dryRun", "dry-run")] {
        if matches.get_flag(flag) {
            query.append_pair(name, "true");
        }
    }
    if let Some(percent) = matches.get_one::<f64>("percent") {
        query.append_pair("percent", &percent.to_string());
    }
    for pattern in matches.get_many::<String>("keys").unwrap_or_default() {
        query.append_pair("keys", pattern);
    }
    query.finish()
}

fn deployed_text(deployed: &Json) -> String {
    let report = &deployed["report"];
    let name = report["component"].as_str().unwrap_or("?");
    let revision = &deployed["revision"];
    let types = types(deployed);
    let summary = if deployed["isNew"] == true {
        format!("{name}: revision {revision} is deployed, with the actor types {types}")
    } else if !revision.is_null() {
        format!("{name}: unchanged, still revision {revision}")
    } else {
        format!("{name}: this would be a new revision; nothing has changed")
    };
    let lines = report::lines(report);
    let all = std::iter::once(summary).chain(lines);
    all.collect::<Vec<_>>().join("\n")
}

/// Whether the host has found out something before it refused.
fn has_report(error: &Json) -> bool {
    error["metadata"]["differences"].is_array()
}

/// Why an upload was refused, what had been found out about it, and how to go on.
pub(super) fn refused_lines(error: &Json) -> Vec<String> {
    let report = &error["metadata"];
    let mut lines = vec![refusal(error)];
    lines.extend(report::lines(report));
    let name = report["component"].as_str().unwrap_or("COMPONENT");
    lines.extend(match error["code"].as_str() {
        Some("not_granted") => {
            let widened = names(&report["widened"]).replace(", ", ",");
            Some(format!("to allow that: --grant {widened}"))
        }
        Some("rehearsal_failed") => Some(
            "to go on without these actors: greenroom deploy --force; they stay on the revision that they are on"
                .to_owned(),
        ),
        Some("rollout_active") => Some(format!(
            "to go on: greenroom rollout promote {name}, or greenroom rollout rollback {name}"
        )),
        _ => None,
    });
    lines
}

/// Follows the rollout to a revision to its end.
async fn wait(client: &Client, output: &Output, component: &str, revision: u64) -> Exit {
    let (status, end) = match rollout::follow(client, component, revision).await {
        Ok(ended) => ended,
        Err(failure) => return output.failed(&failure),
    };
    let text = match &end {
        End::Arrived => format!("{component}: revision {revision} has arrived"),
        End::Superseded => {
            format!("{component}: revision {revision} was superseded by a later one")
        }
        End::Waits => rollout::text(component, &status),
        End::RolledBack(why) => format!("{component}: revision {revision} was rolled back: {why}"),
    };
    let is_rolled_back = matches!(end, End::RolledBack(_));
    if is_rolled_back && !output.is_json {
        output.say(&text);
    } else {
        output.print(&status, || text);
    }
    if is_rolled_back {
        Exit::Failed
    } else {
        Exit::Done
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::command;

    #[test]
    fn flags_are_what_the_host_takes() {
        let line = "greenroom deploy --by=ann --message=m --grant=kv --rehearse=5 --force --dry-run \
                    --percent=12.5 --types=a,b --keys=x-* --keys=y f.wasm";
        let matches = command().get_matches_from(line.split_whitespace());
        let (_, matches) = matches.subcommand().unwrap();
        let wanted = "by=ann&message=m&grant=kv&rehearse=5&types=a%2Cb&force=true&dryRun=true&percent=12.5\
                      &keys=x-*&keys=y";
        assert_eq!(query(matches), wanted);
    }

    #[test]
    fn a_refusal_says_how_to_go_on() {
        let refused = |code: &str| {
            let error = json!({ "group": "component", "code": code, "message": "no",
                "metadata": { "component": "bank", "differences": [], "widened": ["actors", "kv"] } });
            refused_lines(&error).pop().unwrap()
        };
        assert_eq!(refused("not_granted"), "to allow that: --grant actors,kv");
        assert!(refused("rehearsal_failed").contains("--force"));
        assert!(refused("rollout_active").contains("greenroom rollout promote bank"));
        assert!(has_report(&json!({ "metadata": { "differences": [] } })));
        assert!(!has_report(&json!({ "metadata": null })));
    }
}
