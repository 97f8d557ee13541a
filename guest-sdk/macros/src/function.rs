//! One function of an actor: what it takes, what it gives, and how it is called.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::spanned::Spanned;
use syn::{
    Error, FnArg, GenericArgument, Ident, Pat, PathArguments, Result, ReturnType, Signature, Type,
};

/// How a function gets at the state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Receiver {
    None,
    Shared,
    Exclusive,
}

/// A parameter that the SDK fills in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Provided {
    Context,
    Env,
    Conn,
    Connecting,
}

/// What stands in one place of a function's parameters.
enum Slot {
    /// Filled in by the SDK.
    Provided { what: Provided, is_reference: bool },
    /// Given by the caller: its index among those.
    Given(usize),
}

/// A function of the actor's `impl` block.
pub(crate) struct Function {
    pub(crate) name: Ident,
    pub(crate) is_async: bool,
    receiver: Receiver,
    slots: Vec<Slot>,
    pub(crate) parameters: Vec<Parameter>,
    output: Output,
}

/// A parameter that the caller gives.
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) ty: Type,
}

/// What a function gives.
struct Output {
    /// The type of success; `None` is nothing.
    success: Option<Type>,
    can_fail: bool,
}

impl Function {
    pub(crate) fn parse(signature: &Signature) -> Result<Self> {
        let mut function = Self {
            name: signature.ident.clone(),
            is_async: signature.asyncness.is_some(),
            receiver: Receiver::None,
            slots: Vec::new(),
            parameters: Vec::new(),
            output: Output::parse(&signature.output),
        };
        for input in &signature.inputs {
            match input {
                FnArg::Receiver(receiver) if receiver.reference.is_none() => {
                    return Err(Error::new(receiver.span(), "take `&self` or `&mut self`"));
                }
                FnArg::Receiver(receiver) if receiver.mutability.is_some() => {
                    function.receiver = Receiver::Exclusive;
                }
                FnArg::Receiver(_) => function.receiver = Receiver::Shared,
                FnArg::Typed(typed) => match provided(&typed.ty) {
                    Some(slot) => function.slots.push(slot),
                    None => {
                        let index = function.parameters.len();
                        function.slots.push(Slot::Given(index));
                        function.parameters.push(Parameter {
                            name: parameter_name(&typed.pat, index),
                            ty: (*typed.ty).clone(),
                        });
                    }
                },
            }
        }
        function.check(signature.span())?;
        Ok(function)
    }

    fn check(&self, span: Span) -> Result<()> {
        let has_self = self.receiver != Receiver::None;
        if self.is_async && has_self {
            return Err(Error::new(
                span,
                "an async function cannot borrow the state, because others run while it waits: take \
                 `cx: Context<Self>` instead of self, and use `cx.read(|state| …)` and \
                 `cx.update(|state| …)`",
            ));
        }
        if has_self && self.takes(Provided::Context) {
            return Err(Error::new(
                span,
                "a function that has the state as self takes `env: &Env<Self>`, not a `Context`",
            ));
        }
        Ok(())
    }

    fn takes(&self, wanted: Provided) -> bool {
        let is_wanted =
            |slot: &Slot| matches!(slot, Slot::Provided { what, .. } if *what == wanted);
        self.slots.iter().any(is_wanted)
    }

    /// Whether it takes the connection.
    pub(crate) fn takes_conn(&self) -> bool {
        self.takes(Provided::Conn)
    }

    /// Whether it takes the client that wants to connect.
    pub(crate) fn takes_connecting(&self) -> bool {
        self.takes(Provided::Connecting)
    }

    /// Whether it has the state for itself, or leaves it alone.
    pub(crate) fn may_change_state(&self) -> bool {
        self.is_async || self.receiver != Receiver::Shared
    }

    /// Arguments for a hook's parameters, out of what it can be given: by reference, where it takes one.
    pub(crate) fn hook_arguments(&self, given: &[TokenStream]) -> Vec<TokenStream> {
        let pairs = self.parameters.iter().zip(given);
        pairs
            .map(|(parameter, given)| match parameter.ty {
                Type::Reference(_) => quote!(&#given),
                _ => quote!(#given),
            })
            .collect()
    }

    /// The type of its one parameter, if that is not one that the SDK fills in.
    pub(crate) fn only_parameter(&self) -> Option<&Type> {
        match (&*self.slots, &*self.parameters) {
            ([Slot::Given(_)], [parameter]) => Some(&parameter.ty),
            _ => None,
        }
    }

    /// Whether what the caller gives has this many parameters at most.
    pub(crate) fn expect_parameters(&self, most: usize) -> Result<()> {
        if self.parameters.len() > most {
            let text = format!("it takes at most {most} parameters besides self and context");
            return Err(Error::new(self.name.span(), text));
        }
        Ok(())
    }

    /// A type for people: `None` if nothing is given.
    pub(crate) const fn success(&self) -> Option<&Type> {
        self.output.success.as_ref()
    }

    /// An expression, inside an async block with a `cx`, that calls the function with these arguments and
    /// leaves with `?` if it fails.
    pub(crate) fn call<T: ToTokens>(&self, arguments: &[T]) -> TokenStream {
        let name = &self.name;
        let slots = self.slots.iter().map(|slot| match slot {
            Slot::Given(index) => {
                let argument = &arguments[*index];
                quote!(#argument)
            }
            Slot::Provided { what, is_reference } => {
                let value = match what {
                    Provided::Context => quote!(cx),
                    Provided::Env => return quote!(::core::ops::Deref::deref(&cx)),
                    Provided::Conn => quote!(conn),
                    Provided::Connecting => quote!(connecting),
                };
                if *is_reference {
                    quote!(&#value)
                } else {
                    quote!(#value.clone())
                }
            }
        });
        let called = match self.receiver {
            Receiver::None => quote!(Self::#name(#(#slots),*)),
            Receiver::Shared => {
                quote!(cx.read(|state| Self::#name(state, #(#slots),*)))
            }
            Receiver::Exclusive => {
                quote!(cx.update(|state| Self::#name(state, #(#slots),*)))
            }
        };
        let awaited = if self.is_async {
            quote!(#called.await)
        } else {
            called
        };
        if self.output.can_fail {
            quote!(#awaited.map_err(::greenroom_sdk::Error::from)?)
        } else {
            awaited
        }
    }

    /// Names for local variables that hold the arguments.
    pub(crate) fn argument_names(&self) -> Vec<Ident> {
        (0..self.parameters.len())
            .map(|index| format_ident!("argument_{index}"))
            .collect()
    }
}

impl Output {
    fn parse(output: &ReturnType) -> Self {
        let ReturnType::Type(_, ty) = output else {
            return Self {
                success: None,
                can_fail: false,
            };
        };
        let result = last_segment(ty).filter(|segment| segment.ident == "Result");
        let Some(result) = result else {
            return Self {
                success: not_unit((**ty).clone()),
                can_fail: false,
            };
        };
        let success = match &result.arguments {
            PathArguments::AngleBracketed(arguments) => {
                arguments.args.iter().find_map(|argument| match argument {
                    GenericArgument::Type(ty) => Some(ty.clone()),
                    _ => None,
                })
            }
            PathArguments::None | PathArguments::Parenthesized(_) => None,
        };
        Self {
            success: success.and_then(not_unit),
            can_fail: true,
        }
    }
}

fn not_unit(ty: Type) -> Option<Type> {
    match &ty {
        Type::Tuple(tuple) if tuple.elems.is_empty() => None,
        _ => Some(ty),
    }
}

fn provided(ty: &Type) -> Option<Slot> {
    let (inner, is_reference) = match ty {
        Type::Reference(reference) => (&*reference.elem, true),
        other => (other, false),
    };
    let what = match last_segment(inner)?.ident.to_string().as_str() {
        "Context" => Provided::Context,
        "Env" if is_reference => Provided::Env,
        "Conn" => Provided::Conn,
        "Connecting" => Provided::Connecting,
        _ => return None,
    };
    Some(Slot::Provided { what, is_reference })
}

fn last_segment(ty: &Type) -> Option<&syn::PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

fn parameter_name(pattern: &Pat, index: usize) -> String {
    match pattern {
        Pat::Ident(name) => name.ident.to_string().trim_start_matches('_').to_owned(),
        _ => format!("argument{}", index + 1),
    }
}

/// A type as people read it.
pub(crate) fn type_name(ty: &Type) -> String {
    let mut name = quote!(#ty).to_string();
    for (spaced, tight) in [
        (" < ", "<"),
        (" > ", ">"),
        (" >", ">"),
        (" , ", ", "),
        (" :: ", "::"),
        ("& ", "&"),
    ] {
        name = name.replace(spaced, tight);
    }
    name
}

/// Whether a caller may leave an argument of this type out.
pub(crate) fn is_optional(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|segment| segment.ident == "Option" || segment.ident == "Value")
}
