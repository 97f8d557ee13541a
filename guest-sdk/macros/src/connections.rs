//! The part of `#[actor]` that is about clients: hooks of connections, and raw handlers.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Result, Type};

use crate::function::Function;
use crate::roles::{Marked, Role};

pub(crate) fn expand(conn_state: Option<&Type>, marked: &Marked) -> Result<TokenStream> {
    let state = conn_state.map_or_else(|| quote!(()), |state| quote!(#state));
    let nothing = || quote!(());
    let before_connect = hook(marked.get(Role::BeforeConnect), &[])?.unwrap_or_else(nothing);
    let make_state = hook(marked.get(Role::ConnState), &[])?
        .unwrap_or_else(|| quote!(<#state as ::core::default::Default>::default()));
    let on_connect = hook(marked.get(Role::OnConnect), &[])?.unwrap_or_else(nothing);
    let on_disconnect = hook(marked.get(Role::OnDisconnect), &[])?.unwrap_or_else(nothing);
    let can_subscribe = may(
        marked,
        Role::CanSubscribe,
        &quote!(can_subscribe),
        &quote!(event),
    )?;
    let can_publish = may(
        marked,
        Role::CanPublish,
        &quote!(can_publish),
        &quote!(queue),
    )?;
    let on_request = request(marked.get(Role::OnRequest))?;
    let on_websocket = hook(marked.get(Role::OnWebsocket), &[])?.unwrap_or_else(nothing);
    let on_message = hook(marked.get(Role::OnMessage), &[quote!(message)])?.unwrap_or_else(nothing);
    let on_close = hook(marked.get(Role::OnClose), &[quote!(close)])?.unwrap_or_else(nothing);
    let conn_hook = |name: TokenStream, parameter: TokenStream, body: TokenStream| {
        quote! {
            fn #name(
                cx: ::greenroom_sdk::Context<Self>,
                conn: ::greenroom_sdk::Conn<Self>,
                #parameter
            ) -> ::greenroom_sdk::Future<::greenroom_sdk::Result<()>> {
                ::std::boxed::Box::pin(async move { ::core::result::Result::Ok({ #body; }) })
            }
        }
    };
    let none = TokenStream::new;
    let message = quote!(message: ::greenroom_sdk::Message,);
    let close = quote!(close: ::greenroom_sdk::Close,);
    let hooks = [
        conn_hook(quote!(on_connect), none(), on_connect),
        conn_hook(quote!(on_disconnect), none(), on_disconnect),
        conn_hook(quote!(on_websocket), none(), on_websocket),
        conn_hook(quote!(on_message), message, on_message),
        conn_hook(quote!(on_close), close, on_close),
    ];
    Ok(quote! {
        type ConnState = #state;

        fn before_connect(
            cx: ::greenroom_sdk::Context<Self>,
            connecting: ::greenroom_sdk::Connecting,
        ) -> ::greenroom_sdk::Future<::greenroom_sdk::Result<()>> {
            ::std::boxed::Box::pin(async move { ::core::result::Result::Ok({ #before_connect; }) })
        }

        fn conn_state(
            cx: ::greenroom_sdk::Context<Self>,
            connecting: ::greenroom_sdk::Connecting,
        ) -> ::greenroom_sdk::Future<::greenroom_sdk::Result<Self::ConnState>> {
            ::std::boxed::Box::pin(async move { ::core::result::Result::Ok(#make_state) })
        }

        #can_subscribe

        #can_publish

        #on_request

        #(#hooks)*
    })
}

/// A hook that is given these at most.
fn hook(function: Option<&Function>, given: &[TokenStream]) -> Result<Option<TokenStream>> {
    let Some(function) = function else {
        return Ok(None);
    };
    function.expect_parameters(given.len())?;
    Ok(Some(function.call(&function.hook_arguments(given))))
}

/// Whether a client may have something, or send to it. Without a function, it may.
fn may(marked: &Marked, role: Role, name: &TokenStream, what: &TokenStream) -> Result<TokenStream> {
    let asked = hook(marked.get(role), std::slice::from_ref(what))?;
    let asked = asked.unwrap_or_else(|| quote!(true));
    Ok(quote! {
        fn #name(
            cx: ::greenroom_sdk::Context<Self>,
            conn: ::greenroom_sdk::Conn<Self>,
            #what: ::std::string::String,
        ) -> ::greenroom_sdk::Future<::greenroom_sdk::Result<bool>> {
            ::std::boxed::Box::pin(async move { ::core::result::Result::Ok(#asked) })
        }
    })
}

fn request(function: Option<&Function>) -> Result<TokenStream> {
    let takes_conn = function.is_some_and(Function::takes_conn);
    let conn = takes_conn.then(|| quote!(let conn = ::greenroom_sdk::private::required(conn)?;));
    let answered = match hook(function, &[quote!(request)])? {
        Some(answered) => quote!(::greenroom_sdk::private::Answer::into_answer(#answered)),
        None => quote!(::core::option::Option::None),
    };
    Ok(quote! {
        fn on_request(
            cx: ::greenroom_sdk::Context<Self>,
            conn: ::core::option::Option<::greenroom_sdk::Conn<Self>>,
            request: ::greenroom_sdk::Request,
        ) -> ::greenroom_sdk::Future<
            ::greenroom_sdk::Result<::core::option::Option<::greenroom_sdk::Response>>,
        > {
            ::std::boxed::Box::pin(async move {
                #conn
                ::core::result::Result::Ok(#answered)
            })
        }
    })
}
