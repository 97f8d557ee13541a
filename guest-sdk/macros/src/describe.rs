//! The part of `#[actor]` that says what the host is told.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Expr;

use crate::actor::Settings;
use crate::function::{Function, is_optional, type_name};
use crate::migrate::Chain;
use crate::roles::{Marked, Role};

pub(crate) fn describe(
    name: &str,
    settings: &Settings,
    marked: &Marked,
    chain: &Chain<'_>,
) -> TokenStream {
    let actions = marked.actions.iter();
    let actions = actions.map(|(name, function)| action(name, function));
    let guards_events = marked.get(Role::CanSubscribe).is_some();
    let events = settings.events.iter();
    let events = events.map(|event| declared(&quote!(EventDescription), event, guards_events));
    let guards_queues = marked.get(Role::CanPublish).is_some();
    let queues = settings.queues.iter();
    let queues = queues.map(|queue| declared(&quote!(QueueDescription), queue, guards_queues));
    let handlers = handlers(settings, marked);
    let versions = chain.describe();
    let options = options(settings);
    quote! {
        fn describe() -> ::greenroom_sdk::Description {
            use ::greenroom_sdk::private::description;
            description::ActorTypeDescription {
                name: #name.into(),
                actions: ::std::vec![#(#actions),*],
                events: ::std::vec![#(#events),*],
                queues: ::std::vec![#(#queues),*],
                handlers: #handlers,
                #versions
                options: #options,
            }
        }
    }
}

fn action(name: &str, function: &Function) -> TokenStream {
    let parameters = function.parameters.iter().map(|parameter| {
        let (name, optional) = (&parameter.name, is_optional(&parameter.ty));
        let type_name = type_name(&parameter.ty);
        quote!(description::Parameter {
            name: #name.into(),
            type_name: #type_name.into(),
            optional: #optional,
        })
    });
    let result = match function.success().map(type_name) {
        Some(result) => quote!(::core::option::Option::Some(#result.into())),
        None => quote!(::core::option::Option::None),
    };
    quote!(description::ActionDescription {
        name: #name.into(),
        parameters: ::std::vec![#(#parameters),*],
        result: #result,
    })
}

/// An event or a queue, which is a constant of the SDK's.
fn declared(description: &TokenStream, constant: &Expr, guarded: bool) -> TokenStream {
    quote!(description::#description {
        name: #constant.name().into(),
        type_name: #constant.type_name(),
        guarded: #guarded,
    })
}

fn handlers(settings: &Settings, marked: &Marked) -> TokenStream {
    let wants_connections = settings.conn_state.is_some() || marked.wants_connections();
    let handlers = [
        (wants_connections, quote!(CONNECTIONS)),
        (marked.get(Role::OnRequest).is_some(), quote!(REQUEST)),
        (marked.wants_websockets(), quote!(WEBSOCKET)),
        (marked.get(Role::Run).is_some(), quote!(RUN)),
    ];
    let handlers = handlers
        .iter()
        .filter(|(is_wanted, _)| *is_wanted)
        .map(|(_, name)| quote!(| description::Handlers::#name));
    quote!(description::Handlers::empty() #(#handlers)*)
}

fn options(settings: &Settings) -> TokenStream {
    let option = |number: Option<u32>| match number {
        Some(number) => quote!(::core::option::Option::Some(#number)),
        None => quote!(::core::option::Option::None),
    };
    let sleep_after = option(settings.sleep_after_ms);
    let no_sleep = settings.no_sleep;
    let action_timeout = option(settings.action_timeout_ms);
    let stop_grace = option(settings.stop_grace_ms);
    let keep_awake = settings.connections_keep_awake;
    let hibernate = settings.websockets_hibernate;
    let cancel_abandoned = settings.cancel_abandoned;
    let queue_messages = option(settings.queue_messages_max);
    let queue_message_bytes = option(settings.queue_message_bytes_max);
    let queue_attempts = option(settings.queue_attempts_max);
    quote!(description::ActorTypeOptions {
        sleep_after_ms: #sleep_after,
        no_sleep: #no_sleep,
        action_timeout_ms: #action_timeout,
        stop_grace_ms: #stop_grace,
        connections_keep_awake: #keep_awake,
        websockets_hibernate: #hibernate,
        cancel_abandoned: #cancel_abandoned,
        queue_messages_max: #queue_messages,
        queue_message_bytes_max: #queue_message_bytes,
        queue_attempts_max: #queue_attempts,
    })
}
