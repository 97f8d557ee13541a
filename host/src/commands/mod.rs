//! One file for each group of subcommands, and how they end.

mod actors;
mod components;
mod deploy;
mod dev;
mod named;
mod new;
mod pins;
mod queue;
mod report;
mod rollout;
mod schedule;
mod upload;

use std::io::Write;
use std::process::ExitCode;

use clap::ArgMatches;
use serde_json::{Value as Json, json};

use crate::client::{Client, Failure};
use crate::config::Config;
use crate::{assemble, cli};

/// How the program ended; scripts rely on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0
    Done,
    /// 1: the host said no, or the host that was to be cannot run.
    Failed,
    /// 2: what was asked for makes no sense.
    Usage,
    /// 3: there is no host to ask.
    Unreachable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
        })
    }
}

/// Runs what the command line asks for.
pub(crate) fn run(matches: &ArgMatches) -> Exit {
    let Some((name, matches)) = matches.subcommand() else {
        return Exit::Usage;
    };
    // Some commands are groups of others.
    let (name, matches) = match matches.subcommand() {
        Some((part, matches)) => (format!("{name} {part}"), matches),
        None => (name.to_owned(), matches),
    };
    match &*name {
        "serve" => serve(matches),
        "new" => new::make(matches),
        "dev" => dev::run(matches),
        _ => remote(&name, matches),
    }
}

/// A command that talks to a host.
fn remote(name: &str, matches: &ArgMatches) -> Exit {
    let output = Output {
        is_json: matches.get_flag("json"),
    };
    let client = match client(matches) {
        Ok(client) => client,
        Err(error) => return output.usage(&format!("{error:#}")),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return output.usage(&format!("cannot start: {error}")),
    };
    runtime.block_on(async {
        match name {
            "deploy" => deploy::deploy(&client, &output, matches).await,
            "components" => components::list(&client, &output).await,
            "revisions" => components::revisions(&client, &output, matches).await,
            "rollout status" => rollout::status(&client, &output, matches).await,
            "rollout pause" | "rollout resume" | "rollout promote" | "rollout rollback" => {
                rollout::order(&client, &output, matches, name).await
            }
            "pin" => pins::pin(&client, &output, matches).await,
            "unpin" => pins::unpin(&client, &output, matches).await,
            "pins" => pins::list(&client, &output, matches).await,
            "actors" => actors::list(&client, &output, matches).await,
            "call" => actors::call(&client, &output, matches).await,
            "destroy" => actors::destroy(&client, &output, matches).await,
            "queue list" => queue::list(&client, &output, matches).await,
            "queue dead" => queue::dead(&client, &output, matches).await,
            "queue retry" => queue::retry(&client, &output, matches).await,
            "queue discard" => queue::discard(&client, &output, matches).await,
            "schedule list" => schedule::list(&client, &output, matches).await,
            "schedule cancel" => schedule::cancel(&client, &output, matches).await,
            _ => Exit::Usage,
        }
    })
}

/// A client of the host that the command line names.
fn client(matches: &ArgMatches) -> anyhow::Result<Client> {
    let token = matches.get_one::<String>("token").cloned();
    Client::new(cli::text(matches, "host"), token)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

fn serve(matches: &ArgMatches) -> Exit {
    let config = match Config::load(matches) {
        Ok(config) => config,
        Err(error) => return Output { is_json: false }.usage(&format!("{error:#}")),
    };
    match assemble::serve(config) {
        Ok(()) => Exit::Done,
        Err(error) => {
            Output { is_json: false }.say(&format!("greenroom: {error:#}"));
            Exit::Failed
        }
    }
}

/// Where answers go: standard output for what was asked for, standard error for everything else.
pub(crate) struct Output {
    pub(crate) is_json: bool,
}

impl Output {
    /// Prints what was asked for, for machines or for people.
    fn print(&self, json: &Json, text: impl FnOnce() -> String) {
        let line = if self.is_json {
            json.to_string()
        } else {
            text()
        };
        // Nobody may be reading any more.
        _ = writeln!(std::io::stdout().lock(), "{}", printable(&line));
    }

    fn say(&self, line: &str) {
        _ = writeln!(std::io::stderr().lock(), "{}", printable(line));
    }

    fn usage(&self, problem: &str) -> Exit {
        self.say(&format!("greenroom: {problem}"));
        Exit::Usage
    }

    /// Prints why it came to nothing.
    fn failed(&self, failure: &Failure) -> Exit {
        match failure {
            Failure::Unreachable(error) => {
                let text = format!("{error:#}");
                if self.is_json {
                    let group = json!({"group": "client", "code": "unreachable", "message": text});
                    self.say(&group.to_string());
                } else {
                    self.say(&format!("greenroom: {text}"));
                }
                Exit::Unreachable
            }
            Failure::Refused(error) => {
                if self.is_json {
                    self.say(&error.to_string());
                } else {
                    self.say(&refusal(error));
                    if let Some(metadata) = error.get("metadata").filter(|m| !m.is_null()) {
                        self.say(&format!("metadata: {metadata}"));
                    }
                }
                Exit::Failed
            }
        }
    }
}

/// What the host said no with, in one line.
fn refusal(error: &Json) -> String {
    let field = |name: &str| error[name].as_str().unwrap_or("?");
    let (group, code, message) = (field("group"), field("code"), field("message"));
    format!("{group}.{code}: {message}")
}

/// What guests wrote goes to a terminal without anything that would command it.
fn printable(text: &str) -> String {
    let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars()
        .map(|c| if is_plain(c) { c } else { '\u{fffd}' })
        .collect()
}

/// What somebody wrote may have many lines, and a row has one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Rows with their columns aligned.
fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head = head.map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let widths: [usize; N] = std::array::from_fn(|column| {
        all()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    });
    let line = |row: &[String; N]| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all().map(line).collect::<Vec<_>>().join("\n")
}
