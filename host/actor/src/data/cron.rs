//! When a cron expression comes true next.

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use greenroom_model::{ActorError, Millis, codes};

/// The longest expression, in bytes.
const EXPRESSION_BYTES_MAX: usize = 256;
/// Times that an expression can have for the few hours that a change of the clocks is about.
const TIMES_MAX: usize = 4 * 3_600;

/// The first time after `after` that the expression means.
///
/// Around changes of the clocks, as cron does. An expression whose hours, minutes and seconds have neither `*` nor `/`
/// means times of the day: one that does not exist is moved to the next that does, and one that exists twice is meant
/// once. Any other follows the clock as it goes.
///
/// # Errors
///
/// `schedule.invalid_cron_expression`, also if it never comes true; `schedule.invalid_timezone`.
pub(crate) fn next(
    expression: &str,
    time_zone: Option<&str>,
    after: Millis,
) -> Result<Millis, ActorError> {
    let invalid = |why: String| {
        let shown: String = expression.chars().take(80).collect();
        let text = format!("the cron expression {shown:?} cannot be used: {why}");
        ActorError::new(codes::SCHEDULE_INVALID_CRON, text)
    };
    if expression.len() > EXPRESSION_BYTES_MAX {
        return Err(invalid(format!(
            "it is longer than {EXPRESSION_BYTES_MAX} bytes"
        )));
    }
    let cron = parse(expression).map_err(|error| invalid(error.to_string()))?;
    let zone: Tz = match time_zone {
        None => Tz::UTC,
        Some(name) => name.parse().map_err(|_| {
            let shown: String = name.chars().take(80).collect();
            let text = format!("there is no time zone {shown:?}; use a name like Europe/Berlin");
            ActorError::new(codes::SCHEDULE_INVALID_TIMEZONE, text)
        })?,
    };
    let after: DateTime<Utc> = Utc
        .timestamp_millis_opt(after.0)
        .single()
        .ok_or_else(|| invalid("the time is too far away".to_owned()))?;
    let next = if means_times_of_day(expression) {
        next_time_of_day(&cron, zone, after)
    } else {
        let next = cron.find_next_occurrence(&after.with_timezone(&zone), false);
        next.map(|next| next.to_utc())
    };
    let next = next.map_err(|error| invalid(error.to_string()))?;
    Ok(Millis(next.timestamp_millis()))
}

/// Whether it names its hours, minutes and seconds one by one.
fn means_times_of_day(expression: &str) -> bool {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let days = 3;
    match fields.len().checked_sub(days) {
        Some(count @ 2..=3) => fields[..count]
            .iter()
            .all(|field| !field.contains(['*', '/', '?'])),
        // By name; an hour is the only one that is no time of the day.
        _ => !expression.trim().eq_ignore_ascii_case("@hourly"),
    }
}

/// Looks for it as if clocks never changed, and then when that is. (The library does so for single times only.)
fn next_time_of_day(
    cron: &Cron,
    zone: Tz,
    after: DateTime<Utc>,
) -> Result<DateTime<Utc>, CronError> {
    let mut local = after.with_timezone(&zone).naive_local();
    // The hour that comes twice has as many times as the expression has for an hour; each is looked at once.
    for _ in 0..TIMES_MAX {
        local = cron
            .find_next_occurrence(&local.and_utc(), false)?
            .naive_utc();
        let next = existing(local, zone).ok_or(CronError::TimeSearchLimitExceeded)?;
        if next > after {
            return Ok(next);
        }
    }
    Err(CronError::TimeSearchLimitExceeded)
}

/// The first moment at which clocks show this or, if they never do, at which they show more.
fn existing(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    if let Some(moment) = zone.from_local_datetime(&local).earliest() {
        return Some(moment.to_utc());
    }
    // With the offset from before the gap it would be beyond its end, with the one from after it before.
    let offset = |at: NaiveDateTime| zone.offset_from_utc_datetime(&at).fix();
    let day = TimeDelta::days(1);
    let (earlier, later) = (offset(local - day), offset(local + day));
    let mut before = (local - later).and_utc().timestamp();
    let mut beyond = (local - earlier).and_utc().timestamp();
    while beyond - before > 1 {
        let middle = before + (beyond - before) / 2;
        let is_before = offset(DateTime::from_timestamp(middle, 0)?.naive_utc()) == earlier;
        *(if is_before { &mut before } else { &mut beyond }) = middle;
    }
    DateTime::from_timestamp(beyond, 0)
}

fn parse(expression: &str) -> Result<Cron, CronError> {
    let parser = CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .build();
    parser.parse(expression)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Millis {
        Millis(
            DateTime::parse_from_rfc3339(text)
                .unwrap()
                .timestamp_millis(),
        )
    }

    #[test]
    fn the_next_time_is_in_the_time_zone() {
        for (expression, zone, after, wanted) in [
            (
                "0 9 * * *",
                None,
                "2026-03-01T09:00:00Z",
                "2026-03-02T09:00:00Z",
            ),
            (
                "*/15 * * * *",
                None,
                "2026-03-01T09:07:01Z",
                "2026-03-01T09:15:00Z",
            ),
            (
                "*/2 * * * * *",
                None,
                "2026-03-01T09:07:01Z",
                "2026-03-01T09:07:02Z",
            ),
            (
                "0 9 * * *",
                Some("Europe/Berlin"),
                "2026-03-01T07:00:00Z",
                "2026-03-01T08:00:00Z",
            ),
            // Summer time begins on 29 March 2026.
            (
                "0 9 * * *",
                Some("Europe/Berlin"),
                "2026-03-28T09:00:00Z",
                "2026-03-29T07:00:00Z",
            ),
            // At half past two there is no half past two.
            (
                "30 2 * * *",
                Some("Europe/Berlin"),
                "2026-03-28T12:00:00Z",
                "2026-03-29T01:00:00Z",
            ),
            (
                "0 0 29 2 *",
                None,
                "2026-03-01T00:00:00Z",
                "2028-02-29T00:00:00Z",
            ),
        ] {
            let next = next(expression, zone, at(after)).unwrap();
            assert_eq!(next, at(wanted), "{expression} {zone:?}");
        }
    }

    #[test]
    fn what_happens_twice_is_meant_once() {
        // Summer time ends on 25 October 2026: 02:30 comes twice.
        let first = next(
            "30 2 * * *",
            Some("Europe/Berlin"),
            at("2026-10-24T12:00:00Z"),
        )
        .unwrap();
        assert_eq!(first, at("2026-10-25T00:30:00Z"));
        let second = next("30 2 * * *", Some("Europe/Berlin"), first).unwrap();
        assert_eq!(second, at("2026-10-26T01:30:00Z"));
    }

    /// The times between two moments, in Berlin.
    fn times(expression: &str, from: &str, to: &str) -> Vec<String> {
        let mut now = at(from);
        let mut times = Vec::new();
        loop {
            now = next(expression, Some("Europe/Berlin"), now).unwrap();
            if now >= at(to) {
                return times;
            }
            let moment = DateTime::from_timestamp_millis(now.0).unwrap();
            times.push(moment.format("%d %H:%M").to_string());
        }
    }

    #[test]
    fn times_of_the_day_are_each_meant_once_whatever_the_clocks_do() {
        let spring = ("2026-03-28T12:00:00Z", "2026-03-29T20:00:00Z");
        let autumn = ("2026-10-24T12:00:00Z", "2026-10-25T20:00:00Z");
        for (expression, in_spring, in_autumn) in [
            // The gap is from 02:00 to 03:00, 01:00Z; the hour that comes twice begins at 00:00Z.
            (
                "15 2,14 * * *",
                &["28 13:15", "29 01:00", "29 12:15"][..],
                &["24 12:15", "25 00:15", "25 13:15"][..],
            ),
            ("0,30 2 * * *", &["29 01:00"], &["25 00:00", "25 00:30"]),
            (
                "0 1-4 * * *",
                &["29 00:00", "29 01:00", "29 02:00"],
                &["24 23:00", "25 00:00", "25 02:00", "25 03:00"],
            ),
            ("30 30 2 * * *", &["29 01:00"], &["25 00:30"]),
        ] {
            assert_eq!(
                times(expression, spring.0, spring.1),
                in_spring,
                "{expression}"
            );
            assert_eq!(
                times(expression, autumn.0, autumn.1),
                in_autumn,
                "{expression}"
            );
        }
        // This one follows the clock: there are two hours between one and three o'clock in autumn, and none in spring.
        let half_hours = |from, to| times("*/30 * * * *", from, to).len();
        assert_eq!(
            half_hours("2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"),
            1
        );
        assert_eq!(
            half_hours("2026-10-24T23:30:00Z", "2026-10-25T02:00:00Z"),
            4
        );
        assert_eq!(times("@daily", spring.0, spring.1), ["28 23:00"]);
    }

    #[test]
    fn nonsense_is_refused() {
        let now = at("2026-03-01T00:00:00Z");
        for expression in [
            "",
            "* * *",
            "61 * * * *",
            "0 0 30 2 *",
            "a b c d e",
            &"*".repeat(300),
        ] {
            let error = next(expression, None, now).unwrap_err();
            assert!(error.is(codes::SCHEDULE_INVALID_CRON), "{expression}");
        }
        let error = next("* * * * *", Some("Europe/Atlantis"), now).unwrap_err();
        assert!(error.is(codes::SCHEDULE_INVALID_TIMEZONE));
    }
}
