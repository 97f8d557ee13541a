//! Who may manage.

use greenroom_model::{ActorError, codes};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// What has to be shown; nothing, in development mode.
pub(crate) struct Token<'a>(pub(crate) Option<&'a str>);

impl Token<'_> {
    /// Checks `Authorization: Bearer …`.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), ActorError> {
        let Some(wanted) = self.0 else { return Ok(()) };
        let shown = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.strip_prefix("Bearer "));
        if shown.is_some_and(|shown| is_same(shown.as_bytes(), wanted.as_bytes())) {
            return Ok(());
        }
        let text = "this call needs the host's token: send it as `Authorization: Bearer …`";
        Err(ActorError::new(codes::UNAUTHORIZED, text))
    }
}

/// Takes the same time wherever the first difference is.
fn is_same(shown: &[u8], wanted: &[u8]) -> bool {
    let pairs = shown.iter().zip(wanted);
    let difference = pairs.fold(0, |difference, (a, b)| difference | (a ^ b));
    shown.len() == wanted.len() && difference == 0
}
