//! Finding the actor, finding or making its activation, delivering; trying again where that is safe.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use greenroom_actor::{
    CallError, Caller, Conn, Handle, HttpRequest, HttpResponse, Output, Parts, Short, Sockets,
    Waiters, What,
};
use greenroom_model::{
    ActorError, ActorId, ActorName, ActorSpecifier, Completion, ComponentName, ConnSink, Lineage,
    Message, Opening, Target, Wait, codes,
};
use greenroom_storage::ActorRecord;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Foundation;
use crate::activations::Activations;
use crate::alarms::{self, Alarms};
use crate::deployed::type_not_found;
use crate::directory::Directory;
use crate::info::{ActorInfo, Duplicate};
use crate::inside::Inside;
use crate::registry::Registry;

/// The way to every actor.
pub struct Router {
    pub(crate) foundation: Foundation,
    pub(crate) registry: Arc<Registry>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) activations: Arc<Activations>,
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) waiters: Arc<Waiters>,
    alarms: Arc<Alarms>,
    /// Deploys under way, one of which works while the others wait; and who looks after alarms.
    pub(crate) tasks: TaskTracker,
    pub(crate) deploys: Arc<Semaphore>,
    /// The components whose rollouts somebody looks after.
    pub(crate) driven: Mutex<HashSet<ComponentName>>,
    pub(crate) closing: CancellationToken,
}

/// What became of a message.
#[derive(Debug)]
pub struct Sent {
    /// Whether it was completed, if anybody waited for that.
    pub completion: Completion,
    /// Who took it.
    pub actor: ActorSpecifier,
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
            let waiters = Arc::new(Waiters::default());
            let alarms = Arc::new(Alarms::new(foundation.clock.clone()));
            let parts = Parts {
                storage: foundation.storage.clone(),
                engine: foundation.engine.clone(),
                revisions: registry.clone(),
                outbound: Arc::new(Inside(router.clone())),
                sockets: sockets.clone(),
                waiters: waiters.clone(),
                clock: foundation.clock.clone(),
                limits: foundation.limits.clone(),
            };
            let activations = Activations::new(directory.clone(), alarms.clone(), parts);
            let activations = Arc::new(activations);
            let deploys_max = foundation.limits.uploads_max;
            Self {
                foundation,
                registry,
                directory,
                activations,
                sockets,
                waiters,
                alarms,
                tasks: TaskTracker::new(),
                deploys: Arc::new(Semaphore::new(deploys_max)),
                driven: Mutex::default(),
                closing: CancellationToken::new(),
            }
        })
    }

    /// Begins to wake actors when their time comes, until [`close`](Self::close).
    pub fn watch_alarms(&self) {
        let run = alarms::run(
            self.alarms.clone(),
            self.activations.clone(),
            self.foundation.storage.clone(),
            self.foundation.limits.alarm_wakes_max,
        );
        let closing = self.closing.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = run => {}
                () = closing.cancelled() => {}
            }
        });
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
            _ => Err(ActorError::internal().into()),
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
            _ => Err(ActorError::internal().into()),
        }
    }

    /// Sends a message to a queue of an actor, which is woken, or created, if need be. Returns when it is in its queue,
    /// durably, or, if `wait` says so, when it has been completed. A queue that there is not takes nothing, and
    /// what was sent to it counts as completed.
    ///
    /// # Errors
    ///
    /// `queue.*`, `auth.forbidden`, or why it could not be sent.
    pub async fn send(
        &self,
        lineage: Lineage,
        target: &Target,
        caller: Short,
        queue: String,
        body: Bytes,
        wait: Wait,
    ) -> Result<Sent, Failed> {
        let what = What::Send {
            from: caller,
            queue,
            body,
            is_waited_for: wait != Wait::No,
        };
        let (Output::Sent(waiting), actor) = self.enter(lineage, target, what).await? else {
            return Err(ActorError::internal().into());
        };
        let most = self.foundation.limits.queue_wait_max;
        let completed = match (waiting, wait) {
            (Some(waiting), Wait::Until(within)) => {
                waiting.wait(within.unwrap_or(most).min(most)).await
            }
            _ => Ok(Completion::Completed(None)),
        };
        match completed {
            Ok(completion) => Ok(Sent { completion, actor }),
            Err(error) => Err(Failed {
                error,
                actor: Some(actor),
            }),
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

    pub(crate) async fn enter(
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

    /// How many actors are awake.
    #[must_use]
    pub fn awake_count(&self) -> usize {
        self.activations.count()
    }

    /// Lets nothing begin any more, puts every actor to sleep, and waits for that. Within what time is up
    /// to the caller.
    pub async fn close(&self) {
        self.closing.cancel();
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

    pub(crate) fn info(&self, actor: &ActorRecord) -> ActorInfo {
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
