//! When the source of a crate changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// How long nothing else has to change before it is built: editors write in several steps.
const QUIET: Duration = Duration::from_millis(50);
/// How long that is waited for.
const QUIET_MAX: Duration = Duration::from_secs(1);

/// Watches `Cargo.toml`, `build.rs` and everything below `src` of a crate.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    source: PathBuf,
    /// When something has changed. There is room for one; more would not say more.
    changes: mpsc::Receiver<Instant>,
}

impl Watch {
    /// Begins to watch the crate in this folder.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let (sender, changes) = mpsc::channel(1);
        let root = folder.to_owned();
        let source = folder.join("src");
        // On a thread of the watcher's, which ends with it.
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // What could not be watched may have changed.
            let is_change = event.map_or(true, |event| is_change(&event, &root));
            if is_change {
                // If it is full, a change is waiting already.
                _ = sender.try_send(Instant::now());
            }
        })?;
        // Files are often replaced, not written to, so the folder is watched, not the files in it.
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        watcher.watch(&source, RecursiveMode::Recursive)?;
        Ok(Self {
            watcher,
            source,
            changes,
        })
    }

    /// Waits until something has changed and it is quiet again; gives when it was noticed. `None` if nothing is watched any
    /// more. Cancel-safe until the first change, which is followed by no more than a second.
    pub(super) async fn changed(&mut self) -> Option<Instant> {
        let noticed = self.changes.recv().await?;
        let end = noticed + QUIET_MAX;
        let mut quiet = noticed + QUIET;
        while let Ok(Some(again)) = timeout_at(quiet.min(end), self.changes.recv()).await {
            quiet = again + QUIET;
            if Instant::now() >= end {
                break;
            }
        }
        // A folder that was taken away and put back is another one.
        _ = self.watcher.watch(&self.source, RecursiveMode::Recursive);
        Some(noticed)
    }
}

fn is_change(event: &Event, folder: &Path) -> bool {
    // The compiler reads what it builds.
    let is_read = matches!(event.kind, EventKind::Access(_));
    !is_read && event.paths.iter().any(|path| is_source(path, folder))
}

fn is_source(path: &Path, folder: &Path) -> bool {
    let Ok(path) = path.strip_prefix(folder) else {
        return false;
    };
    path.starts_with("src") || path == Path::new("Cargo.toml") || path == Path::new("build.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_makes_is_no_change() {
        let is_source = |path: &str| is_source(Path::new(path), Path::new("/a"));
        for source in [
            "/a/Cargo.toml",
            "/a/build.rs",
            "/a/src/lib.rs",
            "/a/src/b/c.txt",
        ] {
            assert!(is_source(source), "{source}");
        }
        for other in [
            "/a/target/x",
            "/a/Cargo.lock",
            "/a/.greenroom/db",
            "/b/src/lib.rs",
            "/a/srcs",
        ] {
            assert!(!is_source(other), "{other}");
        }
    }

    #[tokio::test]
    async fn a_change_is_noticed_also_if_the_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("src")).unwrap();
        std::fs::write(root.join("Cargo.toml"), "").unwrap();
        let mut watch = Watch::new(&root).unwrap();
        std::fs::write(root.join("src/lib.rs"), "").unwrap();
        assert!(watch.changed().await.is_some());
        std::fs::write(root.join("new"), "").unwrap();
        std::fs::rename(root.join("new"), root.join("Cargo.toml")).unwrap();
        assert!(watch.changed().await.is_some());
        std::fs::remove_dir_all(root.join("src")).unwrap();
        std::fs::create_dir(root.join("src")).unwrap();
        assert!(watch.changed().await.is_some());
        std::fs::write(root.join("src/lib.rs"), "again").unwrap();
        assert!(watch.changed().await.is_some());
        let quiet = tokio::time::timeout(4 * QUIET, watch.changed()).await;
        assert!(quiet.is_err(), "a change that nobody made");
    }
}
