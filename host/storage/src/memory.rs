//! An engine that keeps nothing beyond the process: for tests, and as the plainest reading of the
//! traits.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use greenroom_model::{
    ActorId, ActorName, ActorType, ComponentHash, ComponentName, ConnId, Generation, Head, Revision,
};

use crate::record::{
    ActorRecord, ActorRow, Commit, ConnChange, ConnRecord, Created, ListQuery, NewActor,
    NewRevision, Opened, Page, PutRevision, RevisionId, RevisionRecord,
};
use crate::{Actors, Components, Directory, Error, Result};

/// Everything in one table behind one lock.
#[derive(Debug, Default)]
pub struct Memory {
    data: Mutex<Data>,
}

#[derive(Debug, Default)]
struct Data {
    rows_made: i64,
    actors: BTreeMap<ActorId, ActorRecord>,
    by_name: HashMap<ActorName, ActorId>,
    kept: HashMap<ActorRow, Kept>,
    revisions: Vec<RevisionRecord>,
    bytes: HashMap<ComponentHash, Bytes>,
    owners: HashMap<ActorType, ComponentName>,
}

#[derive(Debug, Default)]
struct Kept {
    generation: Generation,
    head: Head,
    state: Option<Bytes>,
    revision: Option<RevisionId>,
    input: Option<Bytes>,
    conns: BTreeMap<ConnId, ConnRecord>,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        // Every change below is made in one go after all checks: a panic leaves nothing half done.
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Directory for Memory {
    async fn resolve(&self, name: &ActorName) -> Result<Option<ActorRecord>> {
        let data = self.data();
        Ok(data
            .by_name
            .get(name)
            .and_then(|id| data.actors.get(id))
            .cloned())
    }

    async fn find(&self, id: ActorId) -> Result<Option<ActorRecord>> {
        Ok(self.data().actors.get(&id).cloned())
    }

    async fn create(&self, new: NewActor) -> Result<Created> {
        let mut data = self.data();
        if let Some(actor) = data
            .by_name
            .get(&new.name)
            .and_then(|id| data.actors.get(id))
        {
            return Ok(Created {
                actor: actor.clone(),
                is_new: false,
            });
        }
        data.rows_made += 1;
        let row = ActorRow(data.rows_made);
        let NewActor {
            id,
            name,
            input,
            created_at,
        } = new;
        let actor = ActorRecord {
            row,
            id,
            name,
            created_at,
        };
        data.by_name.insert(actor.name.clone(), id);
        data.actors.insert(id, actor.clone());
        data.kept.insert(
            row,
            Kept {
                input,
                ..Kept::default()
            },
        );
        Ok(Created {
            actor,
            is_new: true,
        })
    }

    async fn list(&self, query: ListQuery) -> Result<Page> {
        let data = self.data();
        let mut wanted = data
            .actors
            .values()
            .filter(|a| {
                query
                    .namespace
                    .as_ref()
                    .is_none_or(|n| *n == a.name.namespace)
            })
            .filter(|a| {
                query
                    .actor_type
                    .as_ref()
                    .is_none_or(|t| *t == a.name.actor_type)
            })
            .filter(|a| query.after.is_none_or(|after| a.id > after))
            .cloned();
        let actors = wanted.by_ref().take(query.count_max).collect();
        Ok(Page {
            actors,
            has_more: wanted.next().is_some(),
        })
    }
}

#[async_trait]
impl Actors for Memory {
    async fn open(&self, actor: ActorRow) -> Result<Opened> {
        let mut data = self.data();
        let kept = data.kept.get_mut(&actor).ok_or(Error::Gone)?;
        kept.generation.0 += 1;
        Ok(Opened {
            generation: kept.generation,
            head: kept.head,
            state: kept.state.clone(),
            revision: kept.revision,
            input: kept.input.clone(),
            conns: kept.conns.values().cloned().collect(),
        })
    }

    async fn commit(&self, commit: Commit) -> Result<()> {
        let mut data = self.data();
        let kept = data.kept.get_mut(&commit.actor).ok_or(Error::Fenced)?;
        if (kept.generation, kept.head) != (commit.generation, commit.head) {
            return Err(Error::Fenced);
        }
        kept.head.0 += 1;
        kept.input = None;
        if let Some(state) = commit.state {
            kept.state = Some(state);
            kept.revision = Some(commit.revision);
        }
        for change in commit.conns {
            match change {
                ConnChange::Put(record) => kept.conns.insert(record.opening.id, record),
                ConnChange::Remove(id) => kept.conns.remove(&id),
            };
        }
        Ok(())
    }

    async fn destroy(&self, actor: ActorRow) -> Result<bool> {
        let mut data = self.data();
        if data.kept.remove(&actor).is_none() {
            return Ok(false);
        }
        data.actors.retain(|_, record| record.row != actor);
        let Data {
            actors, by_name, ..
        } = &mut *data;
        by_name.retain(|_, id| actors.contains_key(id));
        Ok(true)
    }
}

#[async_trait]
impl Components for Memory {
    async fn put_revision(&self, new: NewRevision) -> Result<PutRevision> {
        let mut data = self.data();
        for actor_type in &new.actor_types {
            match data.owners.get(actor_type) {
                Some(owner) if *owner != new.component => {
                    let (actor_type, owner) = (actor_type.clone(), owner.clone());
                    return Err(Error::TypeTaken { actor_type, owner });
                }
                _ => {}
            }
        }
        let current = data
            .revisions
            .iter()
            .rev()
            .find(|r| r.component == new.component);
        if let Some(revision) = current.filter(|r| r.hash == new.hash) {
            return Ok(PutRevision {
                revision: revision.clone(),
                is_new: false,
            });
        }
        let number = current.map_or(1, |r| r.number.0 + 1);
        let revision = RevisionRecord {
            id: RevisionId(data.revisions.len() as i64 + 1),
            component: new.component.clone(),
            number: Revision(number),
            hash: new.hash,
            size_bytes: new.bytes.len() as u64,
            description: new.description,
            created_at: new.created_at,
        };
        data.revisions.push(revision.clone());
        data.bytes.insert(new.hash, new.bytes);
        data.owners.retain(|_, owner| *owner != new.component);
        for actor_type in new.actor_types {
            data.owners.insert(actor_type, new.component.clone());
        }
        Ok(PutRevision {
            revision,
            is_new: true,
        })
    }

    async fn current_revisions(&self) -> Result<Vec<RevisionRecord>> {
        let data = self.data();
        let mut newest: BTreeMap<&ComponentName, &RevisionRecord> = BTreeMap::new();
        for revision in &data.revisions {
            newest.insert(&revision.component, revision);
        }
        Ok(newest.into_values().cloned().collect())
    }

    async fn revisions(&self, component: &ComponentName) -> Result<Vec<RevisionRecord>> {
        let data = self.data();
        Ok(data
            .revisions
            .iter()
            .rev()
            .filter(|r| r.component == *component)
            .cloned()
            .collect())
    }

    async fn component_bytes(&self, hash: ComponentHash) -> Result<Option<Bytes>> {
        Ok(self.data().bytes.get(&hash).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_every_promise() {
        crate::conformance::all(&Memory::new()).await;
    }
}
