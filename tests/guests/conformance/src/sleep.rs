//! Group L, first part: sleeping, what keeps an actor from it, and work in the background.

use greenroom_sdk::prelude::*;
use serde_json::{Value as Json, json};

use crate::raw_http::not_found;

/// How often an actor has started and fallen asleep. State and answer of most actors of this group.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sleep {
    start_count: u32,
    sleep_count: u32,
}

#[actor(rename_all = "camelCase", sleep_after = "1s", connections_keep_awake)]
impl Sleep {
    #[on_wake]
    fn woken(&mut self) {
        self.start_count += 1;
    }

    #[on_sleep]
    fn sleeps(&mut self) {
        self.sleep_count += 1;
    }

    #[action]
    fn get_counts(&self) -> Self {
        self.clone()
    }

    #[action]
    fn trigger_sleep(&self, env: &Env<Self>) {
        env.sleep();
    }

    #[action]
    fn set_alarm(&self, env: &Env<Self>, ms: u64) -> Result<()> {
        let delay = Duration::from_millis(ms);
        env.schedule().after(delay, "onAlarm", ())?;
        Ok(())
    }

    #[action]
    fn on_alarm(&self) {}
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SleepWithLongRpc {
    start_count: u32,
    sleep_count: u32,
}

#[actor(
    rename_all = "camelCase",
    vars = CancelToken,
    sleep_after = "1s",
    connections_keep_awake,
)]
impl SleepWithLongRpc {
    #[on_wake]
    fn woken(&mut self) {
        self.start_count += 1;
    }

    #[on_sleep]
    fn sleeps(&mut self) {
        self.sleep_count += 1;
    }

    #[action]
    fn get_counts(&self) -> Self {
        self.clone()
    }

    #[action]
    async fn long_running_rpc(cx: Context<Self>) {
        cx.broadcast_args("waiting", ());
        let finished = cx.vars(|token| token.cancelled());
        finished.await;
    }

    #[action]
    fn finish_long_running_rpc(&self, env: &Env<Self>) {
        env.vars(|token| std::mem::take(token).cancel());
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SleepWithWaitUntilMessage {
    start_count: u32,
    sleep_count: u32,
    wait_until_message_count: u32,
}

const SLEEPING: Event<Sleep> = Event::new("sleeping");

#[actor(
    rename_all = "camelCase",
    sleep_after = "1s",
    connections_keep_awake,
    events = [SLEEPING],
)]
impl SleepWithWaitUntilMessage {
    #[on_wake]
    fn woken(&mut self) {
        self.start_count += 1;
    }

    #[on_sleep]
    fn sleeps(&mut self) {
        self.sleep_count += 1;
    }

    #[action]
    fn get_counts(&self) -> Self {
        self.clone()
    }

    #[action]
    async fn trigger_sleep(cx: Context<Self>, conn: Conn<Self>) {
        let working = cx.clone();
        cx.wait_until(async move {
            time::sleep(Duration::from_millis(10)).await;
            let counts = working.update(|actor| {
                actor.wait_until_message_count += 1;
                Sleep {
                    start_count: actor.start_count,
                    sleep_count: actor.sleep_count,
                }
            });
            conn.send(SLEEPING, &counts);
        });
        cx.sleep();
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SleepWithRawHttp {
    start_count: u32,
    sleep_count: u32,
    request_count: u32,
}

#[actor(rename_all = "camelCase", sleep_after = "1s", connections_keep_awake)]
impl SleepWithRawHttp {
    #[on_wake]
    fn woken(&mut self) {
        self.start_count += 1;
    }

    #[on_sleep]
    fn sleeps(&mut self) {
        self.sleep_count += 1;
    }

    #[on_request]
    async fn request(cx: Context<Self>, request: Request) -> Response {
        cx.update(|actor| actor.request_count += 1);
        if request.path() != "/long-request" {
            return not_found();
        }
        let given = request.query_pairs().into_iter();
        let duration = given.filter(|(name, _)| name == "duration");
        let ms = duration.filter_map(|(_, value)| value.parse().ok()).next();
        time::sleep(Duration::from_millis(ms.unwrap_or(1_000))).await;
        Response::json(&json!({ "completed": true }))
    }

    #[action]
    fn get_counts(&self) -> Self {
        self.clone()
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SleepWithRawWebSocket {
    start_count: u32,
    sleep_count: u32,
    connection_count: u32,
}

#[actor(rename_all = "camelCase", sleep_after = "1s", connections_keep_awake)]
impl SleepWithRawWebSocket {
    #[on_wake]
    fn woken(&mut self) {
        self.start_count += 1;
    }

    #[on_sleep]
    fn sleeps(&mut self) {
        self.sleep_count += 1;
    }

    #[on_websocket]
    fn open(&mut self, conn: &Conn<Self>) {
        self.connection_count += 1;
        conn.send_json(&json!({
            "type": "connected",
            "connectionCount": self.connection_count,
        }));
    }

    #[on_message]
    fn message(&self, conn: &Conn<Self>, message: &Message) {
        let Some(text) = message.text() else { return };
        let Ok(request) = serde_json::from_str::<Json>(text) else {
            conn.send_text(text);
            return;
        };
        match request["type"].as_str() {
            Some("getCounts") => conn.send_json(&json!({
                "type": "counts",
                "startCount": self.start_count,
                "sleepCount": self.sleep_count,
                "connectionCount": self.connection_count,
            })),
            Some("keepAlive") => conn.send_json(&json!({ "type": "ack" })),
            _ => {}
        }
    }

    #[on_close]
    fn closed(&mut self) {
        self.connection_count = self.connection_count.saturating_sub(1);
    }

    #[action]
    fn get_counts(&self) -> Self {
        self.clone()
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SleepWithNoSleepOption {
    start_count: u32,
    sleep_count: u32,
}

#[actor(rename_all = "camelCase", no_sleep)]
impl SleepWithNoSleepOption {
    #[on_wake]
    fn woken(&mut self) {
        self.start_count += 1;
    }

    #[on_sleep]
    fn sleeps(&mut self) {
        self.sleep_count += 1;
    }

    #[action]
    fn get_counts(&self) -> Self {
        self.clone()
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SleepWithWaitUntilInOnWake {
    start_count: u32,
    sleep_count: u32,
    wait_until_called: bool,
    wait_until_completed: bool,
}

#[actor(rename_all = "camelCase", sleep_after = "1s", connections_keep_awake)]
impl SleepWithWaitUntilInOnWake {
    #[on_wake]
    async fn woken(cx: Context<Self>) {
        cx.update(|actor| actor.start_count += 1);
        let working = cx.clone();
        cx.wait_until(async move {
            working.update(|actor| actor.wait_until_completed = true);
        });
        cx.update(|actor| actor.wait_until_called = true);
    }

    #[on_sleep]
    fn sleeps(&mut self) {
        self.sleep_count += 1;
    }

    #[action]
    fn get_status(&self) -> Self {
        self.clone()
    }

    #[action]
    fn trigger_sleep(&self, env: &Env<Self>) {
        env.sleep();
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct CounterWaitUntilProbe {
    count: i64,
}

/// What a piece of work gives.
#[derive(Serialize)]
struct Outcome {
    ok: bool,
}

#[actor(rename_all = "camelCase", sleep_after = "1s", connections_keep_awake)]
impl CounterWaitUntilProbe {
    #[action]
    fn trigger_wait_until_void(&mut self, env: &Env<Self>) -> i64 {
        env.wait_until(async {});
        self.one_more()
    }

    #[action]
    fn trigger_wait_until_with_value(&mut self, env: &Env<Self>) -> i64 {
        env.wait_until(async { Outcome { ok: true } });
        self.one_more()
    }

    #[action]
    fn trigger_wait_until_reject_void(&mut self, env: &Env<Self>) -> i64 {
        env.wait_until(async { Err::<(), _>(Error::internal("reject-with-error-ok")) });
        self.one_more()
    }

    #[action]
    async fn trigger_keep_awake_void(cx: Context<Self>) -> i64 {
        let count = cx.update(Self::one_more);
        cx.keep_awake(async {}).await;
        count
    }

    #[action]
    async fn trigger_keep_awake_with_value(cx: Context<Self>) -> i64 {
        let count = cx.update(Self::one_more);
        cx.keep_awake(async { Outcome { ok: true } }).await;
        count
    }

    #[action]
    fn get_count(&self) -> i64 {
        self.count
    }

    #[action]
    fn trigger_sleep(&self, env: &Env<Self>) {
        env.sleep();
    }

    fn one_more(&mut self) -> i64 {
        self.count += 1;
        self.count
    }
}
