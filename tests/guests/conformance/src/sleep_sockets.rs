//! Group L, second part: raw WebSockets of actors that sleep, and what still goes on while they fall asleep.

use greenroom_sdk::Actor;
use greenroom_sdk::prelude::*;
use serde_json::json;

/// How long the slow handlers take.
const SLOW: Duration = Duration::from_millis(250);

fn send_connected<A: Actor>(conn: &Conn<A>) {
    conn.send_json(&json!({ "type": "connected" }));
}

/// How far the handlers of an actor have come.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Progress {
    start_count: u32,
    sleep_count: u32,
    message_started: u32,
    message_finished: u32,
    close_started: u32,
    close_finished: u32,
}

/// An actor whose state is its progress. There are two each, because JavaScript has two ways to register a handler.
macro_rules! slow_actor {
    ($name:ident { $($handler:tt)* }) => {
        #[derive(Default, Serialize, Deserialize)]
        pub(crate) struct $name(Progress);

        #[actor(rename_all = "camelCase", sleep_after = "100ms", connections_keep_awake)]
        impl $name {
            #[on_wake]
            fn woken(&mut self) {
                self.0.start_count += 1;
            }

            #[on_sleep]
            fn sleeps(&mut self) {
                self.0.sleep_count += 1;
            }

            #[on_websocket]
            fn open(&self, conn: &Conn<Self>) {
                send_connected(conn);
            }

            $($handler)*

            #[action]
            fn get_status(&self) -> Progress {
                self.0.clone()
            }

            #[action]
            fn trigger_sleep(&self, env: &Env<Self>) {
                env.sleep();
            }
        }
    };
}

macro_rules! slow_message_actor {
    ($name:ident) => {
        slow_actor!($name {
            #[on_message]
            async fn message(cx: Context<Self>, conn: Conn<Self>, message: Message) {
                if message.text() == Some("track-message") {
                    cx.update(|actor| actor.0.message_started += 1);
                    conn.send_json(&json!({ "type": "message-started" }));
                    time::sleep(SLOW).await;
                    cx.update(|actor| actor.0.message_finished += 1);
                }
            }
        });
    };
}

macro_rules! slow_close_actor {
    ($name:ident) => {
        slow_actor!($name {
            #[on_close]
            async fn closed(cx: Context<Self>) {
                cx.update(|actor| actor.0.close_started += 1);
                time::sleep(SLOW).await;
                cx.update(|actor| actor.0.close_finished += 1);
            }
        });
    };
}

slow_message_actor!(SleepRawWsAddEventListenerMessage);
slow_message_actor!(SleepRawWsOnMessage);
slow_close_actor!(SleepRawWsAddEventListenerClose);
slow_close_actor!(SleepRawWsOnClose);

/// Tells every open raw WebSocket that the actor falls asleep.
fn send_sleeping<A: Actor>(env: &Env<A>, sleep_count: u32) {
    let conns = env.conns().into_iter();
    for conn in conns.filter(|conn| conn.kind() == ConnKind::Websocket) {
        conn.send_json(&json!({ "type": "sleeping", "sleepCount": sleep_count }));
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SleepRawWsSendOnSleep {
    start_count: u32,
    sleep_count: u32,
}

#[actor(rename_all = "camelCase", sleep_after = "1s", connections_keep_awake)]
impl SleepRawWsSendOnSleep {
    #[on_wake]
    fn woken(&mut self) {
        self.start_count += 1;
    }

    #[on_sleep]
    fn sleeps(&mut self, env: &Env<Self>) {
        self.sleep_count += 1;
        send_sleeping(env, self.sleep_count);
    }

    #[on_websocket]
    fn open(&self, conn: &Conn<Self>) {
        send_connected(conn);
    }

    #[action]
    fn get_counts(&self) -> Self {
        self.clone()
    }

    #[action]
    fn trigger_sleep(&self, env: &Env<Self>) {
        env.sleep();
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SleepRawWsDelayedSendOnSleep {
    start_count: u32,
    sleep_count: u32,
}

#[actor(rename_all = "camelCase", sleep_after = "1s", connections_keep_awake)]
impl SleepRawWsDelayedSendOnSleep {
    #[on_wake]
    fn woken(&mut self) {
        self.start_count += 1;
    }

    #[on_sleep]
    async fn sleeps(cx: Context<Self>) {
        let sleep_count = cx.update(|actor| {
            actor.sleep_count += 1;
            actor.sleep_count
        });
        time::sleep(Duration::from_millis(100)).await;
        send_sleeping(&cx, sleep_count);
        time::sleep(Duration::from_millis(100)).await;
    }

    #[on_websocket]
    fn open(&self, conn: &Conn<Self>) {
        send_connected(conn);
    }

    #[action]
    fn get_counts(&self) -> Self {
        self.clone()
    }

    #[action]
    fn trigger_sleep(&self, env: &Env<Self>) {
        env.sleep();
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SleepAbortListenerVarsActor {
    start_count: u32,
    sleep_count: u32,
    abort_vars_seen_per_wake: Vec<String>,
}

#[derive(Default)]
pub(crate) struct Stopping {
    is_stopping: bool,
}

#[actor(
    rename_all = "camelCase",
    vars = Stopping,
    sleep_after = "1s",
    connections_keep_awake,
)]
impl SleepAbortListenerVarsActor {
    #[on_wake]
    async fn woken(cx: Context<Self>) {
        let wake = cx.update(|actor| {
            actor.abort_vars_seen_per_wake.push("unset".to_owned());
            actor.start_count += 1;
            actor.abort_vars_seen_per_wake.len() - 1
        });
        if cx.is_aborted() {
            return;
        }
        let listening = cx.clone();
        cx.on_abort(move || {
            // Without vars, lending them would be a panic, and the entry stay unset.
            listening.vars(|vars| vars.is_stopping = true);
            listening
                .update(|actor| "object".clone_into(&mut actor.abort_vars_seen_per_wake[wake]));
        });
    }

    #[on_sleep]
    async fn sleeps(cx: Context<Self>) {
        cx.update(|actor| actor.sleep_count += 1);
        for _ in 0..3 {
            time::sleep(Duration::ZERO).await;
        }
    }

    #[on_websocket]
    fn open(&self, conn: &Conn<Self>) {
        send_connected(conn);
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

/// Whether something was done that only this generation knows of.
#[derive(Default)]
pub(crate) struct Dirty {
    dirty: bool,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SleepWaitUntilVarsDuringGrace {
    start_count: u32,
    sleep_count: u32,
    wait_until_started: u32,
}

#[actor(
    rename_all = "camelCase",
    vars = Dirty,
    sleep_after = "100ms",
    stop_grace = "1s",
    connections_keep_awake,
)]
impl SleepWaitUntilVarsDuringGrace {
    #[on_wake]
    fn woken(&mut self) {
        self.start_count += 1;
    }

    #[on_sleep]
    async fn sleeps(cx: Context<Self>) {
        cx.update(|actor| actor.sleep_count += 1);
        let working = cx.clone();
        cx.wait_until(async move {
            working.update(|actor| actor.wait_until_started += 1);
            time::sleep(Duration::from_millis(150)).await;
            working.vars(|vars| vars.dirty = true);
        });
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

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SleepRawWsVarsExceedsGrace {
    start_count: u32,
    sleep_count: u32,
    handler_started: u32,
    handler_finished: u32,
}

#[actor(
    rename_all = "camelCase",
    vars = Dirty,
    sleep_after = "100ms",
    stop_grace = "200ms",
    connections_keep_awake,
)]
impl SleepRawWsVarsExceedsGrace {
    #[on_wake]
    fn woken(&mut self) {
        self.start_count += 1;
    }

    #[on_sleep]
    fn sleeps(&mut self) {
        self.sleep_count += 1;
    }

    #[on_websocket]
    fn open(&self, conn: &Conn<Self>) {
        send_connected(conn);
    }

    #[on_message]
    async fn message(cx: Context<Self>, conn: Conn<Self>, message: Message) {
        if message.text() != Some("slow-vars-work") {
            return;
        }
        cx.update(|actor| actor.handler_started += 1);
        conn.send_json(&json!({ "type": "started" }));
        time::sleep(Duration::from_secs(2)).await;
        cx.vars(|vars| vars.dirty = true);
        cx.update(|actor| actor.handler_finished += 1);
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
