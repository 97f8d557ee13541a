//! `new`: a crate with an actor in it, ready to be built.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ArgMatches;

use super::{Exit, Output};
use crate::cli::text;

/// The longest name of a crate.
const NAME_CHARS_MAX: usize = 64;

/// Names that mean something else: to Rust, to Cargo, or to what the crate begins with. (Those of other crates are only
/// confusing.)
const TAKEN: &str = "abstract alloc as async await become box break build const continue core crate deps do dyn else \
     enum env event examples extern false final fn for gen greenroom_component greenroom_sdk if impl in incremental \
     let loop macro match mod move mut override priv proc_macro pub ref return self serde static std struct super test \
     trait true try type typeof unsafe unsized use virtual where while yield";

/// The files, under their names, with what is to be filled in in braces.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../templates/manifest.toml")),
    (".gitignore", include_str!("../../templates/gitignore")),
    ("README.md", include_str!("../../templates/README.md")),
    ("src/lib.rs", include_str!("../../templates/src/lib.rs")),
    // The one that the SDK is built with.
    (
        "rust-toolchain.toml",
        include_str!("../../../rust-toolchain.toml"),
    ),
];

/// Makes a crate.
pub(super) fn make(matches: &ArgMatches) -> Exit {
    let output = Output { is_json: false };
    let name = text(matches, "name");
    if let Err(error) = check(name) {
        return output.usage(&format!("{name:?} cannot be the name of a crate: {error}"));
    }
    let folder = matches.get_one::<PathBuf>("path");
    let folder = folder.cloned().unwrap_or_else(|| name.into());
    let sdk = match sdk(matches.get_one::<PathBuf>("sdk").map(PathBuf::as_path)) {
        Ok(sdk) => sdk,
        Err(error) => return output.usage(&format!("{error:#}")),
    };
    if sdk.is_none() {
        output.say(
            "greenroom: there is no checkout with the SDK around this program or this folder; the crate asks the \
             registry for it. If it is not there, say where it is with --sdk",
        );
    }
    if let Err(error) = write(name, &folder, sdk.as_deref()) {
        return output.usage(&format!("{error:#}"));
    }
    let shown = folder.display();
    let line = format!("{shown} is made; try: greenroom dev {shown}");
    // Nobody may be reading any more.
    _ = writeln!(std::io::stdout().lock(), "{line}");
    Exit::Done
}

/// What Cargo takes, and what can be the name of an actor type as well.
fn check(name: &str) -> Result<(), &'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err("it has to begin with a letter");
    }
    if !name.chars().all(is_plain) {
        return Err("it may have letters, digits, - and _, and nothing else");
    }
    if name.len() > NAME_CHARS_MAX {
        return Err("it has more than 64 characters");
    }
    let plain = name.to_ascii_lowercase().replace('-', "_");
    if TAKEN.split(' ').any(|taken| taken == plain) {
        return Err("it means something else already");
    }
    Ok(())
}

/// The folder of the SDK: the one that is said, or that of a checkout around the program or around where we are.
fn sdk(given: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(given) = given {
        let folder = given.canonicalize();
        let folder = folder.with_context(|| format!("there is no {}", given.display()))?;
        if !is_sdk(&folder) {
            bail!("{} is not the folder of greenroom-sdk", folder.display());
        }
        return Ok(Some(folder));
    }
    // A path that cannot be told is none to look around.
    let program = std::env::current_exe().and_then(|program| program.canonicalize());
    let starts = [program, std::env::current_dir()];
    let found = starts.iter().flatten().find_map(|start| {
        let folders = start.ancestors().map(|folder| folder.join("guest-sdk"));
        folders.into_iter().find(|folder| is_sdk(folder))
    });
    Ok(found)
}

fn is_sdk(folder: &Path) -> bool {
    let manifest = fs::read_to_string(folder.join("Cargo.toml"));
    manifest.is_ok_and(|manifest| manifest.contains("name = \"greenroom-sdk\""))
}

fn write(name: &str, folder: &Path, sdk: Option<&Path>) -> Result<()> {
    let is_empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot use {}", folder.display()));
        }
    };
    if !is_empty {
        bail!(
            "{} is there already, with something in it",
            folder.display()
        );
    }
    let sdk = dependency(sdk)?;
    let camel = camel(name);
    let mut pascal = camel.clone();
    pascal[..1].make_ascii_uppercase();
    for (file, template) in FILES {
        let content = template
            .replace("{name}", name)
            .replace("{crate}", &name.replace('-', "_"))
            .replace("{Type}", &pascal)
            .replace("{type}", &camel)
            .replace("{sdk}", &sdk);
        let path = folder.join(file);
        let parent = path.parent().unwrap_or(folder);
        let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, content));
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// How the crate says where the SDK is, in TOML.
fn dependency(sdk: Option<&Path>) -> Result<String> {
    let Some(sdk) = sdk else {
        return Ok(toml::Value::from(env!("CARGO_PKG_VERSION")).to_string());
    };
    let path = sdk.to_str().context("the path of the SDK is not UTF-8")?;
    Ok(format!("{{ path = {} }}", toml::Value::from(path)))
}

/// As the SDK names actor types: `chat-room` as `chatRoom`.
fn camel(name: &str) -> String {
    let words = name.split(['-', '_']).filter(|word| !word.is_empty());
    let mut camel = String::new();
    for word in words {
        let mut word = word.to_owned();
        if camel.is_empty() {
            word[..1].make_ascii_lowercase();
        } else {
            word[..1].make_ascii_uppercase();
        }
        camel.push_str(&word);
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_crates() {
        for good in ["counter", "chat-room", "a_1", "A"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let long = "a".repeat(65);
        for bad in [
            "",
            "1a",
            "-a",
            "_a",
            "a b",
            "é",
            "a/b",
            "../a",
            "test",
            "Self",
            "proc-macro",
            &*long,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn types_are_named_as_the_sdk_would() {
        assert_eq!(camel("chat-room"), "chatRoom");
        assert_eq!(camel("chat_2-b_"), "chat2B");
        assert_eq!(camel("MyURL"), "myURL");
    }

    #[test]
    fn what_is_made_is_complete_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("chat-room");
        write("chat-room", &made, Some(Path::new("/a \"b\"/guest-sdk"))).unwrap();
        let read = |file: &str| fs::read_to_string(made.join(file)).unwrap();
        let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("chat-room"));
        let sdk = &manifest["dependencies"]["greenroom-sdk"];
        assert_eq!(sdk["path"].as_str(), Some("/a \"b\"/guest-sdk"));
        assert!(read("src/lib.rs").contains("component!(ChatRoom);"));
        assert!(read("README.md").contains("client.chatRoom.getOrCreate"));
        for (file, _) in FILES {
            assert!(!read(file).contains("{name}"), "{file}");
        }
        assert!(write("chat-room", &made, None).is_err());
    }
}
