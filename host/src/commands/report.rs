//! What the host found out about an upload, for people: what is different, what it may do, who would start on it.

use serde_json::Value as Json;

use super::named::{items, word};
use super::one_line;

/// Actors that are named; `--json` names more of them.
const NAMED_MAX: usize = 50;

/// The lines of a report; none, if there is nothing to tell.
pub(super) fn lines(report: &Json) -> Vec<String> {
    let mut lines = differences(report);
    let widened = names(&report["widened"]);
    if !widened.is_empty() {
        lines.push(format!("it can do what it could not: {widened}"));
    }
    lines.extend(rehearsal(&report["rehearsal"]));
    lines
}

/// Words of a list, with commas.
pub(super) fn names(list: &Json) -> String {
    let names = items(list).iter().filter_map(Json::as_str);
    names.collect::<Vec<_>>().join(", ")
}

/// One line for each difference but new capabilities, which are told apart.
fn differences(report: &Json) -> Vec<String> {
    let is_told_apart = |d: &&Json| d["kind"] == "capability" && d["change"] == "added";
    let found = items(&report["differences"]).iter();
    let found: Vec<&Json> = found.filter(|d| !is_told_apart(d)).collect();
    let mut types: Vec<&str> = found
        .iter()
        .filter_map(|d| d["actorType"].as_str())
        .collect();
    types.dedup();
    // With one type there is nothing to confuse.
    let is_qualified = types.len() > 1;
    found.iter().map(|d| difference(d, is_qualified)).collect()
}

/// `~ action f: (a: u8) → (a: u16)   breaking`
fn difference(difference: &Json, is_qualified: bool) -> String {
    let kind = word(&difference["kind"]);
    let mut name = match &*kind {
        // It has one, which needs no name.
        "state version" => String::new(),
        _ => format!(" {}", word(&difference["name"])),
    };
    if let Some(actor_type) = difference["actorType"].as_str().filter(|_| is_qualified) {
        name = match name.trim_start() {
            "" => format!(" of {actor_type}"),
            name => format!(" {actor_type}.{name}"),
        };
    }
    let sign = match difference["change"].as_str() {
        Some("added") => '+',
        Some("removed") => '-',
        _ => '~',
    };
    let said = match (difference["before"].as_str(), difference["after"].as_str()) {
        (Some(before), Some(after)) => format!(": {before} → {after}"),
        // A signature reads best right behind its name.
        (Some(one), None) | (None, Some(one)) if kind == "action" => one.to_owned(),
        (Some(one), None) | (None, Some(one)) => format!(": {one}"),
        (None, None) => String::new(),
    };
    let is_breaking = difference["isBreaking"] == true;
    let mark = if is_breaking { "   breaking" } else { "" };
    format!("{sign} {kind}{name}{said}{mark}")
}

fn rehearsal(rehearsal: &Json) -> Vec<String> {
    let count = |name: &str| rehearsal[name].as_u64().unwrap_or_default();
    let (failed, unclear) = (count("failed"), count("unclear"));
    if rehearsal.is_null() {
        return Vec::new();
    }
    let of = match (count("tried"), count("actors")) {
        (tried, actors) if tried < actors => format!("{tried} of {actors} actors"),
        (tried, 1) => format!("{tried} actor"),
        (tried, _) => format!("{tried} actors"),
    };
    let mut line = format!("rehearsed {of}: {} fine", count("fine"));
    if failed > 0 {
        line.push_str(&format!(", {failed} would not start"));
    }
    if unclear > 0 {
        line.push_str(&format!(
            ", {unclear} cannot tell without calling other actors"
        ));
    }
    if rehearsal["isIncomplete"] == true {
        line.push_str("; it was broken off because it took too long");
    }
    let named = failed + unclear > 0;
    line.push_str(if named { ":" } else { "" });
    let mut lines = vec![line];
    lines.extend(unfit(&rehearsal["failures"], failed, "would not start"));
    lines.extend(unfit(&rehearsal["unclearActors"], unclear, "cannot tell"));
    lines
}

fn unfit(actors: &Json, count: u64, what: &str) -> Vec<String> {
    let shown = items(actors).iter().take(NAMED_MAX);
    let mut lines: Vec<String> = shown
        .map(|actor| {
            let (actor_type, key) = (word(&actor["actorType"]), word(&actor["key"]));
            let namespace = match actor["namespace"].as_str() {
                None | Some("default") => String::new(),
                Some(namespace) => format!(" in {namespace}"),
            };
            let reason = one_line(&word(&actor["reason"]));
            format!("  {actor_type} {key}{namespace}: {reason}")
        })
        .collect();
    let more = count.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!("  … and {more} more that {what}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_one_line_each() {
        let of = |change: &str, kind: &str, name: &str, before: Json, after: Json| {
            json!({ "change": change, "kind": kind, "name": name, "actorType": "a",
                "before": before, "after": after, "isBreaking": change != "added" })
        };
        let mut report = json!({ "widened": ["kv"], "differences": [
            of("added", "action", "double", Json::Null, json!("() -> i64")),
            of("changed", "action", "f", json!("(a: u8)"), json!("(a: u16)")),
            of("removed", "queue", "jobs", json!("Job"), Json::Null),
            of("added", "state version", "state", json!("1"), json!("2")),
            { "change": "added", "kind": "capability", "name": "kv" },
        ]});
        let wanted = [
            "+ action double() -> i64",
            "~ action f: (a: u8) → (a: u16)   breaking",
            "- queue jobs: Job   breaking",
            "+ state version: 1 → 2",
            "it can do what it could not: kv",
        ];
        assert_eq!(lines(&report), wanted);
        report["differences"][0]["actorType"] = json!("b");
        assert_eq!(lines(&report)[0], "+ action b.double() -> i64");
        assert_eq!(lines(&report)[3], "+ state version of a: 1 → 2");
        assert!(lines(&json!({ "rehearsal": null })).is_empty());
    }

    #[test]
    fn a_rehearsal_names_those_who_would_not_start() {
        let unfit = |key: &str| json!({ "namespace": "default", "actorType": "account", "key": key, "reason": "no\nowner" });
        let mut report = json!({ "rehearsal": { "actors": 1_200, "tried": 1_200, "fine": 1_198, "failed": 2,
            "failures": [unfit("a"), unfit("b/c")], "unclear": 0, "unclearActors": [] } });
        let wanted = [
            "rehearsed 1200 actors: 1198 fine, 2 would not start:",
            "  account a: no owner",
            "  account b/c: no owner",
        ];
        assert_eq!(lines(&report), wanted);
        report["rehearsal"]["failed"] = json!(7);
        assert_eq!(lines(&report)[3], "  … and 5 more that would not start");
        report["rehearsal"] = json!({ "actors": 9, "tried": 4, "fine": 4, "isIncomplete": true });
        let line = "rehearsed 4 of 9 actors: 4 fine; it was broken off because it took too long";
        assert_eq!(lines(&report), [line]);
    }
}
