//! The limits that an operator can set, each with its unit, its default and its bounds.
//!
//! One table serves flags (`--sleep-after`), environment (`GREENROOM_SLEEP_AFTER`), the config file
//! (`sleep_after = "30s"`) and `--help`.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytesize::ByteSize;
use greenroom_model::Limits;

/// One limit.
pub(crate) struct Setting {
    /// As in the config file; flags have hyphens.
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    field: Field,
}

/// Where it goes, and what it may be.
enum Field {
    Count(fn(&mut Limits) -> &mut dyn Number, u64, u64),
    Bytes(fn(&mut Limits) -> &mut dyn Number, u64, u64),
    Time(fn(&mut Limits) -> &mut Duration, Duration, Duration),
}

/// A whole number, of whatever width.
trait Number {
    fn get(&self) -> u64;
    fn set(&mut self, value: u64) -> Result<()>;
}

macro_rules! number {
    ($($width:ty),*) => {$(
        impl Number for $width {
            fn get(&self) -> u64 {
                u64::try_from(*self).unwrap_or(u64::MAX)
            }

            fn set(&mut self, value: u64) -> Result<()> {
                *self = Self::try_from(value).context("it is too large")?;
                Ok(())
            }
        }
    )*};
}

number!(u32, u64, usize);

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

macro_rules! setting {
    ($kind:ident $name:ident, $least:expr, $most:expr, $help:literal) => {
        Setting {
            name: stringify!($name),
            help: $help,
            field: Field::$kind(|limits| &mut limits.$name, $least, $most),
        }
    };
}

/// All of them, in the order of `--help`.
pub(crate) const SETTINGS: &[Setting] = &[
    setting!(Count awake_max, 1, 200_000, "Actors in memory at once; beyond it, the one idle longest goes to sleep"),
    setting!(Time awake_wait_max, MS, DAY, "How long a call waits for one of those places"),
    setting!(Count mailbox_calls_max, 1, 65_536, "Calls that may wait at one actor"),
    setting!(Count turns_max, 2, 65_536, "Calls that may run at once inside one actor"),
    setting!(Time sleep_after, MS, DAY, "Idle time after which an actor sleeps, unless its type says otherwise"),
    setting!(Time action_timeout, MS, DAY, "Time that an action may take, unless its type says otherwise"),
    setting!(Time stop_grace, MS, DAY, "Time that a stopping actor has for what it began, unless its type says otherwise"),
    setting!(Time start_timeout, MS, DAY, "Time that an actor has to start"),
    setting!(Time connect_timeout, MS, DAY, "Time that an actor has to let a connection in"),
    setting!(Time request_timeout, MS, DAY, "Time that an actor has to begin to answer a raw HTTP request, or to handle a raw message"),
    setting!(Count actor_conns_max, 1, 1_000_000, "Connections of one actor"),
    setting!(Bytes actor_openings_bytes_max, KIB, 512 * MIB, "Params and opening requests of all connections of one actor"),
    setting!(Count subscriptions_max, 1, 65_536, "Events that one connection may be subscribed to"),
    setting!(Bytes outbox_bytes_max, KIB, 1024 * MIB, "Events and messages of one actor that may wait to leave"),
    setting!(Bytes guest_memory_bytes_max, MIB, 1024 * MIB, "Memory of one actor"),
    setting!(Time guest_burst_max, MS, DAY, "Time that an actor may compute without waiting in between"),
    setting!(Bytes state_bytes_max, KIB, 512 * MIB, "State of one actor"),
    setting!(Count queue_messages_max, 1, 100_000, "Messages in all queues of one actor, unless its type says otherwise"),
    setting!(Bytes queue_message_bytes_max, KIB, MIB, "One message of a queue, unless the actor's type says otherwise"),
    setting!(Bytes queue_bytes_max, KIB, 1024 * MIB, "All messages of one actor"),
    setting!(Count queue_attempts_max, 1, 1_000_000, "Times that a message may be taken before it is a dead letter, unless the actor's type says otherwise"),
    setting!(Time queue_wait_max, MS, DAY, "Time that a sender may wait for its message to be completed"),
    setting!(Bytes kv_bytes_max, KIB, 1024 * 1024 * MIB, "Key-value pairs of one actor"),
    setting!(Count schedule_entries_max, 1, 1_000_000, "Entries in the schedule of one actor"),
    setting!(Bytes schedule_bytes_max, KIB, 512 * MIB, "The schedule of one actor"),
    setting!(Count alarm_wakes_max, 1, 65_536, "Sleeping actors that are woken at once for what they have scheduled"),
    setting!(Bytes component_bytes_max, KIB, 512 * MIB, "An uploaded component"),
    setting!(Count connections_max, 1, 1_000_000, "Connections that clients may hold open"),
    setting!(Count requests_max, 1, 1_000_000, "Requests that may be under way, over all connections"),
    setting!(Count uploads_max, 1, 1_024, "Uploads of components that may be under way"),
    setting!(Bytes head_bytes_max, 8 * KIB, MIB, "Request line and headers of one request"),
    setting!(Time head_timeout, MS, DAY, "Time that a client has to send a request's head, also between requests"),
    setting!(Time body_timeout, MS, DAY, "Time that a client has to send a request's body"),
    setting!(Time write_timeout, MS, DAY, "Time that a client may take without accepting any of an answer"),
    setting!(Time ping_every, MS, DAY, "Pause between pings on a WebSocket"),
    setting!(Time silence_max, MS, DAY, "Time without a word, or a pong, after which a WebSocket's client is gone; longer than ping_every"),
    setting!(Bytes incoming_bytes_max, KIB, 64 * MIB, "Body of an action call"),
    setting!(Bytes outgoing_bytes_max, KIB, 64 * MIB, "Answer of an action call"),
    setting!(Count websockets_max, 1, 1_000_000, "WebSockets that clients may hold open"),
    setting!(Bytes conn_queues_bytes_max, MIB, 1024 * 1024 * MIB, "What may wait for the clients of all connections; the less is left of it, the less one may have"),
    setting!(Bytes conn_queue_bytes_max, KIB, 1024 * MIB, "What may wait for a slow client of one connection"),
    setting!(Count conn_queue_frames_max, 16, 1_000_000, "Frames that may wait for a slow client of one connection"),
    setting!(Bytes raw_body_bytes_max, KIB, 1024 * MIB, "Body of a raw HTTP request or response"),
    setting!(Bytes raw_message_bytes_max, KIB, 64 * MIB, "Message on a raw WebSocket"),
    setting!(Bytes input_bytes_max, KIB, 64 * MIB, "Input of a creation over REST"),
    setting!(Count revisions_kept_max, 1, 10_000, "Revisions of one component whose code is kept, besides those that are in use"),
    setting!(Count rollout_moves_max, 1, 65_536, "Awake actors of one component that go over to another revision at once"),
    setting!(Time rollout_window, MS, DAY, "Time that a rollout is watched after the last actor has gone over"),
    setting!(Count rollout_failures_percent, 0, 100, "Actors that may fail on a new revision, out of a hundred that start or do something on it, before it is rolled back"),
    setting!(Count rollout_failures_min, 1, 1_000_000, "Failures that it takes at least to roll back"),
    setting!(Count rehearsal_actors_max, 1, 10_000_000, "Actors that are rehearsed before a deploy, unless it says otherwise"),
    setting!(Time rehearsal_max, MS, DAY, "Time that a rehearsal may take"),
    setting!(Time shutdown_max, MS, DAY, "Time that the whole host has to stop"),
];

impl Setting {
    /// The help line, with default and bounds.
    pub(crate) fn long_help(&self) -> String {
        let mut defaults = Limits::default();
        let (default, least, most) = match self.field {
            Field::Count(field, least, most) => (
                field(&mut defaults).get().to_string(),
                least.to_string(),
                most.to_string(),
            ),
            Field::Bytes(field, least, most) => {
                (bytes(field(&mut defaults).get()), bytes(least), bytes(most))
            }
            Field::Time(field, least, most) => {
                (time(*field(&mut defaults)), time(least), time(most))
            }
        };
        format!("{} [default: {default}; {least} to {most}]", self.help)
    }

    /// Takes a value as somebody wrote it.
    pub(crate) fn apply(&self, limits: &mut Limits, text: &str) -> Result<()> {
        let mut set = || -> Result<()> {
            match self.field {
                Field::Count(field, least, most) => {
                    let value = text.parse().context("it has to be a whole number")?;
                    field(limits).set(within(value, least, most, |n| n.to_string())?)?;
                }
                Field::Bytes(field, least, most) => {
                    let size: ByteSize = text
                        .parse()
                        .map_err(|e| anyhow::anyhow!("{e}; a size is like 64MiB"))?;
                    field(limits).set(within(size.as_u64(), least, most, bytes)?)?;
                }
                Field::Time(field, least, most) => {
                    let value = humantime::parse_duration(text)
                        .context("a time is like 250ms, 30s or 5m")?;
                    *field(limits) = within(value, least, most, time)?;
                }
            }
            Ok(())
        };
        set().with_context(|| format!("{} = {text:?}", self.name))
    }
}

fn within<T: PartialOrd + Copy>(
    value: T,
    least: T,
    most: T,
    show: impl Fn(T) -> String,
) -> Result<T> {
    if value < least || value > most {
        bail!("it has to be {} to {}", show(least), show(most));
    }
    Ok(value)
}

fn bytes(count: u64) -> String {
    ByteSize(count)
        .display()
        .iec()
        .to_string()
        .replace(' ', "")
        .replace(".0", "")
}

fn time(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str) -> &'static Setting {
        SETTINGS
            .iter()
            .find(|setting| setting.name == name)
            .unwrap()
    }

    #[test]
    fn every_default_is_within_its_bounds() {
        for setting in SETTINGS {
            let mut defaults = Limits::default();
            let is_within = match setting.field {
                Field::Count(f, least, most) | Field::Bytes(f, least, most) => {
                    (least..=most).contains(&f(&mut defaults).get())
                }
                Field::Time(f, least, most) => (least..=most).contains(f(&mut defaults)),
            };
            assert!(is_within, "{}", setting.name);
        }
    }

    #[test]
    fn values_are_read_with_their_units_and_bounds() {
        let mut limits = Limits::default();
        setting("sleep_after").apply(&mut limits, "250ms").unwrap();
        setting("state_bytes_max")
            .apply(&mut limits, "2MiB")
            .unwrap();
        setting("turns_max").apply(&mut limits, "7").unwrap();
        assert_eq!(limits.sleep_after, Duration::from_millis(250));
        assert_eq!((limits.state_bytes_max, limits.turns_max), (2 << 20, 7));
        setting("kv_bytes_max").apply(&mut limits, "1TiB").unwrap();
        setting("queue_attempts_max")
            .apply(&mut limits, "3")
            .unwrap();
        assert_eq!(
            (limits.kv_bytes_max, limits.queue_attempts_max),
            (1 << 40, 3)
        );
        for (name, text) in [
            ("sleep_after", "5"),
            ("sleep_after", "0s"),
            ("turns_max", "1"),
            ("state_bytes_max", "1GiB"),
            ("state_bytes_max", "much"),
            ("queue_attempts_max", "0"),
            ("queue_attempts_max", "-1"),
        ] {
            let refused = setting(name).apply(&mut limits, text).unwrap_err();
            assert!(format!("{refused:#}").contains(name), "{refused:#}");
        }
    }
}
