use greenroom_model::ConnId;

use crate::bindings::greenroom::actor::events;
use crate::ctx::Ctx;
use crate::effects::{Effect, event};

impl events::Host for Ctx {
    fn broadcast(&mut self, name: String, args: Vec<u8>) -> wasmtime::Result<()> {
        let event = event(name, args)?;
        self.outbox.push(Effect::Broadcast(event))
    }

    fn send(&mut self, connection: String, name: String, args: Vec<u8>) -> wasmtime::Result<()> {
        let event = event(name, args)?;
        match ConnId::parse(&connection) {
            Some(id) => self.outbox.push(Effect::Send(id, event)),
            None => Ok(()),
        }
    }
}
