//! `/components/{name}/rollout` and `/pins`, `/actors/{id}` and `/pin`: which actors run on what.

use greenroom_model::{ActorError, codes};
use greenroom_placement::{CodeInfo, PinInfo, RolloutInfo};
use serde_json::{Value as Json, json};

use super::actors::{Query, in_namespace, shown};
use super::deploy::{bad_request, percent};
use crate::app::App;
use crate::reply::{self, Reply};

/// Pinned actors in one page, and how many there are if nobody says.
const PINS_MAX: usize = 1_000;
const PINS_DEFAULT: usize = 100;

/// The longest reason for a pin or for going back, in bytes.
const REASON_BYTES_MAX: usize = 1_024;

/// `GET /components/{name}/rollout`.
pub(super) async fn status(app: &App, name: &str) -> Result<Reply, ActorError> {
    let info = app.router.rollout(name).await?;
    Ok(reply::json(&rollout(&info)))
}

/// `POST /components/{name}/rollout/{pause, resume, promote or rollback}`.
pub(super) async fn order(
    app: &App,
    query: &str,
    name: &str,
    order: &str,
) -> Result<Reply, ActorError> {
    let asked = parse(query)?;
    match order {
        "pause" => app.router.pause_rollout(name, true).await?,
        "resume" => app.router.pause_rollout(name, false).await?,
        "promote" => app.router.promote(name, asked.percent).await?,
        "rollback" => {
            let reason = asked.reason.as_deref().unwrap_or("an operator went back");
            app.router.roll_back(name, reason).await?;
        }
        _ => {
            let text = "a rollout can be told to pause, resume, promote and rollback";
            return Err(ActorError::new(codes::ROUTE_NOT_FOUND, text));
        }
    }
    status(app, name).await
}

/// `GET /components/{name}/pins`: actors that stay on a revision of their own, oldest first.
pub(super) async fn pins(app: &App, query: &str, name: &str) -> Result<Reply, ActorError> {
    let page = Query::parse(query);
    let count_max = page.limit()?.unwrap_or(PINS_DEFAULT).clamp(1, PINS_MAX);
    let after = page.cursor(|text| text.parse().ok())?;
    let (pinned, next) = app.router.pinned(name, after, count_max).await?;
    let next = next.map(|next| next.to_string());
    let pins: Vec<Json> = pinned
        .iter()
        .map(|(actor, info)| json!({ "actor": shown(actor), "pin": pin_of(info) }))
        .collect();
    let shown = json!({ "pins": pins, "pagination": { "cursor": next } });
    Ok(reply::json(&shown))
}

/// `GET /actors/{id}`.
pub(super) async fn actor(app: &App, query: &str, id: &str) -> Result<Reply, ActorError> {
    let id = in_namespace(app, query, id).await?;
    Ok(reply::json(&code(&app.router.code_of(id).await?)))
}

/// `PUT /actors/{id}/pin`.
pub(super) async fn pin(app: &App, query: &str, id: &str) -> Result<Reply, ActorError> {
    let id = in_namespace(app, query, id).await?;
    let asked = parse(query)?;
    let reason = asked.reason.as_deref().unwrap_or("an operator pinned it");
    app.router.pin(id, asked.revision, reason).await?;
    Ok(reply::json(&code(&app.router.code_of(id).await?)))
}

/// `DELETE /actors/{id}/pin`.
pub(super) async fn unpin(app: &App, query: &str, id: &str) -> Result<Reply, ActorError> {
    let id = in_namespace(app, query, id).await?;
    let was_pinned = app.router.unpin(id).await?;
    Ok(reply::json(&json!({ "wasPinned": was_pinned })))
}

/// What may be said with an order.
#[derive(Default)]
struct Asked {
    percent: Option<f64>,
    revision: Option<u32>,
    reason: Option<String>,
}

fn parse(query: &str) -> Result<Asked, ActorError> {
    let mut asked = Asked::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "percent" => asked.percent = Some(percent(&value)?),
            "revision" => {
                let number = value.parse();
                let number = number.map_err(|_| bad_request("revision has to be a number"))?;
                asked.revision = Some(number);
            }
            "reason" if value.len() > REASON_BYTES_MAX => {
                let text = format!("a reason has at most {REASON_BYTES_MAX} bytes");
                return Err(bad_request(text));
            }
            "reason" => asked.reason = Some(value.into_owned()),
            _ => {}
        }
    }
    Ok(asked)
}

fn rollout(info: &RolloutInfo) -> Json {
    let named = |migrated: &greenroom_placement::Migrated| {
        let names = migrated.committed.iter();
        let names = names.map(|actor| {
            json!({
                "actorId": actor.id.to_string(),
                "namespace": actor.name.namespace.as_str(),
                "actorType": actor.name.actor_type.as_str(),
                "key": actor.name.key.parts(),
            })
        });
        json!({
            "count": migrated.count,
            "committedSinceCount": migrated.committed_count,
            "committedSince": names.collect::<Vec<Json>>(),
        })
    };
    let rolled_back = info.rolled_back.as_ref().map(|rolled_back| {
        json!({
            "revision": rolled_back.revision.0,
            "reason": rolled_back.reason,
            "migrated": named(&rolled_back.migrated),
        })
    });
    json!({
        "state": info.state.as_str(),
        "current": info.current.0,
        "target": info.target.map(|target| target.0),
        "plan": info.plan,
        "begunAtMs": info.begun_at.map(|at| at.0),
        "awake": info.awake,
        "toMove": info.to_move,
        "onNewest": info.on_newest,
        "started": info.counts.started,
        "failedStarts": info.counts.failed,
        "crashes": info.counts.crashed,
        "reasons": info.reasons,
        "migrated": named(&info.migrated),
        "rolledBack": rolled_back,
    })
}

fn code(info: &CodeInfo) -> Json {
    json!({
        "actor": shown(&info.actor),
        "runsOn": info.runs_on.map(|revision| revision.0),
        "writtenBy": info.written_by.map(|revision| revision.0),
        "stateVersion": info.state_version,
        "pin": info.pin.as_ref().map(pin_of),
    })
}

fn pin_of(info: &PinInfo) -> Json {
    json!({
        "revision": info.revision.map(|revision| revision.0),
        "refused": info.refused.map(|revision| revision.0),
        "by": if info.is_by_host { "host" } else { "operator" },
        "reason": info.reason,
        "sinceMs": info.at.0,
    })
}
