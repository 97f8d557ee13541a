//! Group K, first half: start and destroy, and who is told of them.

use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};

use greenroom_sdk::prelude::*;
use greenroom_sdk::{Aborted, Actor};
use serde_json::json;

use crate::raw_http::not_found;

/// The key's parts, joined.
fn key_path<A: Actor>(env: &Env<A>) -> String {
    env.key().join("/")
}

/// What an actor tells of itself.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    actor_key: String,
    event: String,
}

/// Who is told what becomes of others.
#[handle("lifecycleObserver", rename_all = "camelCase")]
pub(crate) trait Observer {
    async fn record_event(&self, report: Report);
}

/// Tells the observer of this key what has become of an actor.
pub(crate) async fn record(observer: &str, actor_key: String, event: &str) -> Result<()> {
    let event = event.to_owned();
    let report = Report { actor_key, event };
    let observer = Observer::get_or_create([observer]);
    Ok(observer.record_event(report).await?)
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct LifecycleObserver {
    events: Vec<Recorded>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Recorded {
    #[serde(flatten)]
    report: Reported,
    timestamp: i64,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reported {
    actor_key: Value,
    event: Value,
}

#[actor(rename_all = "camelCase", no_sleep)]
impl LifecycleObserver {
    #[action]
    fn record_event(&mut self, report: Reported) {
        let timestamp = time::now_ms();
        self.events.push(Recorded { report, timestamp });
    }

    #[action]
    fn get_events(&self) -> Vec<Recorded> {
        self.events.clone()
    }

    #[action]
    fn clear_events(&mut self) {
        self.events.clear();
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StartStopRaceActor {
    initialized: bool,
    start_time: i64,
    destroy_called: bool,
    start_completed: bool,
}

#[actor(rename_all = "camelCase")]
impl StartStopRaceActor {
    #[on_wake]
    async fn woken(cx: Context<Self>) -> Result<()> {
        cx.update(|actor| actor.start_time = time::now_ms());
        time::sleep(Duration::from_millis(100)).await;
        cx.update(|actor| {
            actor.initialized = true;
            actor.start_completed = true;
        });
        record("observer", key_path(&cx), "started").await
    }

    #[on_destroy]
    async fn destroyed(cx: Context<Self>) -> Result<()> {
        cx.update(|actor| actor.destroy_called = true);
        record("observer", key_path(&cx), "destroy").await
    }

    #[action]
    fn get_state(&self) -> Self {
        self.clone()
    }

    #[action]
    fn ping(&self) -> &'static str {
        "pong"
    }

    #[action]
    fn destroy(&self, env: &Env<Self>) {
        env.destroy();
    }
}

/// Who is told who has been destroyed.
#[handle("destroyObserver", rename_all = "camelCase")]
trait Mourner {
    async fn notify_destroyed(&self, key: String);
}

/// Tells that this actor is being destroyed.
async fn notify_destroyed<A: Actor>(env: &Env<A>) -> Result<()> {
    let mourner = Mourner::get_or_create(["observer"]);
    Ok(mourner.notify_destroyed(key_path(env)).await?)
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct DestroyObserver {
    destroyed_actors: Vec<String>,
}

#[actor(rename_all = "camelCase")]
impl DestroyObserver {
    #[action]
    fn notify_destroyed(&mut self, key: String) {
        self.destroyed_actors.push(key);
    }

    #[action]
    fn was_destroyed(&self, key: String) -> bool {
        self.destroyed_actors.contains(&key)
    }

    #[action]
    fn reset(&mut self) {
        self.destroyed_actors.clear();
    }
}

const VALUES: Queue<f64> = Queue::new("values");

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct DestroyActor {
    value: f64,
    key: String,
}

/// What is gone with a generation.
pub(crate) struct Ephemeral(String);

#[actor(rename_all = "camelCase", vars = Ephemeral, queues = [VALUES])]
impl DestroyActor {
    #[vars]
    fn vars() -> Ephemeral {
        Ephemeral("fresh".to_owned())
    }

    #[on_wake]
    fn woken(&mut self, env: &Env<Self>) {
        self.key = key_path(env);
    }

    #[on_destroy]
    async fn destroyed(cx: Context<Self>) -> Result<()> {
        notify_destroyed(&cx).await
    }

    #[on_request]
    fn request(&self, request: Request) -> Response {
        match request.path() {
            "/state" => Response::json(&json!({ "key": self.key, "value": self.value })),
            _ => not_found(),
        }
    }

    #[on_websocket]
    fn open(&self, conn: &Conn<Self>) {
        conn.send_json(&json!({ "type": "welcome", "key": self.key, "value": self.value }));
    }

    #[action]
    async fn set_value(cx: Context<Self>, value: f64) -> f64 {
        cx.update(|actor| actor.value = value);
        cx.save().await;
        value
    }

    #[action]
    fn get_value(&self) -> f64 {
        self.value
    }

    #[action]
    fn set_ephemeral(&self, env: &Env<Self>, text: String) -> String {
        env.vars(|vars| vars.0.clone_from(&text));
        text
    }

    #[action]
    fn get_ephemeral(&self, env: &Env<Self>) -> String {
        env.vars(|vars| vars.0.clone())
    }

    #[action]
    async fn receive_value(cx: Context<Self>) -> Result<Option<f64>> {
        let message = VALUES.receive_within(&cx, Duration::ZERO).await?;
        Ok(message.map(QueueMessage::into_body))
    }

    #[action]
    fn destroy(&self, env: &Env<Self>) {
        env.destroy();
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct DestroyAbortSignalActor {
    abort_event_count: u32,
}

/// What an actor sees of the abort around its own request to be destroyed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AbortSeen {
    before_destroy_aborted: bool,
    before_destroy_signal_aborted: bool,
    after_destroy_aborted: bool,
    after_destroy_signal_aborted: bool,
    abort_event_count_after_destroy: u32,
}

#[actor(rename_all = "camelCase")]
impl DestroyAbortSignalActor {
    #[on_destroy]
    async fn destroyed(cx: Context<Self>) -> Result<()> {
        notify_destroyed(&cx).await
    }

    #[action]
    async fn request_destroy(cx: Context<Self>) -> AbortSeen {
        let before_destroy_aborted = cx.is_aborted();
        let before_destroy_signal_aborted = has_come(cx.aborted());
        let listening = cx.clone();
        cx.on_abort(move || listening.update(|actor| actor.abort_event_count += 1));
        cx.destroy();
        AbortSeen {
            before_destroy_aborted,
            before_destroy_signal_aborted,
            after_destroy_aborted: cx.is_aborted(),
            after_destroy_signal_aborted: has_come(cx.aborted()),
            abort_event_count_after_destroy: cx.read(|actor| actor.abort_event_count),
        }
    }
}

/// Whether the abort has come, as who awaits it sees it.
fn has_come(aborted: Aborted) -> bool {
    let mut task = TaskContext::from_waker(Waker::noop());
    pin!(aborted).poll(&mut task) == Poll::Ready(())
}
