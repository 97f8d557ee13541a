//! From an actor that sleeps to one that serves, and on to its end.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use greenroom_model::{ActorError, ActorTypeOptions, Clock, Limits, Millis, Outbound, codes};
use greenroom_runtime::{Arriving, Crash, Engine, Identity, Instance, Setup};
use greenroom_storage::{ActorRecord, Error as StorageError, Opened, Storage};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use crate::activation::{Activation, End, FailedStart};
use crate::behalf::OnBehalf;
use crate::conn::Sockets;
use crate::conns::Conns;
use crate::data::{self, Data};
use crate::gate::Gate;
use crate::handle::{Call, Handle, Shared};
use crate::orders::Order;
use crate::revisions::{ActiveType, Assignment, Placed, Report, Revisions, Written};
use crate::turns::Turns;
use crate::waiters::Waiters;

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
                // An upgrade that it was told to make while it could not start is made by that as well.
                End::Upgrade | End::Again => {
                    // It stands nowhere until the next instance has chosen.
                    self.handle.shared().set_placed(None);
                    self.handle.shared().orders.upgraded();
                }
                // Asked for while it was falling asleep: its hook for that has still to run.
                End::Sleep if self.is_to_be_destroyed() => {}
                end => break end,
            }
        };
        self.mailbox.close();
        let (actor_id, actor_type) = (self.actor.id, &self.actor.name.actor_type);
        debug!(%actor_id, %actor_type, ?end, "an activation ended");
        match end {
            // It will never run its hook.
            End::Failed(failed) if failed.reason.is_some() && self.is_to_be_destroyed() => {
                self.destroy().await
            }
            End::Failed(failed) => {
                self.refuse_waiting(&failed.error);
                Ended::Broken
            }
            End::Gone => Ended::Gone,
            End::Destroy => self.destroy().await,
            End::Sleep | End::Upgrade | End::Again => Ended::Asleep(self.alarm),
            // Its last hook broke down, or was cut off; that does not save it.
            End::Lost | End::Crashed(_) if self.is_to_be_destroyed() => self.destroy().await,
            End::Lost | End::Crashed(_) => Ended::Broken,
        }
        // Calls left in the mailbox are dropped with it, which tells their callers that they never began.
    }

    fn is_to_be_destroyed(&self) -> bool {
        self.handle.shared().orders.is_destroy()
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
        let (opened, active) = match self.open().await {
            Ok(found) => found,
            Err(end) => return end,
        };
        let written = Written::of(&opened);
        let end = self.run_on(&active, opened).await;
        if let End::Failed(failed) = &end
            && let Some(reason) = &failed.reason
        {
            let revisions = &self.parts.revisions;
            let on = active.revision_id;
            // It stands nowhere until it has been decided where it goes on.
            let placed = self.handle.placed();
            self.handle.shared().set_placed(None);
            revisions.report(self.actor.id, on, Report::Failed(reason));
            if let Some(placed) = placed
                && revisions
                    .could_not_start(&self.actor, written, &placed, reason)
                    .await
            {
                return End::Again;
            }
        }
        end
    }

    /// Takes the actor's data over, and learns what it runs on.
    async fn open(&mut self) -> Result<(Opened, Arc<ActiveType>), End> {
        let (row, actor_id) = (self.actor.row, self.actor.id);
        let failed = |error: StorageError| match error {
            StorageError::Gone => End::Gone,
            error => {
                error!(%actor_id, %error, "an actor's data cannot be opened");
                End::Failed(unavailable().into())
            }
        };
        let storage = self.parts.storage.clone();
        let opened = storage.open(row).await.map_err(failed)?;
        if let Assignment::Run(active) = self.assigned(&opened).await? {
            return Ok((opened, active));
        }
        storage.restore(row).await.map_err(failed)?;
        let opened = storage.open(row).await.map_err(failed)?;
        match self.assigned(&opened).await? {
            Assignment::Run(active) => Ok((opened, active)),
            // Nobody else can have migrated it in between.
            Assignment::Restore => Err(End::Failed(ActorError::internal().into())),
        }
    }

    /// What the actor is to run on.
    async fn assigned(&mut self, opened: &Opened) -> Result<Assignment, End> {
        let assigned = self.parts.revisions.assign(&self.actor, opened).await;
        assigned.map_err(|error| {
            if !opened.is_doomed || !error.is(codes::TYPE_NOT_FOUND) {
                return End::Failed(error.into());
            }
            // Nobody can run its hook any more.
            self.handle.shared().orders.give(Order::Destroy);
            let reason = Some(error.to_string());
            End::Failed(FailedStart { error, reason })
        })
    }

    async fn run_on(&mut self, active: &Arc<ActiveType>, mut opened: Opened) -> End {
        self.handle.shared().set_generation(opened.generation);
        let placed = Placed::new(active.revision_id, opened.pin.take());
        self.handle.shared().set_placed(Some(placed));
        if opened.is_doomed {
            // It had asked for that, and its host died before.
            self.handle.shared().orders.give(Order::Destroy);
        }
        let limits = &self.parts.limits;
        let options = &active.description.options;
        let timeout =
            ActorTypeOptions::or_default(options.action_timeout_ms, limits.action_timeout);
        let start_by = Instant::now() + limits.start_timeout;
        let wants_abandoned = options.cancel_abandoned;
        self.handle.shared().want_abandoned(wants_abandoned);
        let overdue_max = limits.turns_max / 2;
        let turns = Arc::new(Turns::new(timeout, overdue_max, start_by, wants_abandoned));
        let data = self.data(active, &mut opened);
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
                self.drive(active, opened, parts, &turns, &data).await
            }
            Err(crash) => {
                warn!(actor_id = %self.actor.id, %crash, "an instance cannot be made");
                End::Failed(FailedStart::by(&crash))
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
            revisions: &self.parts.revisions,
            from_version: active.migrates(&opened.state, opened.state_version),
            migrated: None,
            is_keeping_migrated: false,
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
            goodbyes: VecDeque::new(),
            saying: HashSet::new(),
            scheduled: HashMap::new(),
            turns,
            gate: Gate::default(),
            generation: opened.generation,
            head: opened.head,
            commit: None,
            is_fenced: false,
            is_started: false,
            broken_by: OnceLock::new(),
            is_stopped: false,
            is_doomed: opened.is_doomed,
            told_busy: None,
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
        let end = activation.end_of(outcome, &instance);
        data.lose(matches!(end, End::Crashed(_) | End::Lost));
        drop(instance);
        activation.finish(&end).await;
        self.alarm = data.alarm();
        end
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
