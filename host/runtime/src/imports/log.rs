use crate::bindings::greenroom::actor::log;
use crate::ctx::Ctx;

impl log::Host for Ctx {
    fn log(&mut self, level: log::Level, context: String, message: String) -> wasmtime::Result<()> {
        self.log.write(level, &context, &message);
        Ok(())
    }
}
