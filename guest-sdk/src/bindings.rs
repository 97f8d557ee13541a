//! Generated from `wit/`. Meant for the macros; actors have no use for it.
#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    reason = "generated; documented in wit/"
)]
#![allow(clippy::all, unused_qualifications, reason = "generated")]

wit_bindgen::generate!({
    path: "../wit",
    world: "actor",
    generate_all,
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "greenroom_sdk::bindings",
});
