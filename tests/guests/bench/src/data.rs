//! Actors that keep more than a state.

use greenroom_sdk::prelude::*;

/// Notes how late it is woken.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct BenchAlarm {
    /// In milliseconds.
    late: Vec<i64>,
}

#[actor]
impl BenchAlarm {
    /// Rings so many times at this time, in milliseconds since the Unix epoch.
    #[action]
    fn set(&mut self, env: &Env<Self>, due: i64, count: u32) -> Result<()> {
        self.late.clear();
        for _ in 0..count {
            env.schedule().at(due, "ring", (due,))?;
        }
        Ok(())
    }

    #[action]
    fn ring(&mut self, due: i64) {
        self.late.push(time::now_ms() - due);
    }

    #[action]
    fn late(&self) -> Vec<i64> {
        self.late.clone()
    }
}

const PIECES: Queue<u32> = Queue::new("pieces");

/// Works off a queue.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct BenchQueue {
    done: u64,
}

#[actor(queues = [PIECES], queue_messages_max = 100_000)]
impl BenchQueue {
    #[run]
    async fn run(cx: Context<Self>) -> Result<()> {
        loop {
            let piece = PIECES.take(&cx).await?;
            cx.update(|queue| queue.done += 1);
            piece.complete()?;
        }
    }

    /// Sends so many messages to itself.
    #[action]
    fn fill(&self, env: &Env<Self>, count: u32) -> Result<()> {
        (0..count).try_for_each(|number| PIECES.send(env, &number).map(drop))
    }
}

/// Pairs that each actor has, when all are written.
const PAIRS: u64 = 100;
/// What is in each of them.
const VALUE: [u8; 100] = [b'x'; 100];

/// Writes pairs and reads others. Its state does not change.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct BenchPairs {}

#[actor(vars = u64)]
impl BenchPairs {
    /// Writes one pair, and reads the one that was written longest ago.
    #[action]
    async fn put_and_get(cx: Context<Self>) -> Result<usize> {
        let number = cx.vars(|count| {
            *count += 1;
            *count
        });
        let key = |number: u64| format!("{:03}", number % PAIRS);
        cx.kv().put(key(number), VALUE)?;
        let oldest = cx.kv().get(key(number + 1)).await?;
        Ok(oldest.map_or(0, |value| value.len()))
    }
}
