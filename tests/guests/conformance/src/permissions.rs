//! Group E: who may connect, subscribe, send and call.

use greenroom_sdk::{Receive, prelude::*};
use serde_json::json;

use crate::queues::ANY;
use crate::raw_http::not_found;

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct AccessControlActor {
    last_can_publish_conn_id: String,
    last_can_subscribe_conn_id: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessParams {
    allow_request: Option<bool>,
    allow_web_socket: Option<bool>,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    value: Value,
}

const ALLOWED_EVENT: Event<Payload> = Event::new("allowedEvent");
const BLOCKED_EVENT: Event<Payload> = Event::new("blockedEvent");
const ALLOWED_QUEUE: Queue<Payload> = Queue::new("allowedQueue");
const BLOCKED_QUEUE: Queue<Payload> = Queue::new("blockedQueue");

/// The body of the first message that is there, if there is one.
async fn body(receive: Receive) -> Result<Option<Value>> {
    let message = receive.timeout(Duration::ZERO).one().await?;
    Ok(message.map(QueueMessage::into_body))
}

#[actor(
    rename_all = "camelCase",
    events = [ALLOWED_EVENT, BLOCKED_EVENT],
    queues = [ALLOWED_QUEUE, BLOCKED_QUEUE],
)]
impl AccessControlActor {
    #[before_connect]
    fn before_connect(&self, connecting: &Connecting) -> Result<()> {
        let params = connecting
            .params::<Option<AccessParams>>()?
            .unwrap_or_default();
        if params.allow_request == Some(false) || params.allow_web_socket == Some(false) {
            return Err(UserError::forbidden("the params say no").into());
        }
        Ok(())
    }

    #[can_subscribe]
    fn can_subscribe(&mut self, conn: &Conn<Self>, event: &str) -> bool {
        self.last_can_subscribe_conn_id = conn.id().to_owned();
        event == ALLOWED_EVENT.name()
    }

    #[can_publish]
    fn can_publish(&mut self, conn: &Conn<Self>, queue: &str) -> bool {
        self.last_can_publish_conn_id = conn.id().to_owned();
        queue == ALLOWED_QUEUE.name()
    }

    #[on_request]
    fn request(&self, request: Request) -> Result<Response> {
        Ok(match request.path() {
            "/status" => Response::json(&json!({ "ok": true })),
            _ => not_found(),
        })
    }

    #[on_websocket]
    fn open(&self, conn: &Conn<Self>) {
        conn.send_json(&json!({ "type": "welcome" }));
    }

    #[action]
    fn allowed_action(&self, value: String) -> String {
        format!("allowed:{value}")
    }

    #[action]
    fn allowed_get_last_can_publish_conn_id(&self) -> String {
        self.last_can_publish_conn_id.clone()
    }

    #[action]
    fn allowed_get_last_can_subscribe_conn_id(&self) -> String {
        self.last_can_subscribe_conn_id.clone()
    }

    #[action]
    async fn allowed_receive_queue(cx: Context<Self>) -> Result<Option<Value>> {
        body(cx.receive([ALLOWED_QUEUE.name()])).await
    }

    #[action]
    async fn allowed_receive_any_queue(cx: Context<Self>) -> Result<Option<Value>> {
        body(cx.receive(ANY)).await
    }

    #[action]
    fn allowed_broadcast_allowed_event(&self, env: &Env<Self>, value: Value) {
        env.broadcast(ALLOWED_EVENT, &Payload { value });
    }

    #[action]
    fn allowed_broadcast_blocked_event(&self, env: &Env<Self>, value: Value) {
        env.broadcast(BLOCKED_EVENT, &Payload { value });
    }

    #[action]
    fn allowed_broadcast_undefined_event(&self, env: &Env<Self>, value: Value) {
        env.broadcast("undefinedEvent", &Payload { value });
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct AccessControlNoQueuesActor;

#[actor(rename_all = "camelCase")]
impl AccessControlNoQueuesActor {
    #[action]
    async fn read_any_queue(cx: Context<Self>) -> Result<Option<Value>> {
        body(cx.receive(ANY)).await
    }
}
