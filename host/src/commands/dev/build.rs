//! Cargo, and the component that it makes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// What actors are built for.
pub(super) const TARGET: &str = "wasm32-wasip2";

/// How long a build may take.
const BUILD_MAX: Duration = Duration::from_secs(30 * 60);

/// What of the crate's profile is left out: a build after a small change takes an eighth of the time then, for code that is a
/// fifth larger. What has been set already stays.
const PROFILE: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_INCREMENTAL", "true"),
    // Crashes are told with the names of functions.
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
];

/// Builds the crate in a folder; gives the file with the component. Cargo itself says what is wrong with the code. If this is
/// dropped, Cargo ends.
pub(super) async fn build(folder: &Path) -> Result<PathBuf> {
    let cargo = cargo();
    let is_unset = |(name, _): &&(&str, &str)| std::env::var_os(name).is_none();
    let mut child = Command::new(&cargo)
        .envs(PROFILE.iter().filter(is_unset).copied())
        .args(["build", "--release", "--target", TARGET])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", cargo.display()))?;
    let messages = child.stdout.take().context("Cargo has no output")?;
    let manifest = folder.join("Cargo.toml");
    let run = async {
        let mut component = None;
        let mut lines = BufReader::new(messages).lines();
        while let Some(line) = lines.next_line().await? {
            component = component_in(&line, &manifest).or(component);
        }
        Ok::<_, std::io::Error>((component, child.wait().await?))
    };
    let ran = timeout(BUILD_MAX, run).await;
    let (component, status) =
        ran.map_err(|_| anyhow!("the build was broken off after {BUILD_MAX:?}"))??;
    if !status.success() {
        bail!("the build failed");
    }
    component.with_context(|| {
        let manifest = manifest.display();
        format!("{manifest} makes no component: its [lib] needs crate-type = [\"cdylib\"]")
    })
}

/// The Cargo to be used.
pub(super) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The component that a message of Cargo's says has been made out of the crate with this manifest.
fn component_in(line: &str, manifest: &Path) -> Option<PathBuf> {
    let message: Json = serde_json::from_str(line).ok()?;
    let is_ours = message["manifest_path"].as_str().map(Path::new) == Some(manifest);
    let files = message["filenames"].as_array().filter(|_| is_ours)?.iter();
    let mut files = files.filter_map(Json::as_str).map(PathBuf::from);
    files.find(|file| {
        file.extension()
            .is_some_and(|extension| extension == "wasm")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_component_is_the_one_of_the_crate_itself() {
        let message = |manifest: &str, files: &[&str]| {
            json!({ "reason": "compiler-artifact", "manifest_path": manifest, "filenames": files })
                .to_string()
        };
        let ours = |line: &str| component_in(line, Path::new("/a/Cargo.toml"));
        assert_eq!(ours(&message("/b/Cargo.toml", &["/t/b.wasm"])), None);
        assert_eq!(ours(&message("/a/Cargo.toml", &["/t/a.rlib"])), None);
        let made = ours(&message("/a/Cargo.toml", &["/t/a.rlib", "/t/a.wasm"]));
        assert_eq!(made, Some("/t/a.wasm".into()));
        assert_eq!(ours("not JSON"), None);
    }
}
