//! Group L, third part: connections that stay open while their actor sleeps.

use greenroom_sdk::prelude::*;

/// How often an actor has started and fallen asleep.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    sleep_count: u32,
    wake_count: u32,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct HibernationActor {
    sleep_count: u32,
    wake_count: u32,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnCounts {
    count: u32,
    connect_count: u32,
    disconnect_count: u32,
}

/// How often the hooks of a connection have run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConnLifecycle {
    connect_count: u32,
    disconnect_count: u32,
}

#[actor(
    rename_all = "camelCase",
    conn_state = ConnCounts,
    sleep_after = "500ms",
    connections_keep_awake,
)]
impl HibernationActor {
    #[on_wake]
    fn woken(&mut self) {
        self.wake_count += 1;
    }

    #[on_sleep]
    fn sleeps(&mut self) {
        self.sleep_count += 1;
    }

    #[on_connect]
    fn connected(&self, conn: &Conn<Self>) {
        conn.update(|counts| counts.connect_count += 1);
    }

    #[on_disconnect]
    fn disconnected(&self, conn: &Conn<Self>) {
        conn.update(|counts| counts.disconnect_count += 1);
    }

    #[action]
    fn ping(&self) -> &'static str {
        "pong"
    }

    #[action]
    fn conn_increment(&self, conn: &Conn<Self>) -> u32 {
        conn.update(|counts| {
            counts.count += 1;
            counts.count
        })
    }

    #[action]
    fn get_conn_count(&self, conn: &Conn<Self>) -> u32 {
        conn.state(|counts| counts.count)
    }

    #[action]
    fn get_conn_lifecycle_counts(&self, conn: &Conn<Self>) -> ConnLifecycle {
        conn.state(|counts| ConnLifecycle {
            connect_count: counts.connect_count,
            disconnect_count: counts.disconnect_count,
        })
    }

    #[action]
    fn get_connection_ids(&self, env: &Env<Self>) -> Vec<String> {
        let conns = env.conns().into_iter();
        conns.map(|conn| conn.id().to_owned()).collect()
    }

    #[action]
    fn get_actor_counts(&self) -> Counts {
        Counts {
            sleep_count: self.sleep_count,
            wake_count: self.wake_count,
        }
    }

    #[action]
    fn trigger_sleep(&self, env: &Env<Self>) {
        env.sleep();
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct FileSystemHibernationCleanupActor {
    wake_count: u32,
    sleep_count: u32,
    disconnect_wake_counts: Vec<u32>,
}

#[actor(
    rename_all = "camelCase",
    sleep_after = "500ms",
    connections_keep_awake
)]
impl FileSystemHibernationCleanupActor {
    #[on_wake]
    fn woken(&mut self) {
        self.wake_count += 1;
    }

    #[on_sleep]
    fn sleeps(&mut self) {
        self.sleep_count += 1;
    }

    #[on_disconnect]
    fn disconnected(&mut self, conn: &Conn<Self>) {
        if conn.can_hibernate() {
            self.disconnect_wake_counts.push(self.wake_count);
        }
    }

    #[action]
    fn ping(&self) -> &'static str {
        "pong"
    }

    #[action]
    fn trigger_sleep(&self, env: &Env<Self>) {
        env.sleep();
    }

    #[action]
    fn get_counts(&self) -> Counts {
        Counts {
            sleep_count: self.sleep_count,
            wake_count: self.wake_count,
        }
    }

    #[action]
    fn get_disconnect_wake_counts(&self) -> Vec<u32> {
        self.disconnect_wake_counts.clone()
    }
}
