//! Group B, second half: time limits and errors.

use greenroom_sdk::prelude::*;

async fn wait(ms: u64) {
    time::sleep(Duration::from_millis(ms)).await;
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct ShortTimeoutActor;

#[actor(rename_all = "camelCase", action_timeout = "50ms")]
impl ShortTimeoutActor {
    #[action]
    async fn quick_action(_cx: Context<Self>) -> &'static str {
        "quick response"
    }

    #[action]
    async fn slow_action(_cx: Context<Self>) -> &'static str {
        wait(100).await;
        "slow response"
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct LongTimeoutActor;

#[actor(rename_all = "camelCase", action_timeout = "200ms")]
impl LongTimeoutActor {
    #[action]
    async fn delayed_action(_cx: Context<Self>) -> &'static str {
        wait(100).await;
        "delayed response"
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct DefaultTimeoutActor;

#[actor(rename_all = "camelCase")]
impl DefaultTimeoutActor {
    #[action]
    async fn normal_action(_cx: Context<Self>) -> &'static str {
        wait(50).await;
        "normal response"
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct SyncTimeoutActor;

#[actor(rename_all = "camelCase", action_timeout = "50ms")]
impl SyncTimeoutActor {
    #[action]
    fn sync_action(&self) -> &'static str {
        "sync response"
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct CustomTimeoutActor;

#[actor(rename_all = "camelCase", action_timeout = "200ms")]
impl CustomTimeoutActor {
    #[action]
    async fn quick_action(_cx: Context<Self>) -> &'static str {
        wait(50).await;
        "Quick action completed"
    }

    #[action]
    async fn slow_action(_cx: Context<Self>) -> &'static str {
        wait(300).await;
        "Slow action completed"
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct ErrorHandlingActor {
    error_log: Vec<String>,
}

#[derive(Serialize)]
struct Details {
    reason: &'static str,
    timestamp: i64,
}

#[actor(rename_all = "camelCase", action_timeout = "500ms")]
impl ErrorHandlingActor {
    #[action]
    fn throw_simple_error(&self) -> Result<()> {
        Err(UserError::new("Simple error message").into())
    }

    #[action]
    fn throw_detailed_error(&self) -> Result<()> {
        let details = Details {
            reason: "test",
            timestamp: time::now_ms(),
        };
        let error = UserError::new("Detailed error message");
        Err(error
            .with_code("detailed_error")
            .with_metadata(details)
            .into())
    }

    #[action]
    fn throw_internal_error(&self) -> Result<()> {
        Err(Error::internal("this is nobody's business"))
    }

    #[action]
    fn successful_action(&self) -> &'static str {
        "success"
    }

    #[action]
    async fn timeout_action(_cx: Context<Self>) {
        wait(10_000).await;
    }

    #[action]
    async fn delayed_action(_cx: Context<Self>, ms: u64) -> String {
        wait(ms).await;
        format!("Completed after {ms}ms")
    }

    #[action]
    fn log_error(&mut self, text: String) -> Vec<String> {
        self.error_log.push(text);
        self.error_log.clone()
    }

    #[action]
    fn get_error_log(&self) -> Vec<String> {
        self.error_log.clone()
    }

    #[action]
    fn clear_error_log(&mut self) -> bool {
        self.error_log.clear();
        true
    }
}
