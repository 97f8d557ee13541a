//! `/actors`: the management calls of the stock client, and a few for people. Source: protocol, section 5.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use greenroom_model::{
    ActorError, ActorId, ActorKey, ActorName, ActorType, Namespace, Target, codes,
};
use greenroom_placement::{ActorInfo, ListFilter};
use greenroom_value::{Value, encode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::app::App;
use crate::body::{self, Bound};
use crate::encoding;
use crate::reply::{self, Reply};

/// Ids that one look-up may name.
const IDS_MAX: usize = 100;

/// The query of every management call.
#[derive(Debug, Default)]
pub(super) struct Query {
    namespace: Option<String>,
    name: Option<String>,
    key: Option<String>,
    actor_ids: Vec<String>,
    cursor: Option<String>,
    limit: Option<String>,
    bodies: Option<String>,
}

impl Query {
    /// Parameters that we do not know are the business of other servers.
    pub(super) fn parse(query: &str) -> Self {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match &*name {
                "namespace" => parsed.namespace = Some(value),
                "name" => parsed.name = Some(value),
                "key" => parsed.key = Some(value),
                "actor_ids" | "actor_id" => {
                    parsed.actor_ids.extend(value.split(',').map(str::to_owned));
                }
                "cursor" => parsed.cursor = Some(value),
                "limit" => parsed.limit = Some(value),
                "bodies" => parsed.bodies = Some(value),
                _ => {}
            }
        }
        parsed
    }

    fn namespace(&self, app: &App) -> Result<Namespace, ActorError> {
        app.namespace(self.namespace.as_deref().unwrap_or("default"))
    }

    /// How many things are wanted at most, if it says.
    pub(super) fn limit(&self) -> Result<Option<usize>, ActorError> {
        self.limit.as_deref().map(limit).transpose()
    }

    /// Where the page begins, if it says, as `read` understands it.
    pub(super) fn cursor<T>(&self, read: fn(&str) -> Option<T>) -> Result<Option<T>, ActorError> {
        let wrong = || {
            let text = "cursor has to be what the page before gave";
            ActorError::new(codes::BAD_REQUEST, text)
        };
        let cursor = self.cursor.as_deref();
        cursor.map(|text| read(text).ok_or_else(wrong)).transpose()
    }

    /// Whether the bodies of messages are wanted.
    pub(super) fn wants_bodies(&self) -> Result<bool, ActorError> {
        match self.bodies.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => {
                let text = "bodies has to be true or false";
                Err(ActorError::new(codes::BAD_REQUEST, text))
            }
        }
    }
}

/// What a creation asks for. Fields that only make sense for clusters of other servers are accepted.
#[derive(Debug, Deserialize)]
struct Wanted {
    name: String,
    key: Option<String>,
    input: Option<String>,
}

/// `GET /actors`: by id, by name and key, or page by page.
pub(super) async fn list(app: &App, query: &str) -> Result<Reply, ActorError> {
    let query = Query::parse(query);
    let namespace = query.namespace(app)?;
    if !query.actor_ids.is_empty() {
        return by_id(app, &namespace, &query.actor_ids).await;
    }
    let actor_type = query.name.as_deref().map(actor_type).transpose()?;
    if let (Some(actor_type), Some(key)) = (&actor_type, &query.key) {
        let key = serialized_key(key)?;
        let name = ActorName {
            namespace,
            actor_type: actor_type.clone(),
            key,
        };
        let found = app.router.resolve(&name).await?;
        return Ok(page(found.iter(), None));
    }
    let filter = ListFilter {
        namespace: Some(namespace),
        actor_type,
        after: query.cursor(|text| text.parse().ok())?,
        count_max: query.limit()?,
    };
    let found = app.router.list(filter).await?;
    Ok(page(found.actors.iter(), found.next))
}

async fn by_id(app: &App, namespace: &Namespace, ids: &[String]) -> Result<Reply, ActorError> {
    if ids.len() > IDS_MAX {
        let text = format!(
            "{} actor_ids; at most {IDS_MAX} are looked up at once",
            ids.len()
        );
        return Err(ActorError::new(codes::BAD_REQUEST, text));
    }
    let mut found = Vec::new();
    for id in ids.iter().filter_map(|id| id.parse().ok()) {
        found.extend(
            app.router
                .find(id)
                .await?
                .filter(|a| a.name.namespace == *namespace),
        );
    }
    Ok(page(found.iter(), None))
}

/// `PUT /actors`: get or create.
pub(super) async fn get_or_create(
    app: &App,
    query: &str,
    body: Incoming,
) -> Result<Reply, ActorError> {
    let (name, input) = wanted(app, query, body).await?;
    let target = Target::GetOrCreate { name, input };
    let (actor, is_new) = app.router.get_or_create(&target).await?;
    Ok(reply::json(
        &json!({ "actor": shown(&actor), "created": is_new }),
    ))
}

/// `POST /actors`: create.
pub(super) async fn create(app: &App, query: &str, body: Incoming) -> Result<Reply, ActorError> {
    let (name, input) = wanted(app, query, body).await?;
    match app.router.create(&name, input).await {
        Ok(actor) => Ok(reply::json(&json!({ "actor": shown(&actor) }))),
        Err(duplicate) => Err(match duplicate.existing {
            None => duplicate.error,
            Some(id) => duplicate.error.with_metadata(existing(id, &name.key)),
        }),
    }
}

fn existing(id: ActorId, key: &ActorKey) -> Bytes {
    let metadata = Value::Map(vec![
        ("existing_actor_id".into(), id.to_string().into()),
        ("key".into(), key.as_serialized().into()),
    ]);
    encode(&metadata).into()
}

/// `DELETE /actors/{id}`.
pub(super) async fn destroy(app: &App, query: &str, id: &str) -> Result<Reply, ActorError> {
    let id = in_namespace(app, query, id).await?;
    app.router.destroy(id).await?;
    Ok(reply::json(&json!({})))
}

/// `POST /actors/{id}/sleep`.
pub(super) async fn sleep(app: &App, query: &str, id: &str) -> Result<Reply, ActorError> {
    let id = in_namespace(app, query, id).await?;
    app.router.sleep(id).await?;
    Ok(reply::json(&json!({})))
}

/// The actor of this id, if it is in the namespace that the query names.
pub(super) async fn in_namespace(app: &App, query: &str, id: &str) -> Result<ActorId, ActorError> {
    let namespace = Query::parse(query).namespace(app)?;
    let found = match id.parse() {
        Ok(id) => app.router.find(id).await?,
        Err(()) => None,
    };
    let found = found.filter(|actor| actor.name.namespace == namespace);
    found.map(|actor| actor.id).ok_or_else(|| {
        ActorError::new(
            codes::NOT_FOUND,
            "The actor does not exist or was destroyed.",
        )
    })
}

async fn wanted(
    app: &App,
    query: &str,
    body: Incoming,
) -> Result<(ActorName, Option<Bytes>), ActorError> {
    let namespace = Query::parse(query).namespace(app)?;
    let bound = Bound {
        // Base64 takes four bytes for three; the rest of the body is small.
        bytes_max: app.limits.input_bytes_max / 3 * 4 + (8 << 10),
        within: app.limits.body_timeout,
        too_long: codes::INCOMING_TOO_LONG,
    };
    let body = body::read(body, &bound).await?;
    let wanted: Wanted = serde_json::from_slice(&body).map_err(|error| {
        let text = format!("the body has to be JSON with name, key and input: {error}");
        ActorError::new(codes::BAD_REQUEST, text)
    })?;
    let name = ActorName {
        namespace,
        actor_type: actor_type(&wanted.name)?,
        key: serialized_key(wanted.key.as_deref().unwrap_or("/"))?,
    };
    Ok((name, wanted.input.as_deref().map(input).transpose()?))
}

fn actor_type(name: &str) -> Result<ActorType, ActorError> {
    ActorType::new(name).map_err(|error| ActorError::new(codes::INVALID_NAME, error.to_string()))
}

fn serialized_key(key: &str) -> Result<ActorKey, ActorError> {
    ActorKey::from_serialized(key)
        .map_err(|error| ActorError::new(codes::INVALID_KEY, error.to_string()))
}

fn input(base64: &str) -> Result<Bytes, ActorError> {
    let bytes = STANDARD.decode(base64).ok();
    bytes
        .and_then(|bytes| encoding::from_client_cbor(&bytes, true).ok())
        .ok_or_else(|| {
            ActorError::new(
                codes::BAD_REQUEST,
                "input has to be one CBOR value in base64",
            )
        })
}

fn limit(text: &str) -> Result<usize, ActorError> {
    text.parse()
        .map_err(|_| ActorError::new(codes::BAD_REQUEST, "limit has to be a number"))
}

fn page<'a>(actors: impl Iterator<Item = &'a ActorInfo>, next: Option<ActorId>) -> Reply {
    let actors: Vec<Json> = actors.map(shown).collect();
    let cursor = next.map(|id| id.to_string());
    reply::json(&json!({ "actors": actors, "pagination": { "cursor": cursor } }))
}

/// The stock server's shape, with what a single host has no use for left null, and `awake` added.
pub(super) fn shown(actor: &ActorInfo) -> Json {
    json!({
        "actor_id": actor.id.to_string(),
        "name": actor.name.actor_type.as_str(),
        "key": actor.name.key.as_serialized(),
        "namespace_id": actor.name.namespace.as_str(),
        "datacenter": "default",
        "runner_name_selector": "default",
        "crash_policy": "sleep",
        "create_ts": actor.created_at.0,
        "start_ts": null,
        "pending_allocation_ts": null,
        "connectable_ts": null,
        "sleep_ts": null,
        "reschedule_ts": null,
        "destroy_ts": null,
        "awake": actor.is_awake,
    })
}
