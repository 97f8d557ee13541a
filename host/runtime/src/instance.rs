//! One guest: its store, and what drives it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use greenroom_model::{ActorData, Outbound};
use tokio::sync::{Notify, mpsc, oneshot};
use wasmtime::{AsContextMut, Store};

use crate::bindings::Actor;
use crate::compiled::Compiled;
use crate::crash::Crash;
use crate::ctx::{Burst, Ctx};
use crate::effects::Outbox;
use crate::engine::Engine;
use crate::guest::{Guest, Identity};

/// Barriers that may wait to be taken. Each belongs to a suspended import call of the guest.
const BARRIERS_MAX: usize = 64;

/// What a guest waits for before something leaves it: to be answered when everything that it has
/// changed up to now is durable.
#[derive(Debug)]
pub struct Barrier(pub oneshot::Sender<()>);

/// What comes out of an instance by itself; whoever drives it has to serve it.
pub struct Arriving {
    /// What its imports wait at.
    pub barriers: mpsc::Receiver<Barrier>,
    /// For barriers of things that leave by other ways than imports.
    pub barrier_sender: mpsc::Sender<Barrier>,
    /// Told when there are effects to take with [`Guest::take_effects`].
    pub effects: Arc<Notify>,
}

/// Who an instance is to be, and whom it can reach.
pub struct Setup {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// Its way to other actors.
    pub outbound: Arc<dyn Outbound>,
    /// What it has besides its state.
    pub data: Arc<dyn ActorData>,
}

/// One guest in memory. Dropping it frees everything at once, whatever it was doing.
pub struct Instance {
    store: Store<Ctx>,
    actor: Actor,
}

impl Instance {
    /// Makes an instance, which has run nothing yet.
    ///
    /// # Errors
    ///
    /// [`Crash::NoRoom`] if the pool is full; others if the component cannot even start.
    pub async fn new(
        engine: &Engine,
        compiled: &Compiled,
        setup: Setup,
    ) -> Result<(Self, Arriving), Crash> {
        let limits = engine.limits();
        let (barrier_sender, barriers) = mpsc::channel(BARRIERS_MAX);
        let effects = Arc::new(Notify::new());
        let outbox = Outbox::new(limits.outbox_bytes_max, effects.clone());
        let ctx = Ctx::new(limits, setup, barrier_sender.clone(), outbox);
        let mut store = Store::new(engine.wasmtime(), ctx);
        store.limiter(|ctx| &mut ctx.memory);
        store.set_hostcall_fuel(limits.guest_message_bytes_max);
        store
            .as_context_mut()
            .set_max_component_handles(limits.guest_handles_max);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(Burst::on_tick);
        let made = compiled.pre().instantiate_async(&mut store).await;
        let actor = made.map_err(|e| Crash::from_engine(&e))?;
        let arriving = Arriving {
            barriers,
            barrier_sender,
            effects,
        };
        Ok((Self { store, actor }, arriving))
    }

    /// The last that the guest wrote to its standard streams: after a crash, usually why.
    #[must_use]
    pub fn last_output(&self) -> String {
        self.store.data().output.last()
    }

    /// Drives the instance for as long as `serve` runs.
    ///
    /// Calls that are suspended when it ends stay suspended. Not to be dropped while the guest computes,
    /// unless the instance is dropped with it. Timers inside `serve` do not fire while the guest computes;
    /// deadlines belong around this future, not into it.
    ///
    /// # Errors
    ///
    /// [`Crash`] if the guest traps or breaks a bound. `serve` is dropped then, wherever it was.
    pub async fn run<R>(&mut self, serve: impl AsyncFnOnce(&Guest<'_>) -> R) -> Result<R, Crash> {
        let Self { store, actor } = self;
        let ended = store
            .run_concurrent(async |accessor| {
                let guest = Guest { accessor, actor };
                let mut serving = pin!(serve(&guest));
                // Polled whenever the guest has given control back, so that the bound is on one
                // stretch of computing, not on a long action that mostly waits.
                poll_fn(|context| {
                    accessor.with(|mut store| store.get().burst.refill());
                    serving.as_mut().poll(context)
                })
                .await
            })
            .await;
        ended.map_err(|e| Crash::from_engine(&e))
    }
}
