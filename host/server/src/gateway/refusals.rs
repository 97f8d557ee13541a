//! Holding refused WebSockets back, a little longer each time.
//!
//! A client that is told no may ask again at once: the React layer of the stock client opens a new
//! connection as soon as one has failed, over a thousand a second. So the end of a refused one is
//! delayed.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The first delay; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// The longest delay.
const LONGEST: Duration = Duration::from_secs(5);
/// After so long without a refusal, all is forgotten.
const FORGIVEN: Duration = Duration::from_secs(30);
/// Peers that are remembered.
const PEERS_MAX: usize = 10_000;

/// Who was refused how often.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<HashMap<(IpAddr, u64), Refused>>);

#[derive(Debug, Clone, Copy)]
struct Refused {
    times: u32,
    last: Instant,
}

impl Refusals {
    /// Counts one more refusal of a peer that asked for this, and says how long to hold it back.
    pub(super) fn add(&self, peer: IpAddr, asked: &str) -> Duration {
        let mut hasher = DefaultHasher::new();
        asked.hash(&mut hasher);
        let key = (peer, hasher.finish());
        let now = Instant::now();
        // Nothing here panics halfway through a change.
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= PEERS_MAX {
            refused.retain(|_, refused| now - refused.last < FORGIVEN);
        }
        let before = refused.get(&key).filter(|r| now - r.last < FORGIVEN);
        let times = before.map_or(0, |refused| refused.times);
        if refused.len() < PEERS_MAX || refused.contains_key(&key) {
            let times = times + 1;
            refused.insert(key, Refused { times, last: now });
        }
        (FIRST * 2_u32.saturating_pow(times.min(16))).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_question_waits_longer_each_time() {
        let refusals = Refusals::default();
        let peer = IpAddr::from([127, 0, 0, 1]);
        let first = refusals.add(peer, "a");
        assert_eq!(refusals.add(peer, "a"), first * 2);
        assert_eq!(
            refusals.add(peer, "b"),
            first,
            "another actor is another matter"
        );
        for _ in 0..40 {
            assert!(refusals.add(peer, "a") <= LONGEST);
        }
        tokio::time::advance(FORGIVEN).await;
        assert_eq!(refusals.add(peer, "a"), first);
    }
}
