//! The actor's own key-value store: for what is too much to be held in the state.

use std::future::IntoFuture;

use greenroom_value::{from_slice, to_vec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::greenroom::actor::kv::{self, ListOptions, Span};
use crate::component::{Actor, Future};
use crate::context::Env;
use crate::error::{Error, Result};
use crate::waits::wait;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

impl<A: Actor> Env<A> {
    /// The actor's key-value store.
    #[must_use]
    pub fn kv(&self) -> Kv {
        Kv { _private: () }
    }
}

/// The actor's own key-value store ([`Env::kv`]).
///
/// Keys (1 to 2,048 bytes) and values (131,072 bytes at most) are bytes, or texts; pairs are ordered by the bytes of
/// their keys. Reading sees what was written before. What is written is committed together with the state, or
/// not at all.
#[derive(Debug, Clone, Copy)]
pub struct Kv {
    _private: (),
}

impl Kv {
    /// Writes one pair.
    ///
    /// # Errors
    ///
    /// `kv.key_too_large`, `kv.value_too_large` or `kv.full`.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.put_all([(key, value)])
    }

    /// Writes one pair whose value is anything that can be serialized (as CBOR).
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put); an internal error if it cannot be serialized.
    pub fn put_value(
        &self,
        key: impl AsRef<[u8]>,
        value: &(impl Serialize + ?Sized),
    ) -> Result<()> {
        self.put(key, to_vec(value)?)
    }

    /// What [`put_value`](Self::put_value) wrote under this key, if there is something.
    ///
    /// # Errors
    ///
    /// An internal error if it is no `T`; otherwise as [`get`](Self::get).
    pub async fn get_value<T: DeserializeOwned>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        let value = self.get(key).await?;
        Ok(value.map(|value| from_slice(&value)).transpose()?)
    }

    /// Writes several pairs, all or none.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn put_all<K, V>(&self, pairs: impl IntoIterator<Item = (K, V)>) -> Result<()>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let pairs = pairs.into_iter();
        let pairs: Vec<Pair> = pairs
            .map(|(key, value)| (bytes(key), bytes(value)))
            .collect();
        kv::put(&pairs).map_err(Error::public)
    }

    /// The value of this key, if there is one.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        Ok(self.get_all([key]).await?.pop().flatten())
    }

    /// The value of this key as text, if there is one.
    ///
    /// # Errors
    ///
    /// An internal error if it is no text; otherwise as [`get`](Self::get).
    pub async fn get_text(&self, key: impl AsRef<[u8]>) -> Result<Option<String>> {
        let value = self.get(key).await?;
        Ok(value.map(String::from_utf8).transpose()?)
    }

    /// The values of these keys, in their order.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn get_all<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Vec<u8>>>> {
        let keys = keys.into_iter().map(bytes).collect();
        wait(kv::get(keys)).await.map_err(Error::public)
    }

    /// Removes the pair with this key, if there is one.
    ///
    /// # Errors
    ///
    /// `kv.full` if more has been changed than may wait to be committed.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<()> {
        self.delete_all([key])
    }

    /// Removes the pairs with these keys, as far as there are any.
    ///
    /// # Errors
    ///
    /// As [`delete`](Self::delete).
    pub fn delete_all<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Result<()> {
        let keys: Vec<Vec<u8>> = keys.into_iter().map(bytes).collect();
        kv::delete(&keys).map_err(Error::public)
    }

    /// Removes all pairs from `start` on, which is included, up to `end`, which is not; `None` is to the last.
    ///
    /// # Errors
    ///
    /// As [`delete`](Self::delete).
    pub fn delete_range(&self, start: impl AsRef<[u8]>, end: Option<&[u8]>) -> Result<()> {
        kv::delete_range(&span(start, end)).map_err(Error::public)
    }

    /// Removes all pairs whose keys begin with this.
    ///
    /// # Errors
    ///
    /// As [`delete`](Self::delete).
    pub fn delete_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<()> {
        kv::delete_range(&prefixed(prefix)).map_err(Error::public)
    }

    /// The pairs whose keys begin with this; all, if it is empty. The list is awaited.
    pub fn list(&self, prefix: impl AsRef<[u8]>) -> List {
        List::new(prefixed(prefix))
    }

    /// The pairs from `start` on, which is included, up to `end`, which is not; `None` is to the last. The list is
    /// awaited.
    pub fn range(&self, start: impl AsRef<[u8]>, end: Option<&[u8]>) -> List {
        List::new(span(start, end))
    }
}

/// What is to be listed. Awaiting it gives the pairs, or why the store cannot be read.
///
/// Long lists are read piece by piece, and what is written meanwhile may be in them or not.
#[derive(Debug, Clone)]
#[must_use = "it is read when it is awaited"]
pub struct List {
    span: Span,
    is_reverse: bool,
    limit: Option<u32>,
}

impl List {
    const fn new(span: Span) -> Self {
        Self {
            span,
            is_reverse: false,
            limit: None,
        }
    }

    /// From the last to the first.
    pub const fn reverse(mut self) -> Self {
        self.is_reverse = true;
        self
    }

    /// At most so many: the first, or the last.
    pub const fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    async fn read(mut self) -> Result<Vec<Pair>> {
        let mut pairs = Vec::new();
        loop {
            let options = ListOptions {
                reverse: self.is_reverse,
                limit: self.limit,
            };
            let page = wait(kv::list_range(self.span.clone(), options)).await;
            let page = page.map_err(Error::public)?;
            let count = u32::try_from(page.pairs.len()).unwrap_or(u32::MAX);
            self.limit = self.limit.map(|limit| limit.saturating_sub(count));
            pairs.extend(page.pairs);
            match pairs.last() {
                Some((last, _)) if page.has_more && count > 0 && self.limit != Some(0) => {
                    self.go_on_after(last);
                }
                _ => return Ok(pairs),
            }
        }
    }

    fn go_on_after(&mut self, last: &[u8]) {
        if self.is_reverse {
            self.span.end = Some(last.to_vec());
        } else {
            // The next key that there can be.
            self.span.start = [last, &[0]].concat();
        }
    }
}

impl IntoFuture for List {
    type Output = Result<Vec<Pair>>;
    type IntoFuture = Future<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.read())
    }
}

fn bytes(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    bytes.as_ref().to_vec()
}

fn span(start: impl AsRef<[u8]>, end: Option<&[u8]>) -> Span {
    Span {
        start: bytes(start),
        end: end.map(bytes),
    }
}

fn prefixed(prefix: impl AsRef<[u8]>) -> Span {
    let start = bytes(prefix);
    let end = after_prefix(&start);
    Span { start, end }
}

/// The first key after all that begin with `prefix`; there is none after bytes that cannot be greater.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::after_prefix;

    #[test]
    fn a_prefix_ends_before_the_next_greater_key() {
        assert_eq!(after_prefix(b"a"), Some(b"b".to_vec()));
        assert_eq!(after_prefix(&[1, 0xff, 0xff]), Some(vec![2]));
        assert_eq!(after_prefix(&[0xff]), None);
        assert_eq!(after_prefix(b""), None);
    }
}
