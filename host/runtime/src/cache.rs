//! Compiled components on disk.
//!
//! A file is named after the hash of the Wasm *and* of everything in wasmtime that matters to compiled
//! code, so that a changed wasmtime or configuration simply finds nothing and compiles anew. wasmtime
//! does not check what it loads: a compiled file is trusted only together with our own hash of it, which
//! stands beside it, and is never accepted from outside.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use greenroom_model::ComponentHash;
use sha2::{Digest, Sha256};
use tracing::warn;
use wasmtime::component::Component;

/// A folder of compiled components.
pub(crate) struct Cache {
    folder: PathBuf,
    /// What of wasmtime and its configuration goes into compiled code.
    compatibility: u64,
}

impl Cache {
    pub(crate) fn open(folder: &Path, engine: &wasmtime::Engine) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        // A fixed hasher: the same in every process.
        let mut hasher = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            folder: folder.to_owned(),
            compatibility: hasher.finish(),
        })
    }

    /// The compiled component, if there is one and it is whole. Blocks on the disk.
    pub(crate) fn load(&self, engine: &wasmtime::Engine, hash: ComponentHash) -> Option<Component> {
        let path = self.path(hash);
        let compiled = std::fs::read(&path).ok()?;
        let expected = std::fs::read_to_string(sum_path(&path)).ok()?;
        if sum(&compiled) != expected {
            warn!(path = %path.display(), "a compiled component was damaged; compiling it again");
            return None;
        }
        drop(compiled);
        #[expect(
            unsafe_code,
            reason = "loading compiled code is the point of the cache"
        )]
        // SAFETY: the file's content is what `store` wrote after wasmtime had compiled it: the hash
        // beside it was just compared, and the name holds the engine's compatibility hash. Between
        // the comparison and this call only a process with our user's rights could change it, and
        // such a process can change our executable too. wasmtime maps the file; we replace files by
        // renaming, never by writing into them.
        let loaded = unsafe { Component::deserialize_file(engine, &path) };
        loaded
            .inspect_err(
                |error| warn!(path = %path.display(), %error, "cannot load a compiled component"),
            )
            .ok()
    }

    /// Keeps what wasmtime has compiled. Blocks on the disk.
    pub(crate) fn store(&self, hash: ComponentHash, compiled: &[u8]) -> io::Result<()> {
        let path = self.path(hash);
        // The sum first: a crash in between leaves no file that has no sum.
        replace(&sum_path(&path), sum(compiled).as_bytes())?;
        replace(&path, compiled)
    }

    /// Removes what was compiled from these bytes. Blocks on the disk.
    pub(crate) fn forget(&self, hash: ComponentHash) {
        let path = self.path(hash);
        // Not there is as good as removed.
        _ = std::fs::remove_file(&path);
        _ = std::fs::remove_file(sum_path(&path));
    }

    /// Removes everything that was compiled from other bytes than `kept`, or for another wasmtime. Blocks on
    /// the disk.
    pub(crate) fn prune(&self, kept: &[ComponentHash]) -> io::Result<()> {
        let kept: HashSet<PathBuf> = kept
            .iter()
            .map(|hash| self.path(*hash))
            .flat_map(|path| [sum_path(&path), path])
            .collect();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if !kept.contains(&path) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn path(&self, hash: ComponentHash) -> PathBuf {
        self.folder
            .join(format!("{hash}-{:016x}.cwasm", self.compatibility))
    }
}

fn sum_path(path: &Path) -> PathBuf {
    path.with_extension("sha256")
}

fn sum(bytes: &[u8]) -> String {
    ComponentHash(Sha256::digest(bytes).into()).to_string()
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    std::fs::write(&unfinished, bytes)?;
    std::fs::rename(&unfinished, path)
}
