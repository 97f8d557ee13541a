//! Whether an actor could start on other code: tried on a copy of what it has, with all effects discarded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use greenroom_model::{
    ActorError, ActorId, ActorName, Clock, Completion, Head, Limits, Lineage, Namespace, Outbound,
    Target, Wait, codes,
};
use greenroom_runtime::{
    Arriving, Crash, Engine, Guest, Identity, Instance, Restored, Setup, Snapshot,
};
use greenroom_storage::{ActorRecord, Opened, RevisionId, Storage};
use tokio::time::timeout;

use crate::conns::Conns;
use crate::data::{self, Data};
use crate::entry::wake;
use crate::handle::Output;
use crate::revisions::ActiveType;
use crate::waiters::Waiters;

/// What a rehearsal of one actor came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rehearsed {
    /// It starts.
    Fine,
    /// It was not tried: it has never been committed, is gone, stays where an operator has pinned it, or needs no migration.
    Nothing,
    /// It does not start.
    Failed(String),
    /// It does not start without other actors, which a rehearsal must not call.
    Unclear(String),
}

/// What a rehearsal needs.
#[derive(Clone)]
pub struct Stage {
    /// Where what the actors have is read.
    pub storage: Arc<dyn Storage>,
    /// Where instances are made.
    pub engine: Engine,
    /// Wall time, for what is scheduled.
    pub clock: Arc<dyn Clock>,
    /// The bounds.
    pub limits: Arc<Limits>,
}

/// Tries to start the actor on `active`, as it was last committed. Nobody notices anything of that: the actor may be awake
/// meanwhile, and nothing is written or sent. With `only_migrated`, only if its state has to be migrated. A state that was
/// migrated by one of the revisions that were `rolled_back` will be put back first. Cancel-safe.
pub async fn rehearse(
    actor: &ActorRecord,
    active: &Arc<ActiveType>,
    stage: &Stage,
    only_migrated: bool,
    rolled_back: &[RevisionId],
) -> Rehearsed {
    let mut opened = match stage.storage.peek(actor.row).await {
        Ok(opened) if opened.head == Head(0) => return Rehearsed::Nothing,
        Ok(opened) => opened,
        Err(greenroom_storage::Error::Gone) => return Rehearsed::Nothing,
        Err(error) => return Rehearsed::Unclear(error.to_string()),
    };
    if opened.pin.as_ref().is_some_and(|pin| pin.refused.is_none()) {
        return Rehearsed::Nothing;
    }
    // It would begin with what is put back then.
    if let Some(replaced) = opened.replaced
        && rolled_back.contains(&replaced.by)
    {
        match stage.storage.replaced(actor.row).await {
            Ok(Some((by, version, state))) => {
                (opened.revision, opened.state_version) = (Some(by), version);
                opened.state = Some(state);
            }
            Ok(None) => {}
            Err(error) => return Rehearsed::Unclear(error.to_string()),
        }
    }
    let from = active.migrates(&opened.state, opened.state_version);
    if only_migrated && from.is_none() {
        return Rehearsed::Nothing;
    }
    let identity = Arc::new(Identity {
        id: actor.id,
        actor_type: actor.name.actor_type.clone(),
        key: actor.name.key.clone(),
        namespace: actor.name.namespace.clone(),
    });
    let setup = data::Setup {
        actor: actor.row,
        id: actor.id,
        active: active.clone(),
        storage: stage.storage.clone(),
        clock: stage.clock.clone(),
        waiters: Arc::new(Waiters::default()),
        limits: stage.limits.clone(),
    };
    // What the guest changes stays in here, and is dropped with it.
    let data = Arc::new(Data::new(setup, &mut opened));
    let alone = Arc::new(Alone::default());
    let setup = Setup {
        identity: identity.clone(),
        outbound: alone.clone(),
        data,
    };
    let starting = start(&stage.engine, active, &identity, setup, opened);
    let most = stage.limits.start_timeout;
    let started = match timeout(most, starting).await {
        Ok(started) => started,
        Err(_) => Err(Broken::Said(format!("it took over {most:?} to start"))),
    };
    match started {
        Ok(bytes) if bytes > stage.limits.state_bytes_max => {
            let most = stage.limits.state_bytes_max;
            Rehearsed::Failed(format!(
                "its state would have {bytes} bytes; {most} are allowed"
            ))
        }
        Ok(_) => Rehearsed::Fine,
        // The host is full; that is not its fault.
        Err(Broken::Crash(Crash::NoRoom(text), _)) => Rehearsed::Unclear(text),
        Err(broken) if alone.was_asked.load(Ordering::Relaxed) => {
            Rehearsed::Unclear(broken.reason())
        }
        Err(broken) => Rehearsed::Failed(broken.reason()),
    }
}

/// Why it did not start.
enum Broken {
    /// With what the guest wrote last.
    Crash(Crash, String),
    Said(String),
}

impl Broken {
    fn reason(self) -> String {
        match self {
            Self::Crash(crash, output) => crash.reason(&output),
            Self::Said(reason) => reason,
        }
    }
}

impl From<Crash> for Broken {
    fn from(crash: Crash) -> Self {
        Self::Crash(crash, String::new())
    }
}

/// Migrates and wakes; how many bytes the state has then, as far as it is new.
async fn start(
    engine: &Engine,
    active: &ActiveType,
    identity: &Identity,
    setup: Setup,
    opened: Opened,
) -> Result<usize, Broken> {
    let made = Instance::new(engine, &active.compiled, setup).await;
    let (mut instance, mut arriving) = made?;
    let from = active.migrates(&opened.state, opened.state_version);
    let conns = Conns::restore(&active.description, opened.conns, Vec::new()).to_restored();
    let state = opened.state;
    let outcome = instance
        .run(async |guest| {
            tokio::select! {
                biased;
                started = wake_and_look(guest, identity, state, from, conns) => started,
                () = let_pass(&mut arriving) => Err(Broken::Said("nothing drives it any more".to_owned())),
            }
        })
        .await;
    match outcome.unwrap_or_else(|crash| Err(crash.into())) {
        Err(Broken::Crash(crash, _)) => Err(Broken::Crash(crash, instance.last_output())),
        started => started,
    }
}

async fn wake_and_look(
    guest: &Guest<'_>,
    identity: &Identity,
    state: Option<Bytes>,
    from: Option<u32>,
    conns: Vec<Restored>,
) -> Result<usize, Broken> {
    let migrated = match wake(guest, identity, state, from, conns).await? {
        Ok(Output::Migrated(state)) => state.len(),
        Ok(_) => 0,
        Err(failure) => return Err(Broken::Said(failure.to_string())),
    };
    match guest.snapshot().await?.state {
        Snapshot::Changed(state) => Ok(state.len()),
        Snapshot::Unchanged => Ok(migrated),
    }
}

/// Nothing is kept, so nobody has to wait until it is.
async fn let_pass(arriving: &mut Arriving) {
    while let Some(barrier) = arriving.barriers.recv().await {
        // Whoever waited may have been dropped.
        _ = barrier.0.send(());
    }
}

/// No way to other actors, and whether it was looked for.
#[derive(Debug, Default)]
struct Alone {
    was_asked: AtomicBool,
}

impl Alone {
    fn refuse<T>(&self) -> Result<T, ActorError> {
        self.was_asked.store(true, Ordering::Relaxed);
        let text = "this is a rehearsal, from which no other actor can be reached";
        Err(ActorError::new(codes::SERVICE_UNAVAILABLE, text))
    }
}

#[async_trait]
impl Outbound for Alone {
    async fn call(
        &self,
        _: &Namespace,
        _: Lineage,
        _: Target,
        _: String,
        _: Bytes,
    ) -> Result<Bytes, ActorError> {
        self.refuse()
    }

    async fn send(
        &self,
        _: &Namespace,
        _: Lineage,
        _: Target,
        _: String,
        _: Bytes,
        _: Wait,
    ) -> Result<Completion, ActorError> {
        self.refuse()
    }

    async fn create(&self, _: ActorName, _: Option<Bytes>) -> Result<ActorId, ActorError> {
        self.refuse()
    }

    async fn resolve(&self, _: &Namespace, _: Target) -> Result<ActorId, ActorError> {
        self.refuse()
    }
}
