//! `POST {gateway}/queue/{name}`: one message, which may wait for its completion. Source: protocol, section 9.

use greenroom_model::{ActorError, Lineage, Target};
use http::request::Parts;
use hyper::body::Incoming;

use super::short;
use crate::app::App;
use crate::encoding::{self, Encoding};
use crate::opening::params;
use crate::reply::Reply;

pub(super) async fn send(
    app: &App,
    head: Parts,
    target: &Target,
    queue: &str,
    body: Incoming,
) -> Result<Reply, ActorError> {
    let encoding = Encoding::of(&head.headers)?;
    let body = short::read(app, body).await?;
    let (peer, message) = encoding::decode_message(encoding, &body)?;
    let params = params(&head.headers)?;
    let caller = short::caller(head, params, "/queue/");
    let (queue, lineage) = (queue.to_owned(), Lineage::default());
    let sent = app
        .router
        .send(lineage, target, caller, queue, message.body, message.wait)
        .await;
    Ok(match sent {
        Ok(sent) => {
            let written = encoding::encode_completion(peer, &sent.completion);
            short::answered(app, peer, written, &sent.actor, "queue")
        }
        Err(failed) => short::failed(app, peer, failed, "queue"),
    })
}
