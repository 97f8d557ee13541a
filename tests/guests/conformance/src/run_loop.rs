//! Group K, second half: actors with work of their own.

use std::future::pending;

use greenroom_sdk::prelude::*;

use crate::lifecycle::record;

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunWithTicks {
    tick_count: u32,
    last_tick_at: i64,
    run_started: bool,
    run_exited: bool,
}

#[actor(rename_all = "camelCase", sleep_after = "1s", connections_keep_awake)]
impl RunWithTicks {
    #[run]
    async fn run(cx: Context<Self>) {
        let end = CancelToken::new();
        let ends = end.clone();
        cx.on_abort(move || ends.cancel());
        cx.update(|actor| actor.run_started = true);
        while end
            .run(time::sleep(Duration::from_millis(50)))
            .await
            .is_ok()
        {
            cx.update(|actor| {
                actor.tick_count += 1;
                actor.last_tick_at = time::now_ms();
            });
        }
        cx.update(|actor| actor.run_exited = true);
    }

    #[action]
    fn get_state(&self) -> Self {
        self.clone()
    }
}

const MESSAGES: Queue<Value> = Queue::new("messages");

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunWithQueueConsumer {
    messages_received: Vec<Received>,
    run_started: bool,
    wake_count: u32,
}

#[derive(Clone, Serialize, Deserialize)]
struct Received {
    name: String,
    body: Value,
}

#[actor(
    rename_all = "camelCase",
    sleep_after = "1s",
    connections_keep_awake,
    queues = [MESSAGES],
)]
impl RunWithQueueConsumer {
    #[on_wake]
    fn woken(&mut self) {
        self.wake_count += 1;
    }

    #[run]
    async fn run(cx: Context<Self>) -> Result<()> {
        cx.update(|actor| actor.run_started = true);
        loop {
            let message = MESSAGES.receive(&cx).await?;
            let received = Received {
                name: message.queue,
                body: message.body,
            };
            cx.update(|actor| actor.messages_received.push(received));
        }
    }

    #[action]
    fn get_state(&self) -> Self {
        self.clone()
    }

    #[action]
    fn send_message(&self, env: &Env<Self>, body: Value) -> Result<bool> {
        MESSAGES.send(env, &body)?;
        Ok(true)
    }
}

/// Who is told of the life of the next actor.
const EARLY_EXIT_OBSERVER: &str = "run-with-early-exit";

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunWithEarlyExit {
    run_started: bool,
    run_exited: bool,
    destroy_called: bool,
    sleep_count: u32,
    wake_count: u32,
}

#[actor(rename_all = "camelCase", sleep_after = "1s", connections_keep_awake)]
impl RunWithEarlyExit {
    #[on_wake]
    fn woken(&mut self) {
        self.wake_count += 1;
    }

    #[on_sleep]
    async fn sleeps(cx: Context<Self>) -> Result<()> {
        cx.update(|actor| actor.sleep_count += 1);
        record(EARLY_EXIT_OBSERVER, cx.id().to_owned(), "sleep").await
    }

    #[on_destroy]
    async fn destroyed(cx: Context<Self>) -> Result<()> {
        cx.update(|actor| actor.destroy_called = true);
        record(EARLY_EXIT_OBSERVER, cx.id().to_owned(), "destroy").await
    }

    #[run]
    async fn run(cx: Context<Self>) {
        cx.update(|actor| actor.run_started = true);
        time::sleep(Duration::from_millis(200)).await;
        cx.update(|actor| actor.run_exited = true);
    }

    #[action]
    fn get_state(&self) -> Self {
        self.clone()
    }

    #[action]
    fn destroy(&self, env: &Env<Self>) {
        env.destroy();
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunWithError {
    run_started: bool,
    destroy_called: bool,
    sleep_count: u32,
    wake_count: u32,
}

#[actor(rename_all = "camelCase", sleep_after = "1s", connections_keep_awake)]
impl RunWithError {
    #[on_wake]
    fn woken(&mut self) {
        self.wake_count += 1;
    }

    #[on_sleep]
    fn sleeps(&mut self) {
        self.sleep_count += 1;
    }

    #[on_destroy]
    fn destroyed(&mut self) {
        self.destroy_called = true;
    }

    #[run]
    async fn run(cx: Context<Self>) -> Result<()> {
        cx.update(|actor| actor.run_started = true);
        time::sleep(Duration::from_millis(200)).await;
        Err(Error::internal("the run loop fails, as it should"))
    }

    #[action]
    fn get_state(&self) -> Self {
        self.clone()
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunWithoutHandler {
    wake_count: u32,
}

#[actor(rename_all = "camelCase", sleep_after = "1s", connections_keep_awake)]
impl RunWithoutHandler {
    #[on_wake]
    fn woken(&mut self) {
        self.wake_count += 1;
    }

    #[action]
    fn get_state(&self) -> Self {
        self.clone()
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunSelfInitiatedSleep {
    run_count: u32,
    wake_count: u32,
    sleep_count: u32,
    marker: String,
}

impl Default for RunSelfInitiatedSleep {
    fn default() -> Self {
        Self {
            run_count: 0,
            wake_count: 0,
            sleep_count: 0,
            marker: "new".to_owned(),
        }
    }
}

#[actor(rename_all = "camelCase", sleep_after = "1s", connections_keep_awake)]
impl RunSelfInitiatedSleep {
    #[on_wake]
    fn woken(&mut self) {
        self.wake_count += 1;
    }

    #[on_sleep]
    fn sleeps(&mut self) {
        self.sleep_count += 1;
        "slept".clone_into(&mut self.marker);
    }

    #[run]
    async fn run(cx: Context<Self>) {
        let is_first = cx.update(|actor| {
            actor.run_count += 1;
            if actor.run_count == 1 {
                "sleep-requested".clone_into(&mut actor.marker);
            }
            actor.run_count == 1
        });
        if is_first {
            cx.sleep();
        }
    }

    #[action]
    fn get_state(&self) -> Self {
        self.clone()
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunSelfInitiatedDestroy {
    run_count: u32,
    destroy_requested: bool,
}

#[actor(rename_all = "camelCase", connections_keep_awake)]
impl RunSelfInitiatedDestroy {
    #[on_destroy]
    async fn destroyed(cx: Context<Self>) -> Result<()> {
        record("self-initiated-destroy", cx.id().to_owned(), "destroy").await
    }

    #[run]
    async fn run(cx: Context<Self>) {
        let was_requested = cx.update(|actor| {
            actor.run_count += 1;
            std::mem::replace(&mut actor.destroy_requested, true)
        });
        if !was_requested {
            cx.destroy();
        }
    }

    #[action]
    fn get_state(&self) -> Self {
        self.clone()
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunIgnoresAbortStopTimeout {
    wake_count: u32,
    destroy_count: u32,
}

#[actor(
    rename_all = "camelCase",
    sleep_after = "50ms",
    stop_grace = "100ms",
    connections_keep_awake
)]
impl RunIgnoresAbortStopTimeout {
    #[on_wake]
    fn woken(&mut self) {
        self.wake_count += 1;
    }

    #[on_destroy]
    fn destroyed(&mut self) {
        self.destroy_count += 1;
    }

    #[run]
    async fn run(_cx: Context<Self>) {
        pending().await
    }

    #[action]
    fn get_state(&self) -> Self {
        self.clone()
    }

    #[action]
    fn destroy(&self, env: &Env<Self>) {
        env.destroy();
    }
}
