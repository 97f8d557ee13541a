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

/// After so many refusals of one peer, whatever it asked for, each is held back for a while.
const MANY: u32 = 256;
/// For so long.
const MANY_DELAY: Duration = Duration::from_secs(1);

/// Who was refused how often: for each thing that was asked for, and altogether.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<HashMap<Key, Refused>>);

/// A peer, and what it asked for, or whatever it asked for.
type Key = (IpAddr, Option<u64>);

#[derive(Debug, Clone, Copy)]
struct Refused {
    times: u32,
    last: Instant,
}

impl Refusals {
    /// Counts one more refusal of a peer that asked for this, and says how long to hold it back.
    pub(super) fn add(&self, peer: IpAddr, asked: &str) -> Duration {
        let mut hasher = DefaultHasher::new();
        what_matters(asked).hash(&mut hasher);
        let now = Instant::now();
        // Nothing here panics halfway through a change.
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= PEERS_MAX {
            refused.retain(|_, refused| now - refused.last < FORGIVEN);
        }
        let what = Some(hasher.finish());
        let is_known = refused.contains_key(&(peer, what));
        let count = |refused: &mut _, what| count(refused, (peer, what), now);
        let is_many = count(&mut refused, None) >= MANY;
        // Beyond that, what it has not asked for before takes no room any more.
        if is_many && !is_known {
            return MANY_DELAY;
        }
        let times = count(&mut refused, what);
        let delay = (FIRST * 2_u32.saturating_pow(times.min(16))).min(LONGEST);
        if is_many {
            delay.max(MANY_DELAY)
        } else {
            delay
        }
    }
}

/// Counts one more; how many there were before.
fn count(table: &mut HashMap<Key, Refused>, key: Key, now: Instant) -> u32 {
    let before = table.get(&key).filter(|r| now - r.last < FORGIVEN);
    let times = before.map_or(0, |refused| refused.times);
    if table.len() < PEERS_MAX || table.contains_key(&key) {
        let times = times.saturating_add(1);
        table.insert(key, Refused { times, last: now });
    }
    times
}

/// The path, and the key of the actor: what a client cannot change and still ask for the same.
fn what_matters(asked: &str) -> (&str, Option<&str>) {
    let (path, query) = asked.split_once('?').unwrap_or((asked, ""));
    let mut parameters = query.split('&');
    let key = parameters.find_map(|parameter| parameter.strip_prefix("rvt-key="));
    (path, key)
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
        let key = |key: &str, more: &str| format!("/c?x={more}&rvt-key={key}&y={more}");
        assert_eq!(refusals.add(peer, &key("a", "1")), first);
        assert_eq!(
            refusals.add(peer, &key("a", "2")),
            first * 2,
            "the same actor"
        );
        assert_eq!(refusals.add(peer, &key("b", "2")), first);
        for n in 0..MANY {
            refusals.add(peer, &key(&n.to_string(), ""));
        }
        assert_eq!(refusals.add(peer, "c"), MANY_DELAY, "so much of anything");
        assert_eq!(refusals.add(peer, "a"), LONGEST, "no less than before");
        assert_eq!(refusals.add(IpAddr::from([127, 0, 0, 2]), "c"), first);
        tokio::time::advance(FORGIVEN).await;
        assert_eq!(refusals.add(peer, "a"), first);
    }
}
