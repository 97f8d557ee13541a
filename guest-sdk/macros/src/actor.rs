//! `#[actor]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::{
    Attribute, Error, Expr, ExprArray, Ident, ImplItem, ImplItemFn, ItemImpl, LitStr, Result, Type,
};

use crate::connections;
use crate::function::{Function, is_optional, type_name};
use crate::names::{Rename, camel, duration_ms};

/// What stands in the parentheses of `#[actor(…)]`.
#[derive(Default)]
pub(crate) struct Settings {
    name: Option<LitStr>,
    rename: Rename,
    vars: Option<Type>,
    sleep_after_ms: Option<u32>,
    no_sleep: bool,
    action_timeout_ms: Option<u32>,
    stop_grace_ms: Option<u32>,
    conn_state: Option<Type>,
    events: Vec<Expr>,
    connections_keep_awake: bool,
    websockets_hibernate: bool,
}

impl Settings {
    pub(crate) fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let duration = |meta: &ParseNestedMeta<'_>| duration_ms(&meta.value()?.parse()?).map(Some);
        let setting = meta
            .path
            .get_ident()
            .map(ToString::to_string)
            .unwrap_or_default();
        match setting.as_str() {
            "name" => self.name = Some(meta.value()?.parse()?),
            "rename_all" => self.rename = Rename::parse(&meta.value()?.parse()?)?,
            "vars" => self.vars = Some(meta.value()?.parse()?),
            "sleep_after" => self.sleep_after_ms = duration(meta)?,
            "no_sleep" => self.no_sleep = true,
            "action_timeout" => self.action_timeout_ms = duration(meta)?,
            "stop_grace" => self.stop_grace_ms = duration(meta)?,
            "conn_state" => self.conn_state = Some(meta.value()?.parse()?),
            "events" => {
                let list: ExprArray = meta.value()?.parse()?;
                self.events.extend(list.elems);
            }
            "connections_keep_awake" => self.connections_keep_awake = true,
            "websockets_hibernate" => self.websockets_hibernate = true,
            _ => return Err(meta.error("no such setting of an actor")),
        }
        Ok(())
    }
}

/// What a function of the block is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Action,
    Create,
    Vars,
    OnWake,
    OnSleep,
    OnDestroy,
    OnStateChange,
    BeforeResponse,
    BeforeConnect,
    ConnState,
    OnConnect,
    OnDisconnect,
    CanSubscribe,
    OnRequest,
    OnWebsocket,
    OnMessage,
    OnClose,
}

impl Role {
    fn of(attribute: &Attribute) -> Option<Self> {
        let name = attribute.path().get_ident()?.to_string();
        Some(match name.as_str() {
            "action" => Self::Action,
            "create" => Self::Create,
            "vars" => Self::Vars,
            "on_wake" => Self::OnWake,
            "on_sleep" => Self::OnSleep,
            "on_destroy" => Self::OnDestroy,
            "on_state_change" => Self::OnStateChange,
            "before_response" => Self::BeforeResponse,
            "before_connect" => Self::BeforeConnect,
            "conn_state" => Self::ConnState,
            "on_connect" => Self::OnConnect,
            "on_disconnect" => Self::OnDisconnect,
            "can_subscribe" => Self::CanSubscribe,
            "on_request" => Self::OnRequest,
            "on_websocket" => Self::OnWebsocket,
            "on_message" => Self::OnMessage,
            "on_close" => Self::OnClose,
            _ => return None,
        })
    }
}

/// The marked functions of a block.
#[derive(Default)]
pub(crate) struct Marked {
    actions: Vec<(String, Function)>,
    others: Vec<(Role, Function)>,
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
    let describe = describe(&name, settings, &marked);
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
            type Vars = #vars;

            #describe

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

impl Marked {
    /// Takes the marks off a function and notes what it is for.
    fn take(&mut self, function: &mut ImplItemFn, rename: Rename) -> Result<()> {
        let mut role = None;
        let mut name = rename.apply(&function.sig.ident.to_string());
        for attribute in &function.attrs {
            let Some(found) = Role::of(attribute) else {
                continue;
            };
            if role.replace(found).is_some() {
                return Err(Error::new_spanned(attribute, "a function has one role"));
            }
            if found == Role::Action {
                take_action_name(attribute, &mut name)?;
            }
        }
        function
            .attrs
            .retain(|attribute| Role::of(attribute).is_none());
        let Some(role) = role else { return Ok(()) };
        let parsed = Function::parse(&function.sig)?;
        check(role, &parsed)?;
        if role == Role::Action {
            self.actions.push((name, parsed));
        } else if self.get(role).is_some() {
            let text = "there is one already";
            return Err(Error::new_spanned(&function.sig.ident, text));
        } else {
            self.others.push((role, parsed));
        }
        Ok(())
    }

    /// The function of this role; not for actions.
    pub(crate) fn get(&self, role: Role) -> Option<&Function> {
        let found = self.others.iter().find(|(known, _)| *known == role);
        found.map(|(_, function)| function)
    }

    fn wants_websockets(&self) -> bool {
        let handlers = [Role::OnWebsocket, Role::OnMessage, Role::OnClose];
        handlers.iter().any(|role| self.get(*role).is_some())
    }

    /// Whether the guest has to be told of short connections.
    fn wants_connections(&self) -> bool {
        let hooks = [
            Role::BeforeConnect,
            Role::ConnState,
            Role::OnConnect,
            Role::OnDisconnect,
        ];
        hooks.iter().any(|role| self.get(*role).is_some())
            || self.actions.iter().any(|(_, action)| action.takes_conn())
            || self.get(Role::OnRequest).is_some_and(Function::takes_conn)
    }
}

/// What a function of a role may take.
fn check(role: Role, function: &Function) -> Result<()> {
    let has_conn = matches!(
        role,
        Role::Action
            | Role::OnConnect
            | Role::OnDisconnect
            | Role::CanSubscribe
            | Role::OnRequest
            | Role::OnWebsocket
            | Role::OnMessage
            | Role::OnClose
    );
    let has_connecting = matches!(role, Role::BeforeConnect | Role::ConnState);
    let wrong = |text: &str| Err(Error::new(function.name.span(), text));
    if function.takes_conn() && !has_conn {
        return wrong("there is no connection here");
    }
    if function.takes_connecting() && !has_connecting {
        return wrong(
            "nobody is connecting here; only `#[before_connect]` and `#[conn_state]` take it",
        );
    }
    if role == Role::OnStateChange && function.may_change_state() {
        return wrong(
            "it is told of a change and cannot make another: take `&self` (and `env: &Env<Self>`)",
        );
    }
    Ok(())
}

/// The name in `#[action(name = "…")]`.
pub(crate) fn take_action_name(attribute: &Attribute, name: &mut String) -> Result<()> {
    if matches!(attribute.meta, syn::Meta::Path(_)) {
        return Ok(());
    }
    attribute.parse_nested_meta(|meta| {
        if !meta.path.is_ident("name") {
            return Err(meta.error("an action has the setting `name` only"));
        }
        let given: LitStr = meta.value()?.parse()?;
        *name = given.value();
        Ok(())
    })
}

fn describe(name: &str, settings: &Settings, marked: &Marked) -> TokenStream {
    let option = |ms: Option<u32>| match ms {
        Some(ms) => quote!(::core::option::Option::Some(#ms)),
        None => quote!(::core::option::Option::None),
    };
    let sleep_after = option(settings.sleep_after_ms);
    let action_timeout = option(settings.action_timeout_ms);
    let stop_grace = option(settings.stop_grace_ms);
    let no_sleep = settings.no_sleep;
    let (keep_awake, hibernate) = (
        settings.connections_keep_awake,
        settings.websockets_hibernate,
    );
    let guarded = marked.get(Role::CanSubscribe).is_some();
    let events = settings.events.iter().map(|event| {
        quote!(description::EventDescription {
            name: #event.name().into(),
            type_name: #event.type_name(),
            guarded: #guarded,
        })
    });
    let wants_connections = settings.conn_state.is_some() || marked.wants_connections();
    let handlers = [
        (wants_connections, quote!(CONNECTIONS)),
        (marked.get(Role::OnRequest).is_some(), quote!(REQUEST)),
        (marked.wants_websockets(), quote!(WEBSOCKET)),
    ];
    let handlers = handlers
        .iter()
        .filter(|(is_wanted, _)| *is_wanted)
        .map(|(_, name)| quote!(| description::Handlers::#name));
    let actions = marked.actions.iter().map(|(name, function)| {
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
    });
    quote! {
        fn describe() -> ::greenroom_sdk::Description {
            use ::greenroom_sdk::private::description;
            description::ActorTypeDescription {
                name: #name.into(),
                actions: ::std::vec![#(#actions),*],
                events: ::std::vec![#(#events),*],
                handlers: description::Handlers::empty() #(#handlers)*,
                options: description::ActorTypeOptions {
                    sleep_after_ms: #sleep_after,
                    no_sleep: #no_sleep,
                    action_timeout_ms: #action_timeout,
                    stop_grace_ms: #stop_grace,
                    connections_keep_awake: #keep_awake,
                    websockets_hibernate: #hibernate,
                },
            }
        }
    }
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
        None => quote!(::core::result::Result::Ok(
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
