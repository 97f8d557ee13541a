//! Clocks and waiting.

use std::time::Duration;

use crate::bindings::wasi::clocks::{monotonic_clock, system_clock};

/// Waits. Other calls of the actor run meanwhile.
///
/// Dropping the future ends the wait. (Blocking the thread, as `std::thread::sleep` does, would hold up
/// the whole actor.)
pub async fn sleep(duration: Duration) {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    monotonic_clock::wait_for(nanos).await;
}

/// Milliseconds since the Unix epoch, as the host's clock tells it.
#[must_use]
pub fn now_ms() -> i64 {
    let now = system_clock::now();
    now.seconds * 1_000 + i64::from(now.nanoseconds / 1_000_000)
}
