//! A way for tests to kill the host at a chosen moment of a commit.
//!
//! The environment variable `GREENROOM_FAULT` is read when the engine opens. Its value is `POINT:N`: the
//! `N`th time (from 1) that a commit reaches the point, the process aborts. Every commit counts, whichever
//! actor's it is, in the order in which the writer takes them. The points:
//!
//! - `before`: nothing of the commit has been written;
//! - `middle`: the state has been written, what else the commit has has not;
//! - `written`: everything has been written, in a transaction that is still open;
//! - `durable`: the transaction is on disk, and nobody in it has been answered.
//!
//! A commit that is fenced off gets no further than `before`. Release builds have none of this.

use crate::Result;

/// A moment of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    Before,
    Middle,
    Written,
    Durable,
}

/// Where the process is to abort, if it is.
#[derive(Debug, Default)]
pub(super) struct Faults {
    #[cfg(debug_assertions)]
    armed: Option<Armed>,
}

#[cfg(not(debug_assertions))]
impl Faults {
    pub(super) fn from_environment() -> Result<Self> {
        Ok(Self::default())
    }

    /// A commit has come to this point.
    pub(super) fn reach(&self, _: Point) {}
}

#[cfg(debug_assertions)]
#[derive(Debug)]
struct Armed {
    point: Point,
    /// How often it is still to be reached.
    left: std::cell::Cell<u64>,
}

#[cfg(debug_assertions)]
impl Faults {
    /// # Errors
    ///
    /// [`Error::Engine`](crate::Error::Engine) if the variable is set to something else than the above.
    pub(super) fn from_environment() -> Result<Self> {
        match std::env::var_os("GREENROOM_FAULT") {
            None => Ok(Self::default()),
            Some(value) => Self::parse(&value.to_string_lossy()),
        }
    }

    fn parse(value: &str) -> Result<Self> {
        let armed = value.split_once(':').and_then(|(point, count)| {
            let point = match point {
                "before" => Point::Before,
                "middle" => Point::Middle,
                "written" => Point::Written,
                "durable" => Point::Durable,
                _ => return None,
            };
            let count = count.parse().ok().filter(|count| *count > 0)?;
            let left = std::cell::Cell::new(count);
            Some(Armed { point, left })
        });
        if armed.is_none() {
            return Err(crate::Error::engine(anyhow::anyhow!(
                "GREENROOM_FAULT is `{value}`; it must be `POINT:N`, where POINT is before, middle, \
                 written or durable, and N is a number from 1"
            )));
        }
        Ok(Self { armed })
    }

    /// A commit has come to this point.
    pub(super) fn reach(&self, point: Point) {
        let Some(armed) = self.armed.as_ref().filter(|armed| armed.point == point) else {
            return;
        };
        armed.left.set(armed.left.get().saturating_sub(1));
        if armed.left.get() == 0 {
            tracing::error!(?point, "the process aborts, as GREENROOM_FAULT says");
            std::process::abort();
        }
    }
}

#[cfg(test)]
#[cfg(debug_assertions)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};

    use bytes::Bytes;
    use greenroom_model::Millis;

    use super::*;
    use crate::conformance::Awake;
    use crate::{Actors, DataChanges, Directory, ListQuery, NewAlarm, Sqlite};

    /// Set for the process that is to die: where its data is.
    const FOLDER: &str = "GREENROOM_FAULT_TEST_FOLDER";
    const THIS: &str = "sqlite::fault::tests::a_commit_is_there_as_a_whole_or_not_at_all";
    const COMMITS: u64 = 3;

    #[test]
    fn a_value_that_means_nothing_is_refused() {
        for value in [
            "",
            "before",
            "before:",
            "before:0",
            "before:-1",
            "after:1",
            "before:1:1",
        ] {
            let refused = Faults::parse(value).unwrap_err();
            let crate::Error::Engine(reason) = refused else {
                panic!("{refused:?}");
            };
            assert!(
                reason.to_string().contains(&format!("`{value}`")),
                "{reason}"
            );
        }
        let faults = Faults::parse("durable:2").unwrap();
        faults.reach(Point::Durable);
        faults.reach(Point::Before);
    }

    /// This test starts itself again, with a fault, for each point of each commit.
    #[tokio::test]
    async fn a_commit_is_there_as_a_whole_or_not_at_all() {
        if let Some(folder) = std::env::var_os(FOLDER) {
            return commit_until_death(Path::new(&folder)).await;
        }
        for point in ["before", "middle", "written", "durable"] {
            for count in 1..=COMMITS {
                let folder = tempfile::tempdir().unwrap();
                let died = Command::new(std::env::current_exe().unwrap())
                    .args([THIS, "--exact"])
                    .env(FOLDER, folder.path())
                    .env("GREENROOM_FAULT", format!("{point}:{count}"))
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status();
                assert!(!died.unwrap().success(), "{point}:{count} was not reached");
                let kept = count - u64::from(point != "durable");
                find(folder.path(), kept).await;
            }
        }
    }

    async fn commit_until_death(folder: &Path) {
        let sqlite = Sqlite::open(folder, 64).unwrap();
        let mut awake = Awake::new(&sqlite, "fault", "x").await;
        for number in 1..=COMMITS {
            let data = DataChanges {
                pairs: vec![(Bytes::from("number"), Some(bytes(number)))],
                alarm: Some(NewAlarm {
                    at: Some(Millis(i64::try_from(number).unwrap())),
                    set_at: Millis(0),
                }),
                ..DataChanges::default()
            };
            awake.commit_with(Some(bytes(number)), data).await;
        }
    }

    async fn find(folder: &Path, kept: u64) {
        let sqlite = Sqlite::open(folder, 64).unwrap();
        let query = ListQuery {
            namespace: None,
            actor_type: None,
            after: None,
            count_max: 1,
        };
        let actor = sqlite.list(query).await.unwrap().actors.remove(0);
        let opened = sqlite.open(actor.row).await.unwrap();
        assert_eq!(opened.head.0, kept);
        let wanted = (kept > 0).then(|| bytes(kept));
        assert_eq!(opened.state, wanted);
        let key = vec![Bytes::from("number")];
        let pair = sqlite
            .kv_get(actor.row, key, 1_000)
            .await
            .unwrap()
            .remove(0);
        assert_eq!(pair, wanted);
        assert_eq!(opened.kv_bytes, if kept > 0 { 7 } else { 0 });
        assert_eq!(opened.alarm.map_or(0, |at| at.0).unsigned_abs(), kept);
    }

    fn bytes(number: u64) -> Bytes {
        Bytes::from(number.to_string())
    }
}
