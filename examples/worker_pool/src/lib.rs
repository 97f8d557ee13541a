//! How is work shared out? A pool takes jobs out of its queue, one after another. It gives a piece of the job to each of
//! its workers (fan-out), waits for their replies, and adds them up (fan-in). All of that is in durable queues: a job
//! that a crash or a stop has interrupted is taken again. (In Rivet Actors: `run` with
//! `c.queue.next({ completable: true })`, and `send(…, { wait: true })` to the workers.)

use futures::future::try_join_all;
use greenroom_sdk::prelude::*;

/// A job is shared by so many workers at most.
const WORKERS: usize = 4;
/// How long the pool waits for them before it gives the job back.
const PATIENCE: Duration = Duration::from_secs(30);

/// Both hold texts whose words are to be counted.
const JOBS: Queue<Vec<String>> = Queue::new("jobs");
const PIECES: Queue<Vec<String>> = Queue::new("pieces");

#[derive(Clone, Default, Serialize, Deserialize)]
struct WorkerPool {
    jobs: u64,
    words: u64,
}

#[actor(queues = [JOBS], queue_attempts_max = 3)]
impl WorkerPool {
    /// Begins at every start. While it waits for a job the actor may sleep; the next job wakes it.
    #[run]
    async fn run(cx: Context<Self>) -> Result<()> {
        loop {
            let job = JOBS.take(&cx).await?;
            match count(cx.key(), &job.body).await {
                Ok(words) => {
                    cx.update(|pool| {
                        pool.jobs += 1;
                        pool.words += words;
                    });
                    // One commit: the job is gone and counted, or neither. Then its sender gets the reply.
                    job.complete_with(&words)?;
                }
                // It is dropped here and so comes again; after the third time it is a dead letter.
                Err(error) => log::warn(format!("job {} failed: {error}", job.id)),
            }
        }
    }

    #[action]
    fn totals(&self) -> Self {
        self.clone()
    }
}

/// Shares the texts out, and adds up what comes back. Workers may have to count again what an earlier try has had them
/// count; that does no harm, as only these replies are added up.
async fn count(pool: &[String], texts: &[String]) -> Result<u64> {
    let size = texts.len().div_ceil(WORKERS).max(1);
    let replies = texts.chunks(size).enumerate().map(|(n, piece)| {
        let key = [pool, &[n.to_string()]].concat();
        let worker = client::Handle::get_or_create("worker", key);
        async move {
            let done = worker.send_and_wait(PIECES.name(), piece, PATIENCE).await?;
            let late = || Error::internal(format!("worker {n} was too slow"));
            done.reply::<u64>()?.ok_or_else(late)
        }
    });
    Ok(try_join_all(replies).await?.into_iter().sum())
}

fn words_in(text: &str) -> usize {
    text.split_whitespace().count()
}

#[derive(Default, Serialize, Deserialize)]
struct Worker {
    pieces: u64,
}

#[actor(queues = [PIECES])]
impl Worker {
    #[run]
    async fn run(cx: Context<Self>) -> Result<()> {
        loop {
            let piece = PIECES.take(&cx).await?;
            // In earnest, this would be work.
            time::sleep(Duration::from_millis(100)).await;
            let words: usize = piece.body.iter().map(|text| words_in(text)).sum();
            cx.update(|worker| worker.pieces += 1);
            piece.complete_with(&words)?;
        }
    }

    /// Pieces come from other actors only, which connect without a request.
    #[can_publish]
    fn can_publish(&self, conn: &Conn<Self>, _queue: &str) -> bool {
        conn.request().is_none()
    }

    #[action]
    fn pieces(&self) -> u64 {
        self.pieces
    }
}

greenroom_sdk::component!(WorkerPool, Worker);
