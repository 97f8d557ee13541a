//! An engine that keeps nothing beyond the process: for tests, and as the plainest reading of the
//! traits.

mod actor_data;
mod components;
mod pins;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use greenroom_model::{ActorId, ActorName, KvQuery, Millis};

use self::actor_data::ActorData;
use self::components::Components;
use crate::record::{
    ActorRecord, ActorRow, Alarm, Commit, Created, Kept, ListQuery, NewActor, Opened, Page,
    RevisionId, StoredPairs,
};
use crate::{Actors, Alarms, Directory, Error, Result};

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
    kept: HashMap<ActorRow, ActorData>,
    components: Components,
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
        data.kept.insert(row, ActorData::new(input));
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
        Ok(data.kept.get_mut(&actor).ok_or(Error::Gone)?.open())
    }

    async fn peek(&self, actor: ActorRow) -> Result<Opened> {
        let data = self.data();
        Ok(data.kept.get(&actor).ok_or(Error::Gone)?.peek())
    }

    async fn replaced(&self, actor: ActorRow) -> Result<Option<(RevisionId, u32, Bytes)>> {
        let data = self.data();
        Ok(data.kept.get(&actor).and_then(ActorData::replaced))
    }

    async fn restore(&self, actor: ActorRow) -> Result<bool> {
        let mut data = self.data();
        Ok(data.kept.get_mut(&actor).is_some_and(ActorData::restore))
    }

    async fn commit(&self, commit: Commit) -> Result<Kept> {
        let mut data = self.data();
        let kept = data.kept.get_mut(&commit.actor);
        kept.ok_or(Error::Fenced)?.commit(commit)
    }

    async fn kv_get(
        &self,
        actor: ActorRow,
        keys: Vec<Bytes>,
        bytes_max: usize,
    ) -> Result<Vec<Option<Bytes>>> {
        let data = self.data();
        let kept = data.kept.get(&actor);
        let values = keys.iter().map(|key| kept.and_then(|kept| kept.value(key)));
        let mut bytes = 0;
        let fit = values.take_while(|value: &Option<Bytes>| {
            bytes += value.as_ref().map_or(0, Bytes::len);
            bytes <= bytes_max
        });
        Ok(fit.collect())
    }

    async fn kv_list(
        &self,
        actor: ActorRow,
        query: KvQuery,
        bytes_max: usize,
    ) -> Result<StoredPairs> {
        let data = self.data();
        let page = data
            .kept
            .get(&actor)
            .map(|kept| kept.list(&query, bytes_max));
        Ok(page.unwrap_or_default())
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
impl Alarms for Memory {
    async fn due_alarms(
        &self,
        now: Millis,
        after: Option<(Millis, ActorRow)>,
        count_max: usize,
    ) -> Result<Vec<Alarm>> {
        let data = self.data();
        let alarm = |actor: &ActorRecord| {
            let at = data.kept.get(&actor.row)?.alarm()?;
            let actor = actor.clone();
            Some(Alarm { at, actor })
        };
        let mut due: Vec<Alarm> = data.actors.values().filter_map(alarm).collect();
        due.retain(|a| a.at <= now && after.is_none_or(|after| (a.at, a.actor.row) > after));
        due.sort_by_key(|alarm| (alarm.at, alarm.actor.row));
        due.truncate(count_max);
        Ok(due)
    }

    async fn next_alarm(&self, after: Millis) -> Result<Option<Millis>> {
        let data = self.data();
        let alarms = data.kept.values().filter_map(ActorData::alarm);
        Ok(alarms.filter(|at| *at > after).min())
    }

    async fn pull_alarms(&self, set_after: Millis, now: Millis, count_max: usize) -> Result<usize> {
        let mut data = self.data();
        let kept = data.kept.values_mut();
        let pulled = kept.filter_map(|kept| kept.pull_alarm(set_after, now).then_some(()));
        Ok(pulled.take(count_max).count())
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
