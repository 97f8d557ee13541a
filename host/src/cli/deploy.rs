//! Flags of what brings new code to actors: `deploy`, `rollout`, `revisions`, `pin`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, Command, value_parser};

use super::{flag, group, of_actor, remote, valued};

pub(super) fn deploy() -> Command {
    let about = "Deploy components: upload, check, compile, compare, rehearse, roll out";
    let files = Arg::new("file")
        .value_name("FILE.wasm")
        .required(true)
        .num_args(1..)
        .help("Components");
    let by = "Who deploys, as revisions show it [default: $USER]";
    let grant = "What it may do that the revision before could not: all, or actors, background, kv, schedule, \
         with commas";
    let rehearse = Arg::new("rehearse")
        .long("rehearse")
        .value_name("WHICH")
        .num_args(0..=1)
        .default_missing_value("all")
        .value_parser(rehearsal)
        .help(
            "Try it first on copies of actors: auto (if it has a state of another version), no, all, or on so many of \
             each type [default: auto; without a value: all]",
        );
    let force = "Go on although actors would not start on it; they stay where they are";
    let wait = "Follow the rollout until it has arrived, waits for somebody, or was rolled back, which ends with 1";
    remote("deploy", about)
        .arg(files)
        .arg(valued(
            "message",
            "TEXT",
            "What is new, as revisions show it",
        ))
        .arg(valued("by", "NAME", by))
        .arg(valued("grant", "NAMES", grant))
        .arg(rehearse)
        .arg(flag("force", force))
        .arg(flag(
            "dry-run",
            "Change nothing; only say what would happen",
        ))
        .arg(percent().help("Go over with so many of a hundred actors only, until it is promoted"))
        .arg(valued(
            "types",
            "NAMES",
            "Go over with actors of these types only, with commas",
        ))
        .arg(
            valued(
                "keys",
                "PATTERN",
                "Go over with actors only whose key matches it, like beta-*; may be given again",
            )
            .action(ArgAction::Append),
        )
        .arg(flag("wait", wait))
}

/// What the host takes; a file that follows a bare `--rehearse` is none of it.
fn rehearsal(text: &str) -> Result<String, String> {
    match text {
        "auto" | "no" | "all" => Ok(text.to_owned()),
        count if count.parse::<u64>().is_ok_and(|count| count > 0) => Ok(count.to_owned()),
        _ => Err(
            "it is auto, no, all or a number of actors; before a file, write --rehearse=all"
                .to_owned(),
        ),
    }
}

fn percent() -> Arg {
    Arg::new("percent")
        .long("percent")
        .value_name("NUMBER")
        .value_parser(value_parser!(f64))
}

fn component() -> Arg {
    Arg::new("component")
        .value_name("COMPONENT")
        .required(true)
        // An empty name would make the path of something else.
        .value_parser(NonEmptyStringValueParser::new())
        .help("The component")
}

pub(super) fn revisions() -> Command {
    remote(
        "revisions",
        "List the revisions of a component, newest first",
    )
    .arg(component())
}

pub(super) fn rollout() -> Command {
    let about = "Look at how actors go over to new code, and decide how it goes on";
    let of = |name, about| remote(name, about).arg(component());
    let pause = "Hold it up: nobody goes over any more, and nobody goes back";
    let promote = "Go over with more actors: with all, or with so many of a hundred";
    let rollback = "Go back to the revision before; earlier states of actors come back with it, where they are kept";
    let watch = "Go on until it ends; it ends with 1 if it was rolled back";
    group("rollout", about)
        .subcommand(of("status", "Say how things stand").arg(flag("watch", watch)))
        .subcommand(of("pause", pause))
        .subcommand(of("resume", "Let it go on"))
        .subcommand(of("promote", promote).arg(percent().help("With so many of a hundred")))
        .subcommand(of("rollback", rollback).arg(reason()))
}

fn reason() -> Arg {
    valued("reason", "TEXT", "Why, for others to read")
}

pub(super) fn pin() -> Command {
    let about = "Let an actor stay on one revision, whatever is deployed";
    let revision = valued("revision", "NUMBER", "On which [default: the one it is on]");
    of_actor("", "pin", about, "")
        .arg(revision.value_parser(value_parser!(u32)))
        .arg(reason())
}

pub(super) fn unpin() -> Command {
    of_actor(
        "",
        "unpin",
        "Let a pinned actor go with the others again",
        "",
    )
}

pub(super) fn pins() -> Command {
    let about = "List the actors of a component that stay on a revision of their own";
    remote("pins", about).arg(component())
}

#[cfg(test)]
mod tests {
    use crate::cli::{command, text};

    fn rehearse(line: &str) -> Result<(String, usize), clap::Error> {
        let line = format!("greenroom deploy {line}");
        let matches = command().try_get_matches_from(line.split(' '))?;
        let (_, matches) = matches.subcommand().unwrap();
        let files = matches.get_many::<String>("file").unwrap();
        Ok((text(matches, "rehearse").to_owned(), files.len()))
    }

    #[test]
    fn a_bare_rehearse_is_of_all_and_takes_no_file_for_its_value() {
        assert_eq!(rehearse("a.wasm b.wasm").unwrap(), (String::new(), 2));
        assert_eq!(rehearse("a.wasm --rehearse").unwrap(), ("all".into(), 1));
        assert_eq!(
            rehearse("--rehearse auto a.wasm").unwrap(),
            ("auto".into(), 1)
        );
        assert!(rehearse("--rehearse a.wasm").is_err());
        assert_eq!(rehearse("--rehearse=20 a.wasm").unwrap(), ("20".into(), 1));
        assert_eq!(rehearse("a.wasm --rehearse=no").unwrap(), ("no".into(), 1));
        assert!(rehearse("--rehearse=some a.wasm").is_err());
        assert!(rehearse("--rehearse=0 a.wasm").is_err());
    }
}
