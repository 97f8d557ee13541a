//! `POST /components`: an upload, and how it is to be deployed.

use std::collections::BTreeSet;

use greenroom_model::{ActorError, Capability, codes};
use greenroom_placement::{
    DeployOptions, DeployProgress, DeployStage, NotDeployed, Plan, Rehearsal,
};
use hyper::body::Incoming;
use serde_json::{Value as Json, json};

use super::components::shown;
use crate::app::{App, take};
use crate::body::{self, Bound};
use crate::reply::{self, Reply};

/// Who deploys, and what they say about it, in bytes each.
const TEXT_BYTES_MAX: usize = 4_096;

/// `POST /components`: the body is the Wasm.
pub(super) async fn deploy(app: &App, query: &str, body: Incoming) -> Result<Reply, ActorError> {
    let _place = take(&app.uploads, "uploads")?;
    let bound = Bound {
        bytes_max: app.limits.component_bytes_max,
        within: app.limits.body_timeout,
        too_long: codes::COMPONENT_TOO_LARGE,
    };
    // First: a client that is still writing does not see why it is refused.
    let bytes = body::read(body, &bound).await?;
    let options = options(query)?;
    let is_dry_run = options.is_dry_run;
    let deployed = app.router.deploy(bytes, options).await;
    let deployed = deployed.map_err(with_report)?;
    let mut answer = deployed.revision.as_ref().map_or_else(|| json!({}), shown);
    answer["isNew"] = deployed.is_new.into();
    answer["isDryRun"] = is_dry_run.into();
    answer["report"] = json!(deployed.report);
    Ok(reply::json(&answer))
}

/// `GET /deploying`: how far the deploy has got that is being carried out.
pub(super) fn deploying(app: &App) -> Reply {
    let deploy = app.registry.deploying().as_ref().map(progress);
    reply::json(&json!({ "deploy": deploy }))
}

fn progress(progress: &DeployProgress) -> Json {
    let (stage, rehearsed) = match progress.stage {
        DeployStage::Checking => ("checking", None),
        DeployStage::Rehearsing { tried, found } => ("rehearsing", Some((tried, found))),
    };
    json!({
        "hash": progress.hash.to_string(),
        "component": progress.component.as_ref().map(ToString::to_string),
        "begunAtMs": progress.begun_at.0,
        "stage": stage,
        "tried": rehearsed.map(|(tried, _)| tried),
        "found": rehearsed.map(|(_, found)| found),
    })
}

/// The error, with what had been found out as its metadata.
fn with_report(refused: NotDeployed) -> ActorError {
    let NotDeployed { error, report } = refused;
    match report.and_then(|report| greenroom_value::to_vec(&json!(report)).ok()) {
        Some(metadata) => error.with_metadata(metadata.into()),
        None => error,
    }
}

fn options(query: &str) -> Result<DeployOptions, ActorError> {
    let mut options = DeployOptions::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = value.into_owned();
        match &*name {
            "message" => options.message = text("message", value)?,
            "by" => options.deployed_by = text("by", value)?,
            "grant" => options.granted.extend(grants(&value)?),
            "rehearse" => options.rehearsal = rehearsal(&value)?,
            "force" => options.is_forced = flag("force", &value)?,
            "dryRun" => options.is_dry_run = flag("dryRun", &value)?,
            "percent" => options.plan.percent = percent(&value)?,
            "types" => options.plan.actor_types.extend(words(&value)),
            "keys" => options.plan.keys.push(value),
            // Parameters that we do not know are the business of other servers.
            _ => {}
        }
    }
    options.plan.is_forced = options.is_forced;
    check(&options.plan)?;
    Ok(options)
}

fn check(plan: &Plan) -> Result<(), ActorError> {
    plan.check().map_err(|bad| bad_request(bad.to_string()))
}

fn text(name: &str, value: String) -> Result<String, ActorError> {
    if value.len() > TEXT_BYTES_MAX {
        let text = format!("{name} has {} bytes; at most {TEXT_BYTES_MAX}", value.len());
        return Err(bad_request(text));
    }
    Ok(value)
}

fn words(value: &str) -> impl Iterator<Item = String> {
    let words = value.split(',').filter(|word| !word.is_empty());
    words.map(str::to_owned)
}

fn grants(value: &str) -> Result<BTreeSet<Capability>, ActorError> {
    if value == "all" {
        return Ok(Capability::ALL.into());
    }
    let granted = words(value).map(|word| {
        let mut all = Capability::ALL.into_iter();
        all.find(|capability| capability.as_str() == word)
            .ok_or_else(|| {
                let all = Capability::ALL.map(Capability::as_str).join(", ");
                bad_request(format!("grant has to be all, or out of {all}"))
            })
    });
    granted.collect()
}

fn rehearsal(value: &str) -> Result<Rehearsal, ActorError> {
    Ok(match value {
        "auto" => Rehearsal::IfMigrated,
        "no" => Rehearsal::No,
        "all" => Rehearsal::All,
        count => {
            let count = count.parse().ok().filter(|count| *count > 0);
            let wrong = || bad_request("rehearse has to be auto, no, all or a number of actors");
            Rehearsal::Sample(count.ok_or_else(wrong)?)
        }
    })
}

pub(super) fn percent(value: &str) -> Result<f64, ActorError> {
    let number = value.trim_end_matches('%').parse();
    number.map_err(|_| bad_request("percent has to be a number"))
}

fn flag(name: &str, value: &str) -> Result<bool, ActorError> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(bad_request(format!("{name} has to be true or false"))),
    }
}

pub(super) fn bad_request(text: impl Into<String>) -> ActorError {
    ActorError::new(codes::BAD_REQUEST, text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_how_to_deploy() {
        let query = "by=ann&message=a%20b&grant=kv,actors&rehearse=50&percent=10%25&keys=a*&keys=b";
        let read = options(query).unwrap();
        assert_eq!((&*read.deployed_by, &*read.message), ("ann", "a b"));
        let granted = [Capability::Kv, Capability::Actors];
        assert_eq!(read.granted, granted.into());
        assert_eq!(read.rehearsal, Rehearsal::Sample(50));
        assert!((read.plan.percent - 10.0).abs() < 1e-9);
        assert_eq!(read.plan.keys, ["a*", "b"]);
        assert!(options("").unwrap().plan.is_everyone());
        for wrong in [
            "grant=root",
            "rehearse=some",
            "rehearse=0",
            "force=perhaps",
            "percent=0",
            "percent=101",
            "percent=x",
        ] {
            assert!(options(wrong).is_err(), "{wrong}");
        }
    }
}
