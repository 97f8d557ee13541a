use std::sync::Arc;

use greenroom_model::{ActorData, WorkKind};
use wasmtime::component::Resource;

use crate::bindings::greenroom::actor::background;
use crate::ctx::Ctx;

/// A piece of background work. Over when it is dropped, by the guest or with it.
#[expect(
    unreachable_pub,
    reason = "the generated bindings, which are public, name it"
)]
pub struct Work {
    data: Arc<dyn ActorData>,
    kind: WorkKind,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.data.work_ends(self.kind);
    }
}

impl background::Host for Ctx {}

impl background::HostWork for Ctx {
    fn new(&mut self, kind: background::Kind) -> wasmtime::Result<Resource<Work>> {
        let kind = match kind {
            background::Kind::WaitUntil => WorkKind::WaitUntil,
            background::Kind::KeepAwake => WorkKind::KeepAwake,
        };
        self.data.work_begins(kind);
        let data = self.data.clone();
        Ok(self.table.push(Work { data, kind })?)
    }

    fn drop(&mut self, work: Resource<Work>) -> wasmtime::Result<()> {
        self.table.delete(work)?;
        Ok(())
    }
}
