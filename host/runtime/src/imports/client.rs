//! Calls to other actors. Each leaves only when what the guest has changed is durable: the callee must
//! not learn of a write that a crash then takes back.

use std::sync::Arc;

use greenroom_model::{
    ActorError, ActorId, ActorKey, ActorName, ActorType, Lineage, Namespace, Outbound, Target,
    Wait, codes,
};
use wasmtime::component::{Accessor, HasSelf};

use super::queues::{completion, span};
use super::{pass_barrier, to_wit, value};
use crate::bindings::greenroom::actor::types::PublicError;
use crate::bindings::greenroom::actor::{client, queues};
use crate::ctx::Ctx;
use crate::guest::Identity;

type Store = Accessor<Ctx, HasSelf<Ctx>>;

impl client::Host for Ctx {}

impl client::HostWithStore<Ctx> for HasSelf<Ctx> {
    async fn call(
        store: &Store,
        target: client::Target,
        action: String,
        args: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, PublicError>> {
        let (identity, outbound) = way_out(store);
        let args = value(args)?;
        let target = match to_target(&identity.namespace, target)? {
            Ok(target) => target,
            Err(error) => return Ok(Err(error)),
        };
        pass_barrier(store).await?;
        let output = outbound
            .call(
                &identity.namespace,
                Lineage::default(),
                target,
                action,
                args,
            )
            .await;
        Ok(output.map(Vec::from).map_err(to_wit))
    }

    async fn send(
        store: &Store,
        target: client::Target,
        queue: String,
        body: Vec<u8>,
        wait: client::Wait,
    ) -> wasmtime::Result<Result<queues::Completion, PublicError>> {
        let (identity, outbound) = way_out(store);
        let body = value(body)?;
        let target = match to_target(&identity.namespace, target)? {
            Ok(target) => target,
            Err(error) => return Ok(Err(error)),
        };
        pass_barrier(store).await?;
        let wait = match wait {
            client::Wait::No => Wait::No,
            client::Wait::Until(timeout_ms) => Wait::Until(timeout_ms.map(span)),
        };
        let namespace = &identity.namespace;
        let sent = outbound
            .send(namespace, Lineage::default(), target, queue, body, wait)
            .await;
        Ok(sent.map(completion).map_err(to_wit))
    }

    async fn create(
        store: &Store,
        address: client::Address,
        input: Option<Vec<u8>>,
    ) -> wasmtime::Result<Result<String, PublicError>> {
        let (identity, outbound) = way_out(store);
        let input = input.map(value).transpose()?;
        let name = match to_name(&identity.namespace, &address) {
            Ok(name) => name,
            Err(error) => return Ok(Err(error)),
        };
        pass_barrier(store).await?;
        let id = outbound.create(name, input).await;
        Ok(id.map(|id| id.to_string()).map_err(to_wit))
    }

    async fn resolve(
        store: &Store,
        target: client::Target,
    ) -> wasmtime::Result<Result<String, PublicError>> {
        let (identity, outbound) = way_out(store);
        let target = match to_target(&identity.namespace, target)? {
            Ok(target) => target,
            Err(error) => return Ok(Err(error)),
        };
        pass_barrier(store).await?;
        let id = outbound.resolve(&identity.namespace, target).await;
        Ok(id.map(|id| id.to_string()).map_err(to_wit))
    }
}

fn way_out(store: &Store) -> (Arc<Identity>, Arc<dyn Outbound>) {
    store.with(|mut ctx| (ctx.get().identity.clone(), ctx.get().outbound.clone()))
}

fn to_target(
    namespace: &Namespace,
    target: client::Target,
) -> wasmtime::Result<Result<Target, PublicError>> {
    Ok(match target {
        client::Target::Get(address) => to_name(namespace, &address).map(Target::Get),
        client::Target::GetOrCreate(wanted) => {
            let input = wanted.input.map(value).transpose()?;
            let name = to_name(namespace, &wanted.address);
            name.map(|name| Target::GetOrCreate { name, input })
        }
        client::Target::Id(id) => match id.parse::<ActorId>() {
            Ok(id) => Ok(Target::Id(id)),
            Err(()) => Err(to_wit(ActorError::new(
                codes::NOT_FOUND,
                "there is no actor with this id",
            ))),
        },
    })
}

fn to_name(namespace: &Namespace, address: &client::Address) -> Result<ActorName, PublicError> {
    let actor_type = ActorType::new(&address.actor_type)
        .map_err(|e| to_wit(ActorError::new(codes::INVALID_NAME, e.to_string())))?;
    let key = ActorKey::new(&address.key)
        .map_err(|e| to_wit(ActorError::new(codes::INVALID_KEY, e.to_string())))?;
    Ok(ActorName {
        namespace: namespace.clone(),
        actor_type,
        key,
    })
}
