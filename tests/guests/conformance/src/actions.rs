//! Group B, first half: actions.

use greenroom_sdk::prelude::*;

/// Gives control back once, as an `await` does.
async fn yield_once() {
    time::sleep(Duration::from_millis(1)).await;
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct SyncActionActor {
    value: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    current_value: i64,
    timestamp: i64,
}

#[actor(rename_all = "camelCase")]
impl SyncActionActor {
    #[action]
    fn increment(&mut self, n: Option<i64>) -> i64 {
        self.value += n.unwrap_or(1);
        self.value
    }

    #[action]
    fn get_info(&self) -> Info {
        Info {
            current_value: self.value,
            timestamp: time::now_ms(),
        }
    }

    #[action]
    fn reset(&mut self) {
        self.value = 0;
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct AsyncActionActor {
    value: i64,
    data: Option<Data>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Data {
    id: String,
    timestamp: i64,
}

#[actor(rename_all = "camelCase")]
impl AsyncActionActor {
    #[action]
    async fn delayed_increment(cx: Context<Self>, n: Option<i64>) -> i64 {
        yield_once().await;
        cx.update(|actor| {
            actor.value += n.unwrap_or(1);
            actor.value
        })
    }

    #[action]
    async fn fetch_data(cx: Context<Self>, id: String) -> Data {
        yield_once().await;
        let data = Data {
            id,
            timestamp: time::now_ms(),
        };
        cx.update(|actor| actor.data = Some(data.clone()));
        data
    }

    #[action]
    async fn async_with_error(_cx: Context<Self>, fails: bool) -> Result<&'static str> {
        yield_once().await;
        if fails {
            return Err(UserError::new("Intentional error").into());
        }
        Ok("Success")
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct PromiseActor {
    results: Vec<String>,
}

#[actor(rename_all = "camelCase")]
impl PromiseActor {
    #[action]
    async fn resolved_promise(_cx: Context<Self>) -> &'static str {
        "resolved value"
    }

    #[action]
    async fn delayed_promise(cx: Context<Self>) -> &'static str {
        yield_once().await;
        cx.update(|actor| actor.results.push("delayed".into()));
        "delayed value"
    }

    #[action]
    async fn rejected_promise(_cx: Context<Self>) -> Result<()> {
        yield_once().await;
        Err(UserError::new("promised rejection").into())
    }

    #[action]
    fn get_results(&self) -> Vec<String> {
        self.results.clone()
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct ConcurrentActionActor {
    events: Vec<String>,
}

#[actor(rename_all = "camelCase")]
impl ConcurrentActionActor {
    #[action]
    async fn run_with_delay(cx: Context<Self>, label: String, ms: u64) -> String {
        cx.update(|actor| actor.events.push(format!("start:{label}")));
        time::sleep(Duration::from_millis(ms)).await;
        cx.update(|actor| actor.events.push(format!("finish:{label}")));
        label
    }

    #[action]
    fn get_events(&self) -> Vec<String> {
        self.events.clone()
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct NestedActionActor {
    total: f64,
}

#[actor]
impl NestedActionActor {
    #[action(name = "calculator.add")]
    fn add(&mut self, n: f64) -> f64 {
        self.total += n;
        self.total
    }

    #[action(name = "calculator.read")]
    fn read(&self) -> f64 {
        self.total
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct LargePayloadActor;

#[derive(Deserialize)]
struct LargeRequest {
    items: Vec<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    item_count: usize,
    first_item: Value,
    last_item: Value,
}

impl Summary {
    fn of(items: &[Value]) -> Self {
        Self {
            item_count: items.len(),
            first_item: items.first().cloned().unwrap_or_default(),
            last_item: items.last().cloned().unwrap_or_default(),
        }
    }
}

#[derive(Serialize)]
struct LargeResponse {
    items: Vec<String>,
}

impl LargeResponse {
    fn of(count: usize) -> Self {
        let item = |i| format!("Item {i} with some additional text to increase size");
        Self {
            items: (0..count).map(item).collect(),
        }
    }
}

#[actor(rename_all = "camelCase")]
impl LargePayloadActor {
    #[action]
    fn process_large_request(&self, request: LargeRequest) -> Summary {
        Summary::of(&request.items)
    }

    #[action]
    fn get_large_response(&self, count: usize) -> LargeResponse {
        LargeResponse::of(count)
    }

    #[action]
    fn echo(&self, x: Value) -> Value {
        x
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct LargePayloadConnActor;

/// How many items the connection has sent last.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LastRequest {
    last_request_size: usize,
}

#[actor(rename_all = "camelCase", conn_state = LastRequest)]
impl LargePayloadConnActor {
    #[action]
    fn process_large_request(&self, conn: &Conn<Self>, request: LargeRequest) -> Summary {
        conn.update(|last| last.last_request_size = request.items.len());
        Summary::of(&request.items)
    }

    #[action]
    fn get_large_response(&self, count: usize) -> LargeResponse {
        LargeResponse::of(count)
    }

    #[action]
    fn echo(&self, x: Value) -> Value {
        x
    }

    #[action]
    fn get_last_request_size(&self, conn: &Conn<Self>) -> usize {
        conn.state(|last| last.last_request_size)
    }
}
