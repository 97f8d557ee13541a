//! The components that actors run on.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use bytes::Bytes;
use greenroom_model::{ActorType, ComponentHash, ComponentName, Millis, Revision};

use super::{Data, Memory};
use crate::record::{
    ComponentRecord, Migrated, NewRevision, Pin, PutRevision, RevisionId, RevisionRecord,
    RolloutRecord, Switch,
};
use crate::{Error, Result};

#[derive(Debug, Default)]
pub(super) struct Components {
    pub(super) revisions: Vec<RevisionRecord>,
    bytes: HashMap<ComponentHash, Bytes>,
    owners: HashMap<ActorType, ComponentName>,
    runs_on: BTreeMap<ComponentName, RunsOn>,
}

#[derive(Debug)]
struct RunsOn {
    current: RevisionId,
    rollout: Option<Way>,
}

#[derive(Debug)]
struct Way {
    target: RevisionId,
    plan: String,
    is_paused: bool,
    begun_at: Millis,
}

impl Components {
    /// `None` if there is none with this id.
    fn revision(&self, id: RevisionId) -> Option<RevisionRecord> {
        let found = self.revisions.iter().find(|revision| revision.id == id)?;
        let is_kept = self.bytes.contains_key(&found.hash);
        let found = found.clone();
        Some(RevisionRecord { is_kept, ..found })
    }

    /// Which of its types is another component's.
    fn taken(&self, new: &NewRevision) -> Option<Error> {
        new.actor_types.iter().find_map(|actor_type| {
            let owner = self.owners.get(actor_type)?;
            (*owner != new.component).then(|| Error::TypeTaken {
                actor_type: actor_type.clone(),
                owner: owner.clone(),
            })
        })
    }

    /// A rollout to the revision begins, unless it is the first.
    fn set_out(&mut self, name: &ComponentName, target: RevisionId, plan: String, at: Millis) {
        let first = || RunsOn {
            current: target,
            rollout: None,
        };
        let known = self.runs_on.entry(name.clone()).or_insert_with(first);
        if known.current != target {
            known.rollout = Some(Way {
                target,
                plan,
                is_paused: false,
                begun_at: at,
            });
        }
    }

    fn record(&self, runs_on: &RunsOn) -> Option<ComponentRecord> {
        let rollout = match &runs_on.rollout {
            Some(way) => Some(RolloutRecord {
                target: self.revision(way.target)?,
                plan: way.plan.clone(),
                is_paused: way.is_paused,
                begun_at: way.begun_at,
            }),
            None => None,
        };
        let current = self.revision(runs_on.current)?;
        Some(ComponentRecord { current, rollout })
    }

    /// Whether there is such a revision whose bytes are there.
    pub(super) fn is_kept(&self, id: RevisionId) -> bool {
        let mut revisions = self.revisions.iter();
        revisions.any(|r| r.id == id && self.bytes.contains_key(&r.hash))
    }

    pub(super) fn in_use(&self) -> impl Iterator<Item = RevisionId> {
        self.runs_on.values().flat_map(|runs_on| {
            let target = runs_on.rollout.as_ref().map(|way| way.target);
            std::iter::once(runs_on.current).chain(target)
        })
    }
}

fn drop_old_bytes(data: &mut Data, component: &ComponentName, kept_max: u32) {
    let pins = data.kept.values().filter_map(|kept| kept.pin.as_ref());
    let migrated = data.kept.values().filter_map(|kept| kept.replaced.as_ref());
    let pinned: Vec<RevisionId> = pins
        .map(|pin| pin.revision)
        .chain(migrated.map(|earlier| earlier.mark.by))
        .collect();
    let components = &mut data.components;
    let used: Vec<RevisionId> = components.in_use().chain(pinned).collect();
    let of_component = components.revisions.iter().rev();
    let newest: Vec<RevisionId> = of_component
        .filter(|revision| revision.component == *component)
        .take(kept_max as usize)
        .map(|revision| revision.id)
        .collect();
    let kept: Vec<ComponentHash> = components
        .revisions
        .iter()
        .filter(|r| r.component != *component || newest.contains(&r.id) || used.contains(&r.id))
        .map(|revision| revision.hash)
        .collect();
    components.bytes.retain(|hash, _| kept.contains(hash));
}

#[async_trait]
impl crate::Components for Memory {
    async fn put_revision(&self, new: NewRevision) -> Result<PutRevision> {
        let mut data = self.data();
        let components = &mut data.components;
        if let Some(taken) = components.taken(&new) {
            return Err(taken);
        }
        let known = components.runs_on.get(&new.component);
        let newest = known.map(|known| match &known.rollout {
            Some(way) => way.target,
            None => known.current,
        });
        let newest = newest.and_then(|id| components.revision(id));
        if let Some(revision) = newest.filter(|newest| newest.hash == new.hash) {
            return Ok(PutRevision {
                revision,
                is_new: false,
            });
        }
        let of_component = components.revisions.iter();
        let number = of_component
            .filter(|revision| revision.component == new.component)
            .map(|revision| revision.number.0)
            .max()
            .map_or(1, |number| number + 1);
        let id = RevisionId(components.revisions.len() as i64 + 1);
        let revision = RevisionRecord {
            id,
            component: new.component.clone(),
            number: Revision(number),
            hash: new.hash,
            size_bytes: new.bytes.len() as u64,
            description: new.description,
            created_at: new.created_at,
            deployed_by: new.deployed_by,
            message: new.message,
            rolled_back: None,
            rolled_back_at: None,
            is_kept: true,
        };
        let before = components.runs_on.get(&new.component);
        let before = before.and_then(|known| known.rollout.as_ref());
        if let Some(target) = before.map(|way| way.target) {
            let mut all = components.revisions.iter_mut();
            if let Some(overtaken) = all.find(|revision| revision.id == target) {
                overtaken.rolled_back = Some(crate::record::overtaken(number));
                overtaken.rolled_back_at = Some(new.created_at);
            }
        }
        components.revisions.push(revision.clone());
        components.bytes.insert(new.hash, new.bytes);
        components.set_out(&new.component, id, new.plan, new.created_at);
        for actor_type in new.actor_types {
            components.owners.insert(actor_type, new.component.clone());
        }
        drop_old_bytes(&mut data, &new.component, new.kept_max);
        Ok(PutRevision {
            revision,
            is_new: true,
        })
    }

    async fn components(&self) -> Result<Vec<ComponentRecord>> {
        let data = self.data();
        let runs_on = data.components.runs_on.values();
        Ok(runs_on
            .filter_map(|runs_on| data.components.record(runs_on))
            .collect())
    }

    async fn switch(&self, switch: Switch) -> Result<()> {
        let data = &mut *self.data();
        let components = &mut data.components;
        if let Some(runs_on) = components.runs_on.get_mut(&switch.component) {
            let before = runs_on.rollout.take();
            runs_on.current = switch.current;
            runs_on.rollout = switch.rollout.map(|(target, plan, is_paused)| Way {
                target,
                plan,
                is_paused,
                begun_at: match before {
                    Some(before) if before.target == target => before.begun_at,
                    _ => switch.at,
                },
            });
        }
        if let Some((id, why)) = switch.rolled_back
            && let Some(revision) = components.revisions.iter_mut().find(|r| r.id == id)
        {
            revision.rolled_back = Some(why);
            revision.rolled_back_at = Some(switch.at);
            let is_over = |pin: &mut Pin| pin.refused == Some(id) && pin.revision == switch.current;
            for kept in data.kept.values_mut() {
                _ = kept.pin.take_if(is_over);
            }
        }
        let owners = &mut components.owners;
        owners.retain(|_, owner| *owner != switch.component);
        for actor_type in switch.actor_types {
            owners.insert(actor_type, switch.component.clone());
        }
        Ok(())
    }

    async fn revision(&self, id: RevisionId) -> Result<Option<RevisionRecord>> {
        Ok(self.data().components.revision(id))
    }

    async fn revisions(&self, component: &ComponentName) -> Result<Vec<RevisionRecord>> {
        let data = self.data();
        let newest_first = data.components.revisions.iter().rev();
        let of_component = newest_first.filter(|revision| revision.component == *component);
        Ok(of_component
            .filter_map(|revision| data.components.revision(revision.id))
            .collect())
    }

    async fn component_bytes(&self, hash: ComponentHash) -> Result<Option<Bytes>> {
        Ok(self.data().components.bytes.get(&hash).cloned())
    }

    async fn migrated(&self, by: RevisionId, count_max: usize) -> Result<Migrated> {
        let data = self.data();
        let mut migrated = Migrated::default();
        let mut actors: Vec<_> = data.actors.values().collect();
        actors.sort_by_key(|actor| actor.row);
        for actor in actors {
            let Some(kept) = data.kept.get(&actor.row) else {
                continue;
            };
            let Some(earlier) = kept.replaced.as_ref().filter(|e| e.mark.by == by) else {
                continue;
            };
            migrated.count += 1;
            if earlier.mark.head != kept.state_head() {
                migrated.committed_count += 1;
                if migrated.committed.len() < count_max {
                    migrated.committed.push(actor.clone());
                }
            }
        }
        Ok(migrated)
    }

    async fn forget_replaced(&self, by: RevisionId, count_max: usize) -> Result<usize> {
        let mut data = self.data();
        let kept = data.kept.values_mut();
        let earlier = kept.filter(|kept| kept.replaced.as_ref().is_some_and(|e| e.mark.by == by));
        let mut count = 0;
        for kept in earlier.take(count_max) {
            kept.replaced = None;
            count += 1;
        }
        Ok(count)
    }
}
