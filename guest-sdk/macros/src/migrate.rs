//! The part of `#[actor]` that reads states of older versions: a chain of steps, each from one version to the next.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Attribute, Error, LitInt, Meta, Result, Signature, Type};

use crate::function::Function;

/// A function that makes a state of the next version out of one of the version `from`.
pub(crate) struct Step {
    from: u32,
    function: Function,
    /// The type of a state of the version `from`.
    old: Type,
}

impl Step {
    pub(crate) fn parse(attribute: &Attribute, signature: &Signature) -> Result<Self> {
        let from = first_version(attribute)?;
        let wrong = || {
            Error::new_spanned(
                signature,
                "a step is a plain `fn name(old: OldState) -> NewState`, or gives a `Result` of it: it takes the old \
                 state by value and nothing else, neither self nor a context, and cannot wait",
            )
        };
        let is_plain = signature.receiver().is_none()
            && signature.asyncness.is_none()
            && signature.generics.params.is_empty();
        if !is_plain {
            return Err(wrong());
        }
        let function = Function::parse(signature)?;
        let old = match function.only_parameter() {
            Some(old) if !matches!(old, Type::Reference(_)) => old.clone(),
            _ => return Err(wrong()),
        };
        if function.success().is_none() {
            return Err(wrong());
        }
        Ok(Self {
            from,
            function,
            old,
        })
    }

    fn error(&self, text: String) -> Error {
        Error::new(self.function.name.span(), text)
    }
}

/// The version of an actor's state, and the way there from older ones.
pub(crate) struct Chain<'a> {
    current: u32,
    /// In order, without a gap.
    steps: Vec<&'a Step>,
}

impl<'a> Chain<'a> {
    /// Puts the steps in order. Each has to lead to another one, or to `current`.
    pub(crate) fn new(current: u32, steps: &'a [Step]) -> Result<Self> {
        let mut steps: Vec<_> = steps.iter().collect();
        steps.sort_by_key(|step| step.from);
        for (index, step) in steps.iter().enumerate() {
            let from = step.from;
            if from >= current {
                return Err(step.error(format!(
                    "a step from version {from} leads beyond this code, whose `state_version` is {current}"
                )));
            }
            let to = from + 1;
            match steps.get(index + 1) {
                Some(next) if next.from == from => {
                    let text = format!("there is a step from version {from} already");
                    return Err(next.error(text));
                }
                Some(next) if next.from == to => {}
                None if to == current => {}
                _ => {
                    return Err(step.error(format!(
                        "it makes a state of version {to}, from where no step leads on to {current}, the \
                         `state_version`: there has to be one with `#[migrate(from = {to})]`"
                    )));
                }
            }
        }
        Ok(Self { current, steps })
    }

    /// What the host is told, as fields of the description.
    pub(crate) fn describe(&self) -> TokenStream {
        let current = self.current;
        let from = self.steps.iter().map(|step| step.from);
        quote! {
            state_version: #current,
            migrates_from: ::std::vec![#(#from),*],
        }
    }

    pub(crate) fn expand(&self) -> TokenStream {
        let current = self.current;
        let from = self.steps.iter().map(|step| step.from);
        let arms = (0..self.steps.len()).map(|index| arm(&self.steps[index..]));
        quote! {
            const STATE_VERSION: u32 = #current;

            fn migrate(
                from: u32,
                state: &[u8],
            ) -> ::greenroom_sdk::Result<::std::vec::Vec<u8>> {
                match from {
                    #(#arms)*
                    _ => ::core::result::Result::Err(
                        ::greenroom_sdk::private::unreadable(from, #current, &[#(#from),*]),
                    ),
                }
            }
        }
    }
}

/// From the version of the first of these steps to the actor's. That each step takes what the one before it gives, and
/// that the last gives the actor, is left to the compiler.
fn arm(steps: &[&Step]) -> TokenStream {
    let (from, old) = (steps[0].from, &steps[0].old);
    let taken = steps[1..].iter().map(|next| {
        let old = &next.old;
        quote!(#old)
    });
    let made = steps.iter().zip(taken.chain([quote!(Self)]));
    let made = made.map(|(step, new)| {
        let called = step.function.call(&[quote!(state)]);
        // What does not fit together is shown at the step that gives it.
        let place = Span::call_site().located_at(step.function.name.span());
        quote_spanned!(place=> let made = #called; let state: #new = made;)
    });
    quote! {
        #from => {
            let state: #old = ::greenroom_sdk::private::decode_state(from, state)?;
            #(#made)*
            ::greenroom_sdk::private::encode(&state)
        }
    }
}

/// The version in `#[migrate(from = …)]`.
fn first_version(attribute: &Attribute) -> Result<u32> {
    let mut from = None;
    if !matches!(attribute.meta, Meta::Path(_)) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("from") {
                return Err(meta.error("a step has the setting `from` only"));
            }
            from = Some(version(&meta.value()?.parse()?)?);
            Ok(())
        })?;
    }
    from.ok_or_else(|| {
        let text = "it has to say which version it begins with: `#[migrate(from = 1)]`";
        Error::new_spanned(attribute, text)
    })
}

/// A version of a state.
pub(crate) fn version(number: &LitInt) -> Result<u32> {
    match number.base10_parse() {
        Ok(version) if version > 0 => Ok(version),
        _ => Err(Error::new(
            number.span(),
            "a version of a state is a whole number from 1 on",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::result::Result;

    use syn::{ItemFn, parse_quote};

    use super::*;

    fn step(function: &ItemFn) -> Result<Step, Error> {
        Step::parse(&function.attrs[0], &function.sig)
    }

    fn refused(function: &ItemFn) -> String {
        let refused = step(function).err();
        refused.expect("it is not a step").to_string()
    }

    /// In which order steps from these versions are taken, or what is wrong with them.
    fn chain(current: u32, from: &[u32]) -> Result<Vec<u32>, String> {
        let steps = from.iter().map(|from| {
            step(&parse_quote!(
                #[migrate(from = #from)]
                fn step(old: Old) -> New {}
            ))
        });
        let steps: Vec<_> = steps.map(|step| step.expect("it is a step")).collect();
        let chain = Chain::new(current, &steps).map_err(|error| error.to_string())?;
        Ok(chain.steps.iter().map(|step| step.from).collect())
    }

    #[test]
    fn steps_that_lead_to_the_current_version_are_taken_in_order() {
        assert_eq!(chain(1, &[]), Ok(vec![]));
        assert_eq!(chain(4, &[]), Ok(vec![]));
        assert_eq!(chain(4, &[3, 1, 2]), Ok(vec![1, 2, 3]));
        assert_eq!(chain(4, &[3]), Ok(vec![3]));
    }

    #[test]
    fn a_chain_with_a_gap_is_refused() {
        let gap = "it makes a state of version 2, from where no step leads on to 4, the `state_version`: there has to \
                   be one with `#[migrate(from = 2)]`";
        assert_eq!(chain(4, &[1, 3]), Err(gap.to_owned()));
        assert_eq!(chain(4, &[1]), Err(gap.to_owned()));
    }

    #[test]
    fn a_step_beyond_the_current_version_is_refused() {
        let text = |from| {
            Err(format!(
                "a step from version {from} leads beyond this code, whose `state_version` is 2"
            ))
        };
        assert_eq!(chain(2, &[1, 2]), text(2));
        assert_eq!(chain(2, &[u32::MAX]), text(u32::MAX));
    }

    #[test]
    fn a_second_step_from_the_same_version_is_refused() {
        let text = "there is a step from version 1 already";
        assert_eq!(chain(3, &[1, 2, 1]), Err(text.to_owned()));
    }

    #[test]
    fn a_step_takes_an_old_state_and_gives_a_new_one() {
        let functions: [ItemFn; 3] = [
            parse_quote!(
                #[migrate(from = 1)]
                fn step(old: Old) -> New {}
            ),
            parse_quote!(
                #[migrate(from = 2)]
                fn step(Old { a, b }: Old) -> Result<Self> {}
            ),
            parse_quote!(
                #[migrate(from = 3)]
                fn step(old: Self) -> Result<Self, Wrong> {}
            ),
        ];
        for function in &functions {
            assert!(step(function).is_ok());
        }
    }

    #[test]
    fn what_takes_or_gives_something_else_is_no_step() {
        let functions: [ItemFn; 9] = [
            parse_quote!(
                #[migrate(from = 1)]
                fn step() -> New {}
            ),
            parse_quote!(
                #[migrate(from = 1)]
                fn step(old: Old) {}
            ),
            parse_quote!(
                #[migrate(from = 1)]
                fn step(old: Old) -> Result<()> {}
            ),
            parse_quote!(
                #[migrate(from = 1)]
                fn step(&self) -> New {}
            ),
            parse_quote!(
                #[migrate(from = 1)]
                fn step(self) -> New {}
            ),
            parse_quote!(
                #[migrate(from = 1)]
                fn step(old: &Old) -> New {}
            ),
            parse_quote!(
                #[migrate(from = 1)]
                fn step(old: Old, env: &Env<Self>) -> New {}
            ),
            parse_quote!(
                #[migrate(from = 1)]
                fn step(cx: Context<Self>) -> New {}
            ),
            parse_quote!(
                #[migrate(from = 1)]
                async fn step(old: Old) -> New {}
            ),
        ];
        for function in &functions {
            assert!(refused(function).starts_with("a step is a plain `fn name(old: OldState)"));
        }
    }

    #[test]
    fn a_step_says_which_version_it_begins_with() {
        let text = "it has to say which version it begins with: `#[migrate(from = 1)]`";
        let bare = parse_quote!(
            #[migrate]
            fn step(old: Old) -> New {}
        );
        assert_eq!(refused(&bare), text);
        let empty = parse_quote!(
            #[migrate()]
            fn step(old: Old) -> New {}
        );
        assert_eq!(refused(&empty), text);
        let other = parse_quote!(
            #[migrate(to = 2)]
            fn step(old: Old) -> New {}
        );
        assert_eq!(refused(&other), "a step has the setting `from` only");
        let text = "a version of a state is a whole number from 1 on";
        let zero = parse_quote!(
            #[migrate(from = 0)]
            fn step(old: Old) -> New {}
        );
        assert_eq!(refused(&zero), text);
        let negative = parse_quote!(
            #[migrate(from = -1)]
            fn step(old: Old) -> New {}
        );
        assert_eq!(refused(&negative), text);
    }
}
