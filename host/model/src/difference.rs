//! What is different between two revisions of a component, for whoever is about to go from one to the other.

use serde::Serialize;

use crate::{ActionDescription, ActorTypeDescription, ComponentDescription};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What became of it.
    pub change: Change,
    /// What kind of thing it is: `actor type`, `action`, `event`, `queue`, `handler`, `option`, `state version`,
    /// `capability`.
    pub kind: &'static str,
    /// Of which actor type; none for what the whole component has.
    pub actor_type: Option<String>,
    /// Its name.
    pub name: String,
    /// How it was, if that can be said in a few words.
    pub before: Option<String>,
    /// How it is.
    pub after: Option<String>,
    /// Whether a client of the old revision may fail at the new one.
    pub is_breaking: bool,
}

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is not what it was.
    Changed,
}

/// What is different in `new`: by actor type, as far as both have it, and in the order in which they are described.
#[must_use]
pub fn differences(old: &ComponentDescription, new: &ComponentDescription) -> Vec<Difference> {
    let mut found = Differences {
        actor_type: None,
        found: Vec::new(),
    };
    found.compare("capability", old, new, never, |of| {
        let names = of.capabilities.iter();
        names
            .map(|name| (name.as_str().to_owned(), String::new()))
            .collect()
    });
    found.compare("actor type", old, new, removed, |of| {
        let names = of.actor_types.iter();
        names.map(|t| (t.name.clone(), String::new())).collect()
    });
    for new in &new.actor_types {
        if let Some(old) = old.actor_types.iter().find(|old| old.name == new.name) {
            found.actor_type = Some(&new.name);
            found.of_type(old, new);
        }
    }
    found.found
}

/// Names, and what they stand for in words.
type Named = Vec<(String, String)>;

struct Differences<'a> {
    /// Whose are compared.
    actor_type: Option<&'a str>,
    found: Vec<Difference>,
}

impl Differences<'_> {
    fn of_type(&mut self, old: &ActorTypeDescription, new: &ActorTypeDescription) {
        self.compare("state version", old, new, never, |of| {
            vec![("state".to_owned(), of.state_version.to_string())]
        });
        self.compare("action", old, new, gone_or_other, |of| {
            let all = of.actions.iter();
            all.map(|a| (a.name.clone(), signature(a))).collect()
        });
        self.compare("event", old, new, gone_or_other, |of| {
            let all = of.events.iter();
            all.map(|e| (e.name.clone(), guarded(&e.type_name, e.guarded)))
                .collect()
        });
        self.compare("queue", old, new, gone_or_other, |of| {
            let all = of.queues.iter();
            all.map(|q| (q.name.clone(), guarded(&q.type_name, q.guarded)))
                .collect()
        });
        self.compare("handler", old, new, removed, handlers);
        self.compare("option", old, new, never, options);
    }

    fn compare<T>(
        &mut self,
        kind: &'static str,
        old: &T,
        new: &T,
        is_breaking: fn(Change) -> bool,
        named: impl Fn(&T) -> Named,
    ) {
        let (old, new) = (named(old), named(new));
        let mut add = |change, name: &str, before: Option<&String>, after: Option<&String>| {
            let said = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
            self.found.push(Difference {
                change,
                kind,
                actor_type: self.actor_type.map(str::to_owned),
                name: name.to_owned(),
                before: said(before),
                after: said(after),
                is_breaking: is_breaking(change),
            });
        };
        for (name, after) in &new {
            match old.iter().find(|(old, _)| old == name) {
                None => add(Change::Added, name, None, Some(after)),
                Some((_, before)) if before != after => {
                    add(Change::Changed, name, Some(before), Some(after));
                }
                Some(_) => {}
            }
        }
        for (name, before) in &old {
            if !new.iter().any(|(new, _)| new == name) {
                add(Change::Removed, name, Some(before), None);
            }
        }
    }
}

/// `(a: i64, b?: String) -> u32`
fn signature(action: &ActionDescription) -> String {
    let parameters = action.parameters.iter().map(|parameter| {
        let mark = if parameter.optional { "?" } else { "" };
        format!("{}{mark}: {}", parameter.name, parameter.type_name)
    });
    let parameters = parameters.collect::<Vec<_>>().join(", ");
    match &action.result {
        Some(result) => format!("({parameters}) -> {result}"),
        None => format!("({parameters})"),
    }
}

fn guarded(type_name: &str, is_guarded: bool) -> String {
    let mark = if is_guarded { ", guarded" } else { "" };
    format!("{type_name}{mark}")
}

fn handlers(of: &ActorTypeDescription) -> Named {
    let handlers = &of.handlers;
    let all = [
        ("connections", handlers.connections),
        ("request", handlers.request),
        ("websocket", handlers.websocket),
        ("run", handlers.run),
    ];
    let present = all.into_iter().filter(|(_, is_there)| *is_there);
    present
        .map(|(name, _)| (name.to_owned(), String::new()))
        .collect()
}

/// Those that are not the host's defaults.
fn options(of: &ActorTypeDescription) -> Named {
    let Ok(serde_json::Value::Object(options)) = serde_json::to_value(&of.options) else {
        return Vec::new();
    };
    let set = options
        .into_iter()
        .filter(|(_, value)| !value.is_null() && *value != serde_json::Value::Bool(false));
    set.map(|(name, value)| (name.replace('_', "-"), value.to_string()))
        .collect()
}

const fn never(_: Change) -> bool {
    false
}

const fn removed(change: Change) -> bool {
    matches!(change, Change::Removed)
}

const fn gone_or_other(change: Change) -> bool {
    !matches!(change, Change::Added)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Capability;

    fn component(text: &str) -> ComponentDescription {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn everything_that_changed_is_told_once_and_nothing_else() {
        let old = component(
            r#"{"name": "c", "sdk": "", "actor_types": [
                {"name": "gone", "actions": [], "options": {}},
                {"name": "a", "options": {"sleep_after_ms": 5}, "actions": [
                    {"name": "same", "parameters": [], "result": null},
                    {"name": "old", "parameters": [], "result": null},
                    {"name": "f", "parameters": [], "result": "u8"}],
                 "queues": [{"name": "q", "type_name": "Job", "guarded": false}]}]}"#,
        );
        let mut new = component(
            r#"{"name": "c", "sdk": "", "actor_types": [
                {"name": "a", "options": {"no_sleep": true}, "state_version": 2, "actions": [
                    {"name": "same", "parameters": [], "result": null},
                    {"name": "f", "parameters":
                        [{"name": "n", "type_name": "u8", "optional": true}], "result": "u8"}],
                 "handlers": {"run": true},
                 "queues": [{"name": "q", "type_name": "Job", "guarded": true}]}]}"#,
        );
        new.capabilities.insert(Capability::Actors);
        let found = differences(&old, &new);
        let told = found.iter().map(|d| {
            let is_breaking = if d.is_breaking { "!" } else { "" };
            let (before, after) = (d.before.as_deref(), d.after.as_deref());
            let words = format!("{} > {}", before.unwrap_or("-"), after.unwrap_or("-"));
            format!("{:?}{is_breaking} {} {}: {words}", d.change, d.kind, d.name)
        });
        let wanted = [
            "Added capability actors: - > -",
            "Removed! actor type gone: - > -",
            "Changed state version state: 1 > 2",
            "Changed! action f: () -> u8 > (n?: u8) -> u8",
            "Removed! action old: () > -",
            "Changed! queue q: Job > Job, guarded",
            "Added handler run: - > -",
            "Added option no-sleep: - > true",
            "Removed option sleep-after-ms: 5 > -",
        ];
        assert_eq!(told.collect::<Vec<_>>(), wanted);
        assert!(differences(&old, &old).is_empty());
    }
}
