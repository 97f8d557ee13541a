//! Clocks and waiting.

use std::time::Duration;

use crate::bindings::wasi::clocks::{monotonic_clock, system_clock};
use crate::waits::wait;

/// Waits. Other calls of the actor run meanwhile.
///
/// Dropping the future ends the wait. (Blocking the thread, as `std::thread::sleep` does, would hold up
/// the whole actor.)
pub async fn sleep(duration: Duration) {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    wait(monotonic_clock::wait_for(nanos)).await;
}

/// Milliseconds since the Unix epoch, as the host's clock tells it.
#[must_use]
pub fn now_ms() -> i64 {
    let now = system_clock::now();
    now.seconds * 1_000 + i64::from(now.nanoseconds / 1_000_000)
}

/// Time since some moment, which only ever goes on.
pub(crate) fn elapsed() -> Duration {
    Duration::from_nanos(monotonic_clock::now())
}

/// A duration as it crosses the border, rounded up: what is not nothing does not become nothing.
pub(crate) fn to_ms(duration: Duration) -> u32 {
    let ms = duration.as_nanos().div_ceil(1_000_000);
    u32::try_from(ms).unwrap_or(u32::MAX)
}

/// A time or a duration as it comes over the border.
#[expect(clippy::cast_possible_truncation, reason = "it saturates")]
pub(crate) const fn whole_ms(ms: f64) -> i64 {
    ms as i64
}
