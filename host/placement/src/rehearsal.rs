//! Whether actors would start on a revision, tried on copies of what they have before anything is changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use greenroom_actor::{ActiveType, Rehearsed, Stage, rehearse};
use greenroom_model::{ActorError, ActorId, ActorType};
use greenroom_storage::{ActorRecord, ListQuery, RevisionId};
use serde::Serialize;
use tokio::time::Instant;
use tracing::info;
use wildmatch::WildMatch;

use crate::Foundation;
use crate::deployed::Deployed;
use crate::directory::storage_error;
use crate::progress::UnderWay;
use crate::rollout::Plan;

/// Actors that are tried at once: the machine has others to serve.
const AT_ONCE: usize = 4;
/// Actors read from the store at once.
const PAGE: usize = 1_000;
/// Failures that are named.
pub(crate) const NAMED_MAX: usize = 1_000;

/// Whether there is a rehearsal, and of how many actors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rehearsal {
    /// Of the actors whose states have to be migrated, if the new revision migrates any.
    #[default]
    IfMigrated,
    /// None.
    No,
    /// Of all actors.
    All,
    /// Of so many, evenly out of all.
    Sample(usize),
}

/// What a rehearsal came to.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RehearsalReport {
    /// How many actors there are.
    pub actors: u64,
    /// How many of them were tried. Those that have never committed anything, and those that an operator has
    /// pinned, are not; nor are, unless more was asked for, those that need no migration.
    pub tried: u64,
    /// How many would start.
    pub fine: u64,
    /// How many would not.
    pub failed: u64,
    /// How many of those go over at first, as far as the plan says. With any, the deploy is refused.
    pub failed_at_first: u64,
    /// Those that would not, with the reasons; the first 1,000.
    pub failures: Vec<Unfit>,
    /// How many cannot start without calling other actors, which a rehearsal does not.
    pub unclear: u64,
    /// Those, with what happened instead; the first 1,000.
    pub unclear_actors: Vec<Unfit>,
    /// Whether it was broken off because it took too long.
    pub is_incomplete: bool,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// An actor that would not start, and why.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unfit {
    /// Its id.
    pub actor_id: String,
    /// Its namespace.
    pub namespace: String,
    /// Its type.
    pub actor_type: String,
    /// Its key, serialized.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// Which actors are tried, and how it counts.
pub(crate) struct Wanted<'a> {
    /// At most so many of each type; all, without a number.
    pub(crate) count_max: Option<usize>,
    /// Only those whose states have to be migrated.
    pub(crate) only_migrated: bool,
    /// Those that go over at first: what becomes of others is told, and no reason to refuse the deploy.
    pub(crate) plan: &'a Plan,
    /// A revision that counts as rolled back if this one is deployed, because its rollout is not over.
    pub(crate) overtaken: Option<RevisionId>,
    /// Where it is shown how far it has got.
    pub(crate) shown: &'a UnderWay<'a>,
}

/// Tries actors of all types of `target`.
///
/// # Errors
///
/// If the store cannot be read, or the revision cannot be loaded.
pub(crate) async fn run(
    foundation: &Foundation,
    target: &Deployed,
    wanted: &Wanted<'_>,
) -> Result<RehearsalReport, ActorError> {
    let began = Instant::now();
    let end = began + foundation.limits.rehearsal_max;
    let stage = Stage {
        storage: foundation.storage.clone(),
        engine: foundation.engine.clone(),
        clock: foundation.clock.clone(),
        limits: foundation.limits.clone(),
    };
    info!(component = %target.record.component, "rehearsing");
    let mut report = RehearsalReport::default();
    let revisions = foundation.storage.revisions(&target.record.component).await;
    let revisions = revisions.map_err(storage_error)?.into_iter();
    let rolled_back = revisions.filter(|record| record.rolled_back.is_some());
    let rolled_back = rolled_back.map(|record| record.id).chain(wanted.overtaken);
    let rolled_back: Vec<RevisionId> = rolled_back.collect();
    let patterns = wanted.plan.patterns();
    for actor_type in target.actor_types() {
        let Some(active) = target.active(&actor_type, foundation).await? else {
            continue;
        };
        let trying = Trying {
            stage: &stage,
            active: &active,
            wanted,
            patterns: &patterns,
            rolled_back: &rolled_back,
            end,
        };
        report.try_type(&trying, &actor_type).await?;
    }
    report.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let RehearsalReport { tried, failed, .. } = report;
    info!(component = %target.record.component, tried, failed, "rehearsed");
    Ok(report)
}

/// How actors of one type are tried.
struct Trying<'a> {
    stage: &'a Stage,
    active: &'a Arc<ActiveType>,
    wanted: &'a Wanted<'a>,
    patterns: &'a [WildMatch],
    rolled_back: &'a [RevisionId],
    end: Instant,
}

impl RehearsalReport {
    /// Page by page if all are wanted, so that it does not matter how many there are.
    async fn try_type(
        &mut self,
        trying: &Trying<'_>,
        actor_type: &ActorType,
    ) -> Result<(), ActorError> {
        let mut chosen: BTreeMap<(u64, ActorId), ActorRecord> = BTreeMap::new();
        let mut query = ListQuery {
            namespace: None,
            actor_type: Some(actor_type.clone()),
            after: None,
            count_max: PAGE,
        };
        loop {
            if Instant::now() > trying.end {
                self.is_incomplete = true;
                break;
            }
            let page = trying.stage.storage.list(query.clone()).await;
            let page = page.map_err(storage_error)?;
            query.after = page.actors.last().map(|actor| actor.id);
            self.actors += page.actors.len() as u64;
            let Some(count_max) = trying.wanted.count_max else {
                self.try_all(trying, page.actors).await;
                if page.has_more {
                    continue;
                }
                break;
            };
            // The low bits of ids are random: those with the smallest are a fair sample.
            for actor in page.actors {
                chosen.insert((luck(actor.id), actor.id), actor);
                if chosen.len() > count_max {
                    chosen.pop_last();
                }
            }
            if !page.has_more {
                break;
            }
        }
        let mut actors: Vec<ActorRecord> = chosen.into_values().collect();
        actors.sort_by_key(|actor| actor.id);
        self.try_all(trying, actors).await;
        Ok(())
    }

    async fn try_all(&mut self, trying: &Trying<'_>, actors: Vec<ActorRecord>) {
        trying.wanted.shown.found(actors.len());
        let tries = stream::iter(actors).map(async |actor| {
            if Instant::now() > trying.end {
                return (actor, None);
            }
            let Trying {
                stage,
                active,
                wanted,
                rolled_back,
                ..
            } = trying;
            let only_migrated = wanted.only_migrated;
            let rehearsed = rehearse(&actor, active, stage, only_migrated, rolled_back).await;
            (actor, Some(rehearsed))
        });
        let mut tries = std::pin::pin!(tries.buffered(AT_ONCE));
        while let Some((actor, rehearsed)) = tries.next().await {
            trying.wanted.shown.tried();
            match rehearsed {
                Some(rehearsed) => {
                    let name = &actor.name;
                    let goes = trying
                        .wanted
                        .plan
                        .selects(trying.patterns, (actor.id, &name.actor_type, &name.key));
                    self.add(&actor, rehearsed, goes);
                }
                None => self.is_incomplete = true,
            }
        }
    }

    fn add(&mut self, actor: &ActorRecord, rehearsed: Rehearsed, goes: bool) {
        self.tried += u64::from(rehearsed != Rehearsed::Nothing);
        match rehearsed {
            Rehearsed::Nothing => {}
            Rehearsed::Fine => self.fine += 1,
            Rehearsed::Failed(reason) => {
                self.failed += 1;
                self.failed_at_first += u64::from(goes);
                name(&mut self.failures, actor, &reason);
            }
            Rehearsed::Unclear(reason) => {
                self.unclear += 1;
                name(&mut self.unclear_actors, actor, &reason);
            }
        }
    }
}

fn name(list: &mut Vec<Unfit>, actor: &ActorRecord, reason: &str) {
    if list.len() >= NAMED_MAX {
        return;
    }
    // The first line; what follows is a backtrace.
    let line = reason.lines().next().unwrap_or_default();
    list.push(Unfit {
        actor_id: actor.id.to_string(),
        namespace: actor.name.namespace.to_string(),
        actor_type: actor.name.actor_type.to_string(),
        key: actor.name.key.as_serialized().to_owned(),
        reason: line.chars().take(500).collect(),
    });
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
const fn luck(id: ActorId) -> u64 {
    id.as_u128() as u64
}
