//! Flags and subcommands.

mod deploy;
mod develop;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::settings::SETTINGS;

/// The whole command line.
pub(crate) fn command() -> Command {
    Command::new("greenroom")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Hosts actors as sandboxed WebAssembly components")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve())
        .subcommand(develop::new())
        .subcommand(develop::dev())
        .subcommand(deploy::deploy())
        .subcommand(remote("components", "List what is deployed"))
        .subcommand(deploy::revisions())
        .subcommand(deploy::rollout())
        .subcommand(deploy::pin())
        .subcommand(deploy::unpin())
        .subcommand(deploy::pins())
        .subcommand(
            remote("actors", "List actors, oldest first")
                .arg(namespace())
                .arg(
                    Arg::new("type")
                        .long("type")
                        .value_name("TYPE")
                        .help("Only of this type"),
                ),
        )
        .subcommand(
            remote("call", "Run an action and print its result as JSON")
                .arg(namespace())
                .arg(actor_type())
                .arg(key())
                .arg(
                    Arg::new("action")
                        .value_name("ACTION")
                        .required(true)
                        .help("Its action"),
                )
                .arg(
                    Arg::new("args")
                        .value_name("ARG")
                        .num_args(0..)
                        .allow_negative_numbers(true)
                        .help("Arguments: JSON; what is not JSON is a text"),
                ),
        )
        .subcommand(
            remote("destroy", "Remove an actor and all its data for good")
                .arg(namespace())
                .arg(actor_type())
                .arg(key()),
        )
        .subcommand(queue())
        .subcommand(schedule())
        .after_help(
            "Exit codes: 0 done; 1 the host said no; 2 wrong usage; 3 the host cannot be reached.",
        )
}

fn queue() -> Command {
    let about = "Look into the queues of an actor, which is woken for that";
    let list = |name, about| {
        of_actor("queue", name, about, "")
            .arg(
                Arg::new("limit")
                    .long("limit")
                    .value_name("COUNT")
                    .value_parser(value_parser!(u32).range(1..=1_000))
                    .default_value("100")
                    .help("At most so many"),
            )
            .arg(
                Arg::new("bodies")
                    .long("bodies")
                    .action(ArgAction::SetTrue)
                    .help("With what was sent, as JSON"),
            )
    };
    let change = |name, about| of_actor("queue", name, about, "MESSAGE");
    let dead = "List the dead letters, which were taken too often, oldest first";
    group("queue", about)
        .subcommand(list("list", "List the messages, oldest first"))
        .subcommand(list("dead", dead))
        .subcommand(change("retry", "Put dead letters back into their queues"))
        .subcommand(change("discard", "Remove dead letters for good"))
}

fn schedule() -> Command {
    let about = "Look into the schedule of an actor, which is woken for that";
    let list = "List what is to run, next first, and the last runs";
    let cancel = "Remove entries; a run that has begun goes on";
    group("schedule", about)
        .subcommand(of_actor("schedule", "list", list, ""))
        .subcommand(of_actor("schedule", "cancel", cancel, "ENTRY"))
}

fn group(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .subcommand_required(true)
        .arg_required_else_help(true)
}

/// A command about one actor, in a group or in none: about the actor, or the things of it that are named as `thing`.
fn of_actor(group: &'static str, name: &'static str, about: &'static str, thing: &str) -> Command {
    let (things, more) = match thing {
        "" => (String::new(), String::new()),
        thing => (
            format!(" {thing}..."),
            format!(", then one {thing} or more"),
        ),
    };
    let command = format!("greenroom {group} {name}").replace("  ", " ");
    let usage =
        format!("{command} [OPTIONS] TYPE KEY{things}\n       {command} [OPTIONS] --id ID{things}");
    remote(name, about)
        .override_usage(usage)
        .arg(namespace())
        .arg(
            Arg::new("id")
                .long("id")
                .value_name("ID")
                .help("The actor's id, instead of its type and key"),
        )
        // Where they end depends on `--id`, which is more than a parser of flags can be told.
        .arg(
            Arg::new("words")
                .value_name("WORD")
                .num_args(0..)
                .help(format!("The actor's TYPE and KEY (not with --id){more}")),
        )
}

fn serve() -> Command {
    let limits = SETTINGS.iter().map(|setting| {
        Arg::new(setting.name)
            .long(setting.name.replace('_', "-"))
            .env(format!("GREENROOM_{}", setting.name.to_uppercase()))
            .hide_env_values(true)
            .value_name("LIMIT")
            .help_heading("Limits")
            .help(setting.long_help())
    });
    Command::new("serve")
        .about("Serve actors")
        .arg(
            option("config", "FILE")
                .help("A TOML file with any of these settings, under their names with underscores"),
        )
        .arg(option("listen", "ADDRESS").help("Where to listen [default: 127.0.0.1:6420]; port 0 is any"))
        .arg(option("tls-listen", "ADDRESS").help(
            "Where to listen for TLS as well, which browsers need (docs/browsers.md) [default: nowhere]",
        ))
        .arg(option("tls-cert", "FILE").help(
            "Its certificates, in PEM [default: one for localhost that signs itself, made in FOLDER/tls]",
        ))
        .arg(option("tls-key", "FILE").help("Its private key, in PEM"))
        .arg(option("data", "FOLDER").help("Where data lives [default: .greenroom]"))
        .arg(option("token", "TEXT").help(
            "What management calls have to show; without it the host is in development mode, on loopback \
             only",
        ))
        .arg(
            option("namespaces", "NAMES")
                .help("Which there are, with commas [default: any in development mode, else default]"),
        )
        .arg(option("log", "FILTER").help(
            "What to log, like info or greenroom_actor=debug,guest=trace [default: info]",
        ))
        .arg(option("log-format", "FORMAT").value_parser(["text", "json"]).help(
            "How to log [default: text]",
        ))
        .args(limits)
        .after_help("A flag wins over the environment, which wins over the file.")
}

/// A setting that can be given by flag or environment.
fn option(name: &'static str, value: &'static str) -> Arg {
    let env = format!("GREENROOM_{}", name.to_uppercase().replace('-', "_"));
    Arg::new(name)
        .long(name)
        .env(env)
        .hide_env_values(true)
        .value_name(value)
}

/// A command that talks to a host.
fn remote(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .arg(host())
        .arg(token())
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print JSON, also for what the host refuses"),
        )
}

fn host() -> Arg {
    Arg::new("host")
        .long("host")
        .env("GREENROOM_HOST")
        .value_name("URL")
        .default_value("http://127.0.0.1:6420")
        .help("The host")
}

fn token() -> Arg {
    Arg::new("token")
        .long("token")
        .env("GREENROOM_TOKEN")
        .hide_env_values(true)
        .value_name("TEXT")
        .help("The host's token")
}

/// An option with a value.
fn valued(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

/// An option that is there or not.
fn flag(name: &'static str, help: &'static str) -> Arg {
    let flag = Arg::new(name).long(name).help(help);
    flag.action(ArgAction::SetTrue)
}

fn namespace() -> Arg {
    Arg::new("namespace")
        .long("namespace")
        .env("GREENROOM_NAMESPACE")
        .value_name("NAME")
        .default_value("default")
        .help("The namespace")
}

fn actor_type() -> Arg {
    Arg::new("actor-type")
        .value_name("TYPE")
        .required(true)
        .help("The actor's type")
}

fn key() -> Arg {
    Arg::new("key")
        .value_name("KEY")
        .required(true)
        .help("The actor's key; parts are joined with /, a lone / is the empty key")
}

/// A text that the command line has, or has by default.
pub(crate) fn text<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
    matches.get_one::<String>(name).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn an_actor_is_named_by_type_and_key_or_by_its_id() {
        for (line, id, words) in [
            ("queue list counter a/b --limit 5", "", 2),
            ("queue retry --id 12 7 8", "12", 2),
            ("queue discard counter a 7", "", 3),
            ("schedule cancel counter a tick", "", 3),
            ("pin counter a --revision 2", "", 2),
            ("unpin --id 12", "12", 0),
        ] {
            let line = ["greenroom"].into_iter().chain(line.split(' '));
            let matches = command().try_get_matches_from(line).unwrap();
            let (_, matches) = matches.subcommand().unwrap();
            let matches = matches.subcommand().map_or(matches, |(_, part)| part);
            assert_eq!(text(matches, "id"), id);
            let given = matches.get_many::<String>("words").unwrap_or_default();
            assert_eq!(given.len(), words);
        }
        for line in [
            "queue",
            "queue list a b --limit 0",
            "schedule list --bodies",
        ] {
            let line = ["greenroom"].into_iter().chain(line.split(' '));
            assert!(command().try_get_matches_from(line).is_err());
        }
    }
}
