use greenroom_model::{ConnId, Message};

use crate::bindings::greenroom::actor::{sockets, stopping, types};
use crate::ctx::Ctx;
use crate::effects::Effect;

impl sockets::Host for Ctx {
    fn send_message(
        &mut self,
        connection: String,
        message: types::WebsocketMessage,
    ) -> wasmtime::Result<()> {
        let message = match message {
            types::WebsocketMessage::Text(text) => Message::Text(text),
            types::WebsocketMessage::Binary(bytes) => Message::Binary(bytes.into()),
        };
        match ConnId::parse(&connection) {
            Some(id) => self.outbox.push(Effect::Message(id, message)),
            None => Ok(()),
        }
    }

    fn close(
        &mut self,
        connection: String,
        code: Option<u16>,
        reason: String,
    ) -> wasmtime::Result<()> {
        match ConnId::parse(&connection) {
            Some(id) => self.outbox.push(Effect::Close(id, code, reason)),
            None => Ok(()),
        }
    }
}

impl stopping::Host for Ctx {
    fn sleep(&mut self) -> wasmtime::Result<()> {
        self.outbox.push(Effect::Sleep)
    }

    fn destroy(&mut self) -> wasmtime::Result<()> {
        self.outbox.push(Effect::Destroy)
    }
}
