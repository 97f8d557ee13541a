//! Group I: the key-value store.

use greenroom_sdk::{Pair, prelude::*};

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct KvActor;

/// A pair of texts.
#[derive(Serialize)]
struct Entry {
    key: String,
    value: String,
}

fn entries(pairs: Vec<Pair>) -> Result<Vec<Entry>> {
    let entry = |(key, value): Pair| {
        Ok(Entry {
            key: String::from_utf8(key)?,
            value: String::from_utf8(value)?,
        })
    };
    pairs.into_iter().map(entry).collect()
}

#[derive(Default, Deserialize)]
struct ListOptions {
    reverse: Option<bool>,
    limit: Option<u32>,
}

#[actor(rename_all = "camelCase")]
impl KvActor {
    #[action]
    fn put_text(&self, env: &Env<Self>, key: String, value: String) -> Result<bool> {
        env.kv().put(key, value)?;
        Ok(true)
    }

    #[action]
    async fn get_text(cx: Context<Self>, key: String) -> Result<Option<String>> {
        cx.kv().get_text(key).await
    }

    #[action]
    async fn list_text(cx: Context<Self>, prefix: String) -> Result<Vec<Entry>> {
        entries(cx.kv().list(prefix).await?)
    }

    #[action]
    async fn list_text_range(
        cx: Context<Self>,
        start: String,
        end: String,
        options: Option<ListOptions>,
    ) -> Result<Vec<Entry>> {
        let ListOptions { reverse, limit } = options.unwrap_or_default();
        let mut list = cx.kv().range(start, Some(end.as_bytes()));
        if reverse == Some(true) {
            list = list.reverse();
        }
        if let Some(limit) = limit {
            list = list.limit(limit);
        }
        entries(list.await?)
    }

    #[action]
    fn delete_text_range(&self, env: &Env<Self>, start: String, end: String) -> Result<bool> {
        env.kv().delete_range(start, Some(end.as_bytes()))?;
        Ok(true)
    }

    #[action]
    async fn roundtrip_array_buffer(
        cx: Context<Self>,
        key: String,
        bytes: Vec<u8>,
    ) -> Result<Option<Vec<u8>>> {
        let kv = cx.kv();
        kv.put(&key, bytes)?;
        kv.get(&key).await
    }
}
