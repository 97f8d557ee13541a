//! Generated from `wit/`; only this crate touches it.
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "generated; documented in wit/"
)]
#![allow(clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "actor",
    imports: { default: trappable },
    exports: { default: async | store },
    with: {
        "greenroom:actor/background.work": crate::imports::Work,
        "greenroom:actor/queues.delivery": crate::imports::Delivery,
        "wasi:clocks": wasmtime_wasi::p3::bindings::clocks,
        "wasi:http": wasmtime_wasi_http::p3::bindings::http,
    },
    require_store_data_send: true,
});
