//! `/components`: what is deployed.

use greenroom_model::{ActorError, ActorTypeDescription};
use greenroom_placement::{RevisionInfo, RevisionStatus};
use serde_json::{Value as Json, json};

use crate::app::App;
use crate::reply::{self, Reply};

/// `GET /components`: the newest revision of each that is not rolled back.
pub(super) fn list(app: &App) -> Result<Reply, ActorError> {
    let components = app.registry.components();
    let components: Vec<Json> = components.iter().map(shown).collect();
    Ok(reply::json(&json!({ "components": components })))
}

/// `GET /components/{name}`: all its revisions, newest first.
pub(super) async fn history(app: &App, name: &str) -> Result<Reply, ActorError> {
    let revisions = app.registry.revisions(name).await?;
    let revisions: Vec<Json> = revisions.iter().map(shown).collect();
    Ok(reply::json(&json!({ "revisions": revisions })))
}

pub(super) fn shown(revision: &RevisionInfo) -> Json {
    let RevisionInfo {
        record,
        description,
        status,
    } = revision;
    let types: Vec<Json> = description.actor_types.iter().map(actor_type).collect();
    let status = match status {
        RevisionStatus::Current => "current",
        RevisionStatus::RollingOut => "rolling out",
        RevisionStatus::RolledBack => "rolled back",
        RevisionStatus::Superseded => "superseded",
    };
    json!({
        "component": record.component.as_str(),
        "revision": record.number.0,
        "status": status,
        "hash": record.hash.to_string(),
        "sizeBytes": record.size_bytes,
        "createdAtMs": record.created_at.0,
        "deployedBy": record.deployed_by,
        "message": record.message,
        "rolledBack": record.rolled_back,
        "isKept": record.is_kept,
        "sdk": description.sdk,
        "capabilities": description.capabilities,
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
        "stateVersion": described.state_version,
        "migratesFrom": described.migrates_from,
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
