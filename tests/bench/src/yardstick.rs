//! What the machine can do without us.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rusqlite::{Connection, params};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// An HTTP server that reads a body and sends it back, and nothing else. Runs until the program ends, in
/// a runtime of its own, as the host does.
pub(crate) async fn echo() -> Result<SocketAddr> {
    let (address, bound) = oneshot::channel();
    std::thread::spawn(move || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            // The other side waits for it.
            _ = address.send(listener.local_addr()?);
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(async move {
                    let service = service_fn(async |request: Request<hyper::body::Incoming>| {
                        let body = request.into_body().collect().await.map(|b| b.to_bytes());
                        Ok::<_, Infallible>(Response::new(Full::new(body.unwrap_or_default())))
                    });
                    let server = hyper::server::conn::http1::Builder::new();
                    // It ends when the client goes.
                    _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        })
    });
    bound.await.context("the echo server did not start")
}

/// Commits per second of one SQLite writer that takes whatever waits into one transaction, flushed each
/// time: `writers` at once, over `rows` rows of about the size of a small actor.
pub(crate) async fn commits(writers: usize, rows: usize, run: Duration) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut connection = Connection::open(folder.path().join("yardstick.sqlite"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE data (row INTEGER PRIMARY KEY, head INTEGER NOT NULL, state BLOB NOT NULL)",
    )?;
    for row in 0..rows {
        connection.execute("INSERT INTO data VALUES (?1, 0, zeroblob(16))", [row])?;
    }
    let (sender, mut receiver) = mpsc::channel::<(usize, oneshot::Sender<()>)>(writers);
    let writer = std::thread::spawn(move || -> Result<()> {
        let mut batch = Vec::new();
        while receiver.blocking_recv_many(&mut batch, 1_024) > 0 {
            let transaction = connection.transaction()?;
            for (row, _) in &batch {
                let sql = "UPDATE data SET head = head + 1, state = randomblob(16) WHERE row = ?1";
                transaction.prepare_cached(sql)?.execute(params![row])?;
            }
            transaction.commit()?;
            for (_, done) in batch.drain(..) {
                // Whoever waited is still there.
                _ = done.send(());
            }
        }
        Ok(())
    });
    let end = Instant::now() + run;
    let counts = join_all((0..writers).map(|index| {
        let sender = sender.clone();
        async move {
            let mut count = 0_u32;
            while Instant::now() < end {
                let (done, finished) = oneshot::channel();
                let row = (index * 617 + count as usize * 7) % rows;
                if sender.send((row, done)).await.is_err() || finished.await.is_err() {
                    break;
                }
                count += 1;
            }
            f64::from(count)
        }
    }))
    .await;
    drop(sender);
    writer
        .join()
        .map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    Ok(counts.iter().sum::<f64>() / run.as_secs_f64())
}
