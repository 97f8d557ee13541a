//! What a guest may ask for: one file for each imported interface.

mod client;
mod events;
mod log;
mod sockets;
mod store;

use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{Accessor, HasSelf};

use crate::crash::{Crash, Raised};
use crate::ctx::Ctx;
use crate::instance::Barrier;

/// Waits until everything that the guest has changed so far is durable. An error means that it never
/// will be; the activation is about to end.
async fn pass_barrier(store: &Accessor<Ctx, HasSelf<Ctx>>) -> wasmtime::Result<()> {
    let barriers = store.with(|mut ctx| ctx.get().barriers.clone());
    wait_at(&barriers)
        .await
        .ok_or_else(|| Raised(Crash::Killed("its writes cannot be kept")).into())
}

async fn wait_at(barriers: &mpsc::Sender<Barrier>) -> Option<()> {
    let (passed, passes) = oneshot::channel();
    barriers.send(Barrier(passed)).await.ok()?;
    passes.await.ok()
}
