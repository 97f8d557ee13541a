//! A component that is no actor.

/// Something, so that there is a component at all.
#[unsafe(no_mangle)]
pub extern "C" fn nothing() {}
