//! The one wasmtime configuration, the pool, the epoch clock, and what guests are linked with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use greenroom_model::Limits;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView};

use crate::bindings::greenroom::actor;
use crate::cache::Cache;
use crate::ctx::Ctx;

/// How often a guest that computes is looked at.
pub(crate) const EPOCH: Duration = Duration::from_millis(5);
/// Memories of one component. Rust guests have one, QuickJS guests two.
pub(crate) const MEMORIES_MAX: u32 = 2;
/// Tables of one component.
const TABLES_MAX: u32 = 4;
/// Core instances of one component.
const CORE_INSTANCES_MAX: u32 = 16;
/// Entries in one table.
const TABLE_ELEMENTS_MAX: usize = 20_000;
/// Places in the pool beyond awake actors: components that describe themselves, activations that
/// overlap while one takes over from another.
const EXTRA_PLACES: u32 = 64;

/// Why the engine cannot be set up on this machine with these limits.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the WebAssembly engine for {awake_max} awake actors: {reason}")]
pub struct SetupError {
    awake_max: usize,
    reason: String,
}

/// Everything that guests share.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    engine: wasmtime::Engine,
    linker: Linker<Ctx>,
    cache: Cache,
    limits: Limits,
}

impl Engine {
    /// Sets up the pool and the epoch clock. Compiled components are kept in `cache_folder`.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if the machine does not give the address space, or a limit is out of range.
    pub fn new(limits: &Limits, cache_folder: &Path) -> Result<Self, SetupError> {
        let failed = |reason: String| SetupError {
            awake_max: limits.awake_max,
            reason,
        };
        let awake_max = u32::try_from(limits.awake_max).map_err(|e| failed(e.to_string()))?;
        let config = configure(awake_max, limits);
        let engine = wasmtime::Engine::new(&config).map_err(|e| failed(format!("{e:#}")))?;
        let linker = link(&engine).map_err(|e| failed(format!("{e:#}")))?;
        start_epochs(&engine).map_err(|e| failed(e.to_string()))?;
        let cache = Cache::open(cache_folder, &engine).map_err(|e| failed(e.to_string()))?;
        Ok(Self(Arc::new(Shared {
            engine,
            linker,
            cache,
            limits: limits.clone(),
        })))
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.engine
    }

    pub(crate) fn linker(&self) -> &Linker<Ctx> {
        &self.0.linker
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.0.cache
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }
}

fn configure(awake_max: u32, limits: &Limits) -> Config {
    let places = awake_max + EXTRA_PLACES;
    let memory = limits.guest_memory_bytes_max;
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(places)
        .total_core_instances(places.saturating_mul(CORE_INSTANCES_MAX))
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .total_memories(places * MEMORIES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .total_tables(places * TABLES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        // Every store that has made a call keeps one stack until it is dropped.
        .total_stacks(places)
        .max_memory_size(memory)
        .max_unused_warm_slots(100);
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // Not the usual 4 GiB each: thousands of actors must fit into the address space.
        .memory_reservation(memory as u64)
        .memory_guard_size(memory as u64)
        .async_stack_size(512 << 10)
        .max_wasm_stack(256 << 10)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// A thread, because a runtime whose workers all run guests would not get to tick.
fn start_epochs(engine: &wasmtime::Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(EPOCH);
        }
    };
    std::thread::Builder::new()
        .name("epochs".into())
        .spawn(tick)
        .map(drop)
}

/// The world's imports and no more: what is not linked here cannot be had.
fn link(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Ctx>> {
    use wasmtime_wasi::p2::bindings::{cli, random};
    use wasmtime_wasi::p3;

    let mut linker = Linker::new(engine);
    let l = &mut linker;
    actor::background::add_to_linker::<_, HasSelf<Ctx>>(l, |ctx| ctx)?;
    actor::kv::add_to_linker::<_, HasSelf<Ctx>>(l, |ctx| ctx)?;
    actor::queues::add_to_linker::<_, HasSelf<Ctx>>(l, |ctx| ctx)?;
    actor::schedule::add_to_linker::<_, HasSelf<Ctx>>(l, |ctx| ctx)?;
    actor::client::add_to_linker::<_, HasSelf<Ctx>>(l, |ctx| ctx)?;
    actor::events::add_to_linker::<_, HasSelf<Ctx>>(l, |ctx| ctx)?;
    actor::sockets::add_to_linker::<_, HasSelf<Ctx>>(l, |ctx| ctx)?;
    actor::stopping::add_to_linker::<_, HasSelf<Ctx>>(l, |ctx| ctx)?;
    actor::log::add_to_linker::<_, HasSelf<Ctx>>(l, |ctx| ctx)?;
    actor::store::add_to_linker::<_, HasSelf<Ctx>>(l, |ctx| ctx)?;
    actor::types::add_to_linker::<_, HasSelf<Ctx>>(l, |ctx| ctx)?;
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(l)?;
    random::insecure::add_to_linker::<Ctx, WasiRandom>(l, |t| t.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<Ctx, WasiRandom>(l, |t| t.ctx().ctx.random())?;
    cli::exit::add_to_linker::<Ctx, WasiCli>(l, Ctx::cli)?;
    cli::environment::add_to_linker::<Ctx, WasiCli>(l, Ctx::cli)?;
    cli::terminal_input::add_to_linker::<Ctx, WasiCli>(l, Ctx::cli)?;
    cli::terminal_output::add_to_linker::<Ctx, WasiCli>(l, Ctx::cli)?;
    cli::terminal_stdin::add_to_linker::<Ctx, WasiCli>(l, Ctx::cli)?;
    cli::terminal_stdout::add_to_linker::<Ctx, WasiCli>(l, Ctx::cli)?;
    cli::terminal_stderr::add_to_linker::<Ctx, WasiCli>(l, Ctx::cli)?;
    p3::clocks::add_to_linker(l)?;
    wasmtime_wasi_http::p3::bindings::http::types::add_to_linker::<_, WasiHttp>(l, Ctx::http)?;
    Ok(linker)
}
