//! Every way a header says 'so long': seconds, Go's durations, dates, instants since the epoch.
//!
//! Providers agree on the names of their headers and not on the values: `120`, `1.5`, `6m0s`, `12ms`, an HTTP date, RFC 3339,
//! seconds or milliseconds since 1970. One grammar reads them all, since no value of one form is a value of another:
//!
//! | form | read as |
//! | --- | --- |
//! | `120`, `0.25` | seconds (or milliseconds, where the header's name says so) |
//! | a number above 1e9, above 1e12 | the instant so many seconds, milliseconds after 1970 |
//! | `6m0s`, `1.5s`, `12ms`, `9us` | Go's `time.ParseDuration`, unsigned |
//! | `2026-01-01T00:00:00Z` | RFC 3339 |
//! | `Thu, 01 Jan 2026 00:00:00 GMT` | an HTTP date (RFC 9110 5.6.7) |
//!
//! An instant that has passed is a wait of zero. Negative numbers, NaN, infinity and everything else are no wait at all.

use std::time::{Duration, SystemTime};

use crate::calendar;

/// The longest value that is looked at; every form above is shorter.
const MAX_LEN: usize = 64;
/// Numbers above are instants, in seconds since 1970 (2001-09-09).
const EPOCH_SECONDS: f64 = 1e9;
/// Numbers above are instants, in milliseconds since 1970.
const EPOCH_MILLIS: f64 = 1e12;

/// What a bare number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// `retry-after`, `x-ratelimit-reset-*`.
    Seconds,
    /// `retry-after-ms`.
    Millis,
}

/// The wait that a header's value names, seen from `wall`.
pub(crate) fn parse_wait(text: &str, unit: Unit, wall: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_LEN {
        return None;
    }
    if let Some(number) = plain_number(text) {
        return number_wait(number, unit, wall);
    }
    go_duration(text).or_else(|| {
        let at = calendar::rfc3339(text).or_else(|| calendar::http_date(text))?;
        Some(at.wait_from(wall))
    })
}

/// A number of digits with at most one point, and nothing else: no sign, no exponent, no `inf`.
fn plain_number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && text.bytes().any(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

fn number_wait(number: f64, unit: Unit, wall: SystemTime) -> Option<Duration> {
    let instant = |seconds: f64| {
        let at = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let since_epoch = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        at.saturating_sub(since_epoch)
    };
    if number > EPOCH_MILLIS {
        return Some(instant(number / 1e3));
    }
    match unit {
        Unit::Seconds if number > EPOCH_SECONDS => Some(instant(number)),
        Unit::Seconds => Duration::try_from_secs_f64(number).ok(),
        Unit::Millis => Duration::try_from_secs_f64(number / 1e3).ok(),
    }
}

/// `(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+`; too long a sum is clamped.
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        total += plain_number(number)? * seconds;
        rest = tail;
    }
    Some(Duration::try_from_secs_f64(total).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01T00:00:00Z.
    const WALL: u64 = 1_767_225_600;

    #[track_caller]
    fn check(text: &str, expected_ms: Option<u64>) {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(WALL);
        assert_eq!(parse_wait(text, Unit::Seconds, wall), expected_ms.map(Duration::from_millis), "{text:?}");
    }

    #[test]
    fn seconds_may_have_a_fraction() {
        check("120", Some(120_000));
        check(" 0.25 ", Some(250));
        check("7.", Some(7_000));
        check("0", Some(0));
    }

    #[test]
    fn go_durations_are_summed() {
        check("6m0s", Some(360_000));
        check("12ms", Some(12));
        check("1h2m3.5s", Some(3_723_500));
        check("1000us", Some(1));
        check("2000µs", Some(2));
    }

    #[test]
    fn large_numbers_are_instants() {
        check("1767225660", Some(60_000));
        check("1767225660500", Some(60_500));
        check("1000000001", Some(0));
    }

    #[test]
    fn dates_are_seen_from_the_wall() {
        check("2026-01-01T00:00:10Z", Some(10_000));
        check("Thu, 01 Jan 2026 00:01:00 GMT", Some(60_000));
        check("Wed, 01 Jan 2020 00:00:00 GMT", Some(0));
    }

    #[test]
    fn nothing_else_is_a_wait() {
        for wrong in
            ["", " ", "-1", "+1", "1e3", "NaN", "inf", ".", "1.2.3", "1d", "s", "5 s", "ms12", "0x10", "１"]
        {
            check(wrong, None);
        }
        check(&"9".repeat(MAX_LEN + 1), None);
    }

    #[test]
    fn a_number_beyond_all_time_is_clamped() {
        let wall = SystemTime::UNIX_EPOCH;
        assert_eq!(parse_wait(&"9".repeat(MAX_LEN), Unit::Seconds, wall), Some(Duration::MAX));
        assert_eq!(go_duration(""), None);
        assert_eq!(go_duration(&format!("{}h", "9".repeat(60))), Some(Duration::MAX));
    }
}
