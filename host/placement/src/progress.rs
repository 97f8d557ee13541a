//! How far the deploy that is being carried out has got, for whoever waits for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use greenroom_model::{ComponentHash, ComponentName, Millis};

/// The deploy that is being carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployProgress {
    /// Of the upload.
    pub hash: ComponentHash,
    /// What it says that it is called; none before it has been asked.
    pub component: Option<ComponentName>,
    /// Since when it has been carried out; it may have waited for others before.
    pub begun_at: Millis,
    /// What is being done.
    pub stage: DeployStage,
}

/// What is being done for a deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeployStage {
    /// It is compiled, checked and compared.
    Checking,
    /// It is tried on copies of actors.
    Rehearsing {
        /// Actors that have been looked at.
        tried: u64,
        /// Actors that have been found to be tried. With `all` it grows by a page at a time, otherwise by a type.
        found: u64,
    },
}

/// A place where it is written. There is one deploy at a time.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<Option<DeployProgress>>);

impl Progress {
    /// What is there at present.
    pub(crate) fn get(&self) -> Option<DeployProgress> {
        self.lock().clone()
    }

    /// Until the guard is dropped, an upload with this hash is being checked.
    pub(crate) fn begin(&self, hash: ComponentHash, begun_at: Millis) -> UnderWay<'_> {
        *self.lock() = Some(DeployProgress {
            hash,
            component: None,
            begun_at,
            stage: DeployStage::Checking,
        });
        UnderWay(self)
    }

    fn lock(&self) -> MutexGuard<'_, Option<DeployProgress>> {
        // It is only shown.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A deploy that is being carried out.
pub(crate) struct UnderWay<'a>(&'a Progress);

impl UnderWay<'_> {
    /// It has said what it is called.
    pub(crate) fn named(&self, name: &ComponentName) {
        self.change(|progress| progress.component = Some(name.clone()));
    }

    /// So many more actors have been found that are to be tried.
    pub(crate) fn found(&self, count: usize) {
        self.rehearsed(0, count as u64);
    }

    /// One more has been tried.
    pub(crate) fn tried(&self) {
        self.rehearsed(1, 0);
    }

    fn rehearsed(&self, more_tried: u64, more_found: u64) {
        self.change(|progress| {
            let (tried, found) = match progress.stage {
                DeployStage::Checking => (0, 0),
                DeployStage::Rehearsing { tried, found } => (tried, found),
            };
            progress.stage = DeployStage::Rehearsing {
                tried: tried + more_tried,
                found: found + more_found,
            };
        });
    }

    fn change(&self, change: impl FnOnce(&mut DeployProgress)) {
        if let Some(progress) = self.0.lock().as_mut() {
            change(progress);
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}
