//! Every path that the host answers, in one match.

use std::borrow::Cow;

use greenroom_model::{ActorError, codes};
use http::HeaderMap;
use percent_encoding::percent_decode_str;

/// Where the stock client's own server has everything a second time.
const PREFIX: &str = "/api/rivet";

/// Where a request is to go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    Root,
    Health,
    Metadata,
    /// To an actor.
    Gateway(GatewayPath<'a>),
    /// To the operators' side.
    Admin(AdminPath<'a>),
}

/// A path below an actor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GatewayPath<'a> {
    /// An actor type or an id, decoded; the query tells which.
    pub(crate) target: Cow<'a, str>,
    /// The target was followed by `@` and a token.
    pub(crate) has_token: bool,
    /// What is wanted of the actor.
    pub(crate) wanted: Wanted<'a>,
}

/// What is wanted of an actor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted<'a> {
    Action(Cow<'a, str>),
    /// A message for a queue.
    Queue(Cow<'a, str>),
    /// A realtime connection.
    Connect,
    /// A raw request, with the path that the actor is to see.
    Request(Cow<'a, str>),
    /// A raw WebSocket, with the path that the actor is to see.
    Websocket(Cow<'a, str>),
    Health,
    Metadata,
    /// A path that leads nowhere.
    Other(&'a str),
}

/// A path of the operators' side.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AdminPath<'a> {
    Actors,
    Actor(&'a str),
    Sleep(&'a str),
    Queue(&'a str),
    DeadLetters(&'a str),
    /// An actor, and a message of it.
    DeadLetter(&'a str, &'a str),
    Retry(&'a str, &'a str),
    Schedule(&'a str),
    /// An actor, and the name of an entry, decoded.
    Scheduled(&'a str, Cow<'a, str>),
    /// The revision that an actor is pinned to.
    Pin(&'a str),
    Components,
    Component(&'a str),
    Rollout(&'a str),
    /// A component, and what is to become of its rollout.
    RolloutOrder(&'a str, &'a str),
    Pins(&'a str),
    /// The deploy that is being carried out.
    Deploying,
}

impl AdminPath<'_> {
    /// Whether it is for operators alone. The rest is what the stock client uses, also from web pages.
    pub(crate) const fn is_for_operators(&self) -> bool {
        !matches!(self, Self::Actors)
    }
}

/// The actor that a request's headers name, if they say that they do.
pub(crate) fn named(headers: &HeaderMap) -> Option<Option<String>> {
    let target = headers.get("x-rivet-target")?;
    (target == "actor").then(|| {
        let id = headers.get("x-rivet-actor").and_then(|id| id.to_str().ok());
        id.map(str::to_owned)
    })
}

/// Matches a path. `named` is the actor that is named beside it, if one is meant to be.
///
/// # Errors
///
/// `api.not_found` for a path that is none of ours, `actor.invalid_request` for one that is badly escaped.
pub(crate) fn route<'a>(
    path: &'a str,
    named: Option<Option<&'a str>>,
) -> Result<Route<'a>, ActorError> {
    let path = match path.strip_prefix(PREFIX) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    };
    // A path that names its actor wins: the stock client may send both.
    if let Some(id) = named.filter(|_| !path.starts_with("/gateway/")) {
        return targeted(path, id);
    }
    let mut segments = path.split('/').skip(1);
    let first = segments.next().unwrap_or_default();
    let rest: [Option<&str>; 2] = std::array::from_fn(|_| segments.next());
    Ok(match (first, rest) {
        ("", [None, _]) => Route::Root,
        ("health", [None, _]) => Route::Health,
        ("metadata", [None, _]) => Route::Metadata,
        ("gateway", [Some(_), _]) => gateway(&path["/gateway/".len()..])?,
        ("actors", [None, _]) => Route::Admin(AdminPath::Actors),
        ("actors", [Some(id), None]) => Route::Admin(AdminPath::Actor(id)),
        ("actors", [Some(id), Some(part)]) => {
            let rest = std::array::from_fn(|_| segments.next());
            Route::Admin(part_of_actor(id, part, rest)?)
        }
        ("deploying", [None, _]) => Route::Admin(AdminPath::Deploying),
        ("components", [None, _]) => Route::Admin(AdminPath::Components),
        ("components", [Some(name), None]) => Route::Admin(AdminPath::Component(name)),
        ("components", [Some(name), Some(part)]) => {
            let rest = std::array::from_fn(|_| segments.next());
            Route::Admin(part_of_component(name, part, rest)?)
        }
        _ => return Err(not_found()),
    })
}

fn part_of_actor<'a>(
    id: &'a str,
    part: &str,
    rest: [Option<&'a str>; 3],
) -> Result<AdminPath<'a>, ActorError> {
    Ok(match (part, rest) {
        ("sleep", [None, ..]) => AdminPath::Sleep(id),
        ("pin", [None, ..]) => AdminPath::Pin(id),
        ("queue", [None, ..]) => AdminPath::Queue(id),
        ("dead-letters", [None, ..]) => AdminPath::DeadLetters(id),
        ("dead-letters", [Some(message), None, _]) => AdminPath::DeadLetter(id, message),
        ("dead-letters", [Some(message), Some("retry"), None]) => AdminPath::Retry(id, message),
        ("schedule", [None, ..]) => AdminPath::Schedule(id),
        ("schedule", [Some(entry), None, _]) => AdminPath::Scheduled(id, decode(entry)?),
        _ => return Err(not_found()),
    })
}

fn part_of_component<'a>(
    name: &'a str,
    part: &str,
    rest: [Option<&'a str>; 2],
) -> Result<AdminPath<'a>, ActorError> {
    Ok(match (part, rest) {
        ("rollout", [None, _]) => AdminPath::Rollout(name),
        ("rollout", [Some(order), None]) => AdminPath::RolloutOrder(name, order),
        ("pins", [None, _]) => AdminPath::Pins(name),
        _ => return Err(not_found()),
    })
}

fn not_found() -> ActorError {
    let text = "The requested resource was not found";
    ActorError::new(codes::ROUTE_NOT_FOUND, text)
}

fn gateway(path: &str) -> Result<Route<'_>, ActorError> {
    let (target, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
    let (target, has_token) = match target.split_once('@') {
        Some((target, _)) => (target, true),
        None => (target, false),
    };
    let target = decode(target)?;
    Ok(Route::Gateway(GatewayPath {
        target,
        has_token,
        wanted: wanted(rest)?,
    }))
}

/// The actor is named beside the path, and the path is what is wanted of it.
fn targeted<'a>(path: &'a str, id: Option<&'a str>) -> Result<Route<'a>, ActorError> {
    let id = id.ok_or_else(|| {
        let text = "an actor is meant to be named beside the path, but it does not say which";
        ActorError::new(codes::INVALID_REQUEST, text)
    })?;
    let target = Cow::Borrowed(id);
    Ok(Route::Gateway(GatewayPath {
        target,
        has_token: true,
        wanted: wanted(path)?,
    }))
}

fn wanted(path: &str) -> Result<Wanted<'_>, ActorError> {
    Ok(match path {
        "/health" => Wanted::Health,
        "/metadata" => Wanted::Metadata,
        "/connect" => Wanted::Connect,
        _ if is_below(path, "/request") => Wanted::Request(one_slash(&path["/request".len()..])),
        // The stock server leaves the prefix in here, and takes it away there.
        _ if is_below(path, "/websocket") => Wanted::Websocket(Cow::Borrowed(path)),
        _ => match (named_in(path, "/action/"), named_in(path, "/queue/")) {
            (Some(name), _) => Wanted::Action(decode(name)?),
            (_, Some(name)) => Wanted::Queue(decode(name)?),
            (None, None) => Wanted::Other(path),
        },
    })
}

/// What a path names in its one segment behind `prefix`.
fn named_in<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let name = path.strip_prefix(prefix)?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path that begins with exactly one slash.
fn one_slash(path: &str) -> Cow<'_, str> {
    let trimmed = path.trim_start_matches('/');
    if path.len() == trimmed.len() + 1 {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(format!("/{trimmed}"))
    }
}

fn decode(segment: &str) -> Result<Cow<'_, str>, ActorError> {
    percent_decode_str(segment).decode_utf8().map_err(|_| {
        ActorError::new(
            codes::INVALID_REQUEST,
            "the path is not UTF-8 when it is decoded",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Option<String> {
        route(path, None).ok().map(|route| format!("{route:?}"))
    }

    #[test]
    fn everything_is_there_twice() {
        for path in [
            "/",
            "/health",
            "/actors",
            "/actors/1/sleep",
            "/actors/1/dead-letters/2/retry",
            "/gateway/a/action/b",
            "/gateway/a/queue/b",
            "/components/x",
            "/components/x/rollout",
            "/components/x/rollout/pause",
            "/components/x/pins",
            "/deploying",
            "/actors/1/pin",
        ] {
            assert!(at(path).is_some(), "{path}");
            assert_eq!(at(path), at(&format!("/api/rivet{path}")), "{path}");
        }
        assert_eq!(at("/api/rivet"), at("/"));
    }

    #[test]
    fn gateway_paths_are_taken_apart() {
        let Ok(Route::Gateway(path)) = route("/gateway/a%20b@tok%40/action/g.add", None) else {
            panic!("a gateway path");
        };
        assert_eq!((&*path.target, path.has_token), ("a b", true));
        assert_eq!(path.wanted, Wanted::Action("g.add".into()));
        assert_eq!(
            wanted("/queue/my%20tasks").unwrap(),
            Wanted::Queue("my tasks".into())
        );
        for (given, seen) in [
            ("/request", "/"),
            ("/request/", "/"),
            ("/request//a/b/", "/a/b/"),
            ("/request/a", "/a"),
        ] {
            assert_eq!(
                wanted(given).unwrap(),
                Wanted::Request(seen.into()),
                "{given}"
            );
        }
        for given in ["/websocket", "/websocket/", "/websocket/room/1"] {
            assert_eq!(wanted(given).unwrap(), Wanted::Websocket(given.into()));
        }
        for other in [
            "",
            "/",
            "/action",
            "/action/",
            "/action/a/b",
            "/queue",
            "/queue/",
            "/queue/a/b",
            "/queues/a",
            "/nothing",
            "/requests",
        ] {
            let path = format!("/gateway/a{other}");
            let Ok(Route::Gateway(path)) = route(&path, None) else {
                panic!("a gateway path")
            };
            assert_eq!(path.wanted, Wanted::Other(other));
        }
    }

    #[test]
    fn the_parts_of_an_actor_have_paths_of_their_own() {
        for (path, part) in [
            ("queue", AdminPath::Queue("1")),
            ("dead-letters", AdminPath::DeadLetters("1")),
            ("dead-letters/2", AdminPath::DeadLetter("1", "2")),
            ("dead-letters/2/retry", AdminPath::Retry("1", "2")),
            ("schedule", AdminPath::Schedule("1")),
            ("schedule/a%2Fb", AdminPath::Scheduled("1", "a/b".into())),
        ] {
            assert!(part.is_for_operators(), "{path}");
            let whole = format!("/actors/1/{path}");
            assert_eq!(route(&whole, None).unwrap(), Route::Admin(part), "{path}");
        }
    }

    #[test]
    fn other_paths_lead_nowhere() {
        for path in [
            "/nothing",
            "/actors/1/2",
            "/actors/1/sleep/3",
            "/actors/1/queue/2",
            "/actors/1/pin/2",
            "/components/x/y",
            "/components/x/pins/y",
            "/components/x/rollout/pause/y",
            "/actors/1/dead-letters/2/3",
            "/actors/1/dead-letters/2/retry/3",
            "/actors/1/schedule/2/3",
            "/actors/1/schedule/%ff",
            "/gateway",
            "/api/rivetx",
            "//",
        ] {
            assert_eq!(at(path), None, "{path}");
        }
        assert_eq!(at("/gateway/%ff/health"), None);
    }

    #[test]
    fn a_header_can_name_the_actor() {
        let mut headers = HeaderMap::new();
        assert_eq!(named(&headers), None);
        headers.insert("x-rivet-target", "actor".parse().unwrap());
        assert_eq!(named(&headers), Some(None));
        assert!(route("/action/x", Some(None)).is_err(), "which one?");
        headers.insert("x-rivet-actor", "abc".parse().unwrap());
        assert_eq!(named(&headers), Some(Some("abc".to_owned())));
        let Ok(Route::Gateway(path)) = route("/action/x", Some(Some("abc"))) else {
            panic!("a gateway path")
        };
        assert_eq!(
            (&*path.target, path.wanted),
            ("abc", Wanted::Action("x".into()))
        );
        let Ok(Route::Gateway(path)) = route("/gateway/def/action/x", Some(Some("abc"))) else {
            panic!("a gateway path");
        };
        assert_eq!(
            (&*path.target, path.wanted),
            ("def", Wanted::Action("x".into()))
        );
    }
}
