//! What a component says about itself, checked.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ActorType, ComponentName, InvalidName};

/// The longest name of a type in the guest's language, and of the tool that made it, in bytes.
const TYPE_NAME_BYTES_MAX: usize = 4_096;
/// The longest name of an action or a parameter, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Actions in one actor type.
const ACTIONS_MAX: usize = 1_024;
/// Events that one actor type declares.
const EVENTS_MAX: usize = 1_024;
/// Queues that one actor type declares.
const QUEUES_MAX: usize = 1_024;
/// Versions that one actor type migrates from.
const MIGRATIONS_MAX: usize = 1_024;
/// Parameters of one action.
const PARAMETERS_MAX: usize = 64;

/// The longest time that an option may ask for.
const OPTION_MS_MAX: u32 = 24 * 60 * 60 * 1_000;
/// Messages in all queues of one actor.
const QUEUE_MESSAGES_MAX: u32 = 100_000;
/// One message of a queue, in bytes.
const QUEUE_MESSAGE_BYTES_MAX: u32 = 1 << 20;
/// The longest grace: everything that has to wait for a stop waits for so long.
const STOP_GRACE_MS_MAX: u32 = 10 * 60 * 1_000;

/// A component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentDescription {
    /// What its revisions are numbered under.
    pub name: String,
    /// The tool that made it.
    pub sdk: String,
    /// What it can be.
    pub actor_types: Vec<ActorTypeDescription>,
    /// What it can do besides answering who calls it, by name. Not its own words: what it imports, and asks for.
    #[serde(default)]
    pub capabilities: BTreeSet<Capability>,
}

/// Something that not every actor does, which an operator may want to know before new code can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Calls and creates other actors.
    Actors,
    /// Works without being called: a run loop, background work, no sleep.
    Background,
    /// Keeps pairs beside its state.
    Kv,
    /// Wakes by itself at times that it sets.
    Schedule,
}

impl Capability {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Actors, Self::Background, Self::Kv, Self::Schedule];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Actors => "actors",
            Self::Background => "background",
            Self::Kv => "kv",
            Self::Schedule => "schedule",
        }
    }
}

/// One actor type of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorTypeDescription {
    /// What clients call it by.
    pub name: String,
    /// What clients may call.
    pub actions: Vec<ActionDescription>,
    /// What it sends, as far as it says.
    #[serde(default)]
    pub events: Vec<EventDescription>,
    /// Its queues.
    #[serde(default)]
    pub queues: Vec<QueueDescription>,
    /// What else it handles.
    #[serde(default)]
    pub handlers: Handlers,
    /// The version of the shape of its state.
    #[serde(default = "first_version")]
    pub state_version: u32,
    /// The versions that it can make that one out of.
    #[serde(default)]
    pub migrates_from: Vec<u32>,
    /// How it is to be treated.
    pub options: ActorTypeOptions,
}

/// Of a state from before there were versions.
const fn first_version() -> u32 {
    1
}

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionDescription {
    /// What it is called by.
    pub name: String,
    /// In order.
    pub parameters: Vec<ParameterDescription>,
    /// The result's type, in the words of the guest's language.
    pub result: Option<String>,
}

/// One parameter of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterDescription {
    /// For people.
    pub name: String,
    /// Its type, in the words of the guest's language.
    pub type_name: String,
    /// Whether a call may leave it out.
    pub optional: bool,
}

/// One declared event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventDescription {
    /// What clients subscribe to.
    pub name: String,
    /// The type of its argument, in the words of the guest's language.
    pub type_name: String,
    /// Whether the guest is asked before a client may have it.
    pub guarded: bool,
}

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueDescription {
    /// What messages are sent to.
    pub name: String,
    /// The type of its messages, in the words of the guest's language.
    pub type_name: String,
    /// Whether the guest is asked before somebody else may send to it.
    pub guarded: bool,
}

/// What a guest wants to be told of besides actions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Handlers {
    /// Short connections, too; and connections are saved.
    pub connections: bool,
    /// Raw HTTP requests.
    pub request: bool,
    /// Raw WebSockets.
    pub websocket: bool,
    /// Work of its own, that begins when it has started.
    pub run: bool,
}

/// How the host treats actors of a type; `None` is the host's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ActorTypeOptions {
    /// How long an actor stays awake without work, in milliseconds.
    pub sleep_after_ms: Option<u32>,
    /// Whether it never sleeps for want of work.
    pub no_sleep: bool,
    /// How long an action may take, in milliseconds.
    pub action_timeout_ms: Option<u32>,
    /// How long a stop may take, in milliseconds.
    pub stop_grace_ms: Option<u32>,
    /// Whether an open realtime connection keeps an actor awake.
    pub connections_keep_awake: bool,
    /// Whether raw WebSockets stay open over sleep.
    pub websockets_hibernate: bool,
    /// Whether the guest is told of calls whose callers have gone.
    pub cancel_abandoned: bool,
    /// How many messages wait in all queues of an actor.
    pub queue_messages_max: Option<u32>,
    /// How large a message of a queue may be, in bytes.
    pub queue_message_bytes_max: Option<u32>,
    /// How often a message may be taken.
    pub queue_attempts_max: Option<u32>,
}

impl ActorTypeOptions {
    /// A setting in milliseconds, or the default.
    #[must_use]
    pub fn or_default(setting_ms: Option<u32>, default: Duration) -> Duration {
        setting_ms.map_or(default, |ms| Duration::from_millis(ms.into()))
    }
}

/// Which rule a description breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDescription {
    /// A name that is not one.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// No actor type, or too many.
    #[error("it has {found} actor types; 1 to {most} are allowed")]
    TypeCount {
        /// How many.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// The tool that made it has a name that is too long.
    #[error("the tool that made it has a name of {0} bytes; at most 4096 are allowed")]
    Sdk(usize),
    /// Two things of one name.
    #[error("it has two {what} named {name:?}")]
    Twice {
        /// What they are.
        what: &'static str,
        /// Their name.
        name: String,
    },
    /// Too many actions or parameters, or a name of them that is empty or too long.
    #[error("the actor type {0:?} has an action list over its bounds")]
    Actions(String),
    /// Too many events, or a name of one that is empty or too long.
    #[error("the actor type {0:?} has an event list over its bounds")]
    Events(String),
    /// Too many queues, or a name of one that is empty or too long.
    #[error("the actor type {0:?} has a queue list over its bounds")]
    Queues(String),
    /// No version, or too many to migrate from.
    #[error("the actor type {0:?} has no state version, or too many that it migrates from")]
    Versions(String),
    /// An option that is out of range.
    #[error(
        "the actor type {actor_type:?} asks for {option} = {asked}; at most {most} are allowed"
    )]
    Option {
        /// Of which type.
        actor_type: String,
        /// Which option.
        option: &'static str,
        /// What it asks for.
        asked: u32,
        /// What it may ask for.
        most: u32,
    },
}

impl ComponentDescription {
    /// Checks names, numbers and bounds.
    ///
    /// # Errors
    ///
    /// The first [`BadDescription`] found.
    pub fn check(&self, types_max: usize) -> Result<(), BadDescription> {
        ComponentName::new(&self.name)?;
        if self.sdk.len() > TYPE_NAME_BYTES_MAX {
            return Err(BadDescription::Sdk(self.sdk.len()));
        }
        let found = self.actor_types.len();
        if found == 0 || found > types_max {
            return Err(BadDescription::TypeCount {
                found,
                most: types_max,
            });
        }
        all_differ(
            "actor types",
            self.actor_types.iter().map(|t| t.name.as_str()),
        )?;
        self.actor_types
            .iter()
            .try_for_each(ActorTypeDescription::check)
    }
}

impl ActorTypeDescription {
    fn check(&self) -> Result<(), BadDescription> {
        ActorType::new(&self.name)?;
        all_differ(
            "actions",
            self.actions.iter().map(|action| action.name.as_str()),
        )?;
        let is_type_name = |name: &str| name.len() <= TYPE_NAME_BYTES_MAX;
        let is_name = |name: &str| !name.is_empty() && name.len() <= NAME_BYTES_MAX;
        let is_action = |action: &ActionDescription| {
            is_name(&action.name)
                && action.parameters.len() <= PARAMETERS_MAX
                && action.result.as_deref().is_none_or(is_type_name)
                && action
                    .parameters
                    .iter()
                    .all(|parameter| is_name(&parameter.name) && is_type_name(&parameter.type_name))
        };
        if self.actions.len() > ACTIONS_MAX || !self.actions.iter().all(is_action) {
            return Err(BadDescription::Actions(self.name.clone()));
        }
        all_differ(
            "events",
            self.events.iter().map(|event| event.name.as_str()),
        )?;
        let is_event =
            |event: &EventDescription| is_name(&event.name) && is_type_name(&event.type_name);
        if self.events.len() > EVENTS_MAX || !self.events.iter().all(is_event) {
            return Err(BadDescription::Events(self.name.clone()));
        }
        all_differ(
            "queues",
            self.queues.iter().map(|queue| queue.name.as_str()),
        )?;
        let is_queue =
            |queue: &QueueDescription| is_name(&queue.name) && is_type_name(&queue.type_name);
        if self.queues.len() > QUEUES_MAX || !self.queues.iter().all(is_queue) {
            return Err(BadDescription::Queues(self.name.clone()));
        }
        if self.state_version == 0 || self.migrates_from.len() > MIGRATIONS_MAX {
            return Err(BadDescription::Versions(self.name.clone()));
        }
        self.check_options()
    }

    fn check_options(&self) -> Result<(), BadDescription> {
        let options = &self.options;
        for (option, asked, most) in [
            ("sleep-after-ms", options.sleep_after_ms, OPTION_MS_MAX),
            (
                "action-timeout-ms",
                options.action_timeout_ms,
                OPTION_MS_MAX,
            ),
            ("stop-grace-ms", options.stop_grace_ms, STOP_GRACE_MS_MAX),
            (
                "queue-messages-max",
                options.queue_messages_max,
                QUEUE_MESSAGES_MAX,
            ),
            (
                "queue-message-bytes-max",
                options.queue_message_bytes_max,
                QUEUE_MESSAGE_BYTES_MAX,
            ),
        ] {
            if let Some(asked) = asked.filter(|asked| *asked > most) {
                let actor_type = self.name.clone();
                return Err(BadDescription::Option {
                    actor_type,
                    option,
                    asked,
                    most,
                });
            }
        }
        Ok(())
    }
}

fn all_differ<'a>(
    what: &'static str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), BadDescription> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(BadDescription::Twice {
                what,
                name: name.to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(types: &[&str], actions: &[&str]) -> ComponentDescription {
        let action = |name: &&str| ActionDescription {
            name: (*name).to_owned(),
            parameters: Vec::new(),
            result: None,
        };
        let actor_type = |name: &&str| ActorTypeDescription {
            name: (*name).to_owned(),
            actions: actions.iter().map(action).collect(),
            events: Vec::new(),
            queues: Vec::new(),
            handlers: Handlers::default(),
            state_version: 1,
            migrates_from: Vec::new(),
            options: ActorTypeOptions::default(),
        };
        ComponentDescription {
            name: "c".into(),
            sdk: String::new(),
            actor_types: types.iter().map(actor_type).collect(),
            capabilities: BTreeSet::new(),
        }
    }

    #[test]
    fn plain_descriptions_pass_and_broken_ones_do_not() {
        assert_eq!(description(&["a", "b"], &["x", "g.y"]).check(2), Ok(()));
        for (types, actions) in [
            (&[][..], &[][..]),
            (&["a", "b", "c"], &[]),
            (&["a", "a"], &[]),
            (&["a b"], &[]),
            (&["a"], &["x", "x"]),
            (&["a"], &[""]),
        ] {
            assert!(
                description(types, actions).check(2).is_err(),
                "{types:?} {actions:?}"
            );
        }
    }
}
