//! An actor that counts, to begin with.

use greenroom_sdk::prelude::*;

/// The state of one actor. It is saved whenever it has changed, and is there again when the actor wakes: after it has
/// slept, after a crash, and on the next revision of this code.
///
/// Before a deploy that changes its shape, count `state_version` below up and say how old states become new ones, in a
/// function marked `#[migrate(from = 1)]`.
#[derive(Default, Serialize, Deserialize)]
struct {Type} {
    count: i64,
}

/// What is sent to everybody who is connected and has subscribed to it.
const CHANGED: Event<i64> = Event::new("changed");

// The actor type is called `{type}`. There is one actor for every key that somebody calls, made at the first call.
#[actor(state_version = 1, events = [CHANGED])]
impl {Type} {
    /// An action is what clients call. It runs to its end before the next one begins, so nothing needs a lock; its
    /// answer leaves when the new state is on disk.
    #[action]
    fn increment(&mut self, env: &Env<Self>, by: i64) -> i64 {
        self.count += by;
        env.broadcast(CHANGED, &self.count);
        self.count
    }
}

greenroom_sdk::component!({Type});
