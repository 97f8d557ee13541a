//! WebSockets: one sender and many subscribers, and many connections that nothing happens on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt, TryStreamExt, stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, broadcast, oneshot};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async_with_config};

/// Messages that the sender has under way.
const WINDOW: usize = 8;
/// Messages that a run can count.
const MESSAGES_MAX: usize = 1 << 20;

type Socket = WebSocketStream<TcpStream>;

/// What a fan-out came to.
pub(crate) struct FanOut {
    /// Messages that reached a subscriber, per second.
    pub(crate) deliveries: f64,
    /// From sending to arrival, sorted.
    pub(crate) latencies: Vec<Duration>,
}

/// Opens a WebSocket, to the path of a connection or of the yardstick.
async fn open(address: SocketAddr, path: &str) -> Result<Socket> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut request = format!("ws://{address}{path}").into_client_request()?;
    let protocols = "rivet,rivet_encoding.json".parse()?;
    request
        .headers_mut()
        .insert("sec-websocket-protocol", protocols);
    let config = WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(4 << 10);
    let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
    Ok(socket)
}

/// The path of a connection to an actor of the type `bench`.
fn path(key: &str) -> String {
    format!(
        "/gateway/bench/connect?rvt-namespace=default&rvt-method=getOrCreate\
         &rvt-runner=default&rvt-key={key}"
    )
}

/// One sender calls `action`, which broadcasts, and so many subscribers listen.
pub(crate) async fn host_fan_out(
    address: SocketAddr,
    key: &str,
    action: &str,
    subscribers: usize,
    run: Duration,
) -> Result<FanOut> {
    let path = path(key);
    let subscribe =
        r#"{"body":{"tag":"SubscriptionRequest","val":{"eventName":"tick","subscribe":true}}}"#;
    let ping =
        r#"{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","0"],"name":"count","args":[]}}}"#;
    let listening = (0..subscribers).map(|_| async {
        let mut socket = open(address, &path).await?;
        socket.send(Message::text(subscribe)).await?;
        socket.send(Message::text(ping)).await?;
        // The answer comes after the subscription is made.
        while !next(&mut socket).await?.contains("ActionResponse") {}
        Ok::<_, anyhow::Error>(socket)
    });
    let listening: Vec<Socket> = stream::iter(listening).buffered(16).try_collect().await?;
    let sender = open(address, &path).await?;
    fan_out(sender, listening, run, |number| {
        format!(
            r#"{{"body":{{"tag":"ActionRequest","val":{{"id":["$BigInt","{number}"],"name":"{action}","args":[{number}]}}}}}}"#
        )
    })
    .await
}

/// The same with a server that does nothing but send what one client says to all.
pub(crate) async fn bare_fan_out(subscribers: usize, run: Duration) -> Result<FanOut> {
    let address = bare_server().await?;
    let listening = (0..subscribers).map(|_| open_bare(address));
    let listening: Vec<Socket> = stream::iter(listening).buffered(16).try_collect().await?;
    let sender = open_bare(address).await?;
    fan_out(sender, listening, run, |number| {
        format!(r#"{{"body":{{"tag":"Event","val":{{"args":[{number}],"name":"tick"}}}}}}"#)
    })
    .await
}

async fn open_bare(address: SocketAddr) -> Result<Socket> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let request = format!("ws://{address}/").into_client_request()?;
    Ok(client_async_with_config(request, stream, None).await?.0)
}

async fn next(socket: &mut Socket) -> Result<String> {
    let message = socket.next().await.context("the connection is over")??;
    Ok(message.into_text()?.as_str().to_owned())
}

async fn fan_out(
    sender: Socket,
    listening: Vec<Socket>,
    run: Duration,
    frame: impl Fn(usize) -> String,
) -> Result<FanOut> {
    let began = Instant::now();
    let (warm, end) = (began + run / 5, began + run / 5 + run);
    let sent: Arc<Vec<AtomicU64>> =
        Arc::new((0..MESSAGES_MAX).map(|_| AtomicU64::new(0)).collect());
    let window = Arc::new(Semaphore::new(WINDOW));
    let listeners: Vec<_> = listening
        .into_iter()
        .enumerate()
        .map(|(index, socket)| {
            // The first of them sets the pace.
            let window = (index == 0).then(|| window.clone());
            tokio::spawn(listen(socket, sent.clone(), window, began, warm, end))
        })
        .collect();
    let (write, read) = sender.split();
    let reading = tokio::spawn(drain(read));
    send(write, &sent, &window, began, end, frame).await?;
    let mut latencies = Vec::new();
    for listener in listeners {
        latencies.extend(listener.await??);
    }
    reading.abort();
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    let deliveries = latencies.len() as f64 / run.as_secs_f64();
    latencies.sort_unstable();
    Ok(FanOut {
        deliveries,
        latencies,
    })
}

async fn send(
    mut write: SplitSink<Socket, Message>,
    sent: &[AtomicU64],
    window: &Semaphore,
    began: Instant,
    end: Instant,
    frame: impl Fn(usize) -> String,
) -> Result<()> {
    for (number, moment) in sent.iter().enumerate() {
        // Whoever sets the pace stops at the end.
        let Ok(place) = tokio::time::timeout_at(end, window.acquire()).await else {
            return Ok(());
        };
        place?.forget();
        moment.store(nanos(began), Ordering::Release);
        write.send(Message::text(frame(number))).await?;
    }
    bail!("a run has at most {MESSAGES_MAX} messages")
}

async fn listen(
    mut socket: Socket,
    sent: Arc<Vec<AtomicU64>>,
    window: Option<Arc<Semaphore>>,
    began: Instant,
    warm: Instant,
    end: Instant,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut expected = None;
    loop {
        let Ok(message) = tokio::time::timeout_at(end, socket.next()).await else {
            return Ok(latencies);
        };
        let message = message.context("a subscriber was cut off")??;
        let Message::Text(text) = message else {
            continue;
        };
        let number = text
            .split_once("\"args\":[")
            .and_then(|(_, rest)| rest.split_once(']'))
            .and_then(|(number, _)| number.parse::<usize>().ok())
            .with_context(|| format!("not an event: {text}"))?;
        if expected.is_some_and(|expected| expected != number) {
            bail!("event {number} came instead of {expected:?}");
        }
        expected = Some(number + 1);
        let now = Instant::now();
        if now >= warm {
            let taken = nanos(began).saturating_sub(sent[number].load(Ordering::Acquire));
            latencies.push(Duration::from_nanos(taken));
        }
        if let Some(window) = &window {
            window.add_permits(1);
        }
    }
}

/// Answers have to be read, or they pile up.
async fn drain(mut read: SplitStream<Socket>) {
    while let Some(Ok(_)) = read.next().await {}
}

fn nanos(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

async fn bare_server() -> Result<SocketAddr> {
    let (address, bound) = oneshot::channel();
    std::thread::spawn(move || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            // The other side waits for it.
            _ = address.send(listener.local_addr()?);
            let (all, _) = broadcast::channel::<Message>(4_096);
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let (said, mut heard) = (all.clone(), all.subscribe());
                tokio::spawn(async move {
                    let Ok(socket) = accept_async(stream).await else {
                        return;
                    };
                    let (mut write, mut read) = socket.split();
                    let writing = async {
                        while let Ok(message) = heard.recv().await {
                            if write.send(message).await.is_err() {
                                return;
                            }
                        }
                    };
                    let reading = async {
                        while let Some(Ok(message)) = read.next().await {
                            // Somebody listens: this very connection.
                            _ = said.send(message);
                        }
                    };
                    tokio::select! { () = writing => {}, () = reading => {} }
                });
            }
        })
    });
    bound.await.context("the bare server did not start")
}

/// Opens so many connections, spread over so many actors.
pub(crate) async fn open_many(
    address: SocketAddr,
    count: usize,
    actors: usize,
) -> Result<Vec<Socket>> {
    let opening = (0..count).map(|index| async move {
        let mut socket = open(address, &path(&format!("idle-{}", index % actors))).await?;
        let first = next(&mut socket).await?;
        if !first.contains("Init") {
            bail!("the connection begins with {first}");
        }
        Ok(socket)
    });
    stream::iter(opening)
        .buffer_unordered(64)
        .try_collect()
        .await
}
