//! Taking an upload: what it is, what would change, whether actors would start on it. Only then is anything changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use greenroom_model::{
    ActorError, Capability, ComponentDescription, ComponentHash, ComponentName, codes, differences,
};
use greenroom_runtime::{Compiled, Engine, Refused};
use greenroom_storage::{
    Error as StorageError, NewRevision, PutRevision, RevisionId, RevisionRecord,
};
use tokio::sync::MutexGuard;
use tracing::info;

use crate::deployed::{Deployed, RevisionInfo, RevisionStatus, parse};
use crate::directory::storage_error;
use crate::progress::UnderWay;
use crate::registry::{Registry, internal, status};
use crate::rehearsal::{self, Rehearsal, Wanted};
use crate::report::{LimitsReport, Report};
use crate::rollout::{Component, Plan, Rollout};

/// Actors of one type in a sample: it is kept in memory.
const SAMPLE_MAX: usize = 100_000;
/// How often an upload is rehearsed while rollouts arrive.
const REHEARSALS_MAX: usize = 3;

/// How an upload is to be deployed.
#[derive(Debug, Clone, Default)]
pub struct DeployOptions {
    /// Who deploys, as they say themselves.
    pub deployed_by: String,
    /// What they say about it.
    pub message: String,
    /// What the new code may do that the old could not.
    pub granted: BTreeSet<Capability>,
    /// Whether it is rehearsed.
    pub rehearsal: Rehearsal,
    /// Go on even if the rehearsal fails: those actors stay where they are.
    pub is_forced: bool,
    /// Change nothing: only say what would happen.
    pub is_dry_run: bool,
    /// Which actors go over.
    pub plan: Plan,
}

/// What became of an upload.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The newest revision of its component; none after a dry run.
    pub revision: Option<RevisionInfo>,
    /// Whether it is a new one; otherwise the component was on the same bytes, or on the way to them, already.
    pub is_new: bool,
    /// What was found out about it.
    pub report: Report,
}

/// Why an upload was not deployed. Nothing has changed.
#[derive(Debug)]
pub struct NotDeployed {
    /// What the caller may know.
    pub error: ActorError,
    /// What was found out before, if that is of any use.
    pub report: Option<Box<Report>>,
}

impl From<ActorError> for NotDeployed {
    fn from(error: ActorError) -> Self {
        Self {
            error,
            report: None,
        }
    }
}

/// An upload that is a component of ours.
struct Upload {
    bytes: Bytes,
    hash: ComponentHash,
    name: ComponentName,
    compiled: Compiled,
    description: ComponentDescription,
}

impl Registry {
    /// Takes an upload: checks, compiles and describes it, compares it with what there is, tries it on copies of actors,
    /// and, if all that is well, keeps it as a new revision of its component and lets a rollout to it begin.
    ///
    /// # Errors
    ///
    /// `component.*` says what is wrong with it; nothing has changed then.
    pub(crate) async fn deploy(
        &self,
        bytes: Bytes,
        options: DeployOptions,
    ) -> Result<Deployment, NotDeployed> {
        let _turn = self.deploying.lock().await;
        let hash = Engine::hash(&bytes);
        let shown = self.progress.begin(hash, self.foundation.clock.now());
        let taken = self.take(hash, bytes, options, &shown).await;
        let is_taken = matches!(&taken, Ok(deployment) if deployment.revision.is_some());
        if !is_taken && !self.is_in_use(hash) {
            self.foundation.engine.forget(hash).await;
        }
        taken
    }

    async fn take(
        &self,
        hash: ComponentHash,
        bytes: Bytes,
        options: DeployOptions,
        shown: &UnderWay<'_>,
    ) -> Result<Deployment, NotDeployed> {
        let upload = self.read(hash, bytes).await?;
        shown.named(&upload.name);
        let component = self.component(&upload.name);
        let newest = component.as_ref().map(|component| component.newest());
        let mut report = self.compare(&upload, newest.map(|newest| &**newest));
        if newest.is_some_and(|newest| newest.record.hash == hash) {
            return Ok(Deployment {
                revision: component.as_deref().map(newest_info),
                is_new: false,
                report,
            });
        }
        let refused = |error, report: &Report| NotDeployed {
            error,
            report: Some(Box::new(report.clone())),
        };
        let types = actor_types(&upload.description).into_iter();
        if let Some(error) = self.taken(&upload.name, types) {
            return Err(refused(error, &report));
        }
        let under_way = component.as_deref().and_then(under_way);
        if let Some(error) = under_way.filter(|_| !options.is_dry_run) {
            return Err(refused(error, &report));
        }
        if let Some(error) = report.not_granted(&options.granted) {
            return Err(refused(error, &report));
        }
        let rehearsed = self.rehearse_in_peace(&upload, &options, shown, &mut report);
        let turn = rehearsed.await?;
        if let Some(error) = report.unfit().filter(|_| !options.is_forced) {
            return Err(refused(error, &report));
        }
        if options.is_dry_run {
            return Ok(Deployment {
                revision: None,
                is_new: false,
                report,
            });
        }
        let compared_with = newest.map(|newest| newest.id());
        let put = self.put(&turn, upload, compared_with, options);
        let (revision, is_new) = put.await?;
        Ok(Deployment {
            revision: Some(revision),
            is_new,
            report,
        })
    }

    async fn read(&self, hash: ComponentHash, bytes: Bytes) -> Result<Upload, ActorError> {
        let engine = &self.foundation.engine;
        let compiled = engine.compile(bytes.clone()).await;
        let compiled = compiled.map_err(|error| refused(&error))?;
        let description = engine.describe(&compiled).await;
        let description = description.map_err(|error| refused(&error))?;
        Ok(Upload {
            name: ComponentName::new(&description.name).map_err(internal)?,
            bytes,
            hash,
            compiled,
            description,
        })
    }

    fn compare(&self, upload: &Upload, newest: Option<&Deployed>) -> Report {
        let limits = &self.foundation.limits;
        let description = &upload.description;
        let old = newest.map(|newest| &newest.description);
        let capabilities = description.capabilities.clone();
        let widened = old.map_or_else(BTreeSet::new, |old| {
            let known = &old.capabilities;
            capabilities.difference(known).copied().collect()
        });
        let is_migrating = old.is_some_and(|old| {
            let mut types = old.actor_types.iter();
            types.any(|old| {
                let mut new = description.actor_types.iter();
                new.any(|new| new.name == old.name && new.state_version != old.state_version)
            })
        });
        Report {
            component: upload.name.to_string(),
            compared_with: newest.map(|newest| newest.record.number.0),
            hash: upload.hash.to_string(),
            limits: LimitsReport {
                size_bytes: upload.bytes.len() as u64,
                size_bytes_max: limits.component_bytes_max as u64,
                memory_bytes: upload.compiled.initial_memory_bytes(),
                memory_bytes_max: limits.guest_memory_bytes_max as u64,
            },
            differences: old.map_or_else(Vec::new, |old| differences(old, description)),
            capabilities,
            widened,
            is_migrating,
            rehearsal: None,
        }
    }

    /// Rehearses again if a rollout arrives meanwhile: what has arrived is overtaken no longer, and what it wrote stays.
    /// Nothing changes what components run on while the caller holds what this returns.
    async fn rehearse_in_peace(
        &self,
        upload: &Upload,
        options: &DeployOptions,
        shown: &UnderWay<'_>,
        report: &mut Report,
    ) -> Result<MutexGuard<'_, ()>, ActorError> {
        let name = &upload.name;
        for _ in 0..REHEARSALS_MAX {
            let overtaken = self.overtaken(name);
            report.rehearsal = None;
            self.rehearse(upload, options, shown, overtaken, report)
                .await?;
            let turn = self.changing.lock().await;
            if report.rehearsal.is_none() || overtaken == self.overtaken(name) {
                return Ok(turn);
            }
        }
        Err(changed_meanwhile(name))
    }

    /// The revision that a deploy would overtake now.
    fn overtaken(&self, name: &ComponentName) -> Option<RevisionId> {
        Some(self.component(name)?.rollout.as_ref()?.target.id())
    }

    async fn rehearse(
        &self,
        upload: &Upload,
        options: &DeployOptions,
        shown: &UnderWay<'_>,
        overtaken: Option<RevisionId>,
        report: &mut Report,
    ) -> Result<(), ActorError> {
        let most = self.foundation.limits.rehearsal_actors_max;
        let count_max = match options.rehearsal {
            Rehearsal::No => return Ok(()),
            // An earlier deploy, or one that was rolled back, may have left states that have still to be migrated, or
            // that this one cannot read.
            Rehearsal::IfMigrated
                if !migrates(upload) && !self.has_other_versions(upload).await? =>
            {
                return Ok(());
            }
            Rehearsal::IfMigrated => Some(most),
            Rehearsal::All => None,
            Rehearsal::Sample(count) => Some(count.min(SAMPLE_MAX)),
        };
        // Without a number: it is none yet.
        let record = self.record(upload, options);
        let compiled = Some(upload.compiled.clone());
        let target = Deployed::new(record, upload.description.clone(), compiled);
        let only_migrated = options.rehearsal == Rehearsal::IfMigrated;
        let wanted = Wanted {
            count_max,
            only_migrated,
            plan: &options.plan,
            shown,
            overtaken,
        };
        let rehearsed = rehearsal::run(&self.foundation, &target, &wanted).await?;
        if !only_migrated || report.is_migrating || rehearsed.tried > 0 {
            report.rehearsal = Some(rehearsed);
        }
        Ok(())
    }

    /// Whether some state may have been written in another version than the upload has.
    async fn has_other_versions(&self, upload: &Upload) -> Result<bool, ActorError> {
        let revisions = self.foundation.storage.revisions(&upload.name).await;
        for revision in revisions.map_err(storage_error)? {
            // One that cannot be read any more may have had any.
            let Ok(was) = parse(&revision) else {
                return Ok(true);
            };
            let was = was.actor_types;
            let is_other = upload.description.actor_types.iter().any(|new| {
                let mut was = was.iter();
                was.any(|was| was.name == new.name && was.state_version != new.state_version)
            });
            if is_other {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn record(&self, upload: &Upload, options: &DeployOptions) -> RevisionRecord {
        RevisionRecord {
            id: RevisionId(0),
            component: upload.name.clone(),
            number: greenroom_model::Revision(0),
            hash: upload.hash,
            size_bytes: upload.bytes.len() as u64,
            description: String::new(),
            created_at: self.foundation.clock.now(),
            deployed_by: options.deployed_by.clone(),
            message: options.message.clone(),
            rolled_back: None,
            rolled_back_at: None,
            is_kept: true,
        }
    }

    async fn put(
        &self,
        _turn: &MutexGuard<'_, ()>,
        upload: Upload,
        compared_with: Option<RevisionId>,
        options: DeployOptions,
    ) -> Result<(RevisionInfo, bool), ActorError> {
        let component = self.component(&upload.name);
        // It may have been rolled back, or held up, while the upload was tried.
        let newest = component.as_ref().map(|component| component.newest().id());
        let is_held_up = component.as_deref().and_then(under_way).is_some();
        if newest != compared_with || is_held_up {
            return Err(changed_meanwhile(&upload.name));
        }
        let created_at = self.foundation.clock.now();
        let new = NewRevision {
            component: upload.name.clone(),
            hash: upload.hash,
            bytes: upload.bytes,
            actor_types: actor_types(&upload.description),
            description: serde_json::to_string(&upload.description).map_err(internal)?,
            created_at,
            deployed_by: options.deployed_by,
            message: options.message,
            plan: serde_json::to_string(&options.plan).map_err(internal)?,
            kept_max: self.foundation.limits.revisions_kept_max,
        };
        let put = self.foundation.storage.put_revision(new).await;
        let PutRevision { revision, is_new } = put.map_err(not_kept)?;
        info!(component = %revision.component, revision = %revision.number, "deployed");
        let compiled = Some(upload.compiled);
        let deployed = Arc::new(Deployed::new(revision, upload.description, compiled));
        let (component, status) = match component {
            Some(component) => {
                let target = deployed.clone();
                let plan = options.plan;
                let rollout = Rollout::new(target, plan, created_at, &self.foundation);
                let rollout = Some(rollout);
                let component = Component {
                    rollout,
                    ..Component::clone(&component)
                };
                (component, RevisionStatus::RollingOut)
            }
            None => {
                let component = Component {
                    name: upload.name,
                    current: deployed.clone(),
                    rollout: None,
                    changed: Arc::default(),
                };
                (component, RevisionStatus::Current)
            }
        };
        self.set(component);
        Ok((revision_info(&deployed, status), is_new))
    }

    /// Makes the target of a rollout under way the current revision.
    pub(crate) async fn arrive(&self, component: &Component) -> Result<Component, ActorError> {
        let Some(rollout) = &component.rollout else {
            return Ok(component.clone());
        };
        let arrived = Component {
            current: rollout.target.clone(),
            rollout: None,
            ..component.clone()
        };
        let switch = arrived.to_switch(self.foundation.clock.now())?;
        let switched = self.foundation.storage.switch(switch).await;
        switched.map_err(storage_error)?;
        self.set(arrived.clone());
        Ok(arrived)
    }

    fn is_in_use(&self, hash: ComponentHash) -> bool {
        self.all().iter().any(|component| {
            let target = component.rollout.as_ref().map(|rollout| &rollout.target);
            let mut both = target.into_iter().chain([&component.current]);
            both.any(|deployed| deployed.record.hash == hash)
        })
    }
}

/// Whether it can migrate anything at all.
fn migrates(upload: &Upload) -> bool {
    let mut types = upload.description.actor_types.iter();
    types.any(|t| !t.migrates_from.is_empty())
}

fn changed_meanwhile(name: &ComponentName) -> ActorError {
    let text = format!("{name} was changed meanwhile; try again");
    ActorError::new(codes::COMPONENT_ROLLOUT_ACTIVE, text)
}

fn newest_info(component: &Component) -> RevisionInfo {
    let newest = component.newest();
    revision_info(newest, status(component, &newest.record))
}

fn revision_info(deployed: &Deployed, status: RevisionStatus) -> RevisionInfo {
    RevisionInfo {
        record: deployed.record.clone(),
        description: deployed.description.clone(),
        status,
    }
}

/// Why nothing else can be deployed at present.
fn under_way(component: &Component) -> Option<ActorError> {
    let rollout = component.rollout.as_ref()?;
    if rollout.plan.is_everyone() && !rollout.is_paused && rollout.health.verdict().is_none() {
        return None;
    }
    let (name, number) = (&component.name, rollout.target.record.number);
    let text = format!(
        "the rollout of {name} to revision {number} is under way; promote it or roll it back first"
    );
    Some(ActorError::new(codes::COMPONENT_ROLLOUT_ACTIVE, text))
}

/// The names have been checked when the component was described.
fn actor_types(description: &ComponentDescription) -> Vec<greenroom_model::ActorType> {
    let types = description.actor_types.iter();
    types
        .filter_map(|t| greenroom_model::ActorType::new(&t.name).ok())
        .collect()
}

fn refused(refused: &Refused) -> ActorError {
    let code = match refused {
        Refused::Invalid(_) => codes::COMPONENT_INVALID,
        Refused::WrongWorld(_) => codes::COMPONENT_WRONG_WORLD,
        Refused::NotGranted(_) => codes::COMPONENT_NOT_GRANTED,
        Refused::TooLarge(_) => codes::COMPONENT_TOO_LARGE,
        Refused::BadDescription(_) => codes::COMPONENT_BAD_DESCRIPTION,
    };
    ActorError::new(code, refused.to_string())
}

fn not_kept(error: StorageError) -> ActorError {
    match error {
        StorageError::TypeTaken { .. } => {
            ActorError::new(codes::COMPONENT_TYPE_TAKEN, error.to_string())
        }
        error => storage_error(error),
    }
}
