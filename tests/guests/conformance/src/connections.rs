//! Group D: connections, their state, their hooks, and the request that opened them.

use std::collections::BTreeMap;

use greenroom_sdk::OpeningRequest;
use greenroom_sdk::prelude::*;

use crate::raw_http::header_map;
use crate::raw_websocket::echo;

/// What was given, or this if that is nothing or empty.
fn given_or(given: Option<String>, instead: &str) -> String {
    given
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| instead.to_owned())
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct CounterWithParams {
    count: i64,
    initializers: Vec<String>,
}

#[derive(Default, Deserialize)]
struct NameParams {
    name: Option<String>,
}

/// A connection that has a name.
#[derive(Serialize, Deserialize)]
pub(crate) struct Named {
    name: String,
}

#[derive(Serialize)]
struct NamedCount {
    count: i64,
    by: String,
}

const NAMED_COUNT: Event<NamedCount> = Event::new("newCount");

#[actor(rename_all = "camelCase", conn_state = Named, events = [NAMED_COUNT])]
impl CounterWithParams {
    #[conn_state]
    fn named(&self, connecting: &Connecting) -> Result<Named> {
        let params = connecting
            .params::<Option<NameParams>>()?
            .unwrap_or_default();
        Ok(Named {
            name: given_or(params.name, "anonymous"),
        })
    }

    #[on_connect]
    fn connected(&mut self, conn: &Conn<Self>) {
        self.initializers.push(conn.state(|conn| conn.name.clone()));
    }

    #[action]
    fn increment(&mut self, env: &Env<Self>, conn: &Conn<Self>, x: i64) -> i64 {
        self.count += x;
        let counted = NamedCount {
            count: self.count,
            by: conn.state(|conn| conn.name.clone()),
        };
        env.broadcast(NAMED_COUNT, &counted);
        self.count
    }

    #[action]
    fn get_initializers(&self) -> Vec<String> {
        self.initializers.clone()
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct CounterWithLifecycle {
    count: i64,
    events: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LifecycleParams {
    track_lifecycle: Option<bool>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Joined {
    join_time: i64,
}

#[actor(rename_all = "camelCase", conn_state = Joined)]
impl CounterWithLifecycle {
    #[on_wake]
    fn woken(&mut self) {
        self.events.push("onWake".to_owned());
    }

    #[before_connect]
    fn before_connect(&mut self, connecting: &Connecting) -> Result<()> {
        self.note("onBeforeConnect", connecting.params()?);
        Ok(())
    }

    #[conn_state]
    fn joined(&self) -> Result<Joined> {
        Ok(Joined {
            join_time: time::now_ms(),
        })
    }

    #[on_connect]
    fn connected(&mut self, conn: &Conn<Self>) -> Result<()> {
        self.note("onConnect", conn.params()?);
        Ok(())
    }

    #[on_disconnect]
    fn disconnected(&mut self, conn: &Conn<Self>) -> Result<()> {
        self.note("onDisconnect", conn.params()?);
        Ok(())
    }

    #[action]
    fn get_events(&self) -> Vec<String> {
        self.events.clone()
    }

    #[action]
    fn increment(&mut self, x: i64) -> i64 {
        self.count += x;
        self.count
    }

    /// Notes a step of a connection that wants it.
    fn note(&mut self, event: &str, params: Option<LifecycleParams>) {
        if params.and_then(|params| params.track_lifecycle) == Some(true) {
            self.events.push(event.to_owned());
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct ConnStateActor {
    shared_counter: i64,
    disconnection_count: u32,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserParams {
    username: Option<String>,
    role: Option<String>,
    no_count: Option<bool>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    username: String,
    role: String,
    counter: i64,
    created_at: i64,
    no_count: bool,
}

/// A connection's state together with its id.
#[derive(Serialize)]
struct Identified {
    id: String,
    #[serde(flatten)]
    user: User,
}

impl Identified {
    fn of(conn: &Conn<ConnStateActor>) -> Self {
        Self {
            id: conn.id().to_owned(),
            user: conn.state(User::clone),
        }
    }
}

#[derive(Deserialize)]
struct UserChanges {
    username: Option<String>,
    role: Option<String>,
}

#[derive(Serialize)]
struct Greeting {
    id: String,
    username: String,
}

#[derive(Serialize)]
struct UserConnected {
    id: String,
    username: &'static str,
    role: &'static str,
}

#[derive(Serialize)]
struct UserDisconnected {
    id: String,
}

#[derive(Serialize)]
struct DirectMessage {
    from: String,
    message: String,
}

const GREETING: Event<Greeting> = Event::new("connectedFromOnConnect");
const GREETING_BY_LIST: Event<Greeting> = Event::new("connectedFromOnConnectConns");
const USER_CONNECTED: Event<UserConnected> = Event::new("userConnected");
const USER_DISCONNECTED: Event<UserDisconnected> = Event::new("userDisconnected");
const DIRECT_MESSAGE: Event<DirectMessage> = Event::new("directMessage");

#[actor(
    rename_all = "camelCase",
    conn_state = User,
    events = [GREETING, GREETING_BY_LIST, USER_CONNECTED, USER_DISCONNECTED, DIRECT_MESSAGE],
)]
impl ConnStateActor {
    #[conn_state]
    fn user(&self, connecting: &Connecting) -> Result<User> {
        let params = connecting
            .params::<Option<UserParams>>()?
            .unwrap_or_default();
        Ok(User {
            username: given_or(params.username, "anonymous"),
            role: given_or(params.role, "user"),
            counter: 0,
            created_at: time::now_ms(),
            no_count: params.no_count.unwrap_or_default(),
        })
    }

    #[on_connect]
    fn connected(&self, env: &Env<Self>, conn: &Conn<Self>) -> Result<()> {
        let greeting = Greeting {
            id: conn.id().to_owned(),
            username: conn.state(|user| user.username.clone()),
        };
        conn.send(GREETING, &greeting);
        let Some(listed) = env.conn(conn.id()) else {
            return Err(Error::internal("the connection is not in the list"));
        };
        listed.send(GREETING_BY_LIST, &greeting);
        let connected = UserConnected {
            id: conn.id().to_owned(),
            username: "anonymous",
            role: "user",
        };
        env.broadcast(USER_CONNECTED, &connected);
        Ok(())
    }

    #[on_disconnect]
    fn disconnected(&mut self, env: &Env<Self>, conn: &Conn<Self>) {
        if conn.state(|user| user.no_count) {
            return;
        }
        self.disconnection_count += 1;
        let id = conn.id().to_owned();
        env.broadcast(USER_DISCONNECTED, &UserDisconnected { id });
    }

    #[action]
    fn increment_conn_counter(&self, conn: &Conn<Self>, n: Option<i64>) {
        conn.update(|user| user.counter += n.unwrap_or(1));
    }

    #[action]
    fn increment_shared_counter(&mut self, n: Option<i64>) -> i64 {
        self.shared_counter += n.unwrap_or(1);
        self.shared_counter
    }

    #[action]
    fn get_connection_state(&self, conn: &Conn<Self>) -> Identified {
        Identified::of(conn)
    }

    #[action]
    fn get_connection_ids(&self, env: &Env<Self>) -> Vec<String> {
        let counted = env
            .conns()
            .into_iter()
            .filter(|conn| !conn.state(|user| user.no_count));
        counted.map(|conn| conn.id().to_owned()).collect()
    }

    #[action]
    fn get_disconnection_count(&self) -> u32 {
        self.disconnection_count
    }

    #[action]
    fn get_all_connection_states(&self, env: &Env<Self>) -> Vec<Identified> {
        env.conns().iter().map(Identified::of).collect()
    }

    #[action]
    fn send_to_connection(
        &self,
        env: &Env<Self>,
        conn: &Conn<Self>,
        id: String,
        text: String,
    ) -> bool {
        let Some(receiver) = env.conn(&id) else {
            return false;
        };
        let message = DirectMessage {
            from: conn.id().to_owned(),
            message: text,
        };
        receiver.send(DIRECT_MESSAGE, &message);
        true
    }

    #[action]
    fn update_connection(&self, conn: &Conn<Self>, changes: UserChanges) -> User {
        conn.update(|user| {
            if let Some(username) = changes.username {
                user.username = username;
            }
            if let Some(role) = changes.role {
                user.role = role;
            }
            user.clone()
        })
    }

    #[action]
    fn disconnect_self(&self, conn: &Conn<Self>, reason: Option<String>) -> bool {
        conn.disconnect(reason.as_deref().unwrap_or("test.disconnect"));
        true
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnPreflightVisibilityActor {
    before_started: u32,
    create_started: u32,
    before_visible_labels: Vec<Vec<String>>,
    create_visible_labels: Vec<Vec<String>>,
    connect_snapshots: Vec<ConnectSnapshot>,
    disconnect_snapshots: Vec<DisconnectSnapshot>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConnectSnapshot {
    label: String,
    own_visible: bool,
    visible_labels: Vec<String>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DisconnectSnapshot {
    label: String,
    other_labels: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PreflightParams {
    label: Option<String>,
    before_delay_ms: Option<u64>,
    create_delay_ms: Option<u64>,
    reject_before: Option<bool>,
    reject_create: Option<bool>,
}

impl PreflightParams {
    fn of(connecting: &Connecting) -> Result<Self> {
        Ok(connecting.params::<Option<Self>>()?.unwrap_or_default())
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Labelled {
    label: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PreflightSnapshot {
    #[serde(flatten)]
    noted: ConnPreflightVisibilityActor,
    visible_labels: Vec<String>,
}

/// The labels of these connections. A connection in the list always has a state here.
fn labels<'a>(
    conns: impl IntoIterator<Item = &'a Conn<ConnPreflightVisibilityActor>>,
) -> Vec<String> {
    let label = |conn: &Conn<ConnPreflightVisibilityActor>| conn.state(|conn| conn.label.clone());
    conns.into_iter().map(label).collect()
}

async fn wait(ms: Option<u64>) {
    if let Some(ms) = ms {
        time::sleep(Duration::from_millis(ms)).await;
    }
}

#[actor(rename_all = "camelCase", conn_state = Labelled)]
impl ConnPreflightVisibilityActor {
    #[before_connect]
    async fn before_connect(cx: Context<Self>, connecting: Connecting) -> Result<()> {
        let params = PreflightParams::of(&connecting)?;
        let visible = labels(&cx.conns());
        cx.update(|actor| {
            actor.before_started += 1;
            actor.before_visible_labels.push(visible);
        });
        wait(params.before_delay_ms).await;
        if params.reject_before == Some(true) {
            return Err(Error::internal("rejected before it was connected"));
        }
        Ok(())
    }

    #[conn_state]
    async fn labelled(cx: Context<Self>, connecting: Connecting) -> Result<Labelled> {
        let params = PreflightParams::of(&connecting)?;
        let visible = labels(&cx.conns());
        cx.update(|actor| {
            actor.create_started += 1;
            actor.create_visible_labels.push(visible);
        });
        wait(params.create_delay_ms).await;
        if params.reject_create == Some(true) {
            return Err(Error::internal("rejected when its state was made"));
        }
        Ok(Labelled {
            label: given_or(params.label, "anonymous"),
        })
    }

    #[on_connect]
    fn connected(&mut self, env: &Env<Self>, conn: &Conn<Self>) {
        let conns = env.conns();
        self.connect_snapshots.push(ConnectSnapshot {
            label: conn.state(|conn| conn.label.clone()),
            own_visible: conns.iter().any(|listed| listed.id() == conn.id()),
            visible_labels: labels(&conns),
        });
    }

    #[on_disconnect]
    fn disconnected(&mut self, env: &Env<Self>, conn: &Conn<Self>) {
        let conns = env.conns();
        let others = conns.iter().filter(|listed| listed.id() != conn.id());
        self.disconnect_snapshots.push(DisconnectSnapshot {
            label: conn.state(|conn| conn.label.clone()),
            other_labels: labels(others),
        });
    }

    #[action]
    fn snapshot(&self, env: &Env<Self>) -> PreflightSnapshot {
        PreflightSnapshot {
            noted: self.clone(),
            visible_labels: labels(&env.conns()),
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RequestAccessActor {
    on_before_connect_request: RequestRecord,
    create_conn_state_request: RequestRecord,
    on_request_request: RequestRecord,
    on_web_socket_request: RequestRecord,
}

/// What there was to see of an HTTP request.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestRecord {
    has_request: bool,
    request_url: Option<String>,
    request_method: Option<String>,
    request_headers: BTreeMap<String, String>,
}

impl RequestRecord {
    fn of(request: Option<&OpeningRequest>) -> Self {
        let Some(request) = request else {
            return Self::default();
        };
        Self {
            has_request: true,
            request_url: Some(request.url().to_owned()),
            request_method: Some(request.method().to_owned()),
            request_headers: header_map(request.headers()),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TrackParams {
    track_request: Option<bool>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tracked {
    track_request: bool,
    request_info: Option<RequestRecord>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestInfo {
    on_before_connect: RequestRecord,
    create_conn_state: RequestRecord,
    on_request: RequestRecord,
    on_web_socket: RequestRecord,
}

/// Whether the client wants the requests of its connection recorded.
fn is_tracked(connecting: &Connecting) -> Result<bool> {
    let params = connecting
        .params::<Option<TrackParams>>()?
        .unwrap_or_default();
    Ok(params.track_request.unwrap_or_default())
}

#[actor(rename_all = "camelCase", conn_state = Tracked)]
impl RequestAccessActor {
    #[before_connect]
    fn before_connect(&mut self, connecting: &Connecting) -> Result<()> {
        if is_tracked(connecting)? {
            self.on_before_connect_request = RequestRecord::of(connecting.request());
        }
        Ok(())
    }

    #[conn_state]
    fn tracked(&self, connecting: &Connecting) -> Result<Tracked> {
        let track_request = is_tracked(connecting)?;
        let request_info = track_request.then(|| RequestRecord::of(connecting.request()));
        Ok(Tracked {
            track_request,
            request_info,
        })
    }

    #[on_connect]
    fn connected(&mut self, conn: &Conn<Self>) {
        if let Some(request) = conn.state(|conn| conn.request_info.clone()) {
            self.create_conn_state_request = request;
        }
    }

    #[on_request]
    fn request(&mut self, conn: &Conn<Self>) -> Result<Response> {
        self.on_request_request = RequestRecord::of(conn.request());
        Ok(Response::json(&self.on_request_request))
    }

    #[on_websocket]
    fn open(&mut self, conn: &Conn<Self>) {
        self.on_web_socket_request = RequestRecord::of(conn.request());
        conn.send_json(&self.on_web_socket_request);
    }

    #[on_message]
    fn message(&self, conn: &Conn<Self>, message: &Message) {
        echo(conn, message);
    }

    #[action]
    fn ping(&self) -> &'static str {
        "pong"
    }

    #[action]
    fn get_request_info(&self) -> RequestInfo {
        RequestInfo {
            on_before_connect: self.on_before_connect_request.clone(),
            create_conn_state: self.create_conn_state_request.clone(),
            on_request: self.on_request_request.clone(),
            on_web_socket: self.on_web_socket_request.clone(),
        }
    }
}
