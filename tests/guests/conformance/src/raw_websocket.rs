//! Group G: raw WebSockets.

use greenroom_sdk::prelude::*;
use greenroom_sdk::{Actor, MessageData};
use serde_json::{Value as Json, json};

use crate::raw_http::search;

/// Sends a message back as it came.
pub(crate) fn echo<A: Actor>(conn: &Conn<A>, message: &Message) {
    match &message.data {
        MessageData::Text(text) => conn.send_text(text.as_str()),
        MessageData::Binary(bytes) => conn.send_binary(bytes.as_slice()),
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RawWebSocketActor {
    connection_count: u32,
    message_count: u32,
    indexed_message_order: Vec<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    connection_count: u32,
    message_count: u32,
}

#[actor(rename_all = "camelCase", websockets_hibernate, sleep_after = "250ms")]
impl RawWebSocketActor {
    #[on_websocket]
    fn open(&mut self, conn: &Conn<Self>) {
        self.connection_count += 1;
        conn.send_json(&json!({
            "type": "welcome",
            "connectionCount": self.connection_count,
        }));
    }

    #[on_message]
    async fn message(cx: Context<Self>, conn: Conn<Self>, message: Message) {
        cx.update(|actor| actor.message_count += 1);
        match answer(&cx, &conn, &message) {
            Some(answer) => conn.send_json(&answer),
            None => echo(&conn, &message),
        }
    }

    #[on_close]
    fn close(&mut self) {
        self.connection_count = self.connection_count.saturating_sub(1);
    }

    #[action]
    fn trigger_sleep(&self, env: &Env<Self>) -> bool {
        env.sleep();
        true
    }

    #[action]
    fn get_stats(&self) -> Stats {
        Stats {
            connection_count: self.connection_count,
            message_count: self.message_count,
        }
    }
}

/// The answer to a message in JSON of a known type; all others are echoed.
fn answer(
    cx: &Context<RawWebSocketActor>,
    conn: &Conn<RawWebSocketActor>,
    message: &Message,
) -> Option<Json> {
    let request: Json = serde_json::from_str(message.text()?).ok()?;
    let payload = &request["payload"];
    Some(match request["type"].as_str()? {
        "ping" => json!({ "type": "pong", "timestamp": time::now_ms() }),
        "getStats" => cx.read(|actor| {
            json!({
                "type": "stats",
                "connectionCount": actor.connection_count,
                "messageCount": actor.message_count,
            })
        }),
        "getRequestInfo" => {
            let opening = conn.request()?;
            json!({
                "type": "requestInfo",
                "url": opening.url(),
                "pathname": opening.path(),
                "search": search(opening.query()),
            })
        }
        "indexedEcho" => {
            cx.update(|actor| actor.indexed_message_order.push(message.index));
            json!({
                "type": "indexedEcho",
                "payload": payload,
                "rivetMessageIndex": message.index,
            })
        }
        "indexedAckProbe" => {
            cx.update(|actor| actor.indexed_message_order.push(message.index));
            // In UTF-16, as JavaScript counts.
            let payload_size = payload
                .as_str()
                .map_or(0, |text| text.encode_utf16().count());
            json!({
                "type": "indexedAckProbe",
                "rivetMessageIndex": message.index,
                "payloadSize": payload_size,
            })
        }
        "getIndexedMessageOrder" => cx.read(|actor| {
            json!({
                "type": "indexedMessageOrder",
                "order": actor.indexed_message_order,
            })
        }),
        "scheduleSleep" => {
            let cx = cx.clone();
            greenroom_sdk::spawn(async move {
                time::sleep(Duration::from_millis(25)).await;
                cx.sleep();
            });
            json!({ "type": "sleepScheduled" })
        }
        _ => return None,
    })
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RawWebSocketBinaryActor;

#[actor]
impl RawWebSocketBinaryActor {
    #[on_message]
    fn message(&self, conn: &Conn<Self>, message: &Message) {
        if let MessageData::Binary(bytes) = &message.data {
            let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
            conn.send_binary(reversed);
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RawWebSocketAsyncOpenActor {
    open_count: u32,
}

#[actor(rename_all = "camelCase", stop_grace = "2s")]
impl RawWebSocketAsyncOpenActor {
    #[on_websocket]
    async fn open(cx: Context<Self>, conn: Conn<Self>) {
        cx.update(|actor| actor.open_count += 1);
        time::sleep(Duration::from_millis(10)).await;
        let open_count = cx.read(|actor| actor.open_count);
        conn.send_json(&json!({ "type": "async-open", "openCount": open_count }));
    }

    #[action]
    fn get_open_count(&self) -> u32 {
        self.open_count
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RawWebSocketConnContextActor;

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnContext {
    opened: bool,
    conn_id: Option<String>,
}

#[actor(conn_state = ConnContext)]
impl RawWebSocketConnContextActor {
    #[on_websocket]
    fn open(&self, conn: &Conn<Self>) {
        let opened = ConnContext {
            opened: true,
            conn_id: Some(conn.id().to_owned()),
        };
        conn.update(|state| *state = opened);
        let state = conn.state(ConnContext::clone);
        conn.send_json(&json!({
            "type": "conn-context",
            "connId": conn.id(),
            "state": state,
        }));
    }
}
