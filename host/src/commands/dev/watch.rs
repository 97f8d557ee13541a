//! When the source of a crate changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use anyhow::Result;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::local;

/// How long nothing else has to change before it is built: editors write in several steps.
const QUIET: Duration = Duration::from_millis(50);
/// How long that is waited for.
const QUIET_MAX: Duration = Duration::from_secs(1);

/// Watches `Cargo.toml`, `build.rs` and everything below `src` of a crate, and of those that it depends on by path.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    /// That of the crate itself.
    folder: PathBuf,
    shared: Arc<Shared>,
    /// When something has changed. There is room for one; more would not say more.
    changes: mpsc::Receiver<Instant>,
}

/// What the watcher's thread knows as well.
struct Shared {
    folders: RwLock<BTreeSet<PathBuf>>,
    /// A manifest has changed, so that it may depend on other crates now.
    is_stale: AtomicBool,
}

impl Watch {
    /// Begins to watch the crate in this folder; [`follow`](Self::follow) adds the others.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let (sender, changes) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            folders: RwLock::new([folder.to_owned()].into()),
            is_stale: AtomicBool::new(true),
        });
        let known = shared.clone();
        // On a thread of the watcher's, which ends with it.
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if known.is_change(event) {
                // If it is full, a change is waiting already.
                _ = sender.try_send(Instant::now());
            }
        })?;
        watch(&mut watcher, folder)?;
        Ok(Self {
            watcher,
            folder: folder.to_owned(),
            shared,
            changes,
        })
    }

    /// Watches the crates that it depends on by path now, if that may have changed. If Cargo cannot say what they are, the
    /// build says why, and they are looked for again next time.
    pub(super) async fn follow(&mut self) {
        if !self.shared.is_stale.swap(false, Ordering::Relaxed) {
            return;
        }
        let Ok(folders) = local::crates(&self.folder).await else {
            self.shared.is_stale.store(true, Ordering::Relaxed);
            return;
        };
        let before = self.shared.replace(folders.clone());
        for gone in before.difference(&folders) {
            // It may not be there any more.
            _ = self.watcher.unwatch(gone);
            _ = self.watcher.unwatch(&gone.join("src"));
        }
        // All of them: one may lie in another that is not watched any more. What cannot be watched is built all the same.
        for folder in &folders {
            _ = watch(&mut self.watcher, folder);
        }
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
        for folder in self.shared.folders().iter() {
            _ = watch(&mut self.watcher, folder);
        }
        Some(noticed)
    }
}

/// Files are often replaced, not written to, so the folder is watched, not the files in it.
fn watch(watcher: &mut RecommendedWatcher, folder: &Path) -> notify::Result<()> {
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    watcher.watch(&folder.join("src"), RecursiveMode::Recursive)
}

impl Shared {
    fn is_change(&self, event: notify::Result<Event>) -> bool {
        let Ok(event) = event else {
            // What could not be watched may have changed.
            return true;
        };
        // The compiler reads what it builds.
        let is_read = matches!(event.kind, EventKind::Access(_));
        let folders = self.folders();
        let is_changed =
            |path: &&PathBuf| !is_read && folders.iter().any(|folder| is_source(path, folder));
        let changed: Vec<&PathBuf> = event.paths.iter().filter(is_changed).collect();
        if changed.iter().any(|path| path.ends_with("Cargo.toml")) {
            self.is_stale.store(true, Ordering::Relaxed);
        }
        !changed.is_empty()
    }

    fn folders(&self) -> RwLockReadGuard<'_, BTreeSet<PathBuf>> {
        // It is replaced whole.
        self.folders.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives those from before.
    fn replace(&self, folders: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
        let mut known = self.folders.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut known, folders)
    }
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

    /// Whether changes come to an end. What the system tells of late is one more, for a while.
    async fn becomes_quiet(watch: &mut Watch) -> bool {
        for _ in 0..10 {
            if tokio::time::timeout(10 * QUIET, watch.changed())
                .await
                .is_err()
            {
                return true;
            }
        }
        false
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
        assert!(becomes_quiet(&mut watch).await, "changes that nobody made");
    }

    #[tokio::test]
    async fn a_crate_that_it_depends_on_by_path_is_watched_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let made = |name: &str, more: &str| {
            let made = root.join(name);
            std::fs::create_dir_all(made.join("src")).unwrap();
            let head = format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\n");
            std::fs::write(made.join("Cargo.toml"), head + more).unwrap();
            std::fs::write(made.join("src/lib.rs"), "").unwrap();
            made
        };
        let (actor, other) = (made("actor", ""), made("other", ""));
        let mut watch = Watch::new(&actor).unwrap();
        watch.follow().await;
        std::fs::write(other.join("src/lib.rs"), "//").unwrap();
        let quiet = tokio::time::timeout(10 * QUIET, watch.changed()).await;
        assert!(quiet.is_err(), "it is no part of it");
        made("actor", "[dependencies]\nother.path = \"../other\"\n");
        assert!(watch.changed().await.is_some());
        watch.follow().await;
        std::fs::write(other.join("src/lib.rs"), "// again").unwrap();
        assert!(watch.changed().await.is_some());
    }
}
