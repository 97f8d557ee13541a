//! How does an actor speak its own protocol over a WebSocket? It sends back what it gets, text and binary, and
//! counts. The socket stays open while the actor sleeps, and the next message wakes it.

use greenroom_sdk::MessageData;
use greenroom_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct EchoSocket {
    messages: u64,
    wakes: u64,
}

#[derive(Serialize)]
struct Welcome {
    #[serde(rename = "type")]
    kind: &'static str,
    /// How many messages the actor has had so far, over all sockets.
    messages: u64,
}

#[derive(Serialize)]
struct Stats {
    messages: u64,
    wakes: u64,
}

#[actor(websockets_hibernate, sleep_after = "2s")]
impl EchoSocket {
    #[on_wake]
    fn woken(&mut self) {
        self.wakes += 1;
    }

    /// Once for each socket. A wake does not open it again.
    #[on_websocket]
    fn open(&self, conn: &Conn<Self>) {
        conn.send_json(&Welcome {
            kind: "welcome",
            messages: self.messages,
        });
    }

    #[on_message]
    fn message(&mut self, conn: &Conn<Self>, message: &Message) {
        self.messages += 1;
        match &message.data {
            MessageData::Text(text) => conn.send_text(text.as_str()),
            MessageData::Binary(bytes) => conn.send_binary(bytes.as_slice()),
        }
    }

    #[action]
    fn stats(&self) -> Stats {
        Stats {
            messages: self.messages,
            wakes: self.wakes,
        }
    }
}

greenroom_sdk::component!(EchoSocket);
