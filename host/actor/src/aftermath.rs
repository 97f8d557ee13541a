//! What is left to do when an instance is gone.

use greenroom_model::{ActorError, Head, codes};
use greenroom_runtime::{Crash, Identity, Instance};
use greenroom_storage::Commit;
use tracing::warn;

use crate::activation::{Activation, End, FailedStart};
use crate::handle::aborted;
use crate::revisions::Report;

impl FailedStart {
    /// The instance broke down before it had started.
    pub(crate) fn by(crash: &Crash) -> Self {
        let is_its_own_fault = !matches!(crash, Crash::NoRoom(_));
        Self {
            error: crash.to_actor_error(),
            reason: is_its_own_fault.then(|| crash.to_string()),
        }
    }
}

impl From<ActorError> for FailedStart {
    /// Nothing that the guest could help.
    fn from(error: ActorError) -> Self {
        Self {
            error,
            reason: None,
        }
    }
}

impl Activation<'_> {
    /// How the instance ended. Whoever has to know hears of it, with what the guest wrote last.
    pub(crate) fn end_of(&self, outcome: Result<End, Crash>, instance: &Instance) -> End {
        let mut end = outcome.unwrap_or_else(|crash| self.crashed(&crash));
        let Some(crash) = self.broken_by.get() else {
            return end;
        };
        let output = instance.last_output();
        if !output.is_empty() {
            warn!(actor_id = %self.identity.id, output, "what it wrote last");
        }
        let reason = crash.reason(&output);
        match &mut end {
            End::Failed(failed) => failed.reason = failed.reason.take().map(|_| reason),
            _ => {
                let report = Report::Crashed(&reason);
                self.revisions
                    .report(self.identity.id, self.active.revision_id, report);
            }
        }
        end
    }

    /// The instance is lost. What it had committed, or was committing, is not.
    pub(crate) fn crashed(&self, crash: &Crash) -> End {
        let Identity {
            id,
            actor_type,
            key,
            ..
        } = &**self.identity;
        let generation = self.generation.0;
        let revision = self.active.revision.0;
        warn!(actor_id = %id, %actor_type, %key, generation, revision, %crash, "an activation crashed");
        // Only the first counts, and there is one.
        _ = self.broken_by.set(crash.clone());
        match crash {
            Crash::Killed(_) if self.has_settled() => End::Lost,
            Crash::Killed(_) => End::Failed(FailedStart {
                error: ActorError::new(
                    codes::START_TIMED_OUT,
                    "the actor took too long to start; see the log of its create or wake hook",
                ),
                reason: Some(crash.to_string()),
            }),
            _ if self.has_settled() => End::Crashed(crash.to_actor_error()),
            _ => End::Failed(FailedStart::by(crash)),
        }
    }

    /// Settles what is still owed when the instance is gone: the commit under way, then everybody who
    /// waits for something that will not come.
    pub(crate) async fn finish(&mut self, end: &End) {
        if let Some(commit) = self.commit.take() {
            match commit.await {
                Ok(kept) => {
                    self.head.0 += 1;
                    if std::mem::take(&mut self.is_keeping_migrated) {
                        // It had started, whatever came of it then.
                        self.report_started();
                    }
                    self.data.committed(kept);
                    self.gate.end_commit();
                }
                Err(error) => {
                    self.is_fenced = true;
                    warn!(actor_id = %self.identity.id, %error, "the last commit failed");
                }
            }
        }
        if matches!(end, End::Crashed(_) | End::Lost) {
            self.note_crash().await;
        }
        let error = match end {
            End::Failed(FailedStart { error, .. }) | End::Crashed(error) => error.clone(),
            _ => aborted(),
        };
        self.turns.refuse_all(&error);
        self.gate.refuse_all(&error);
    }
}

impl Activation<'_> {
    /// What the guest was doing when it broke down may be why. That it was tried is kept, so that it is not tried for
    /// ever; nothing else of what was not committed is.
    async fn note_crash(&mut self) {
        let data = self.data.crashed();
        if self.is_fenced || self.head == Head(0) || data.is_empty() {
            return;
        }
        let commit = Commit {
            actor: self.actor,
            generation: self.generation,
            head: self.head,
            revision: self.active.revision_id,
            state_version: self.active.description.state_version,
            state: None,
            keeps_replaced: false,
            conns: Vec::new(),
            data,
        };
        match self.storage.commit(commit).await {
            Ok(kept) => self.data.committed(kept),
            Err(error) => {
                warn!(actor_id = %self.identity.id, %error, "what a crash came to was not kept");
            }
        }
    }
}
