//! `#[actor]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::{Error, Expr, ExprArray, Ident, ImplItem, ItemImpl, LitInt, LitStr, Result, Type};

use crate::connections;
use crate::describe::describe;
use crate::function::{Function, type_name};
use crate::migrate::{Chain, version};
use crate::names::{Rename, camel, duration_ms};
use crate::roles::{Marked, Role};

/// What stands in the parentheses of `#[actor(…)]`.
#[derive(Default)]
pub(crate) struct Settings {
    name: Option<LitStr>,
    rename: Rename,
    state_version: Option<u32>,
    vars: Option<Type>,
    pub(crate) sleep_after_ms: Option<u32>,
    pub(crate) no_sleep: bool,
    pub(crate) action_timeout_ms: Option<u32>,
    pub(crate) stop_grace_ms: Option<u32>,
    pub(crate) conn_state: Option<Type>,
    pub(crate) events: Vec<Expr>,
    pub(crate) connections_keep_awake: bool,
    pub(crate) websockets_hibernate: bool,
    pub(crate) cancel_abandoned: bool,
    pub(crate) queues: Vec<Expr>,
    pub(crate) queue_messages_max: Option<u32>,
    pub(crate) queue_message_bytes_max: Option<u32>,
    pub(crate) queue_attempts_max: Option<u32>,
}

impl Settings {
    pub(crate) fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let duration = |meta: &ParseNestedMeta<'_>| duration_ms(&meta.value()?.parse()?).map(Some);
        let number = |meta: &ParseNestedMeta<'_>| {
            let number: LitInt = meta.value()?.parse()?;
            number.base10_parse().map(Some)
        };
        let constants = |meta: &ParseNestedMeta<'_>| {
            let list: ExprArray = meta.value()?.parse()?;
            Ok::<_, Error>(list.elems)
        };
        let setting = meta
            .path
            .get_ident()
            .map(ToString::to_string)
            .unwrap_or_default();
        match setting.as_str() {
            "name" => self.name = Some(meta.value()?.parse()?),
            "rename_all" => self.rename = Rename::parse(&meta.value()?.parse()?)?,
            "state_version" => self.state_version = Some(version(&meta.value()?.parse()?)?),
            "vars" => self.vars = Some(meta.value()?.parse()?),
            "sleep_after" => self.sleep_after_ms = duration(meta)?,
            "no_sleep" => self.no_sleep = true,
            "action_timeout" => self.action_timeout_ms = duration(meta)?,
            "stop_grace" => self.stop_grace_ms = duration(meta)?,
            "conn_state" => self.conn_state = Some(meta.value()?.parse()?),
            "events" => self.events.extend(constants(meta)?),
            "connections_keep_awake" => self.connections_keep_awake = true,
            "websockets_hibernate" => self.websockets_hibernate = true,
            "cancel_abandoned" => self.cancel_abandoned = true,
            "queues" => self.queues.extend(constants(meta)?),
            "queue_messages_max" => self.queue_messages_max = number(meta)?,
            "queue_message_bytes_max" => self.queue_message_bytes_max = number(meta)?,
            "queue_attempts_max" => self.queue_attempts_max = number(meta)?,
            _ => return Err(meta.error("no such setting of an actor")),
        }
        Ok(())
    }
}

pub(crate) fn expand(settings: &Settings, mut block: ItemImpl) -> Result<TokenStream> {
    if block.trait_.is_some() || !block.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &block.self_ty,
            "an actor is a plain `impl Type { … }`",
        ));
    }
    let mut marked = Marked::default();
    for item in &mut block.items {
        if let ImplItem::Fn(function) = item {
            marked.take(function, settings.rename)?;
        }
    }
    let actor = &block.self_ty;
    let name = match &settings.name {
        Some(name) => name.value(),
        None => camel(&type_name(actor)),
    };
    let vars = settings
        .vars
        .as_ref()
        .map_or_else(|| quote!(()), |vars| quote!(#vars));
    let cancel_abandoned = settings.cancel_abandoned;
    let chain = Chain::new(settings.state_version.unwrap_or(1), &marked.steps)?;
    let describe = describe(&name, settings, &marked, &chain);
    let migrate = chain.expand();
    let lifecycle = lifecycle(&marked)?;
    let connections = connections::expand(settings.conn_state.as_ref(), &marked)?;
    let before_response = before_response(marked.get(Role::BeforeResponse))?;
    let calls = marked
        .actions
        .iter()
        .map(|(name, function)| call(name, function, before_response.as_ref()));
    Ok(quote! {
        #block

        #[allow(unused_variables, clippy::let_unit_value, clippy::needless_question_mark, clippy::unused_unit, reason = "generated")]
        impl ::greenroom_sdk::Actor for #actor {
            const TYPE: &'static str = #name;
            const CANCEL_ABANDONED: bool = #cancel_abandoned;
            type Vars = #vars;

            #describe

            #migrate

            #lifecycle

            #connections

            fn call(
                cx: ::greenroom_sdk::Context<Self>,
                conn: ::core::option::Option<::greenroom_sdk::Conn<Self>>,
                action: &str,
                args: ::std::vec::Vec<u8>,
            ) -> ::core::option::Option<
                ::greenroom_sdk::Future<::greenroom_sdk::Result<::std::vec::Vec<u8>>>,
            > {
                match action {
                    #(#calls)*
                    _ => ::core::option::Option::None,
                }
            }
        }
    })
}

/// What runs at the start and at the end.
fn lifecycle(marked: &Marked) -> Result<TokenStream> {
    let create = create(marked.get(Role::Create))?;
    let vars = plain(marked.get(Role::Vars))?
        .unwrap_or_else(|| quote!(::core::default::Default::default()));
    let hook = |hook: Option<&Function>| Ok::<_, Error>(plain(hook)?.unwrap_or_default());
    let on_wake = hook(marked.get(Role::OnWake))?;
    let run = hook(marked.get(Role::Run))?;
    let on_state_change = hook(marked.get(Role::OnStateChange))?;
    let on_sleep = hook(marked.get(Role::OnSleep))?;
    let on_destroy = hook(marked.get(Role::OnDestroy))?;
    Ok(quote! {
        fn create(
            cx: ::greenroom_sdk::Context<Self>,
            input: ::core::option::Option<::std::vec::Vec<u8>>,
        ) -> ::greenroom_sdk::Future<::greenroom_sdk::Result<Self>> {
            ::std::boxed::Box::pin(async move { ::core::result::Result::Ok(#create) })
        }

        fn vars(
            cx: ::greenroom_sdk::Context<Self>,
        ) -> ::greenroom_sdk::Future<::greenroom_sdk::Result<Self::Vars>> {
            ::std::boxed::Box::pin(async move { ::core::result::Result::Ok(#vars) })
        }

        fn on_wake(
            cx: ::greenroom_sdk::Context<Self>,
        ) -> ::greenroom_sdk::Future<::greenroom_sdk::Result<()>> {
            ::std::boxed::Box::pin(async move { ::core::result::Result::Ok({ #on_wake; }) })
        }

        fn run(
            cx: ::greenroom_sdk::Context<Self>,
        ) -> ::greenroom_sdk::Future<::greenroom_sdk::Result<()>> {
            ::std::boxed::Box::pin(async move { ::core::result::Result::Ok({ #run; }) })
        }

        fn on_state_change(
            cx: ::greenroom_sdk::Context<Self>,
        ) -> ::greenroom_sdk::Result<()> {
            #on_state_change;
            ::core::result::Result::Ok(())
        }

        fn on_stop(
            cx: ::greenroom_sdk::Context<Self>,
            reason: ::greenroom_sdk::StopReason,
        ) -> ::greenroom_sdk::Future<::greenroom_sdk::Result<()>> {
            ::std::boxed::Box::pin(async move {
                match reason {
                    ::greenroom_sdk::StopReason::Destroy => { #on_destroy; }
                    _ => { #on_sleep; }
                }
                ::core::result::Result::Ok(())
            })
        }
    })
}

fn create(create: Option<&Function>) -> Result<TokenStream> {
    let Some(create) = create else {
        return Ok(quote!(<Self as ::core::default::Default>::default()));
    };
    create.expect_parameters(1)?;
    let arguments = create.argument_names();
    let types = create.parameters.iter().map(|parameter| &parameter.ty);
    let called = create.call(&arguments);
    Ok(quote!({
        #(let #arguments: #types =
            ::greenroom_sdk::private::decode_input(input.as_deref())?;)*
        #called
    }))
}

/// A function that takes nothing from outside.
fn plain(function: Option<&Function>) -> Result<Option<TokenStream>> {
    let Some(function) = function else {
        return Ok(None);
    };
    function.expect_parameters(0)?;
    Ok(Some(function.call::<Ident>(&[])))
}

/// What is done to each action's result before it leaves.
fn before_response(hook: Option<&Function>) -> Result<Option<TokenStream>> {
    let Some(hook) = hook else { return Ok(None) };
    hook.expect_parameters(2)?;
    let arguments = hook.hook_arguments(&[quote!(action), quote!(output)]);
    let called = hook.call(&arguments);
    Ok(Some(quote!({
        let output = ::greenroom_sdk::private::to_value(&encoded)?;
        let output = #called;
        ::greenroom_sdk::private::encode(&output)
    })))
}

fn call(name: &str, function: &Function, before: Option<&TokenStream>) -> TokenStream {
    let arguments = function.argument_names();
    let count = arguments.len();
    let names = function.parameters.iter().map(|parameter| &parameter.name);
    let types = function.parameters.iter().map(|parameter| &parameter.ty);
    let called = function.call(&arguments);
    let encoded = match function.success() {
        Some(_) => quote!(::greenroom_sdk::private::encode(&output)),
        None => quote!(::core::result::Result::<_, ::greenroom_sdk::Error>::Ok(
            ::greenroom_sdk::private::nothing()
        )),
    };
    let conn = function
        .takes_conn()
        .then(|| quote!(let conn = ::greenroom_sdk::private::required(conn)?;));
    let finished = match before {
        Some(before) => quote!({
            let encoded: ::std::vec::Vec<u8> = #encoded?;
            let action = ::std::string::String::from(#name);
            #before
        }),
        None => encoded,
    };
    quote! {
        #name => ::core::option::Option::Some(::std::boxed::Box::pin(async move {
            #conn
            #[allow(unused_mut, reason = "without arguments")]
            let mut given = ::greenroom_sdk::private::Args::new(&args, #count)?;
            #(let #arguments: #types = given.next(#names)?;)*
            ::core::mem::drop(given);
            let output = #called;
            #finished
        })),
    }
}
