//! Group H, second half: an actor with many queues, which deals with them all by itself, and two that make such actors.

use greenroom_sdk::{Actor as _, prelude::*};

use crate::queues::ANY;

#[derive(Serialize, Deserialize)]
pub(crate) struct ManyQueueChildActor {
    label: Value,
    started: bool,
    processed: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Command {
    index: Value,
}

const fn command(name: &'static str) -> Queue<Command> {
    Queue::new(name)
}

#[derive(Serialize)]
struct Processed {
    ok: bool,
    index: Value,
}

#[derive(Serialize)]
struct Pong {
    label: Value,
    pong: bool,
}

#[derive(Serialize)]
struct Snapshot {
    label: Value,
    started: bool,
    processed: Vec<String>,
}

#[actor(
    rename_all = "camelCase",
    queues = [
        command("cmd.0"), command("cmd.1"), command("cmd.2"), command("cmd.3"),
        command("cmd.4"), command("cmd.5"), command("cmd.6"), command("cmd.7"),
        command("cmd.8"), command("cmd.9"), command("cmd.10"), command("cmd.11"),
        command("cmd.12"), command("cmd.13"), command("cmd.14"), command("cmd.15"),
        command("cmd.16"), command("cmd.17"), command("cmd.18"), command("cmd.19"),
        command("cmd.20"), command("cmd.21"), command("cmd.22"), command("cmd.23"),
        command("cmd.24"), command("cmd.25"), command("cmd.26"), command("cmd.27"),
        command("cmd.28"), command("cmd.29"), command("cmd.30"), command("cmd.31"),
    ],
)]
impl ManyQueueChildActor {
    #[create]
    fn create(input: Value) -> Self {
        Self {
            label: input,
            started: false,
            processed: Vec::new(),
        }
    }

    #[run]
    async fn run(cx: Context<Self>) -> Result<()> {
        cx.update(|child| child.started = true);
        loop {
            let Some(delivery) = cx.receive(ANY).take_one().await? else {
                continue;
            };
            cx.update(|child| child.processed.push(delivery.queue.clone()));
            let index = delivery.body.get("index").cloned().unwrap_or_default();
            delivery.complete_with(&Processed { ok: true, index })?;
        }
    }

    #[action]
    fn ping(&self) -> Pong {
        Pong {
            label: self.label.clone(),
            pong: true,
        }
    }

    #[action]
    fn get_snapshot(&self) -> Snapshot {
        Snapshot {
            label: self.label.clone(),
            started: self.started,
            processed: self.processed.clone(),
        }
    }
}

/// A child that is to be made, or was.
#[derive(Serialize, Deserialize)]
struct Child {
    key: String,
}

impl Child {
    /// Makes it. It would be enough to have a handle; this way it is there for those who only look, too.
    async fn spawn(&self) -> Result<(), CallError> {
        let handle = client::Handle::get_or_create(ManyQueueChildActor::TYPE, self.key.as_str());
        handle.with_input(&self.key)?.resolve().await?;
        Ok(())
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct ManyQueueActionParentActor {
    spawned: Vec<String>,
}

#[actor(rename_all = "camelCase")]
impl ManyQueueActionParentActor {
    #[action]
    async fn spawn_child(cx: Context<Self>, key: String) -> Result<Child> {
        cx.update(|parent| parent.spawned.push(key.clone()));
        let child = Child { key };
        child.spawn().await?;
        Ok(child)
    }

    #[action]
    fn get_spawned(&self) -> Vec<String> {
        self.spawned.clone()
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct ManyQueueRunParentActor {
    spawned: Vec<String>,
}

const SPAWN: Queue<Child> = Queue::new("spawn");

#[derive(Serialize)]
struct Spawned {
    ok: bool,
}

#[derive(Serialize)]
struct Queued {
    queued: bool,
}

#[actor(rename_all = "camelCase", queues = [SPAWN])]
impl ManyQueueRunParentActor {
    #[run]
    async fn run(cx: Context<Self>) -> Result<()> {
        loop {
            let (child, delivery) = SPAWN.take(&cx).await?.into_parts();
            cx.update(|parent| parent.spawned.push(child.key.clone()));
            child.spawn().await?;
            delivery.complete_with(&Spawned { ok: true })?;
        }
    }

    #[action]
    async fn queue_spawn(cx: Context<Self>, key: String) -> Result<Queued> {
        let patience = Duration::from_secs(10);
        SPAWN.send_and_wait(&cx, &Child { key }, patience).await?;
        Ok(Queued { queued: true })
    }

    #[action]
    fn get_spawned(&self) -> Vec<String> {
        self.spawned.clone()
    }
}
