//! The one place where every part is named and connected; then serving, until told to stop.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::OptionFuture;
use greenroom_model::{Clock, Limits, SystemClock};
use greenroom_placement::{Foundation, Registry, Router};
use greenroom_runtime::Engine;
use greenroom_server::{App, Setup};
use greenroom_storage::{Sqlite, Storage};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::config::Config;
use crate::listen::Listening;

/// Memory mappings that an awake actor takes: two for its stack's guards, up to four for its memory.
const MAPPINGS_PER_ACTOR: usize = 7;
/// Mappings of everything else.
const MAPPINGS_BASE: usize = 4_000;

/// How long somebody still listens after the sockets were closed. Their clients connect again at once: told to come
/// back, they do, a quarter of a second later; finding nobody, they may give up for good.
const FAREWELL: Duration = Duration::from_millis(400);

/// Serves until told to stop.
pub(crate) fn serve(mut config: Config) -> Result<()> {
    start_logging(&config)?;
    fit_awake_max(&mut config)?;
    raise_file_limit(config.limits.connections_max + config.limits.websockets_max);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(config))
}

fn start_logging(config: &Config) -> Result<()> {
    let filter = EnvFilter::try_new(&config.log)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if config.logs_json {
        builder.json().init();
    } else {
        builder.init();
    }
    Ok(())
}

async fn run(config: Config) -> Result<()> {
    let mut signals = Signals::new()?;
    // First of all: who comes while the rest is made waits, and is not refused.
    let listening = Listening::open(&config).await?;
    let limits = Arc::new(config.limits.clone());
    let storage = open_store(&config.data, limits.store_queue_max)?;
    let engine = Engine::new(&limits, &config.data.join("cache"))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let foundation = Foundation {
        storage,
        engine,
        limits: limits.clone(),
        clock,
    };
    let registry = Arc::new(Registry::open(foundation.clone()).await?);
    let router = Router::new(foundation, registry.clone());
    router.watch_alarms();
    router.watch_rollouts();
    let app = Arc::new(App::new(Setup {
        router: router.clone(),
        registry,
        limits: limits.clone(),
        token: config.token.clone(),
        namespaces: config.namespaces.clone(),
    }));
    announce(&listening, config.token.is_none())?;

    let (stop, end) = (CancellationToken::new(), CancellationToken::new());
    let serve = |listener, tls| {
        greenroom_server::serve(listener, tls, app.clone(), stop.clone(), end.clone())
    };
    let serving_plain = serve(listening.plain, None);
    let serving_tls = listening
        .tls
        .map(|(listener, tls)| serve(listener, Some(tls)));
    let mut serving = Box::pin(async move {
        tokio::join!(serving_plain, OptionFuture::from(serving_tls));
    });
    tokio::select! {
        () = &mut serving => bail!("the listener ended by itself"),
        name = signals.next() => info!(signal = name, "stopping; a second signal ends at once"),
    }
    stop.cancel();
    // Somebody listens to the end, if only to say that it is near.
    let close = async {
        tokio::select! {
            () = close(&app, &router, &limits) => {}
            () = &mut serving => {}
        }
    };
    tokio::select! {
        closed = timeout(limits.shutdown_max, close) => match closed {
            Ok(()) => info!("stopped"),
            Err(_) => warn!(awake = router.awake_count(), "stopped before everything had finished"),
        },
        name = signals.next() => {
            warn!(signal = name, "stopped at once");
            std::process::exit(130);
        }
    }
    end.cancel();
    Ok(())
}

/// First the requests, which may still need their actors; then the sockets; then the actors, who need some of the
/// time as well.
async fn close(app: &App, router: &Router, limits: &Limits) {
    if timeout(limits.shutdown_max / 2, app.stop()).await.is_err() {
        warn!("requests are cut off");
    }
    let had_sockets = timeout(limits.shutdown_max / 4, app.close_sockets()).await;
    let farewell = Instant::now() + FAREWELL;
    if had_sockets.is_err() {
        warn!("WebSockets are cut off");
    }
    router.close().await;
    if had_sockets.unwrap_or(true) {
        sleep_until(farewell.min(Instant::now() + limits.shutdown_max / 8)).await;
    }
    // Whoever does not hear of it in time, hears that the socket is closed.
    _ = timeout(limits.shutdown_max / 8, app.end()).await;
}

fn open_store(data: &Path, queue_max: usize) -> Result<Arc<dyn Storage>> {
    let opened = Sqlite::open(data, queue_max);
    Ok(Arc::new(opened.with_context(|| {
        format!("cannot open the data in {}", data.display())
    })?))
}

/// Tells people in the log, and programs that wait for it on standard output.
fn announce(listening: &Listening, is_development: bool) -> Result<()> {
    if is_development {
        warn!(
            "development mode: anybody on this machine may deploy and manage; set a token to change that"
        );
    }
    let address = listening.plain.local_addr()?;
    info!(%address, version = env!("CARGO_PKG_VERSION"), "serving");
    let mut stdout = std::io::stdout().lock();
    if let Some((listener, _)) = &listening.tls {
        let address = listener.local_addr()?;
        info!(%address, "serving with TLS");
        writeln!(stdout, "TLS https://{address}")?;
    }
    writeln!(stdout, "READY http://{address}")?;
    stdout.flush()?;
    Ok(())
}

/// What ends the program.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn new() -> Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self {
            interrupt,
            terminate,
        })
    }

    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Awake actors take memory mappings, of which the system gives only so many. Better to know now than to fail
/// at the ten-thousandth actor.
fn fit_awake_max(config: &mut Config) -> Result<()> {
    let Ok(text) = std::fs::read_to_string("/proc/sys/vm/max_map_count") else {
        return Ok(());
    };
    let Ok(mappings) = text.trim().parse::<usize>() else {
        return Ok(());
    };
    let fitting = (mappings.saturating_sub(MAPPINGS_BASE) / MAPPINGS_PER_ACTOR).max(1);
    let wanted = config.limits.awake_max;
    if wanted <= fitting {
        return Ok(());
    }
    if config.awake_max_is_given {
        let needed = MAPPINGS_BASE + wanted * MAPPINGS_PER_ACTOR;
        bail!(
            "awake_max = {wanted} needs {needed} memory mappings, and the system gives {mappings}; \
             raise it (sysctl vm.max_map_count={needed}) or set awake_max to at most {fitting}"
        );
    }
    info!(
        awake_max = fitting,
        mappings, "the system's memory mappings allow for fewer awake actors"
    );
    config.limits.awake_max = fitting;
    Ok(())
}

/// Each connection takes a file handle, and the usual soft limit is a thousand.
fn raise_file_limit(connections_max: usize) {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) if files < connections_max as u64 => {
            info!(
                files,
                connections_max, "the system gives fewer file handles than connections are allowed"
            );
        }
        Ok(_) => {}
        Err(error) => warn!(%error, "the limit on file handles could not be raised"),
    }
}
