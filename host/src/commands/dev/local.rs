//! The crates on this machine that a crate is made of: itself, and what it depends on by path, however deep.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use super::build::{TARGET, cargo};

/// How long Cargo may take to say so. It may have to wait for another Cargo.
const METADATA_MAX: Duration = Duration::from_secs(60);

/// The folders of those crates, that of the crate in `folder` among them. If this is dropped, Cargo ends.
///
/// # Errors
///
/// If Cargo cannot say so, as when a manifest does not parse.
pub(super) async fn crates(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let asked = Command::new(cargo())
        .args([
            "metadata",
            "--format-version=1",
            "--filter-platform",
            TARGET,
        ])
        .current_dir(folder)
        .stdin(Stdio::null())
        // The build says the same, in a better place.
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let said = timeout(METADATA_MAX, asked).await;
    let said = said.map_err(|_| anyhow!("cargo metadata took longer than {METADATA_MAX:?}"))??;
    if !said.status.success() {
        bail!("cargo metadata failed");
    }
    let metadata =
        serde_json::from_slice(&said.stdout).context("what Cargo says is not as usual")?;
    Ok(local(metadata, folder))
}

/// What Cargo says of a crate, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Option<Resolve>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    /// Where it comes from; none if it is a folder.
    source: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
    root: Option<String>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

fn local(metadata: Metadata, folder: &Path) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::from([folder.to_owned()]);
    let Some(resolve) = metadata.resolve else {
        return folders;
    };
    let packages = metadata.packages.into_iter();
    let packages: HashMap<String, Package> = packages.map(|p| (p.id.clone(), p)).collect();
    let nodes: HashMap<String, Vec<String>> = resolve
        .nodes
        .into_iter()
        .map(|node| (node.id, node.dependencies))
        .collect();
    let mut seen = BTreeSet::new();
    let mut left: Vec<&String> = resolve.root.iter().collect();
    while let Some(id) = left.pop() {
        let package = packages.get(id).filter(|package| package.source.is_none());
        // What comes from a registry does not depend on a folder, and does not change.
        let Some(package) = package.filter(|_| seen.insert(id)) else {
            continue;
        };
        folders.extend(package.manifest_path.parent().map(Path::to_owned));
        left.extend(nodes.get(id).into_iter().flatten());
    }
    folders
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn crates_by_path_belong_to_a_crate_and_others_do_not() {
        let package = |id: &str, source: Option<&str>| json!({ "id": id, "source": source, "manifest_path": format!("/{id}/Cargo.toml") });
        let node =
            |id: &str, dependencies: &[&str]| json!({ "id": id, "dependencies": dependencies });
        let metadata = json!({
            "packages": [package("a", None), package("b", None), package("c", None),
                package("serde", Some("registry")), package("beside", None)],
            "resolve": { "root": "a", "nodes": [node("a", &["b", "serde"]), node("b", &["c"]),
                node("c", &["a"]), node("serde", &["beside"]), node("beside", &[])] },
        });
        let metadata = serde_json::from_value(metadata).unwrap();
        let wanted = ["/a", "/b", "/c"].map(PathBuf::from);
        assert_eq!(local(metadata, Path::new("/a")), wanted.into());
    }
}
