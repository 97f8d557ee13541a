//! What an instance's store carries: all that its imports can reach.

use std::sync::Arc;

use greenroom_model::{ActorData, Limits, Outbound};
use tokio::sync::mpsc;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::crash::{Crash, Raised};
use crate::effects::Outbox;
use crate::engine::EPOCH;
use crate::http::Hooks;
use crate::instance::{Barrier, Setup};
use crate::output::{Log, Output};

pub(crate) struct Ctx {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    pub(crate) hooks: Hooks,
    pub(crate) table: ResourceTable,
    pub(crate) memory: MemoryBound,
    pub(crate) burst: Burst,
    pub(crate) log: Log,
    pub(crate) output: Output,
    pub(crate) outbound: Arc<dyn Outbound>,
    pub(crate) data: Arc<dyn ActorData>,
    pub(crate) barriers: mpsc::Sender<Barrier>,
    pub(crate) outbox: Outbox,
    pub(crate) identity: Arc<crate::Identity>,
}

impl Ctx {
    pub(crate) fn new(
        limits: &Limits,
        setup: Setup,
        barriers: mpsc::Sender<Barrier>,
        outbox: Outbox,
    ) -> Self {
        let log = Log::new(setup.identity.clone());
        let output = Output::new(log.clone(), limits.guest_output_bytes_max);
        let wasi = WasiCtx::builder()
            .stdout(output.clone())
            .stderr(output.clone())
            .build();
        Self {
            wasi,
            http: WasiHttpCtx::new(),
            hooks: Hooks,
            table: ResourceTable::new(),
            memory: MemoryBound {
                used: 0,
                most: limits.guest_memory_bytes_max,
            },
            burst: Burst::new(limits),
            log,
            output,
            outbound: setup.outbound,
            data: setup.data,
            barriers,
            outbox,
            identity: setup.identity,
        }
    }
}

impl WasiView for Ctx {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Ctx {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

/// How much longer the guest may compute before it has to give control back.
pub(crate) struct Burst {
    ticks_left: u32,
    ticks_max: u32,
}

impl Burst {
    fn new(limits: &Limits) -> Self {
        let ticks = limits.guest_burst_max.as_millis() / EPOCH.as_millis();
        let ticks_max = u32::try_from(ticks).unwrap_or(u32::MAX).max(1);
        Self {
            ticks_left: ticks_max,
            ticks_max,
        }
    }

    /// The guest has given control back.
    pub(crate) const fn refill(&mut self) {
        self.ticks_left = self.ticks_max;
    }

    /// Called on each tick while the guest computes.
    ///
    /// The yield is tokio's own: wasmtime's plain one wakes its task at once, and with a few busy guests
    /// the runtime would rarely look at timers and sockets.
    pub(crate) fn on_tick(mut store: StoreContextMut<'_, Ctx>) -> wasmtime::Result<UpdateDeadline> {
        let burst = &mut store.data_mut().burst;
        if burst.ticks_left == 0 {
            return Err(Raised(Crash::Cpu).into());
        }
        burst.ticks_left -= 1;
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(tokio::task::yield_now()),
        ))
    }
}

/// All linear memories of the instance together.
pub(crate) struct MemoryBound {
    used: usize,
    most: usize,
}

impl ResourceLimiter for MemoryBound {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.most {
            // An error rather than a refused growth, which guests turn into all sorts of panics.
            return Err(Raised(Crash::Memory).into());
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        _desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // The pool bounds tables by itself.
        Ok(true)
    }
}
