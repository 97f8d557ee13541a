//! The actors that are awake on this host: get one, or activate it, once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use greenroom_actor::{Ended, Handle, Order, Parts, activate};
use greenroom_model::{ActorError, ActorId, codes};
use greenroom_storage::ActorRecord;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::alarms::Alarms;
use crate::directory::Directory;

/// So that callers of different actors seldom wait for the same lock.
const SHARDS: usize = 32;
/// Activations looked at to find some that can make room.
const EVICTION_SAMPLE_MAX: usize = 4_096;
/// Activations that are put to sleep at once to make room.
const EVICTION_BATCH: usize = 64;

type Shard = Mutex<HashMap<ActorId, Awake>>;

struct Awake {
    actor: Arc<ActorRecord>,
    handle: Handle,
}

pub(crate) struct Activations {
    shards: Arc<[Shard]>,
    directory: Arc<Directory>,
    alarms: Arc<Alarms>,
    parts: Parts,
    /// One permit for each activation.
    places: Arc<Semaphore>,
    /// Where to look next for somebody to make room.
    next_shard: AtomicUsize,
    tasks: TaskTracker,
    is_closing: AtomicBool,
}

impl Activations {
    pub(crate) fn new(directory: Arc<Directory>, alarms: Arc<Alarms>, parts: Parts) -> Self {
        Self {
            alarms,
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            directory,
            places: Arc::new(Semaphore::new(parts.limits.awake_max)),
            parts,
            next_shard: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
            is_closing: AtomicBool::new(false),
        }
    }

    /// The way to the actor's activation, which begins now if there is none. An activation that is about
    /// to end is waited for.
    pub(crate) async fn get_or_activate(
        &self,
        actor: &Arc<ActorRecord>,
    ) -> Result<Handle, ActorError> {
        loop {
            match self.get(actor.id) {
                Some(handle) if !handle.is_closed() => return Ok(handle),
                Some(ending) => ending.ended().await,
                None => {
                    let place = self.take_place().await?;
                    if let Some(handle) = self.begin(actor, place)? {
                        return Ok(handle);
                    }
                }
            }
        }
    }

    /// The way to the actor's activation, if it has one.
    pub(crate) fn get(&self, id: ActorId) -> Option<Handle> {
        lock(self.shard(id))
            .get(&id)
            .map(|awake| awake.handle.clone())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<(Arc<ActorRecord>, Handle)> {
        let mut all = Vec::new();
        for shard in &*self.shards {
            let shard = lock(shard);
            let awake = shard.values();
            all.extend(awake.map(|awake| (awake.actor.clone(), awake.handle.clone())));
        }
        all
    }

    /// Lets no activation begin any more, puts all to sleep, and waits for them.
    pub(crate) async fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.all().iter().for_each(|(_, handle)| handle.close());
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn shard(&self, id: ActorId) -> &Shard {
        &self.shards[shard_of(id)]
    }

    /// `None` if another caller was quicker.
    fn begin(
        &self,
        actor: &Arc<ActorRecord>,
        place: OwnedSemaphorePermit,
    ) -> Result<Option<Handle>, ActorError> {
        let mut shard = lock(self.shard(actor.id));
        // Looked at under the lock: whoever closes orders all in the table to sleep after setting it.
        if self.is_closing.load(Ordering::Acquire) {
            return Err(closing());
        }
        if shard.contains_key(&actor.id) {
            return Ok(None);
        }
        let (handle, life) = activate((**actor).clone(), self.parts.clone());
        let awake = Awake {
            actor: actor.clone(),
            handle: handle.clone(),
        };
        shard.insert(actor.id, awake);
        drop(shard);
        let departure = Departure {
            shards: self.shards.clone(),
            directory: self.directory.clone(),
            alarms: self.alarms.clone(),
            actor: actor.clone(),
            handle: handle.clone(),
            // Unless it says otherwise.
            ended: Ended::Broken,
            _place: place,
        };
        self.tasks.spawn(async move {
            // Moved in whole, so that it is dropped however the activation ends.
            let mut departure = departure;
            departure.ended = life.await;
            drop(departure);
        });
        Ok(Some(handle))
    }

    /// A place for one more, made by putting those to sleep that have been idle longest, if need be.
    async fn take_place(&self) -> Result<OwnedSemaphorePermit, ActorError> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        self.make_room();
        let limits = &self.parts.limits;
        let waited = timeout(limits.awake_wait_max, self.places.clone().acquire_owned()).await;
        waited.ok().and_then(Result::ok).ok_or_else(|| {
            let text = format!(
                "all {} places for awake actors are taken by actors that are busy; try again",
                limits.awake_max
            );
            ActorError::new(codes::SERVICE_UNAVAILABLE, text)
        })
    }

    fn make_room(&self) {
        let first = self.next_shard.fetch_add(1, Ordering::Relaxed);
        let mut idle: Vec<(Duration, Handle)> = Vec::new();
        for step in 0..SHARDS {
            let shard = lock(&self.shards[(first + step) % SHARDS]);
            let handles = shard.values().map(|awake| &awake.handle);
            idle.extend(handles.filter_map(|h| h.idle_for().map(|since| (since, h.clone()))));
            if idle.len() >= EVICTION_SAMPLE_MAX {
                break;
            }
        }
        idle.sort_unstable_by_key(|(since, _)| std::cmp::Reverse(*since));
        let count = idle.len().min(EVICTION_BATCH);
        debug!(count, "putting idle actors to sleep to make room");
        idle.iter()
            .take(count)
            .for_each(|(_, handle)| handle.order(Order::Sleep));
    }
}

/// What is to be done when an activation has ended, however it did.
struct Departure {
    shards: Arc<[Shard]>,
    directory: Arc<Directory>,
    alarms: Arc<Alarms>,
    actor: Arc<ActorRecord>,
    handle: Handle,
    ended: Ended,
    _place: OwnedSemaphorePermit,
}

impl Drop for Departure {
    fn drop(&mut self) {
        if self.ended == Ended::Gone {
            self.directory.forget(&self.actor);
        }
        let mut shard = lock(&self.shards[shard_of(self.actor.id)]);
        if shard
            .get(&self.actor.id)
            .is_some_and(|awake| awake.handle.is_same(&self.handle))
        {
            shard.remove(&self.actor.id);
        }
        drop(shard);
        // It is no longer in the table, so that it can be woken.
        self.alarms.ended(self.actor.id, self.ended);
        // Last: whoever waited for it looks at the table again.
        self.handle.set_ended();
    }
}

const fn shard_of(id: ActorId) -> usize {
    // The low bits of an id are its random ones.
    id.as_u128() as usize % SHARDS
}

fn lock(shard: &Shard) -> MutexGuard<'_, HashMap<ActorId, Awake>> {
    // A map is never left half changed.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn closing() -> ActorError {
    ActorError::new(
        codes::SERVICE_UNAVAILABLE,
        "the host is stopping; try again in a moment",
    )
}
