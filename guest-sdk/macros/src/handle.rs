//! `#[handle]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, Error, FnArg, ItemTrait, LitStr, Pat, Result, ReturnType, Token, TraitItem,
    TraitItemFn,
};

use crate::names::Rename;
use crate::roles::take_action_name;

/// What stands in the parentheses of `#[handle("…", …)]`.
pub(crate) struct Settings {
    actor_type: LitStr,
    rename: Rename,
}

impl Parse for Settings {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let actor_type = input.parse()?;
        let mut rename = Rename::None;
        if input.parse::<Option<Token![,]>>()?.is_some() && !input.is_empty() {
            let setting: syn::Ident = input.parse()?;
            if setting != "rename_all" {
                return Err(Error::new(
                    setting.span(),
                    "a handle has the setting `rename_all` only",
                ));
            }
            input.parse::<Token![=]>()?;
            rename = Rename::parse(&input.parse()?)?;
        }
        Ok(Self { actor_type, rename })
    }
}

pub(crate) fn expand(settings: &Settings, item: &ItemTrait) -> Result<TokenStream> {
    let ItemTrait {
        attrs, vis, ident, ..
    } = item;
    let actor_type = &settings.actor_type;
    let methods = item.items.iter().map(|item| match item {
        TraitItem::Fn(function) => method(function, settings.rename),
        other => Err(Error::new_spanned(other, "a handle has methods only")),
    });
    let methods: Vec<TokenStream> = methods.collect::<Result<_>>()?;
    Ok(quote! {
        #(#attrs)*
        #[derive(Debug, Clone)]
        #vis struct #ident(::greenroom_sdk::client::Handle);

        #[allow(dead_code, reason = "not every way to a handle is always used")]
        impl #ident {
            /// The actor of this key, if it exists.
            #vis fn get(key: impl ::greenroom_sdk::client::IntoKey) -> Self {
                Self(::greenroom_sdk::client::Handle::get(#actor_type, key))
            }

            /// The actor of this key, created by the first call if it does not exist.
            #vis fn get_or_create(key: impl ::greenroom_sdk::client::IntoKey) -> Self {
                Self(::greenroom_sdk::client::Handle::get_or_create(#actor_type, key))
            }

            /// The actor with this id, if it exists.
            #vis fn with_id(id: impl ::core::convert::Into<::std::string::String>) -> Self {
                Self(::greenroom_sdk::client::Handle::with_id(id))
            }

            /// Creates the actor of this key.
            #vis async fn create(
                key: impl ::greenroom_sdk::client::IntoKey,
                input: ::core::option::Option<impl ::greenroom_sdk::private::Serialize>,
            ) -> ::core::result::Result<Self, ::greenroom_sdk::client::CallError> {
                let created = ::greenroom_sdk::client::Handle::create(#actor_type, key, input);
                created.await.map(Self)
            }

            /// With what the actor is given if this handle creates it.
            #vis fn with_input(
                self,
                input: impl ::greenroom_sdk::private::Serialize,
            ) -> ::core::result::Result<Self, ::greenroom_sdk::client::CallError> {
                self.0.with_input(input).map(Self)
            }

            /// The actor's id.
            #vis async fn resolve(
                &self,
            ) -> ::core::result::Result<::std::string::String, ::greenroom_sdk::client::CallError> {
                self.0.resolve().await
            }

            #(#vis #methods)*
        }

        /// What every handle can do: messages to queues, and actions by their names.
        impl ::core::ops::Deref for #ident {
            type Target = ::greenroom_sdk::client::Handle;

            fn deref(&self) -> &::greenroom_sdk::client::Handle {
                &self.0
            }
        }
    })
}

fn method(function: &TraitItemFn, rename: Rename) -> Result<TokenStream> {
    let signature = &function.sig;
    let is_action = |attribute: &&Attribute| attribute.path().is_ident("action");
    let mut action = rename.apply(&signature.ident.to_string());
    if let Some(attribute) = function.attrs.iter().find(is_action) {
        take_action_name(attribute, &mut action)?;
    }
    let attributes = function
        .attrs
        .iter()
        .filter(|attribute| !is_action(attribute));
    let mut names = Vec::new();
    let mut types = Vec::new();
    for input in &signature.inputs {
        match input {
            FnArg::Receiver(receiver)
                if receiver.reference.is_some() && receiver.mutability.is_none() => {}
            FnArg::Receiver(receiver) => return Err(Error::new_spanned(receiver, "take `&self`")),
            FnArg::Typed(typed) => match &*typed.pat {
                Pat::Ident(name) => {
                    names.push(&name.ident);
                    types.push(&typed.ty);
                }
                other => return Err(Error::new_spanned(other, "a parameter has a plain name")),
            },
        }
    }
    if signature.asyncness.is_none() || names.len() == signature.inputs.len() {
        let text = "a call to another actor is `async fn name(&self, …)`";
        return Err(Error::new_spanned(signature, text));
    }
    let output = match &signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    let name = &signature.ident;
    Ok(quote! {
        #(#attributes)*
        async fn #name(
            &self,
            #(#names: #types),*
        ) -> ::core::result::Result<#output, ::greenroom_sdk::client::CallError> {
            self.0.call(#action, (#(#names,)*)).await
        }
    })
}
