//! Group F: raw HTTP.

use std::collections::BTreeMap;

use greenroom_sdk::prelude::*;
use serde_json::{Map, Value as Json, json};

/// Headers by name; the values of one that came more than once are joined, as JavaScript does it.
pub(crate) fn header_map(
    headers: impl Iterator<Item = (impl Into<String>, impl Into<String>)>,
) -> BTreeMap<String, String> {
    let mut map = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = value.into();
        map.entry(name.into())
            .and_modify(|values| {
                values.push_str(", ");
                values.push_str(&value);
            })
            .or_insert(value);
    }
    map
}

/// A query as `URL.search` has it: with its question mark, or empty.
pub(crate) fn search(query: Option<&str>) -> String {
    match query {
        None | Some("") => String::new(),
        Some(query) => format!("?{query}"),
    }
}

pub(crate) fn not_found() -> Response {
    Response::text("Not Found").with_status(404)
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RawHttpActor {
    request_count: u32,
}

#[actor(rename_all = "camelCase")]
impl RawHttpActor {
    #[on_request]
    async fn request(cx: Context<Self>, request: Request) -> Result<Response> {
        let request_count = cx.update(|actor| {
            actor.request_count += 1;
            actor.request_count
        });
        Ok(match (request.method(), request.path()) {
            (_, "/api/hello") => Response::json(&json!({ "message": "Hello from actor!" })),
            ("POST", "/api/echo") => return echo(request).await,
            (_, "/api/state") => Response::json(&json!({ "requestCount": request_count })),
            (_, "/api/headers") => Response::json(&header_map(request.headers())),
            _ => not_found(),
        })
    }
}

/// The body and the headers back.
async fn echo(mut request: Request) -> Result<Response> {
    let response = Response::new(200).with_body(request.bytes().await?);
    let headers = request.headers();
    Ok(headers.fold(response, |response, (name, value)| {
        response.with_header(name, value)
    }))
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RawHttpNoHandlerActor;

#[actor]
impl RawHttpNoHandlerActor {}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RawHttpVoidReturnActor;

#[actor]
impl RawHttpVoidReturnActor {
    #[on_request]
    fn request(&self) -> Option<Response> {
        None
    }
}

/// Named after the router that its JavaScript counterpart uses.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RawHttpHonoActor;

#[actor]
impl RawHttpHonoActor {
    #[on_request]
    async fn request(_cx: Context<Self>, mut request: Request) -> Result<Response> {
        let (method, path) = (request.method().to_owned(), request.path().to_owned());
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        Ok(match (method.as_str(), segments.as_slice()) {
            ("GET", [""]) => Response::json(&json!({ "message": "Welcome to Hono actor!" })),
            ("GET", ["users"]) => Response::json(&json!([
                { "id": 1, "name": "Alice" },
                { "id": 2, "name": "Bob" },
            ])),
            ("POST", ["users"]) => {
                let body = request.json().await?;
                Response::json(&user(json!(3), body)).with_status(201)
            }
            ("GET", ["users", id]) => {
                let name = if *id == "1" { "Alice" } else { "Bob" };
                Response::json(&json!({ "id": number(id), "name": name }))
            }
            ("PUT", ["users", id]) => {
                let body = request.json().await?;
                Response::json(&user(number(id), body))
            }
            ("DELETE", ["users", id]) => {
                Response::json(&json!({ "message": format!("User {id} deleted") }))
            }
            _ => not_found(),
        })
    }
}

/// An id in a path is a number, or it is null.
fn number(id: &str) -> Json {
    id.parse::<i64>().map_or(Json::Null, Json::from)
}

/// `{id, …body}`.
fn user(id: Json, body: Map<String, Json>) -> Map<String, Json> {
    let mut user = Map::new();
    user.insert("id".to_owned(), id);
    user.extend(body);
    user
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RawHttpRequestPropertiesActor;

#[actor]
impl RawHttpRequestPropertiesActor {
    #[on_request]
    async fn request(_cx: Context<Self>, mut request: Request) -> Result<Response> {
        Ok(match request.method() {
            "HEAD" => Response::new(200),
            "OPTIONS" => Response::new(204),
            _ => Response::json(&properties(&mut request).await),
        })
    }
}

/// Everything that a JavaScript `Request` would tell.
async fn properties(request: &mut Request) -> Json {
    let body = read_body(request).await;
    let body_text = match &body {
        Json::String(text) => Some(text.clone()),
        Json::Null if request.has_body() => Some(String::new()),
        _ => None,
    };
    let search_params: BTreeMap<String, String> = request.query_pairs().into_iter().collect();
    json!({
        "url": request.url(),
        "pathname": request.path(),
        "search": search(request.query()),
        "searchParams": search_params,
        "hash": "",
        "method": request.method(),
        "headers": header_map(request.headers()),
        "body": body,
        "bodyText": body_text,
        "cache": null,
        "credentials": null,
        "mode": null,
        "redirect": null,
        "referrer": null,
    })
}

/// A JSON body as it is, any other as text; null if there is none, or none that can be read.
async fn read_body(request: &mut Request) -> Json {
    let is_json = request
        .header("content-type")
        .is_some_and(|kind| kind.contains("application/json"));
    let bytes = request.bytes().await.unwrap_or_default();
    if bytes.is_empty() {
        Json::Null
    } else if is_json {
        serde_json::from_slice(&bytes).unwrap_or_default()
    } else {
        String::from_utf8_lossy(&bytes).into()
    }
}
