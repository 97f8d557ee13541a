//! Group H: an actor that receives from its queues in every way, and one whose queues hold hardly anything.

use greenroom_sdk::{Receive, prelude::*};

const GREETING: Queue<Value> = Queue::new("greeting");
const SELF: Queue<Value> = Queue::new("self");
const A: Queue<Value> = Queue::new("a");
const B: Queue<Value> = Queue::new("b");
const C: Queue<Value> = Queue::new("c");
const ONE: Queue<Value> = Queue::new("one");
const TWO: Queue<Value> = Queue::new("two");
const MISSING: Queue<Value> = Queue::new("missing");
const ABORT: Queue<Value> = Queue::new("abort");
const TASKS: Queue<Value> = Queue::new("tasks");
const TIMEOUT: Queue<Value> = Queue::new("timeout");
const NOWAIT: Queue<Value> = Queue::new("nowait");
const TWICE: Queue<Value> = Queue::new("twice");

/// All queues.
pub(crate) const ANY: [&str; 0] = [];

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct QueueActor;

/// A message, as it is shown.
#[derive(Serialize)]
struct Shown {
    name: String,
    body: Value,
}

impl From<QueueMessage<Value>> for Shown {
    fn from(message: QueueMessage<Value>) -> Self {
        Self {
            name: message.queue,
            body: message.body,
        }
    }
}

impl From<&Delivery<Value>> for Shown {
    fn from(delivery: &Delivery<Value>) -> Self {
        Self {
            name: delivery.queue.clone(),
            body: delivery.body.clone(),
        }
    }
}

/// What is to be received.
#[derive(Default, Deserialize)]
struct Wanted {
    names: Option<Vec<String>>,
    count: Option<u32>,
    timeout: Option<u64>,
}

impl Wanted {
    fn receive(self, cx: &Context<QueueActor>) -> Receive {
        let names = self.names.unwrap_or_default();
        let receive = cx.receive(names).count(self.count.unwrap_or(1));
        match self.timeout {
            Some(ms) => receive.timeout(Duration::from_millis(ms)),
            None => receive,
        }
    }

    async fn shown(self, cx: &Context<QueueActor>) -> Result<Vec<Shown>> {
        let messages = self.receive(cx).await?;
        Ok(messages.into_iter().map(Shown::from).collect())
    }
}

/// What something failed with.
#[derive(Serialize)]
struct Failure {
    group: String,
    code: String,
}

impl Failure {
    fn of<T>(outcome: Result<T>) -> Result<Self> {
        let Err(error) = outcome else {
            return Err(Error::internal("it should have failed"));
        };
        match (error.group(), error.code()) {
            (Some(group), Some(code)) => Ok(Self {
                group: group.to_owned(),
                code: code.to_owned(),
            }),
            _ => Err(error),
        }
    }
}

#[derive(Serialize)]
struct Echo<'a> {
    echo: &'a Value,
}

#[derive(Serialize)]
struct Ended {
    ok: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Completable {
    has_complete: bool,
}

/// How long those wait that wait to be aborted.
const PATIENCE: Duration = Duration::from_secs(10);

fn destroy_soon(cx: &Context<QueueActor>) {
    let cx = cx.clone();
    greenroom_sdk::spawn(async move {
        time::sleep(Duration::from_millis(10)).await;
        cx.destroy();
    });
}

async fn take(cx: &Context<QueueActor>, name: String) -> Result<Delivery<Value>> {
    let taken = cx.receive([name]).take_one().await?;
    taken.ok_or_else(|| Error::internal("a receive without a timeout gave nothing"))
}

#[actor(
    rename_all = "camelCase",
    queues = [GREETING, SELF, A, B, C, ONE, TWO, MISSING, ABORT, TASKS, TIMEOUT, NOWAIT, TWICE],
)]
impl QueueActor {
    #[action]
    async fn receive_one(
        cx: Context<Self>,
        name: String,
        wanted: Option<Wanted>,
    ) -> Result<Option<Shown>> {
        let wanted = Wanted {
            names: Some(vec![name]),
            ..wanted.unwrap_or_default()
        };
        let message = wanted.receive(&cx).one().await?;
        Ok(message.map(Shown::from))
    }

    #[action]
    async fn receive_many(
        cx: Context<Self>,
        names: Vec<String>,
        wanted: Option<Wanted>,
    ) -> Result<Vec<Shown>> {
        let wanted = Wanted {
            names: Some(names),
            ..wanted.unwrap_or_default()
        };
        wanted.shown(&cx).await
    }

    #[action]
    async fn receive_request(cx: Context<Self>, wanted: Option<Wanted>) -> Result<Vec<Shown>> {
        wanted.unwrap_or_default().shown(&cx).await
    }

    #[action]
    async fn try_receive_many(cx: Context<Self>, wanted: Option<Wanted>) -> Result<Vec<Shown>> {
        let wanted = Wanted {
            timeout: Some(0),
            ..wanted.unwrap_or_default()
        };
        wanted.shown(&cx).await
    }

    #[action]
    async fn receive_with_iterator(cx: Context<Self>, name: String) -> Result<Option<Shown>> {
        Ok(cx.receive([name]).one().await?.map(Shown::from))
    }

    #[action]
    async fn receive_with_async_iterator(cx: Context<Self>) -> Result<Option<Shown>> {
        Ok(cx.receive(ANY).one().await?.map(Shown::from))
    }

    #[action]
    async fn send_to_self(cx: Context<Self>, name: String, body: Value) -> Result<bool> {
        let myself = client::Handle::with_id(cx.id());
        myself.send(&name, &body).await?;
        Ok(true)
    }

    #[action]
    async fn wait_for_abort(cx: Context<Self>) -> Result<bool> {
        destroy_soon(&cx);
        ABORT.receive_within(&cx, PATIENCE).await?;
        Ok(true)
    }

    #[action]
    async fn wait_for_signal_abort(cx: Context<Self>) -> Result<Failure> {
        let token = CancelToken::new();
        token.cancel();
        let receive = cx.receive([ABORT.name()]).timeout(PATIENCE).until(&token);
        Failure::of(receive.one().await)
    }

    #[action]
    async fn wait_for_actor_abort_with_signal(cx: Context<Self>) -> Result<Failure> {
        destroy_soon(&cx);
        let token = CancelToken::new();
        let receive = cx.receive([ABORT.name()]).timeout(PATIENCE).until(&token);
        Failure::of(receive.one().await)
    }

    #[action]
    async fn iter_with_signal_abort(cx: Context<Self>) -> Result<Ended> {
        let token = CancelToken::new();
        token.cancel();
        loop {
            match cx.receive([ABORT.name()]).until(&token).one().await {
                Ok(_) => {}
                Err(error) if error.is_aborted() => return Ok(Ended { ok: true }),
                Err(error) => return Err(error),
            }
        }
    }

    #[action]
    async fn receive_and_complete(cx: Context<Self>, name: String) -> Result<Shown> {
        let delivery = take(&cx, name).await?;
        let shown = Shown::from(&delivery);
        delivery.complete_with(&Echo { echo: &shown.body })?;
        Ok(shown)
    }

    #[action]
    async fn receive_without_complete(cx: Context<Self>, name: String) -> Result<Shown> {
        Ok(Shown::from(&take(&cx, name).await?))
    }

    #[action]
    async fn receive_manual_then_next_without_complete(
        cx: Context<Self>,
        name: String,
    ) -> Result<Failure> {
        let delivery = take(&cx, name.clone()).await?;
        let next = cx.receive([name]).timeout(Duration::ZERO).one().await;
        let failure = Failure::of(next);
        cx.destroy();
        drop(delivery);
        failure
    }

    #[action]
    async fn receive_and_complete_twice(cx: Context<Self>, name: String) -> Result<Failure> {
        let delivery = take(&cx, name).await?;
        delivery.try_complete(None)?;
        Failure::of(delivery.try_complete(None))
    }

    #[action]
    async fn receive_without_complete_method(
        cx: Context<Self>,
        name: String,
    ) -> Result<Completable> {
        // A delivery is what completes a message, whatever is declared of replies.
        let has_complete = cx.receive([name]).take_one().await?.is_some();
        Ok(Completable { has_complete })
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct QueueLimitedActor;

const MESSAGE: Queue<Value> = Queue::new("message");
const OVERSIZE: Queue<Value> = Queue::new("oversize");

#[actor(
    rename_all = "camelCase",
    queues = [MESSAGE, OVERSIZE],
    queue_messages_max = 1,
    queue_message_bytes_max = 64,
)]
impl QueueLimitedActor {}
