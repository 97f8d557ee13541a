//! What a component says of itself.

use std::collections::BTreeSet;

use greenroom_model::{
    ActionDescription, ActorTypeDescription, ActorTypeOptions, Capability, ComponentDescription,
    EventDescription, Handlers, ParameterDescription, QueueDescription,
};

use crate::bindings::exports::greenroom::actor::description as wit;
use crate::compiled::{Compiled, Refused};
use crate::crash::Crash;
use crate::engine::Engine;
use crate::instance::{Instance, Setup};

impl Engine {
    /// Asks a component what it is, in an instance of its own, and checks the answer.
    ///
    /// # Errors
    ///
    /// [`Refused::BadDescription`], if it traps, takes too long, or breaks a rule.
    pub async fn describe(&self, compiled: &Compiled) -> Result<ComponentDescription, Refused> {
        let bad = Refused::BadDescription;
        let describing = async {
            let (mut instance, _arriving) = Instance::new(self, compiled, Setup::nobody()).await?;
            instance
                .run(async |guest| {
                    let exports = guest.actor.greenroom_actor_description();
                    exports.call_describe(guest.accessor).await
                })
                .await?
                .map_err(|error| Crash::from_engine(&error))
        };
        let limits = self.limits();
        let described = tokio::time::timeout(limits.describe_timeout, describing).await;
        let described = described
            .map_err(|_| bad(format!("it took over {:?}", limits.describe_timeout)))?
            .map_err(|crash| bad(crash.to_string()))?;
        let mut description = from_wit(described);
        description.capabilities = capabilities(&description, &compiled.imports(self));
        description
            .check(limits.component_types_max)
            .map_err(|e| bad(e.to_string()))?;
        Ok(description)
    }
}

fn from_wit(component: wit::ComponentDescription) -> ComponentDescription {
    let actor_types = component.actor_types.into_iter().map(|actor_type| {
        let wit::ActorTypeOptions {
            sleep_after_ms,
            no_sleep,
            action_timeout_ms,
            stop_grace_ms,
            connections_keep_awake,
            websockets_hibernate,
            cancel_abandoned,
            queue_messages_max,
            queue_message_bytes_max,
            queue_attempts_max,
        } = actor_type.options;
        let has = |handler| actor_type.handlers.contains(handler);
        ActorTypeDescription {
            name: actor_type.name,
            actions: actor_type.actions.into_iter().map(action).collect(),
            handlers: Handlers {
                connections: has(wit::Handlers::CONNECTIONS),
                request: has(wit::Handlers::REQUEST),
                websocket: has(wit::Handlers::WEBSOCKET),
                run: has(wit::Handlers::RUN),
            },
            events: actor_type.events.into_iter().map(event).collect(),
            queues: actor_type.queues.into_iter().map(queue).collect(),
            state_version: actor_type.state_version,
            migrates_from: actor_type.migrates_from,
            options: ActorTypeOptions {
                sleep_after_ms,
                no_sleep,
                action_timeout_ms,
                stop_grace_ms,
                connections_keep_awake,
                websockets_hibernate,
                cancel_abandoned,
                queue_messages_max,
                queue_message_bytes_max,
                queue_attempts_max,
            },
        }
    });
    let actor_types = actor_types.collect();
    ComponentDescription {
        name: component.name,
        sdk: component.sdk,
        actor_types,
        capabilities: BTreeSet::new(),
    }
}

/// What it imports is what it can do; the compiler leaves out what it does not use.
fn capabilities(description: &ComponentDescription, imports: &[String]) -> BTreeSet<Capability> {
    let imports = |interface: &str| {
        let name = format!("greenroom:actor/{interface}@");
        imports.iter().any(|import| import.starts_with(&name))
    };
    let mut types = description.actor_types.iter();
    // Asked once: an iterator is used up.
    let works_alone = types.any(|t| t.handlers.run || t.options.no_sleep);
    let has = |capability| match capability {
        Capability::Actors => imports("client"),
        Capability::Background => imports("background") || works_alone,
        Capability::Kv => imports("kv"),
        Capability::Schedule => imports("schedule"),
    };
    Capability::ALL.into_iter().filter(|c| has(*c)).collect()
}

fn event(event: wit::EventDescription) -> EventDescription {
    EventDescription {
        name: event.name,
        type_name: event.type_name,
        guarded: event.guarded,
    }
}

fn queue(queue: wit::QueueDescription) -> QueueDescription {
    QueueDescription {
        name: queue.name,
        type_name: queue.type_name,
        guarded: queue.guarded,
    }
}

fn action(action: wit::ActionDescription) -> ActionDescription {
    let parameters = action
        .parameters
        .into_iter()
        .map(|parameter| ParameterDescription {
            name: parameter.name,
            type_name: parameter.type_name,
            optional: parameter.optional,
        });
    ActionDescription {
        name: action.name,
        parameters: parameters.collect(),
        result: action.result,
    }
}
