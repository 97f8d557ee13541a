use wasmtime::component::{Accessor, HasSelf};

use super::pass_barrier;
use crate::bindings::greenroom::actor::{store, types};
use crate::ctx::Ctx;

impl types::Host for Ctx {}

impl store::Host for Ctx {}

impl store::HostWithStore<Ctx> for HasSelf<Ctx> {
    async fn save(ctx: &Accessor<Ctx, Self>) -> wasmtime::Result<()> {
        pass_barrier(ctx).await
    }
}
