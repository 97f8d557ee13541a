//! How does an actor do something later? It puts actions of its own into its schedule, once or again and again. What is
//! in there outlives sleep, crashes and new revisions, and wakes the actor when its time has come. (In Rivet Actors:
//! `c.schedule` and `c.cron`.) An actor of this type keeps the reminders of one person, who is its key.

use std::collections::VecDeque;

use greenroom_sdk::prelude::*;

/// So many are kept for somebody who does not look.
const UNREAD_MAX: usize = 100;

/// A reminder is due. For everybody who is connected then.
const REMINDER: Event<String> = Event::new("reminder");

#[derive(Default, Serialize, Deserialize)]
struct Reminder {
    /// What was due and has not been read yet: perhaps nobody was connected.
    unread: VecDeque<String>,
}

#[actor(events = [REMINDER], sleep_after = "2s")]
impl Reminder {
    /// Once, in so many seconds. Gives the id that `cancel` takes.
    #[action]
    fn remind(&self, env: &Env<Self>, seconds: u32, text: String) -> Result<String> {
        let delay = Duration::from_secs(seconds.into());
        env.schedule().after(delay, "ring", (text,))
    }

    /// Every so many seconds, until it is cancelled.
    #[action]
    fn nag(&self, env: &Env<Self>, seconds: u32, text: String) -> Result<String> {
        let interval = Duration::from_secs(seconds.into());
        env.schedule().every(interval, "ring", (text,))
    }

    /// Every day at that time of that place. There is one of these: it has a name, and takes the place of the last.
    #[action]
    fn daily(
        &self,
        env: &Env<Self>,
        hour: u32,
        minute: u32,
        time_zone: String,
        text: String,
    ) -> Result<String> {
        let schedule = env.schedule().named("daily").time_zone(time_zone);
        schedule.cron(&format!("{minute} {hour} * * *"), "ring", (text,))
    }

    /// Whether there was one of this id.
    #[action]
    fn cancel(&self, env: &Env<Self>, id: String) -> bool {
        env.schedule().cancel(&id)
    }

    /// What is to come, next first.
    #[action]
    fn upcoming(&self, env: &Env<Self>) -> Vec<Scheduled> {
        env.schedule().list()
    }

    /// What the schedule runs: an action like any other, which clients may call as well.
    #[action]
    fn ring(&mut self, env: &Env<Self>, text: String) {
        // The new state and the end of the schedule's entry are one commit, and the event leaves after it. If the host
        // dies before, the action runs again, on the old state: nothing is noted twice.
        env.broadcast(REMINDER, &text);
        self.unread.push_back(text);
        if self.unread.len() > UNREAD_MAX {
            self.unread.pop_front();
        }
    }

    /// What was due since this was last asked.
    #[action]
    fn read(&mut self) -> VecDeque<String> {
        std::mem::take(&mut self.unread)
    }
}

greenroom_sdk::component!(Reminder);
