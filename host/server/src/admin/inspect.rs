//! `/actors/{id}/queue`, `/dead-letters`, `/schedule`: what an actor has to do, for people. It is woken to be asked.

use greenroom_model::{
    ActorError, MessageId, Outcome, QueueMessage, Scheduled, ScheduledRun, Timing, codes,
};
use greenroom_placement::{Inspect, Inspected};
use serde_json::{Value as Json, json};
use tracing::error;

use super::actors::{Query, in_namespace};
use crate::app::App;
use crate::encoding;
use crate::reply::{self, Reply};

/// Messages in one answer, and how many there are if nobody says.
const MESSAGES_MAX: usize = 1_000;
const MESSAGES_DEFAULT: usize = 100;

const DEAD_LETTER: &str = "dead letter";
const ENTRY: &str = "entry in its schedule";

/// `GET /actors/{id}/queue`: the messages that wait or are taken, oldest first.
pub(super) async fn queue(app: &App, query: &str, id: &str) -> Result<Reply, ActorError> {
    messages(app, query, id, Inspect::Queue).await
}

/// `GET /actors/{id}/dead-letters`: those that were taken too often, oldest first.
pub(super) async fn dead_letters(app: &App, query: &str, id: &str) -> Result<Reply, ActorError> {
    messages(app, query, id, Inspect::DeadLetters).await
}

async fn messages(app: &App, query: &str, id: &str, what: Inspect) -> Result<Reply, ActorError> {
    let asked = Query::parse(query);
    let count_max = asked.limit()?.unwrap_or(MESSAGES_DEFAULT);
    let count_max = count_max.clamp(1, MESSAGES_MAX);
    let has_bodies = asked.wants_bodies()?;
    match inspect(app, query, id, what).await? {
        Inspected::Messages(messages) => {
            let shown = messages.iter().take(count_max);
            let shown: Vec<Json> = shown.map(|m| message(m, has_bodies)).collect();
            let size = messages.len();
            Ok(reply::json(&json!({ "size": size, "messages": shown })))
        }
        _ => Err(unexpected()),
    }
}

/// `POST /actors/{id}/dead-letters/{message}/retry`: back into its queue.
pub(super) async fn retry(
    app: &App,
    query: &str,
    id: &str,
    message: &str,
) -> Result<Reply, ActorError> {
    let message = MessageId::parse(message).ok_or_else(|| missing(DEAD_LETTER))?;
    match inspect(app, query, id, Inspect::PutBack(message)).await? {
        Inspected::PutBack(Some(id)) => {
            let shown = json!({ "ok": true, "id": id.to_string() });
            Ok(reply::json(&shown))
        }
        Inspected::PutBack(None) => Err(missing(DEAD_LETTER)),
        _ => Err(unexpected()),
    }
}

/// `DELETE /actors/{id}/dead-letters/{message}`.
pub(super) async fn discard(
    app: &App,
    query: &str,
    id: &str,
    message: &str,
) -> Result<Reply, ActorError> {
    let message = MessageId::parse(message).ok_or_else(|| missing(DEAD_LETTER))?;
    change(app, query, id, Inspect::Discard(message), DEAD_LETTER).await
}

/// `GET /actors/{id}/schedule`: what is to come, next first, and the last runs, oldest first.
pub(super) async fn schedule(app: &App, query: &str, id: &str) -> Result<Reply, ActorError> {
    match inspect(app, query, id, Inspect::Schedule).await? {
        Inspected::Schedule(entries, history) => {
            let entries: Vec<Json> = entries.iter().map(entry).collect();
            let history: Vec<Json> = history.iter().map(run).collect();
            let shown = json!({ "entries": entries, "history": history });
            Ok(reply::json(&shown))
        }
        _ => Err(unexpected()),
    }
}

/// `DELETE /actors/{id}/schedule/{entry}`.
pub(super) async fn unschedule(
    app: &App,
    query: &str,
    id: &str,
    entry: &str,
) -> Result<Reply, ActorError> {
    change(app, query, id, Inspect::Unschedule(entry.to_owned()), ENTRY).await
}

/// Has an actor change something of its own, which is called `thing` if it is not there.
async fn change(
    app: &App,
    query: &str,
    id: &str,
    what: Inspect,
    thing: &str,
) -> Result<Reply, ActorError> {
    match inspect(app, query, id, what).await? {
        Inspected::Done(true) => Ok(reply::json(&json!({ "ok": true }))),
        Inspected::Done(false) => Err(missing(thing)),
        _ => Err(unexpected()),
    }
}

async fn inspect(app: &App, query: &str, id: &str, what: Inspect) -> Result<Inspected, ActorError> {
    let id = in_namespace(app, query, id).await?;
    app.router.inspect(id, what).await
}

fn missing(thing: &str) -> ActorError {
    let text = format!("the actor has no {thing} of this id");
    ActorError::new(codes::ROUTE_NOT_FOUND, text)
}

fn unexpected() -> ActorError {
    error!("an actor was asked for one thing and told another");
    ActorError::internal()
}

fn message(message: &QueueMessage, has_body: bool) -> Json {
    let mut shown = json!({
        "id": message.id.to_string(),
        "name": message.queue,
        "sentAtMs": message.sent_at.0,
        "attempts": message.attempts,
        "notBeforeMs": message.not_before.0,
    });
    if let Some(died_at) = message.died_at {
        shown["diedAtMs"] = died_at.0.into();
    }
    if let Some(body) = has_body.then(|| encoding::shown(&message.body)).flatten() {
        shown["body"] = body;
    }
    shown
}

fn entry(entry: &Scheduled) -> Json {
    let mut shown = json!({
        "id": entry.id,
        "action": entry.action,
        "nextMs": entry.try_at.0,
        "dueMs": entry.due_at.0,
        "failures": entry.failures,
    });
    match &entry.timing {
        Timing::Once | Timing::After => {}
        Timing::Every { every_ms, .. } => shown["everyMs"] = (*every_ms).into(),
        Timing::Cron {
            expression,
            time_zone,
        } => {
            shown["cron"] = expression.as_str().into();
            if let Some(time_zone) = time_zone {
                shown["timeZone"] = time_zone.as_str().into();
            }
        }
    }
    shown
}

fn run(run: &ScheduledRun) -> Json {
    let outcome = match run.outcome {
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::GivenUp => "givenUp",
    };
    let mut shown = json!({
        "id": run.id,
        "action": run.action,
        "dueMs": run.due_at.0,
        "startedMs": run.started_at.0,
        "outcome": outcome,
    });
    if let Some(error) = &run.error {
        shown["error"] = error.as_str().into();
    }
    shown
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use greenroom_model::Millis;

    use super::*;

    #[test]
    fn messages_are_shown_with_their_bodies_if_somebody_wants_them() {
        let mut sent = QueueMessage {
            id: MessageId(7),
            queue: "tasks".into(),
            body: Bytes::from_static(b"\x82\x62$x\x05"),
            sent_at: Millis(1),
            attempts: 2,
            not_before: Millis(3),
            died_at: None,
        };
        let wanted = json!({
            "id": "7", "name": "tasks", "sentAtMs": 1, "attempts": 2, "notBeforeMs": 3,
        });
        assert_eq!(message(&sent, false), wanted);
        sent.died_at = Some(Millis(4));
        let mut wanted = wanted;
        wanted["diedAtMs"] = json!(4);
        wanted["body"] = json!(["$$x", 5]);
        assert_eq!(message(&sent, true), wanted);
        sent.body = Bytes::from_static(b"\xff");
        assert_eq!(message(&sent, true).get("body"), None, "no value");
    }

    #[test]
    fn entries_say_how_they_recur() {
        let mut scheduled = Scheduled {
            id: "a".into(),
            action: "tick".into(),
            args: Bytes::from_static(b"\x80"),
            timing: Timing::Once,
            set_at: Millis(0),
            due_at: Millis(10),
            try_at: Millis(20),
            failures: 1,
        };
        let once = json!({ "id": "a", "action": "tick", "nextMs": 20, "dueMs": 10, "failures": 1 });
        assert_eq!(entry(&scheduled), once);
        scheduled.timing = Timing::Every {
            from_ms: 0,
            every_ms: 5,
        };
        assert_eq!(entry(&scheduled)["everyMs"], json!(5));
        scheduled.timing = Timing::Cron {
            expression: "0 3 * * *".into(),
            time_zone: Some("Europe/Berlin".into()),
        };
        let shown = entry(&scheduled);
        assert_eq!(
            (&shown["cron"], &shown["timeZone"]),
            (&json!("0 3 * * *"), &json!("Europe/Berlin"))
        );
    }

    #[test]
    fn runs_say_what_became_of_them() {
        let mut over = ScheduledRun {
            number: 1,
            id: "a".into(),
            action: "tick".into(),
            due_at: Millis(10),
            started_at: Millis(11),
            outcome: Outcome::Done,
            error: None,
        };
        let done = json!({
            "id": "a", "action": "tick", "dueMs": 10, "startedMs": 11, "outcome": "done",
        });
        assert_eq!(run(&over), done);
        over.outcome = Outcome::GivenUp;
        over.error = Some("user.no: no".into());
        let shown = run(&over);
        assert_eq!(shown["outcome"], json!("givenUp"));
        assert_eq!(shown["error"], json!("user.no: no"));
    }
}
