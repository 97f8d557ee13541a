//! Flags and subcommands.

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::settings::SETTINGS;

/// The whole command line.
pub(crate) fn command() -> Command {
    Command::new("greenroom")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Hosts actors as sandboxed WebAssembly components")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve())
        .subcommand(
            remote(
                "deploy",
                "Deploy components: upload, check, compile, switch over",
            )
            .arg(
                Arg::new("file")
                    .value_name("FILE.wasm")
                    .required(true)
                    .num_args(1..)
                    .help("Components"),
            ),
        )
        .subcommand(remote("components", "List what is deployed"))
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
        .after_help(
            "Exit codes: 0 done; 1 the host said no; 2 wrong usage; 3 the host cannot be reached.",
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
        .arg(
            Arg::new("host")
                .long("host")
                .env("GREENROOM_HOST")
                .value_name("URL")
                .default_value("http://127.0.0.1:6420")
                .help("The host"),
        )
        .arg(
            Arg::new("token")
                .long("token")
                .env("GREENROOM_TOKEN")
                .hide_env_values(true)
                .value_name("TEXT")
                .help("The host's token"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print JSON, also for what the host refuses"),
        )
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
