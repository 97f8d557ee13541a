//! When a cron expression comes true next.

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use greenroom_model::{ActorError, Millis, codes};

/// The longest expression, in bytes.
const EXPRESSION_BYTES_MAX: usize = 256;

/// The first time after `after` that the expression means.
///
/// Around changes of the clocks, as cron does: a time that does not exist is moved to the next that does, and one that
/// exists twice is meant once.
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
    let next = cron
        .find_next_occurrence(&after.with_timezone(&zone), false)
        .map_err(|error| invalid(error.to_string()))?;
    Ok(Millis(next.timestamp_millis()))
}

fn parse(expression: &str) -> Result<Cron, croner::errors::CronError> {
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
