//! From an actor that sleeps to one that serves, and on to its end.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use greenroom_model::{
    ActorError, ActorType, ActorTypeDescription, ActorTypeOptions, Clock, Head, Limits, Millis,
    Outbound, Revision, codes,
};
use greenroom_runtime::{Arriving, Compiled, Crash, Engine, Identity, Instance, Setup};
use greenroom_storage::{ActorRecord, Commit, Error as StorageError, Opened, RevisionId, Storage};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use crate::activation::{Activation, End};
use crate::behalf::OnBehalf;
use crate::conn::Sockets;
use crate::conns::Conns;
use crate::data::{self, Data};
use crate::gate::Gate;
use crate::handle::{Call, Handle, Shared, aborted};
use crate::orders::Order;
use crate::turns::Turns;
use crate::waiters::Waiters;

/// What actors of a type run on at present.
pub struct ActiveType {
    /// What its component says of it.
    pub description: ActorTypeDescription,
    /// Its component, ready to be instantiated.
    pub compiled: Compiled,
    /// The revision's number in the store.
    pub revision_id: RevisionId,
    /// The revision's number within its component.
    pub revision: Revision,
}

/// Which revision actors of a type run on. Placement implements it.
#[async_trait]
pub trait Revisions: Send + Sync + 'static {
    /// The current revision of an actor type, compiled.
    ///
    /// # Errors
    ///
    /// `actor.type_not_found`, or an internal error if it cannot be loaded.
    async fn current(&self, actor_type: &ActorType) -> Result<Arc<ActiveType>, ActorError>;
}

/// What an activation works with.
#[derive(Clone)]
pub struct Parts {
    /// Where data lives.
    pub storage: Arc<dyn Storage>,
    /// Where instances are made.
    pub engine: Engine,
    /// What they are made of.
    pub revisions: Arc<dyn Revisions>,
    /// How guests reach other actors.
    pub outbound: Arc<dyn Outbound>,
    /// The long connections of all actors.
    pub sockets: Arc<Sockets>,
    /// Those who wait for messages of all actors to be completed.
    pub waiters: Arc<Waiters>,
    /// Wall time, for what is scheduled.
    pub clock: Arc<dyn Clock>,
    /// The bounds.
    pub limits: Arc<Limits>,
}

/// How an activation came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The actor sleeps; the next call wakes it, or its alarm.
    Asleep(Option<Millis>),
    /// It broke down, or could not start. The next call wakes it; its alarm stands as it was kept.
    Broken,
    /// The actor is no more, or there never was one.
    Gone,
}

/// Begins an activation: the way in works at once, and the future is the activation itself.
///
/// Whoever drives the future calls [`Handle::set_ended`] after it. Dropping it midway ends the
/// activation as a crash would.
pub fn activate(actor: ActorRecord, parts: Parts) -> (Handle, impl Future<Output = Ended> + Send) {
    let (sender, mailbox) = mpsc::channel(parts.limits.mailbox_calls_max);
    let handle = Handle::new(sender);
    let identity = Arc::new(Identity {
        id: actor.id,
        actor_type: actor.name.actor_type.clone(),
        key: actor.name.key.clone(),
        namespace: actor.name.namespace.clone(),
    });
    let life = Life {
        actor,
        identity,
        parts,
        handle: handle.clone(),
        mailbox,
        left: VecDeque::new(),
        alarm: None,
    };
    (handle, life.run())
}

/// An activation through all its instances: more than one if it is upgraded.
struct Life {
    actor: ActorRecord,
    identity: Arc<Identity>,
    parts: Parts,
    handle: Handle,
    mailbox: mpsc::Receiver<Call>,
    /// Calls that an upgraded instance has left to the next.
    left: VecDeque<Call>,
    /// When the actor must next be awake.
    alarm: Option<Millis>,
}

impl Life {
    async fn run(mut self) -> Ended {
        let end = loop {
            match self.run_instance().await {
                End::Upgrade => self.handle.shared().orders.upgraded(),
                // Asked for while it was falling asleep: its hook for that has still to run.
                End::Sleep if self.handle.shared().orders.is_destroy() => {}
                end => break end,
            }
        };
        self.mailbox.close();
        let (actor_id, actor_type) = (self.actor.id, &self.actor.name.actor_type);
        debug!(%actor_id, %actor_type, ?end, "an activation ended");
        match end {
            End::Failed(error) => {
                self.refuse_waiting(&error);
                Ended::Broken
            }
            End::Gone => Ended::Gone,
            End::Destroy => self.destroy().await,
            End::Sleep | End::Upgrade => Ended::Asleep(self.alarm),
            // Its last hook broke down, or was cut off; that does not save it.
            End::Lost | End::Crashed(_) if self.handle.shared().orders.is_destroy() => {
                self.destroy().await
            }
            End::Lost | End::Crashed(_) => Ended::Broken,
        }
        // Calls left in the mailbox are dropped with it, which tells their callers that they never began.
    }

    fn refuse_waiting(&mut self, error: &ActorError) {
        while let Some(call) = self
            .left
            .pop_front()
            .or_else(|| self.mailbox.try_recv().ok())
        {
            call.refuse(error.clone());
        }
    }

    async fn destroy(&mut self) -> Ended {
        match self.parts.storage.destroy(self.actor.row).await {
            Ok(_) => {
                self.parts.sockets.close(self.actor.id);
                self.parts.waiters.forget(self.actor.id);
                Ended::Gone
            }
            Err(error) => {
                error!(actor_id = %self.actor.id, %error, "an actor could not be removed");
                Ended::Broken
            }
        }
    }

    /// One instance, from opening the data to its end.
    async fn run_instance(&mut self) -> End {
        let active = match self
            .parts
            .revisions
            .current(&self.identity.actor_type)
            .await
        {
            Ok(active) => active,
            Err(error) => return End::Failed(error),
        };
        let mut opened = match self.parts.storage.open(self.actor.row).await {
            Ok(opened) => opened,
            Err(StorageError::Gone) => return End::Gone,
            Err(error) => {
                error!(actor_id = %self.actor.id, %error, "an actor's data cannot be opened");
                return End::Failed(unavailable());
            }
        };
        self.handle.shared().set_generation(opened.generation);
        let limits = &self.parts.limits;
        let options = &active.description.options;
        let timeout =
            ActorTypeOptions::or_default(options.action_timeout_ms, limits.action_timeout);
        let start_by = Instant::now() + limits.start_timeout;
        let wants_abandoned = options.cancel_abandoned;
        self.handle.shared().want_abandoned(wants_abandoned);
        let overdue_max = limits.turns_max / 2;
        let turns = Arc::new(Turns::new(timeout, overdue_max, start_by, wants_abandoned));
        let data = self.data(&active, &mut opened);
        let outbound = OnBehalf {
            id: self.actor.id,
            turns: turns.clone(),
            outbound: self.parts.outbound.clone(),
        };
        let setup = Setup {
            identity: self.identity.clone(),
            outbound: Arc::new(outbound),
            data: data.clone(),
        };
        match Instance::new(&self.parts.engine, &active.compiled, setup).await {
            Ok((instance, arriving)) => {
                let parts = (instance, arriving);
                self.drive(&active, opened, parts, &turns, &data).await
            }
            Err(crash) => {
                warn!(actor_id = %self.actor.id, %crash, "an instance cannot be made");
                End::Failed(crash.to_actor_error())
            }
        }
    }

    fn data(&self, active: &Arc<ActiveType>, opened: &mut Opened) -> Arc<Data> {
        let parts = &self.parts;
        let setup = data::Setup {
            actor: self.actor.row,
            id: self.actor.id,
            active: active.clone(),
            storage: parts.storage.clone(),
            clock: parts.clock.clone(),
            waiters: parts.waiters.clone(),
            limits: parts.limits.clone(),
        };
        Arc::new(Data::new(setup, opened))
    }

    async fn drive(
        &mut self,
        active: &ActiveType,
        opened: Opened,
        (mut instance, arriving): (Instance, Arriving),
        turns: &Turns,
        data: &Arc<Data>,
    ) -> End {
        let limits = &self.parts.limits;
        let options = &active.description.options;
        let grace = ActorTypeOptions::or_default(options.stop_grace_ms, limits.stop_grace);
        // An order that has not been carried out by then is being ignored by a guest that blocks.
        let order_max = limits.start_timeout + 2 * grace;
        let sockets = self.parts.sockets.open(self.actor.id);
        let conns = Conns::restore(&active.description, opened.conns, sockets);
        let mut activation = Activation {
            actor: self.actor.row,
            identity: &self.identity,
            active,
            storage: &self.parts.storage,
            limits,
            shared: self.handle.shared(),
            mailbox: &mut self.mailbox,
            left: &mut self.left,
            sockets: &self.parts.sockets,
            waiters: &self.parts.waiters,
            data,
            barriers: arriving.barriers,
            barrier_sender: arriving.barrier_sender,
            effects: arriving.effects,
            conns,
            opening: HashMap::new(),
            requests: HashMap::new(),
            scheduled: HashMap::new(),
            turns,
            gate: Gate::default(),
            generation: opened.generation,
            head: opened.head,
            commit: None,
            is_fenced: false,
            is_started: false,
            is_stopped: false,
            is_touched: false,
        };
        let shared = self.handle.shared();
        // The watchdogs stand outside: inside, nothing moves while the guest computes.
        let outcome = {
            let run =
                pin!(instance.run(async |guest| {
                    activation.serve(guest, opened.state, opened.input).await
                }));
            tokio::select! {
                biased;
                outcome = run => outcome,
                () = turns.watch(|| shared.waiting()) => Err(Crash::Killed(
                    "it took too long to start, to stop, or to give control back",
                )),
                () = ignored(shared, order_max) => {
                    Err(Crash::Killed("it did not stop when it was told to"))
                }
            }
        };
        let end = match outcome {
            Ok(end) => end,
            Err(crash) => {
                let output = instance.last_output();
                if !output.is_empty() {
                    warn!(actor_id = %self.actor.id, output, "what it wrote last");
                }
                activation.crashed(&crash)
            }
        };
        data.lose(matches!(end, End::Crashed(_) | End::Lost));
        drop(instance);
        activation.finish(&end).await;
        self.alarm = data.alarm();
        end
    }
}

impl Activation<'_> {
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
        match crash {
            Crash::Killed(_) if self.is_started => End::Lost,
            Crash::Killed(_) => End::Failed(ActorError::new(
                codes::START_TIMED_OUT,
                "the actor took too long to start; see the log of its create or wake hook",
            )),
            _ if self.is_started => End::Crashed(crash.to_actor_error()),
            _ => End::Failed(crash.to_actor_error()),
        }
    }

    /// Settles what is still owed when the instance is gone: the commit under way, then everybody who
    /// waits for something that will not come.
    async fn finish(&mut self, end: &End) {
        if let Some(commit) = self.commit.take() {
            match commit.await {
                Ok(kept) => {
                    self.head.0 += 1;
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
            End::Failed(error) | End::Crashed(error) => error.clone(),
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
            state: None,
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

/// Returns when an order was given, and so much time has passed since.
async fn ignored(shared: &Shared, order_max: Duration) {
    shared.orders.stronger(None).await;
    tokio::time::sleep(order_max).await;
}

/// What callers are told when the store fails. They may try again.
pub(crate) fn unavailable() -> ActorError {
    ActorError::new(
        codes::SERVICE_UNAVAILABLE,
        "the host cannot reach the actor's data now",
    )
}

impl From<Order> for End {
    fn from(order: Order) -> Self {
        match order {
            Order::Upgrade => Self::Upgrade,
            Order::Sleep => Self::Sleep,
            Order::Destroy => Self::Destroy,
        }
    }
}
