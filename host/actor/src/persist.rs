//! When what an actor has changed is committed, and what that lets out.

use std::ops::ControlFlow;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::StreamExt;
use greenroom_model::{ActorError, Head, codes};
use greenroom_runtime::{Crash, Guest, Saved, Snapshot};
use greenroom_storage::{Commit, Error as StorageError, Kept};
use tracing::warn;

use crate::activate::unavailable;
use crate::activation::{Activation, End, FailedStart, Running};
use crate::entry::Entry;
use crate::handle::aborted;

/// A commit under way.
pub(crate) type Committing = BoxFuture<'static, Result<Kept, StorageError>>;

impl Activation<'_> {
    /// Looks at the state. What changed is committed, and what waits is covered by that; if nothing changed,
    /// what waits leaves.
    pub(crate) async fn settle(
        &mut self,
        guest: &Guest<'_>,
        running: &mut Running<'_>,
    ) -> ControlFlow<End, Vec<Entry>> {
        self.is_touched = false;
        if !self.is_started && (self.head == Head(0) || self.from_version.is_some()) {
            // The actor is not created before its create has returned: there is nothing to keep yet, and a
            // create that waits for it would wait for itself. Neither is it migrated before its wake has.
            self.gate.open();
            return ControlFlow::Continue(Vec::new());
        }
        let Saved { state, conns } = match guest.snapshot().await {
            Err(crash) => return ControlFlow::Break(self.crashed(&crash)),
            Ok(saved) => saved,
        };
        let state = match state {
            Snapshot::Changed(state) => Some(state),
            Snapshot::Unchanged => None,
        };
        // A guest that has not changed a migrated state does not give it again.
        let state = state.or_else(|| self.migrated.clone());
        let largest = conns.iter().map(|(_, state)| state.len()).max();
        let bytes = state
            .as_ref()
            .map_or(0, Bytes::len)
            .max(largest.unwrap_or(0));
        if bytes > self.limits.state_bytes_max {
            let error = too_large(bytes, self.limits.state_bytes_max);
            let crash = Crash::Contract(error.message.to_string());
            let end = match self.has_settled() {
                true => End::Crashed(error),
                false => End::Failed(FailedStart {
                    error,
                    reason: Some(crash.to_string()),
                }),
            };
            _ = self.broken_by.set(crash);
            return ControlFlow::Break(end);
        }
        for (id, state) in &conns {
            if let Some(opening) = self.opening.get_mut(id) {
                opening.state = Some(state.clone());
            }
        }
        self.conns.set_states(conns);
        let entries = self.take_returned(guest, running)?;
        let is_migrated = self.migrated.take().is_some();
        if is_migrated {
            // The rest of the start is up to the store, and not the code's fault.
            self.turns.end_by(None);
        }
        self.commit(state, is_migrated);
        ControlFlow::Continue(entries)
    }

    /// Turns may have returned while the state was looked at. What they have changed is in the snapshot, so that what
    /// belongs to it (a connection that was let in, an entry of the schedule that is done with) has to go into
    /// the same commit. Nothing can have changed since: the loop is looked at after each step of the guest.
    fn take_returned(
        &mut self,
        guest: &Guest<'_>,
        running: &mut Running<'_>,
    ) -> ControlFlow<End, Vec<Entry>> {
        let mut entries = Vec::new();
        while let Some(Some((work, output))) = running.next().now_or_never() {
            // What was sent comes before whatever has happened since.
            if let Some(end) = self.take_effects(guest) {
                return ControlFlow::Break(end);
            }
            self.take_completed();
            match output {
                Ok(output) => entries.extend(self.ended(work, output)?),
                Err(crash) => return ControlFlow::Break(self.crashed(&crash)),
            }
        }
        self.is_touched = false;
        ControlFlow::Continue(entries)
    }

    /// Begins a commit, if anything has changed.
    fn commit(&mut self, state: Option<Bytes>, is_migrated: bool) {
        let conns = self.conns.take_changes();
        let data = self.data.take_changes(self.is_stopped);
        // An actor exists from its first commit on, whether or not it has a state.
        if state.is_none() && conns.is_empty() && data.is_none() && self.head != Head(0) {
            self.gate.open();
            return;
        }
        let commit = Commit {
            actor: self.actor,
            generation: self.generation,
            head: self.head,
            revision: self.active.revision_id,
            state_version: self.active.description.state_version,
            state,
            keeps_replaced: is_migrated,
            conns,
            data: data.unwrap_or_default(),
        };
        let storage = self.storage.clone();
        self.gate.begin_commit();
        self.is_keeping_migrated = is_migrated;
        self.commit = Some(Box::pin(async move { storage.commit(commit).await }));
    }

    pub(crate) fn committed(&mut self, kept: Result<Kept, StorageError>) -> Option<End> {
        match kept {
            Ok(kept) => {
                self.head.0 += 1;
                if std::mem::take(&mut self.is_keeping_migrated) {
                    self.serves();
                }
                self.data.committed(kept);
                self.gate.end_commit();
                self.tell_busy();
                None
            }
            Err(error) => {
                let actor_id = self.identity.id;
                warn!(%actor_id, %error, "a commit failed; the actor goes back to what was kept");
                let told = match error {
                    StorageError::Fenced | StorageError::Gone => aborted(),
                    _ => unavailable(),
                };
                self.gate.refuse_all(&told);
                self.is_fenced = true;
                Some(End::Lost)
            }
        }
    }
}

/// The end of the commit under way; never, if there is none. Cancel-safe.
pub(crate) async fn next_kept(commit: &mut Option<Committing>) -> Result<Kept, StorageError> {
    match commit {
        Some(under_way) => {
            let kept = under_way.await;
            *commit = None;
            kept
        }
        None => std::future::pending().await,
    }
}

pub(crate) fn too_large(bytes: usize, most: usize) -> ActorError {
    let text = format!(
        "the actor's state has {bytes} bytes; at most {most} are allowed, so this change was not kept"
    );
    ActorError::new(codes::STATE_TOO_LARGE, text)
}
