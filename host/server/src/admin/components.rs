//! `/components`: what is deployed, and deploying.

use greenroom_model::{ActorError, ActorTypeDescription, codes};
use greenroom_placement::RevisionInfo;
use hyper::body::Incoming;
use serde_json::{Value as Json, json};

use crate::app::{App, take};
use crate::body::{self, Bound};
use crate::reply::{self, Reply};

/// `GET /components`: the current revision of each.
pub(super) async fn list(app: &App) -> Result<Reply, ActorError> {
    let components = app.registry.components().await?;
    let components: Vec<Json> = components.iter().map(shown).collect();
    Ok(reply::json(&json!({ "components": components })))
}

/// `GET /components/{name}`: all its revisions, newest first.
pub(super) async fn history(app: &App, name: &str) -> Result<Reply, ActorError> {
    let revisions = app.registry.revisions(name).await?;
    let revisions: Vec<Json> = revisions.iter().map(shown).collect();
    Ok(reply::json(&json!({ "revisions": revisions })))
}

/// `POST /components`: the body is the Wasm.
pub(super) async fn deploy(app: &App, body: Incoming) -> Result<Reply, ActorError> {
    let _place = take(&app.uploads, "uploads")?;
    let bound = Bound {
        bytes_max: app.limits.component_bytes_max,
        within: app.limits.body_timeout,
        too_long: codes::COMPONENT_TOO_LARGE,
    };
    let bytes = body::read(body, &bound).await?;
    let deployment = app.router.deploy(bytes).await?;
    let mut shown = shown(&deployment.revision);
    shown["isNew"] = deployment.is_new.into();
    Ok(reply::json(&shown))
}

fn shown(revision: &RevisionInfo) -> Json {
    let types: Vec<Json> = revision
        .description
        .actor_types
        .iter()
        .map(actor_type)
        .collect();
    json!({
        "component": revision.component.as_str(),
        "revision": revision.number,
        "hash": revision.hash,
        "sizeBytes": revision.size_bytes,
        "createdAtMs": revision.created_at.0,
        "sdk": revision.description.sdk,
        "actorTypes": types,
    })
}

fn actor_type(described: &ActorTypeDescription) -> Json {
    let actions = described.actions.iter().map(|action| {
        let parameters = action.parameters.iter().map(|parameter| {
            json!({
                "name": parameter.name,
                "typeName": parameter.type_name,
                "optional": parameter.optional,
            })
        });
        let parameters: Vec<Json> = parameters.collect();
        json!({ "name": action.name, "parameters": parameters, "result": action.result })
    });
    let events = described.events.iter().map(|event| {
        json!({ "name": event.name, "typeName": event.type_name, "guarded": event.guarded })
    });
    let queues = described.queues.iter().map(|queue| {
        json!({ "name": queue.name, "typeName": queue.type_name, "guarded": queue.guarded })
    });
    let options = &described.options;
    json!({
        "name": described.name,
        "actions": actions.collect::<Vec<Json>>(),
        "events": events.collect::<Vec<Json>>(),
        "queues": queues.collect::<Vec<Json>>(),
        "handlers": {
            "connections": described.handlers.connections,
            "request": described.handlers.request,
            "websocket": described.handlers.websocket,
            "run": described.handlers.run,
        },
        "options": {
            "sleepAfterMs": options.sleep_after_ms,
            "noSleep": options.no_sleep,
            "actionTimeoutMs": options.action_timeout_ms,
            "stopGraceMs": options.stop_grace_ms,
            "connectionsKeepAwake": options.connections_keep_awake,
            "websocketsHibernate": options.websockets_hibernate,
            "cancelAbandoned": options.cancel_abandoned,
            "queueMessagesMax": options.queue_messages_max,
            "queueMessageBytesMax": options.queue_message_bytes_max,
            "queueAttemptsMax": options.queue_attempts_max,
        },
    })
}
