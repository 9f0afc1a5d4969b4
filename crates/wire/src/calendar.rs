//! Calendar time in the three forms that headers use, without a calendar library.
//!
//! A date becomes seconds since 1970-01-01T00:00:00Z as an `i64`, and a difference to the wall time a [`Duration`]. The
//! arithmetic is the proleptic Gregorian calendar in eras of 400 years (H. Hinnant, 'chrono-compatible low-level date
//! algorithms'). Leap seconds do not exist here, as they do not in `SystemTime`.

use std::time::{Duration, SystemTime};

/// Seconds in a day.
const DAY: i64 = 86_400;

/// Seconds since the epoch, with its fraction; negative before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp {
    /// Whole seconds.
    pub(crate) seconds: i64,
    /// Nanoseconds above the whole second, below 1e9.
    pub(crate) nanos: u32,
}

impl Timestamp {
    /// The instant of the wall time; what lies outside of `i64` seconds is clamped.
    pub(crate) fn of(wall: SystemTime) -> Self {
        match wall.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Self {
                seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nanos: since.subsec_nanos(),
            },
            Err(before) => {
                let seconds = i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX);
                Self { seconds: seconds.saturating_neg(), nanos: 0 }
            }
        }
    }

    /// How long from `wall` until this; zero when it has passed.
    pub(crate) fn wait_from(self, wall: SystemTime) -> Duration {
        let now = Self::of(wall);
        if self <= now {
            return Duration::ZERO;
        }
        let seconds = u64::try_from(self.seconds.saturating_sub(now.seconds)).unwrap_or(0);
        (Duration::from_secs(seconds) + Duration::from_nanos(u64::from(self.nanos)))
            .saturating_sub(Duration::from_nanos(u64::from(now.nanos)))
    }

    /// The second of the day, 0 to 86 399.
    pub(crate) const fn second_of_day(self) -> i64 {
        self.seconds.rem_euclid(DAY)
    }

    /// Whether the day is Monday to Friday. The epoch's first day was a Thursday.
    pub(crate) const fn is_weekday(self) -> bool {
        (self.seconds.div_euclid(DAY) + 3).rem_euclid(7) < 5
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar; none when there is no such date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if !(0..=9_999).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// A field of decimal digits, of exactly this width.
fn digits(text: &str, width: usize) -> Option<i64> {
    (text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// `HH:MM:SS` as the second of the day; a 60th second counts as the 59th.
fn clock(text: &str) -> Option<i64> {
    let mut fields = text.splitn(3, ':');
    let hour = digits(fields.next()?, 2)?;
    let minute = digits(fields.next()?, 2)?;
    let second = digits(fields.next()?, 2)?;
    (hour < 24 && minute < 60 && second <= 60).then(|| hour * 3_600 + minute * 60 + second.min(59))
}

/// `YYYY-MM-DD` as days since the epoch.
pub(crate) fn date(text: &str) -> Option<i64> {
    let mut fields = text.splitn(3, '-');
    days(digits(fields.next()?, 4)?, digits(fields.next()?, 2)?, digits(fields.next()?, 2)?)
}

/// `YYYY-MM-DD` as the instant its first second begins.
pub(crate) fn midnight(text: &str) -> Option<Timestamp> {
    Some(Timestamp { seconds: date(text)? * DAY, nanos: 0 })
}

/// RFC 3339: `2026-01-01T00:01:00.5+02:00`, with `Z`, a fraction and an offset as they come.
pub(crate) fn rfc3339(text: &str) -> Option<Timestamp> {
    let day = date(text.get(..10)?)?;
    if !matches!(text.get(10..11)?, "T" | "t" | " ") {
        return None;
    }
    let second = clock(text.get(11..19)?)?;
    let rest = text.get(19..)?;
    let (nanos, rest) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            let (fraction, rest) = rest.split_at(end);
            let head = fraction.get(..fraction.len().min(9))?;
            let scale = 10_u32.checked_pow(u32::try_from(9 - head.len()).ok()?)?;
            (head.parse::<u32>().ok()?.checked_mul(scale)?, rest)
        }
    };
    let offset = match rest {
        "Z" | "z" => 0,
        _ => {
            let sign = match rest.get(..1)? {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let (hours, minutes) = rest.get(1..)?.split_once(':')?;
            let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            sign * (hours * 3_600 + minutes * 60)
        }
    };
    Some(Timestamp { seconds: day * DAY + second - offset, nanos })
}

/// The three forms of RFC 9110 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` and
/// `Sun Nov  6 08:49:37 1994`. The day's name is not checked; a year of two digits is taken as 1970 to 2069.
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    let day_and_time = match text.split_once(", ") {
        Some((_, rest)) => rest.strip_suffix(" GMT")?,
        None => return asctime(text),
    };
    let (date, time) = day_and_time.rsplit_once(' ')?;
    let mut fields = date.splitn(3, [' ', '-']);
    let day = digits(fields.next()?, 2)?;
    let month = month(fields.next()?)?;
    let year = fields.next()?;
    let year = match year.len() {
        2 => match digits(year, 2)? {
            late @ 70.. => 1_900 + late,
            early => 2_000 + early,
        },
        _ => digits(year, 4)?,
    };
    Some(Timestamp { seconds: days(year, month, day)? * DAY + clock(time)?, nanos: 0 })
}

/// C's `asctime`: the day of the month is padded with a space.
fn asctime(text: &str) -> Option<Timestamp> {
    let mut fields = text.split_ascii_whitespace().skip(1);
    let month = month(fields.next()?)?;
    let day = fields.next()?;
    let day = digits(day, day.len().clamp(1, 2))?;
    let second = clock(fields.next()?)?;
    let year = digits(fields.next()?, 4)?;
    if fields.next().is_some() {
        return None;
    }
    Some(Timestamp { seconds: days(year, month, day)? * DAY + second, nanos: 0 })
}

/// The number of a month by its English name of three letters.
fn month(name: &str) -> Option<i64> {
    const NAMES: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let index = NAMES.iter().position(|month| month.eq_ignore_ascii_case(name))?;
    i64::try_from(index).ok().map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(stamp: Option<Timestamp>) -> Option<i64> {
        stamp.map(|stamp| stamp.seconds)
    }

    #[test]
    fn the_three_forms_of_a_http_date_are_one_instant() {
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(seconds(http_date(text)), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn offsets_and_fractions_of_rfc_3339_are_read() {
        assert_eq!(seconds(rfc3339("1970-01-01T00:00:00Z")), Some(0));
        assert_eq!(seconds(rfc3339("2026-01-01T02:00:00+02:00")), Some(1_767_225_600));
        assert_eq!(rfc3339("1970-01-01T00:00:01.25Z"), Some(Timestamp { seconds: 1, nanos: 250_000_000 }));
        for wrong in ["1970-01-01", "1970-01-01T00:00:00", "1970-13-01T00:00:00Z", "1970-01-01T00:00:00.Z"] {
            assert_eq!(rfc3339(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_day_that_does_not_exist_is_no_date() {
        for wrong in ["2026-02-29", "2100-02-29", "2026-04-31", "2026-00-10", "26-01-01", "2026-1-1"] {
            assert_eq!(date(wrong), None, "{wrong}");
        }
        assert_eq!(date("2028-02-29"), date("2028-02-28").map(|day| day + 1));
        assert_eq!(date("2000-03-01"), Some(11_017));
    }

    #[test]
    fn the_week_begins_on_monday() {
        for (text, weekday) in
            [("1970-01-01", true), ("2026-11-21", false), ("2026-11-22", false), ("2026-11-23", true)]
        {
            assert_eq!(midnight(text).map(Timestamp::is_weekday), Some(weekday), "{text}");
        }
    }

    #[test]
    fn a_wait_counts_the_fractions_on_both_sides() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_millis(1_750);
        let at = |seconds, nanos| Timestamp { seconds, nanos }.wait_from(wall);
        assert_eq!(at(3, 0), Duration::from_millis(1_250));
        assert_eq!(at(1, 750_000_000), Duration::ZERO);
        assert_eq!(at(1, 500_000_000), Duration::ZERO);
        assert_eq!(at(2, 0), Duration::from_millis(250));
    }
}
