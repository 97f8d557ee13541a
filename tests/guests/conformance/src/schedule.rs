//! Group J: what is to be done later. `scheduledDb` needs SQL, which there is not: it is missing.

use greenroom_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Scheduled {
    last_run: i64,
    scheduled_count: u32,
    task_history: Vec<String>,
}

#[derive(Serialize)]
struct Ran {
    time: i64,
    count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RanWithId {
    task_id: String,
    time: i64,
    count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    task_id: String,
    scheduled_for: i64,
}

const SCHEDULED: Event<Ran> = Event::new("scheduled");
const SCHEDULED_WITH_ID: Event<RanWithId> = Event::new("scheduledWithId");

const TASK: &str = "onScheduledTask";
const TASK_WITH_ID: &str = "onScheduledTaskWithId";

impl Scheduled {
    fn ran(&mut self) -> Ran {
        self.last_run = time::now_ms();
        self.scheduled_count += 1;
        Ran {
            time: self.last_run,
            count: self.scheduled_count,
        }
    }
}

#[actor(rename_all = "camelCase", events = [SCHEDULED, SCHEDULED_WITH_ID])]
impl Scheduled {
    #[action]
    fn schedule_task_at(&self, env: &Env<Self>, at: i64) -> Result<i64> {
        env.schedule().at(at, TASK, ())?;
        Ok(at)
    }

    #[action]
    fn schedule_task_after(&self, env: &Env<Self>, ms: u32) -> Result<i64> {
        let now = time::now_ms();
        let schedule = env.schedule();
        schedule.after(Duration::from_millis(ms.into()), TASK, ())?;
        Ok(now + i64::from(ms))
    }

    #[action]
    fn schedule_task(&self, env: &Env<Self>, ms: u32) -> Result<i64> {
        let at = time::now_ms() + i64::from(ms);
        env.schedule().at(at, TASK, ())?;
        Ok(at)
    }

    #[action]
    fn schedule_task_after_with_id(&self, env: &Env<Self>, id: String, ms: u32) -> Result<Task> {
        let scheduled_for = time::now_ms() + i64::from(ms);
        let delay = Duration::from_millis(ms.into());
        env.schedule().after(delay, TASK_WITH_ID, (&id,))?;
        Ok(Task {
            task_id: id,
            scheduled_for,
        })
    }

    #[action]
    fn on_scheduled_task(&mut self, env: &Env<Self>) {
        let ran = self.ran();
        env.broadcast(SCHEDULED, &ran);
    }

    #[action]
    fn on_scheduled_task_with_id(&mut self, env: &Env<Self>, id: String) {
        let Ran { time, count } = self.ran();
        self.task_history.push(id.clone());
        let ran = RanWithId {
            task_id: id,
            time,
            count,
        };
        env.broadcast(SCHEDULED_WITH_ID, &ran);
    }

    #[action]
    fn get_last_run(&self) -> i64 {
        self.last_run
    }

    #[action]
    fn get_scheduled_count(&self) -> u32 {
        self.scheduled_count
    }

    #[action]
    fn get_task_history(&self) -> Vec<String> {
        self.task_history.clone()
    }

    #[action]
    fn clear_history(&mut self) -> bool {
        *self = Self::default();
        true
    }
}
