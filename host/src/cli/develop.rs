//! Flags of what is for those who write actors: `new` and `dev`.

use std::path::PathBuf;

use clap::{Arg, Command, value_parser};

use super::{host, token, valued};

pub(super) fn new() -> Command {
    let name = Arg::new("name")
        .value_name("NAME")
        .required(true)
        .help("The name of its crate, which is that of the component");
    let sdk = "The folder of greenroom-sdk [default: that of the checkout around this program or this folder]";
    Command::new("new")
        .about("Make a crate with an actor, ready to be built")
        .arg(name)
        .arg(folder(valued(
            "path",
            "FOLDER",
            "Where to make it [default: NAME]",
        )))
        .arg(folder(valued("sdk", "FOLDER", sdk)))
}

pub(super) fn dev() -> Command {
    let path = Arg::new("path")
        .value_name("PATH")
        .required(true)
        .help("The folder of the crate");
    let listen =
        "Start a host that listens there, and use that [default: only if none answers at --host]";
    Command::new("dev")
        .about("Build and deploy a crate whenever it changes, on a host that is started if need be")
        .after_help(
            "Every capability is granted, and deploys are by \"dev\". For development only.",
        )
        .arg(folder(path))
        .arg(host())
        .arg(token())
        .arg(valued("listen", "ADDRESS", listen))
        .arg(folder(valued(
            "data",
            "FOLDER",
            "Where a host that is started keeps its data [default: PATH/.greenroom]",
        )))
}

fn folder(arg: Arg) -> Arg {
    arg.value_parser(value_parser!(PathBuf))
}
