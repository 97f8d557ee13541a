//! `POST {gateway}/action/{name}`: one call, one answer.

use greenroom_model::{ActorError, Lineage, Target};
use http::request::Parts;
use hyper::body::Incoming;

use super::short;
use crate::app::App;
use crate::encoding::{self, Encoding};
use crate::opening::params;
use crate::reply::Reply;

pub(super) async fn call(
    app: &App,
    head: Parts,
    target: &Target,
    action: &str,
    body: Incoming,
) -> Result<Reply, ActorError> {
    let encoding = Encoding::of(&head.headers)?;
    let body = short::read(app, body).await?;
    let (peer, args) = encoding::decode_action(encoding, &body)?;
    let params = params(&head.headers)?;
    let caller = short::caller(head, params, "/action/");
    let called = app
        .router
        .call(Lineage::default(), target, caller, action.to_owned(), args)
        .await;
    Ok(match called {
        Ok(answer) => {
            let written = encoding::encode_output(peer, &answer.output);
            short::answered(app, peer, written, &answer.actor, "action")
        }
        Err(failed) => short::failed(app, peer, failed, "action"),
    })
}
