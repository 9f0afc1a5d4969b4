//! How long a refusal asks to stay away: in a header, in a field, or, of some providers, in prose alone.
//!
//! A limit of the minute and a quota that is spent differ in how long they may name. The first is believed for
//! [`MAX_RETRY_AFTER`]; the second comes back with a day or a month, so its reset is believed for [`MAX_RESET`]. Prose is the
//! last resort: a message can repeat a prompt, so it is read only in refusals whose class is already known from elsewhere
//! (a 429, a spent quota), never in a 400 that blames the request.

use std::time::{Duration, SystemTime};

use super::words::Words;
use crate::{
    calendar,
    class::Class,
    duration::{Unit, go_duration, parse_wait},
    rate_limit::{MAX_RESET, MAX_RETRY_AFTER, retry_after},
};

/// The least wait for a quota's reset. Clocks differ, so one that has passed may be a moment away.
const MIN_RESET: Duration = Duration::from_secs(60);

/// When Anthropic's limit of a subscription is back, in seconds since 1970.
const UNIFIED_RESET: &str = "anthropic-ratelimit-unified-reset";

/// What the headers say.
pub(super) fn of_headers<'h>(
    class: Class,
    status: u16,
    header: impl Fn(&str) -> Option<&'h str>,
    wall: SystemTime,
) -> Option<Duration> {
    let cap = if class == Class::QuotaSpent { MAX_RESET } else { MAX_RETRY_AFTER };
    // Some say 400, 413 or 498 where others say 429 or 503.
    let status = match class {
        Class::RateLimited => 429,
        Class::Overloaded => 503,
        _ => status,
    };
    retry_after(status, &header, wall, cap).or_else(|| {
        let limited = status == 429 || class == Class::QuotaSpent;
        let reset = header(UNIFIED_RESET).filter(|_| limited)?;
        Some(parse_wait(reset, Unit::Seconds, wall)?.min(cap))
    })
}

/// What the body says. Dates in it are seen from `wall`, where that is known.
pub(super) fn of_words(
    words: &Words,
    class: Class,
    status: Option<u16>,
    wall: Option<SystemTime>,
) -> Option<Duration> {
    if class == Class::QuotaSpent {
        let prose = || reset_in(words.prose()?, wall?);
        return words.retry_delay.map(|delay| delay.min(MAX_RESET)).or_else(prose);
    }
    if !matches!(status, None | Some(429 | 503)) {
        return None;
    }
    let prose = || words.prose().filter(|_| class == Class::RateLimited).and_then(wait_in);
    Some(words.retry_delay.or_else(prose)?.min(MAX_RETRY_AFTER))
}

/// 'Please try again in 5.289s' (OpenAI, Groq), 'Please retry after 26 seconds' (Azure), 'Please retry in 37.5s' (Google).
fn wait_in(message: &str) -> Option<Duration> {
    let phrases = ["try again in ", "retry after ", "retry in "];
    let (_, rest) = phrases.into_iter().find_map(|phrase| message.split_once(phrase))?;
    let mut words = rest.split_whitespace();
    let word = words.next()?;
    go_duration(word.trim_end_matches(['.', ',', ';', ')'])).or_else(|| {
        let count = word.parse::<u32>().ok()?;
        words.next()?.starts_with("second").then(|| Duration::from_secs(u64::from(count)))
    })
}

/// 'You will regain access on 2026-04-01 at 00:00 UTC' (Anthropic).
fn reset_in(message: &str, wall: SystemTime) -> Option<Duration> {
    let (date, rest) = message.split_once("regain access on ")?.1.split_once(" at ")?;
    let (time, _) = rest.split_once(" UTC")?;
    // Anything longer is no date.
    let at = (date.len() == 10 && time.len() == 5)
        .then(|| calendar::rfc3339(&format!("{date}T{time}:00Z")))
        .flatten()?;
    Some(at.wait_from(wall).clamp(MIN_RESET, MAX_RESET))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_prose_is_read_with_its_unit() {
        for (message, expected) in [
            ("Rate limit reached ... Please try again in 5.289s. Visit ...", Some(5_289)),
            ("Please try again in 6m0s.", Some(360_000)),
            ("Please try again in 120ms", Some(120)),
            ("(try again in 2s)", Some(2_000)),
            ("Please retry after 26 seconds.", Some(26_000)),
            ("Please retry after 1 second", Some(1_000)),
            ("Please try again in 7 seconds.", Some(7_000)),
            ("* Quota exceeded for metric: m, limit: 20\nPlease retry in 37.5s.", Some(37_500)),
            ("Please retry after 26 hours.", None),
            ("Please try again in ...", None),
            ("Please try again in a while", None),
            ("Please try again in ", None),
            ("try again in 5", None),
            ("Please retry after -5 seconds", None),
            ("", None),
        ] {
            assert_eq!(wait_in(message), expected.map(Duration::from_millis), "{message}");
        }
    }

    #[test]
    fn a_named_reset_is_seen_from_the_wall() {
        // 2026-03-31T23:00:00Z.
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_774_998_000);
        let hour = Duration::from_secs(3_600);
        assert_eq!(reset_in("You will regain access on 2026-04-01 at 00:00 UTC.", wall), Some(hour));
        assert_eq!(reset_in("You will regain access on 2026-03-01 at 00:00 UTC.", wall), Some(MIN_RESET));
        assert_eq!(reset_in("You will regain access on 2036-03-01 at 00:00 UTC.", wall), Some(MAX_RESET));
        for wrong in [
            "regain access on 2026-04-31 at 00:00 UTC",
            "regain access on x at y UTC",
            "regain access on  at  UTC",
        ] {
            assert_eq!(reset_in(wrong, wall), None, "{wrong}");
        }
    }
}
