//! Finding the actor, finding or making its activation, delivering; trying again where that is safe.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use greenroom_actor::{
    CallError, Caller, Conn, Handle, HttpRequest, HttpResponse, Order, Output, Parts, Short,
    Sockets, What,
};
use greenroom_model::{
    ActorError, ActorId, ActorName, ActorSpecifier, ConnSink, Lineage, Message, Opening, Target,
    codes,
};
use greenroom_storage::{ActorRecord, ListQuery};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::error;

use crate::Foundation;
use crate::activations::Activations;
use crate::directory::{Directory, storage_error};
use crate::info::{ActorInfo, ActorPage, Duplicate, ListFilter};
use crate::inside::Inside;
use crate::registry::{Deployment, Registry, type_not_found};

/// How often a destruction that comes too late for an activation's end is ordered again.
const DESTROY_ATTEMPTS_MAX: usize = 3;

/// The way to every actor.
pub struct Router {
    foundation: Foundation,
    registry: Arc<Registry>,
    directory: Arc<Directory>,
    activations: Activations,
    sockets: Arc<Sockets>,
    /// Deploys under way, one of which works while the others wait.
    tasks: TaskTracker,
    deploys: Arc<Semaphore>,
}

/// What a call came to.
#[derive(Debug)]
pub struct Answer {
    /// Its result, as CBOR.
    pub output: Bytes,
    /// Who answered.
    pub actor: ActorSpecifier,
}

/// What comes on a connection.
#[derive(Debug)]
pub enum Frame {
    /// An action is called.
    Action {
        /// The client's number for the call.
        call: u64,
        /// Its name.
        action: String,
        /// Its arguments (a CBOR array).
        args: Bytes,
    },
    /// An event is wanted, or not any more.
    Subscribe {
        /// Its name.
        event: String,
        /// Whether it is wanted.
        is_wanted: bool,
    },
    /// A raw message.
    Message(Message),
}

/// Why a call came to nothing.
#[derive(Debug)]
pub struct Failed {
    /// What the caller may know.
    pub error: ActorError,
    /// Who failed, if it got that far.
    pub actor: Option<ActorSpecifier>,
}

impl From<ActorError> for Failed {
    fn from(error: ActorError) -> Self {
        Self { error, actor: None }
    }
}

impl Router {
    /// A router over what the registry knows.
    #[must_use]
    pub fn new(foundation: Foundation, registry: Arc<Registry>) -> Arc<Self> {
        Arc::new_cyclic(|router: &Weak<Self>| {
            let directory = Arc::new(Directory::new(foundation.clone()));
            let sockets = Arc::new(Sockets::default());
            let parts = Parts {
                storage: foundation.storage.clone(),
                engine: foundation.engine.clone(),
                revisions: registry.clone(),
                outbound: Arc::new(Inside(router.clone())),
                sockets: sockets.clone(),
                limits: foundation.limits.clone(),
            };
            let activations = Activations::new(directory.clone(), parts);
            let deploys_max = foundation.limits.uploads_max;
            Self {
                foundation,
                registry,
                directory,
                activations,
                sockets,
                tasks: TaskTracker::new(),
                deploys: Arc::new(Semaphore::new(deploys_max)),
            }
        })
    }

    /// Runs an action for `caller` and waits for its result. The actor is woken, or created, if need be.
    ///
    /// A call that was handed back before it began is entered again, a bounded number of times; one that
    /// has begun never is.
    ///
    /// # Errors
    ///
    /// The action's own error, or why it could not run.
    pub async fn call(
        &self,
        lineage: Lineage,
        target: &Target,
        caller: Short,
        action: String,
        args: Bytes,
    ) -> Result<Answer, Failed> {
        let what = What::Action {
            from: Caller::Short(caller),
            action,
            args,
        };
        match self.enter(lineage, target, what).await? {
            (Output::Value(output), actor) => Ok(Answer { output, actor }),
            (Output::Done | Output::Response(_), _) => Err(ActorError::internal().into()),
        }
    }

    /// Hands a raw request to an actor. No response means that its type answers none.
    ///
    /// # Errors
    ///
    /// The guest's own error, or why it could not be asked.
    pub async fn request(
        &self,
        target: &Target,
        opening: Opening,
        request: HttpRequest,
    ) -> Result<(Option<HttpResponse>, ActorSpecifier), Failed> {
        let what = What::Request(Arc::new(opening), Box::new(request));
        match self.enter(Lineage::default(), target, what).await? {
            (Output::Response(response), actor) => Ok((response.map(|boxed| *boxed), actor)),
            (Output::Done | Output::Value(_), _) => Err(ActorError::internal().into()),
        }
    }

    /// Asks an actor to let a connection in, and waits until it has. What the actor sends goes to `sink`, from
    /// before this returns. [`closed`](Self::closed) has to follow when the connection is over.
    ///
    /// # Errors
    ///
    /// The guest's refusal, or why it could not be asked; there is no connection then.
    pub async fn connect(
        &self,
        target: &Target,
        opening: Opening,
        sink: Box<dyn ConnSink>,
    ) -> Result<Arc<Conn>, Failed> {
        let actor = self.locate(target).await?;
        let conn = Conn::new(actor.id, opening, sink);
        let target = Target::Id(actor.id);
        let what = What::Connect(conn.clone());
        let entered = self.enter(Lineage::default(), &target, what).await;
        if let Err(failed) = entered {
            // It may have been let in and lost again.
            self.closed(&conn, 1006, String::new());
            return Err(failed);
        }
        Ok(conn)
    }

    /// Hands a frame of a connection to its actor, which is woken if need be. Returns when it has begun: what
    /// comes of it goes to the connection. Whoever waits for that before the next frame keeps the order.
    ///
    /// # Errors
    ///
    /// Why it could not begin.
    pub async fn frame(&self, conn: &Arc<Conn>, frame: Frame) -> Result<(), Failed> {
        let conn = conn.clone();
        let target = Target::Id(conn.actor);
        let what = match frame {
            Frame::Action { call, action, args } => What::Action {
                from: Caller::Conn(conn, call),
                action,
                args,
            },
            Frame::Subscribe { event, is_wanted } => What::Subscribe {
                conn,
                event,
                is_wanted,
            },
            Frame::Message(message) => What::Message(conn, message),
        };
        let entered = self.enter(Lineage::default(), &target, what).await;
        entered.map(|_| ())
    }

    /// Says that the client of a connection is gone, and how. The actor is not woken for that; if it sleeps,
    /// it learns of it when it wakes.
    pub fn closed(&self, conn: &Conn, code: u16, reason: String) {
        conn.set_gone(code, reason);
        self.sockets.remove(conn);
        if let Some(handle) = self.activations.get(conn.actor) {
            handle.set_gone(conn.id());
        }
    }

    async fn enter(
        &self,
        lineage: Lineage,
        target: &Target,
        what: What,
    ) -> Result<(Output, ActorSpecifier), Failed> {
        let mut what = what;
        for _ in 0..=self.foundation.limits.reentries_max {
            let actor = self.locate(target).await?;
            let handle = self.activations.get_or_activate(&actor).await?;
            let entered = handle.enter(lineage.clone(), what).await;
            let specifier = ActorSpecifier {
                id: actor.id,
                key: actor.name.key.clone(),
                generation: handle.generation(),
            };
            let error = match entered {
                Ok(output) => return Ok((output, specifier)),
                Err(CallError::NotBegun(back)) => {
                    what = *back;
                    handle.ended().await;
                    continue;
                }
                Err(CallError::Overloaded) => overloaded(self.foundation.limits.mailbox_calls_max),
                Err(CallError::Failed(error)) => error,
            };
            return Err(Failed {
                error,
                actor: Some(specifier),
            });
        }
        let text = "the actor left memory again and again before the call could begin";
        Err(ActorError::new(codes::STOPPING, text).into())
    }

    /// The actor that is meant, created if the target says so. Whether it is new comes with it. A new actor
    /// begins to start at once (if there is a place for it in memory), which is not waited for.
    ///
    /// # Errors
    ///
    /// `actor.not_found`, `actor.type_not_found`.
    pub async fn get_or_create(&self, target: &Target) -> Result<(ActorInfo, bool), ActorError> {
        let Target::GetOrCreate { name, input } = target else {
            return Ok((self.info(&*self.locate(target).await?), false));
        };
        if let Some(actor) = self.directory.resolve(name).await? {
            return Ok((self.info(&actor), false));
        }
        let (actor, is_new) = self.create_now(name, input.clone()).await?;
        Ok((self.info(&actor), is_new))
    }

    /// Creates an actor and starts it, without waiting for that.
    ///
    /// # Errors
    ///
    /// `actor.duplicate_key` if there is one of that name; its id is in the message.
    pub async fn create(
        &self,
        name: &ActorName,
        input: Option<Bytes>,
    ) -> Result<ActorInfo, Box<Duplicate>> {
        let (actor, is_new) = self.create_now(name, input).await.map_err(Duplicate::not)?;
        if !is_new {
            let key = &name.key;
            let id = actor.id;
            let text = format!("Actor key '{key}' already in use for actor '{id}'");
            let error = ActorError::new(codes::DUPLICATE_KEY, text);
            return Err(Box::new(Duplicate {
                error,
                existing: Some(id),
            }));
        }
        Ok(self.info(&actor))
    }

    /// The actor with this id.
    ///
    /// # Errors
    ///
    /// An internal error if the store cannot be read.
    pub async fn find(&self, id: ActorId) -> Result<Option<ActorInfo>, ActorError> {
        Ok(self
            .directory
            .find(id)
            .await?
            .map(|actor| self.info(&actor)))
    }

    /// The actor of this name.
    ///
    /// # Errors
    ///
    /// An internal error if the store cannot be read.
    pub async fn resolve(&self, name: &ActorName) -> Result<Option<ActorInfo>, ActorError> {
        Ok(self
            .directory
            .resolve(name)
            .await?
            .map(|actor| self.info(&actor)))
    }

    /// One page of actors.
    ///
    /// # Errors
    ///
    /// An internal error if the store cannot be read.
    pub async fn list(&self, filter: ListFilter) -> Result<ActorPage, ActorError> {
        let most = self.foundation.limits.page_actors_max;
        let query = ListQuery {
            namespace: filter.namespace,
            actor_type: filter.actor_type,
            after: filter.after,
            count_max: filter.count_max.map_or(most, |count| count.clamp(1, most)),
        };
        let page = self
            .foundation
            .storage
            .list(query)
            .await
            .map_err(storage_error)?;
        let next = page
            .actors
            .last()
            .filter(|_| page.has_more)
            .map(|actor| actor.id);
        Ok(ActorPage {
            actors: page.actors.iter().map(|actor| self.info(actor)).collect(),
            next,
        })
    }

    /// Puts an actor to sleep and waits until it does. One that sleeps already stays as it is.
    ///
    /// # Errors
    ///
    /// `actor.not_found`.
    pub async fn sleep(&self, id: ActorId) -> Result<(), ActorError> {
        self.directory.find(id).await?.ok_or_else(not_found)?;
        if let Some(handle) = self.activations.get(id) {
            handle.order(Order::Sleep);
            handle.ended().await;
        }
        Ok(())
    }

    /// Removes an actor for good and waits until it is gone. It is woken first if it sleeps, because it
    /// may have something to do when it is destroyed.
    ///
    /// # Errors
    ///
    /// `actor.not_found`.
    pub async fn destroy(&self, id: ActorId) -> Result<(), ActorError> {
        let actor = self.directory.find(id).await?.ok_or_else(not_found)?;
        for _ in 0..DESTROY_ATTEMPTS_MAX {
            // An actor that cannot start, or whose code is gone, can be destroyed all the same.
            let Ok(handle) = self.activations.get_or_activate(&actor).await else {
                break;
            };
            handle.order(Order::Destroy);
            handle.ended().await;
            // It may have been falling asleep already, or have crashed; then it is still there.
            let found = self
                .foundation
                .storage
                .find(id)
                .await
                .map_err(storage_error)?;
            if found.is_none() {
                return Ok(());
            }
        }
        self.foundation
            .storage
            .destroy(actor.row)
            .await
            .map_err(storage_error)?;
        self.directory.forget(&actor);
        self.sockets.close(id);
        // Whoever woke it in between can keep nothing any more, and has no business in memory either.
        if let Some(handle) = self.activations.get(id) {
            handle.order(Order::Sleep);
        }
        Ok(())
    }

    /// Deploys a component and moves the awake actors of its types to it, each after its begun turns have
    /// finished. Does not wait for them.
    ///
    /// # Errors
    ///
    /// `component.*` says what is wrong with it; nothing has changed then.
    ///
    /// Goes on to its end when the future is dropped: what the store has taken has to be switched over to.
    pub async fn deploy(self: &Arc<Self>, bytes: Bytes) -> Result<Deployment, ActorError> {
        let place = self.deploys.clone().try_acquire_owned().map_err(|_| {
            let text = "as many deploys are waiting as may; try again";
            ActorError::new(codes::SERVICE_UNAVAILABLE, text)
        })?;
        let router = self.clone();
        let deploying = self.tasks.spawn(async move {
            let _place = place;
            let (deployment, changed) = router.registry.deploy(bytes).await?;
            router.activations.upgrade(&changed);
            Ok(deployment)
        });
        deploying.await.unwrap_or_else(|error| {
            error!(%error, "a deploy broke down");
            Err(ActorError::internal())
        })
    }

    /// How many actors are awake.
    #[must_use]
    pub fn awake_count(&self) -> usize {
        self.activations.count()
    }

    /// Lets nothing begin any more, puts every actor to sleep, and waits for that. Within what time is up
    /// to the caller.
    pub async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.activations.close().await;
    }

    async fn locate(&self, target: &Target) -> Result<Arc<ActorRecord>, ActorError> {
        match target {
            Target::Id(id) => self.directory.find(*id).await?.ok_or_else(not_found),
            Target::Get(name) => match self.directory.resolve(name).await? {
                Some(actor) => Ok(actor),
                None if self.registry.has_type(&name.actor_type) => Err(not_found()),
                None => Err(type_not_found(&name.actor_type)),
            },
            Target::GetOrCreate { name, input } => match self.directory.resolve(name).await? {
                Some(actor) => Ok(actor),
                None => {
                    self.check_type(name)?;
                    Ok(self.directory.create(name.clone(), input.clone()).await?.0)
                }
            },
        }
    }

    async fn create_now(
        &self,
        name: &ActorName,
        input: Option<Bytes>,
    ) -> Result<(Arc<ActorRecord>, bool), ActorError> {
        self.check_type(name)?;
        let (actor, is_new) = self.directory.create(name.clone(), input).await?;
        if is_new {
            // Created is what was asked for; how the start goes, the first call will tell.
            _ = self.activations.get_or_activate(&actor).await;
        }
        Ok((actor, is_new))
    }

    fn check_type(&self, name: &ActorName) -> Result<(), ActorError> {
        if self.registry.has_type(&name.actor_type) {
            Ok(())
        } else {
            Err(type_not_found(&name.actor_type))
        }
    }

    fn info(&self, actor: &ActorRecord) -> ActorInfo {
        ActorInfo {
            id: actor.id,
            name: actor.name.clone(),
            created_at: actor.created_at,
            is_awake: self
                .activations
                .get(actor.id)
                .as_ref()
                .is_some_and(is_serving),
        }
    }
}

fn is_serving(handle: &Handle) -> bool {
    !handle.is_closed()
}

pub(crate) fn not_found() -> ActorError {
    ActorError::new(
        codes::NOT_FOUND,
        "The actor does not exist or was destroyed.",
    )
}

fn overloaded(mailbox_calls_max: usize) -> ActorError {
    let text = format!(
        "the actor has {mailbox_calls_max} calls waiting, as many as it may; try again later"
    );
    ActorError::new(codes::OVERLOADED, text)
}
