//! What headers say about limits: how long to stay away, and how much room is left.
//!
//! The `reset` of a limit is the time until the bucket is *full* again. It is an upper bound and never the time to wait for one
//! request, so [`retry_after`] does not look at it.

use std::time::{Duration, SystemTime};

use crate::duration::{Unit, parse_wait};

/// The longest wait a provider is believed, 300 s. Linkerd's proxy caps the hint at the same size: a longer one is a
/// mistake or a quota of another kind, and a deployment must not be lost for hours to one header.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// The longest reset of a spent quota that is believed, 32 days: money comes back with a day or a month, and whatever is
/// further off is a mistake. The key is then asked again, which costs one refusal.
pub const MAX_RESET: Duration = Duration::from_secs(32 * 86_400);

/// How long the provider asks to stay away, at most `cap`.
///
/// `header` looks up a response header by its lower-case name. `retry-after-ms` (milliseconds) wins over `retry-after`
/// (seconds or a date, RFC 9110 10.2.3), as in the official SDKs. `wall` is the calendar time that dates are seen from; a
/// date that has passed is a wait of zero. Only a refusal that asks for patience has such a wait: 429, 503, 529 and 402
/// (where one provider means its own budget of requests in flight).
pub fn retry_after<'h>(
    status: u16,
    header: impl Fn(&str) -> Option<&'h str>,
    wall: SystemTime,
    cap: Duration,
) -> Option<Duration> {
    if !matches!(status, 402 | 429 | 503 | 529) {
        return None;
    }
    let wait = header("retry-after-ms")
        .and_then(|value| parse_wait(value, Unit::Millis, wall))
        .or_else(|| parse_wait(header("retry-after")?, Unit::Seconds, wall))?;
    Some(wait.min(cap))
}

/// The state of one limit. A part that the provider did not send, or sent as nonsense, is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limit {
    /// How much the limit allows in its period.
    pub limit: Option<u64>,
    /// How much of it is left.
    pub remaining: Option<u64>,
    /// How long until all of it is back.
    pub reset: Option<Duration>,
}

impl Limit {
    /// Azure sends limits of `-1` and `0` where it means 'not said'; a limit of nothing tells nothing.
    fn read<'h>(header: impl Fn(&str) -> Option<&'h str>, names: &[&str; 3], wall: SystemTime) -> Self {
        let [limit, remaining, reset] = names;
        let count = |name: &str| header(name).and_then(|value| value.trim().parse::<u64>().ok());
        let limit = count(limit);
        if limit == Some(0) {
            return Self::default();
        }
        let reset = header(reset).and_then(|value| parse_wait(value, Unit::Seconds, wall));
        Self { limit, remaining: count(remaining), reset }
    }

    /// Whether the provider said nothing of this limit.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        self.limit.is_none() && self.remaining.is_none() && self.reset.is_none()
    }
}

/// The room that a provider says is left, in requests and tokens. The period is the provider's own: a minute for most; one
/// counts requests by the day under the same header's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Headroom {
    /// Requests.
    pub requests: Limit,
    /// Tokens of both directions together.
    pub tokens: Limit,
    /// Tokens read, where they are counted apart.
    pub input_tokens: Limit,
    /// Tokens written, where they are counted apart.
    pub output_tokens: Limit,
}

impl Headroom {
    /// Reads `x-ratelimit-*`, and `anthropic-ratelimit-*` where those are absent. `header` looks up a response header by its
    /// lower-case name; `wall` is the calendar time that dates are seen from.
    pub fn read<'h>(header: impl Fn(&str) -> Option<&'h str>, wall: SystemTime) -> Self {
        let read = |names| Limit::read(&header, names, wall);
        let either = |first, second| {
            let limit = read(first);
            if limit.is_unknown() { read(second) } else { limit }
        };
        Self {
            requests: either(&REQUESTS, &ANTHROPIC_REQUESTS),
            tokens: either(&TOKENS, &ANTHROPIC_TOKENS),
            input_tokens: read(&ANTHROPIC_INPUT),
            output_tokens: read(&ANTHROPIC_OUTPUT),
        }
    }
}

const REQUESTS: [&str; 3] =
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const TOKENS: [&str; 3] =
    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];
const ANTHROPIC_REQUESTS: [&str; 3] = [
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
];
const ANTHROPIC_TOKENS: [&str; 3] = [
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
];
const ANTHROPIC_INPUT: [&str; 3] = [
    "anthropic-ratelimit-input-tokens-limit",
    "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-input-tokens-reset",
];
const ANTHROPIC_OUTPUT: [&str; 3] = [
    "anthropic-ratelimit-output-tokens-limit",
    "anthropic-ratelimit-output-tokens-remaining",
    "anthropic-ratelimit-output-tokens-reset",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn table<'h>(headers: &'h [(&'h str, &'h str)]) -> impl Fn(&str) -> Option<&'h str> {
        move |name| headers.iter().find(|(header, _)| *header == name).map(|(_, value)| *value)
    }

    #[test]
    fn milliseconds_win_over_seconds() {
        let wall = SystemTime::UNIX_EPOCH;
        let headers = [("retry-after", "30"), ("retry-after-ms", "120")];
        assert_eq!(
            retry_after(429, table(&headers), wall, MAX_RETRY_AFTER),
            Some(Duration::from_millis(120))
        );
        let headers = [("retry-after", "30"), ("retry-after-ms", "soon")];
        assert_eq!(retry_after(429, table(&headers), wall, MAX_RETRY_AFTER), Some(Duration::from_secs(30)));
    }

    #[test]
    fn only_a_refusal_that_asks_for_patience_has_a_wait() {
        let headers = [("retry-after", "30")];
        for status in [200, 400, 401, 404, 500, 502, 504] {
            assert_eq!(retry_after(status, table(&headers), SystemTime::UNIX_EPOCH, MAX_RETRY_AFTER), None);
        }
    }

    #[test]
    fn both_families_of_headers_are_read() {
        let wall = SystemTime::UNIX_EPOCH;
        let open_ai = [
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "6m0s"),
            ("x-ratelimit-remaining-tokens", "149984"),
        ];
        let room = Headroom::read(table(&open_ai), wall);
        assert_eq!(
            room.requests,
            Limit { limit: Some(60), remaining: Some(59), reset: Some(Duration::from_secs(360)) }
        );
        assert_eq!(room.tokens.remaining, Some(149_984));
        let anthropic = [
            ("anthropic-ratelimit-requests-remaining", "4"),
            ("anthropic-ratelimit-input-tokens-reset", "1970-01-01T00:00:30Z"),
        ];
        let room = Headroom::read(table(&anthropic), wall);
        assert_eq!(room.requests.remaining, Some(4));
        assert_eq!(room.input_tokens.reset, Some(Duration::from_secs(30)));
        assert!(room.tokens.is_unknown());
    }

    #[test]
    fn sentinels_are_read_as_not_said() {
        let azure = [
            ("x-ratelimit-limit-tokens", "0"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-limit-requests", "-1"),
            ("x-ratelimit-remaining-requests", "-1"),
        ];
        assert_eq!(Headroom::read(table(&azure), SystemTime::UNIX_EPOCH), Headroom::default());
    }
}
