//! How do clients hear of each other? A chat room, whose name is the actor's key: who is connected gets every
//! message as it is said, and who comes later asks for the history. `page/` is a client for the browser.

use std::collections::{BTreeSet, VecDeque};

use greenroom_sdk::prelude::*;

/// So many messages are remembered.
const HISTORY_MAX: usize = 100;
/// So long may one be.
const TEXT_BYTES_MAX: usize = 4_096;

const MESSAGE: Event<Said> = Event::new("message");
const JOINED: Event<String> = Event::new("joined");
const LEFT: Event<String> = Event::new("left");

#[derive(Default, Serialize, Deserialize)]
struct Chat {
    history: VecDeque<Said>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Said {
    from: String,
    text: String,
    /// Milliseconds since the Unix epoch.
    at: i64,
}

/// What a client gives when it connects.
#[derive(Deserialize)]
struct Params {
    token: String,
}

/// What is kept for each connection, for as long as it lasts.
#[derive(Serialize, Deserialize)]
struct Member {
    name: String,
}

/// In earnest this would check a signature, or ask another actor.
fn name_of(token: &str) -> Option<&'static str> {
    match token {
        "ada-1815" => Some("Ada"),
        "grace-1906" => Some("Grace"),
        "alan-1912" => Some("Alan"),
        _ => None,
    }
}

/// A call without a connection of its own comes and goes, too, but is nobody's arrival.
fn stays(conn: &Conn<Chat>) -> bool {
    matches!(conn.kind(), ConnKind::Realtime)
}

fn name(conn: &Conn<Chat>) -> String {
    conn.state(|member| member.name.clone())
}

#[actor(conn_state = Member, events = [MESSAGE, JOINED, LEFT])]
impl Chat {
    /// Who is it? After an error here there is no connection, and the client is told why.
    #[conn_state]
    fn member(&self, connecting: &Connecting) -> Result<Member> {
        let params: Params = connecting.params()?;
        let Some(name) = name_of(&params.token) else {
            return Err(UserError::new("nobody here knows this token")
                .with_code("invalid_token")
                .into());
        };
        let name = name.to_owned();
        Ok(Member { name })
    }

    #[on_connect]
    fn joined(&self, env: &Env<Self>, conn: &Conn<Self>) {
        if stays(conn) {
            env.broadcast(JOINED, &name(conn));
        }
    }

    #[on_disconnect]
    fn left(&self, env: &Env<Self>, conn: &Conn<Self>) {
        if stays(conn) {
            env.broadcast(LEFT, &name(conn));
        }
    }

    #[action]
    fn say(&mut self, env: &Env<Self>, conn: &Conn<Self>, text: String) -> Result<()> {
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            let error = format!("a message has 1 to {TEXT_BYTES_MAX} bytes");
            return Err(UserError::new(error).with_code("bad_length").into());
        }
        let said = Said {
            from: name(conn),
            text,
            at: time::now_ms(),
        };
        env.broadcast(MESSAGE, &said);
        self.history.push_back(said);
        if self.history.len() > HISTORY_MAX {
            self.history.pop_front();
        }
        Ok(())
    }

    #[action]
    fn history(&self) -> VecDeque<Said> {
        self.history.clone()
    }

    /// Who is here, each once.
    #[action]
    fn who(&self, env: &Env<Self>) -> BTreeSet<String> {
        env.conns()
            .iter()
            .filter(|conn| stays(conn))
            .map(name)
            .collect()
    }
}

greenroom_sdk::component!(Chat);
