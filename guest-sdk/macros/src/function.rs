//! One function of an actor: what it takes, what it gives, and how it is called.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
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
#[derive(Clone, Copy)]
enum Provided {
    Context { is_reference: bool },
    Env,
}

/// A function of the actor's `impl` block.
pub(crate) struct Function {
    pub(crate) name: Ident,
    is_async: bool,
    receiver: Receiver,
    provided: Option<Provided>,
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
            provided: None,
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
                    Some(provided) => function.provided = Some(provided),
                    None => function.parameters.push(Parameter {
                        name: parameter_name(&typed.pat, function.parameters.len()),
                        ty: (*typed.ty).clone(),
                    }),
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
        if has_self && matches!(self.provided, Some(Provided::Context { .. })) {
            return Err(Error::new(
                span,
                "a function that has the state as self takes `env: &Env<Self>`, not a `Context`",
            ));
        }
        Ok(())
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
    pub(crate) fn call(&self, arguments: &[Ident]) -> TokenStream {
        let name = &self.name;
        let provided = self.provided.map(|provided| match provided {
            Provided::Context { is_reference: true } => quote!(&cx,),
            Provided::Context {
                is_reference: false,
            } => quote!(cx.clone(),),
            Provided::Env => quote!(::core::ops::Deref::deref(&cx),),
        });
        let called = match self.receiver {
            Receiver::None => quote!(Self::#name(#provided #(#arguments),*)),
            Receiver::Shared => {
                quote!(cx.read(|state| Self::#name(state, #provided #(#arguments),*)))
            }
            Receiver::Exclusive => {
                quote!(cx.update(|state| Self::#name(state, #provided #(#arguments),*)))
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

fn provided(ty: &Type) -> Option<Provided> {
    let (inner, is_reference) = match ty {
        Type::Reference(reference) => (&*reference.elem, true),
        other => (other, false),
    };
    match last_segment(inner)?.ident.to_string().as_str() {
        "Context" => Some(Provided::Context { is_reference }),
        "Env" if is_reference => Some(Provided::Env),
        _ => None,
    }
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
