//! What a guest may ask for: one file for each imported interface.

mod background;
mod client;
mod events;
mod kv;
mod log;
mod queues;
mod schedule;
mod sockets;
mod store;

#[expect(
    unreachable_pub,
    reason = "the generated bindings, which are public, name it"
)]
pub use background::Work;
#[expect(
    unreachable_pub,
    reason = "the generated bindings, which are public, name it"
)]
pub use queues::Delivery;

use bytes::Bytes;
use greenroom_model::ActorError;

use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{Accessor, HasSelf};

use crate::bindings::greenroom::actor::types::PublicError;
use crate::crash::{Crash, Raised};
use crate::ctx::Ctx;
use crate::guest::checked;
use crate::instance::Barrier;

/// Waits until everything that the guest has changed so far is durable. An error means that it never
/// will be; the activation is about to end.
async fn pass_barrier(store: &Accessor<Ctx, HasSelf<Ctx>>) -> wasmtime::Result<()> {
    let barriers = store.with(|mut ctx| ctx.get().barriers.clone());
    wait_at(&barriers)
        .await
        .ok_or_else(|| Raised(Crash::Killed("its writes cannot be kept")).into())
}

/// Bytes from the guest that have to be one value; anything else breaks the contract.
fn value(bytes: Vec<u8>) -> wasmtime::Result<Bytes> {
    checked(bytes).map_err(|crash| Raised(crash).into())
}

fn to_wit(error: ActorError) -> PublicError {
    PublicError {
        group: error.group.into_owned(),
        code: error.code.into_owned(),
        message: error.message.into_owned(),
        metadata: error.metadata.map(Vec::from),
    }
}

async fn wait_at(barriers: &mpsc::Sender<Barrier>) -> Option<()> {
    let (passed, passes) = oneshot::channel();
    barriers.send(Barrier(passed)).await.ok()?;
    passes.await.ok()
}
