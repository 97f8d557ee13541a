use bytes::Bytes;
use greenroom_model::{ActorError, KvQuery, KvSpan};
use wasmtime::component::{Accessor, HasSelf};

use super::to_wit;
use crate::bindings::greenroom::actor::kv;
use crate::bindings::greenroom::actor::types::PublicError;
use crate::ctx::Ctx;

type Store = Accessor<Ctx, HasSelf<Ctx>>;

impl kv::Host for Ctx {
    fn put(&mut self, pairs: Vec<(Vec<u8>, Vec<u8>)>) -> wasmtime::Result<Result<(), PublicError>> {
        let pairs = pairs
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()));
        Ok(self.data.kv_put(pairs.collect()).map_err(to_wit))
    }

    fn delete(&mut self, keys: Vec<Vec<u8>>) -> wasmtime::Result<Result<(), PublicError>> {
        Ok(self.data.kv_delete(all(keys)).map_err(to_wit))
    }

    fn delete_range(&mut self, removed: kv::Span) -> wasmtime::Result<Result<(), PublicError>> {
        Ok(self.data.kv_delete_span(span(removed)).map_err(to_wit))
    }
}

impl kv::HostWithStore<Ctx> for HasSelf<Ctx> {
    async fn get(
        store: &Store,
        keys: Vec<Vec<u8>>,
    ) -> wasmtime::Result<Result<Vec<Option<Vec<u8>>>, PublicError>> {
        let data = store.with(|mut ctx| ctx.get().data.clone());
        let found = data.kv_get(all(keys)).await;
        let values = |values: Vec<Option<Bytes>>| {
            values
                .into_iter()
                .map(|value| value.map(Vec::from))
                .collect()
        };
        Ok(found.map(values).map_err(to_wit))
    }

    async fn list_range(
        store: &Store,
        listed: kv::Span,
        options: kv::ListOptions,
    ) -> wasmtime::Result<Result<kv::Page, PublicError>> {
        let data = store.with(|mut ctx| ctx.get().data.clone());
        let count_max = options.limit.unwrap_or(u32::MAX);
        let query = KvQuery {
            span: span(listed),
            reverse: options.reverse,
            count_max: usize::try_from(count_max).unwrap_or(usize::MAX),
        };
        let listed: Result<_, ActorError> = data.kv_list(query).await;
        let page = listed.map(|page| kv::Page {
            pairs: page
                .pairs
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            has_more: page.has_more,
        });
        Ok(page.map_err(to_wit))
    }
}

fn all(keys: Vec<Vec<u8>>) -> Vec<Bytes> {
    keys.into_iter().map(Bytes::from).collect()
}

fn span(span: kv::Span) -> KvSpan {
    KvSpan {
        start: span.start.into(),
        end: span.end.map(Bytes::from),
    }
}
