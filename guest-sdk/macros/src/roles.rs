//! What the functions of an actor's block are for.

use syn::{Attribute, Error, ImplItemFn, LitStr, Result};

use crate::function::Function;
use crate::migrate::Step;
use crate::names::Rename;

/// What a function of the block is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Action,
    Migrate,
    Create,
    Vars,
    OnWake,
    Run,
    OnSleep,
    OnDestroy,
    OnStateChange,
    BeforeResponse,
    BeforeConnect,
    ConnState,
    OnConnect,
    OnDisconnect,
    CanSubscribe,
    CanPublish,
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
            "migrate" => Self::Migrate,
            "create" => Self::Create,
            "vars" => Self::Vars,
            "on_wake" => Self::OnWake,
            "run" => Self::Run,
            "on_sleep" => Self::OnSleep,
            "on_destroy" => Self::OnDestroy,
            "on_state_change" => Self::OnStateChange,
            "before_response" => Self::BeforeResponse,
            "before_connect" => Self::BeforeConnect,
            "conn_state" => Self::ConnState,
            "on_connect" => Self::OnConnect,
            "on_disconnect" => Self::OnDisconnect,
            "can_subscribe" => Self::CanSubscribe,
            "can_publish" => Self::CanPublish,
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
    pub(crate) actions: Vec<(String, Function)>,
    pub(crate) steps: Vec<Step>,
    others: Vec<(Role, Function)>,
}

impl Marked {
    /// Takes the marks off a function and notes what it is for.
    pub(crate) fn take(&mut self, function: &mut ImplItemFn, rename: Rename) -> Result<()> {
        let (mut role, mut step) = (None, None);
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
            if found == Role::Migrate {
                step = Some(Step::parse(attribute, &function.sig)?);
            }
        }
        function
            .attrs
            .retain(|attribute| Role::of(attribute).is_none());
        if let Some(step) = step {
            self.steps.push(step);
            return Ok(());
        }
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

    /// The function of this role; not for actions and steps.
    pub(crate) fn get(&self, role: Role) -> Option<&Function> {
        let found = self.others.iter().find(|(known, _)| *known == role);
        found.map(|(_, function)| function)
    }

    pub(crate) fn wants_websockets(&self) -> bool {
        let handlers = [Role::OnWebsocket, Role::OnMessage, Role::OnClose];
        handlers.iter().any(|role| self.get(*role).is_some())
    }

    /// Whether the guest has to be told of short connections.
    pub(crate) fn wants_connections(&self) -> bool {
        let hooks = [
            Role::BeforeConnect,
            Role::ConnState,
            Role::OnConnect,
            Role::OnDisconnect,
            Role::CanPublish,
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
            | Role::CanPublish
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
    if role == Role::Run && !function.is_async {
        return wrong("the run loop is `async fn run(cx: Context<Self>)`");
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
