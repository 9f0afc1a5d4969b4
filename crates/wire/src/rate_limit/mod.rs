//! What headers say about limits: how long to stay away, and how much room is left.
//!
//! The `reset` of a limit is the time until the bucket is *full* again. It is an upper bound and never the time to wait for one
//! request, so [`retry_after`] does not look at it. What it is good for is a rate: [`Limit::refill`].
//!
//! Providers count the same two things, requests and tokens, under a dozen sets of names, which [`names`] lists; some count one thing
//! in several periods at once (by the minute and by the day), of which the one that is nearest to its end matters.

mod names;

use std::time::{Duration, SystemTime};

use self::names::Names;
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
    /// None where the names are not used, or where their numbers mean 'not said': Azure sends limits of `-1` and `0` for that.
    fn read<'h>(header: impl Fn(&str) -> Option<&'h str>, names: &Names, wall: SystemTime) -> Option<Self> {
        let count = |value: &str| value.trim().parse::<u64>().ok();
        let remaining = count(header(names.remaining)?)?;
        let limit = match header(names.limit) {
            Some(limit) => Some(count(limit).filter(|limit| *limit > 0)?),
            None => None,
        };
        let wait = |name: &str| header(name).and_then(|value| parse_wait(value, Unit::Seconds, wall));
        // A full bucket has no reset, and of one that is not full a reset of nothing says nothing.
        let used = limit.is_none_or(|limit| remaining < limit);
        let reset = wait(names.reset).filter(|reset| !used || !reset.is_zero());
        let period = || names.renewal.and_then(wait).or(names.period);
        let until_full = || Some(period()?.mul_f64(share(limit?.saturating_sub(remaining), limit?)));
        Some(Self { limit, remaining: Some(remaining), reset: reset.or_else(until_full) })
    }

    /// How long until `needed` of it have come back, beside what is left: `reset * needed / (limit - remaining)`, at most `reset`.
    ///
    /// So it is with a limit that fills evenly, as most do. Of one that fills at once it is too early a guess, and the next 429
    /// names the wait. None where the provider does not say enough, or when all of it is there.
    #[must_use]
    pub fn refill(&self, needed: u64) -> Option<Duration> {
        let used = self.limit?.saturating_sub(self.remaining?);
        (used > 0).then(|| self.reset.map(|reset| reset.mul_f64(share(needed, used))))?
    }

    /// How long until `needed` of it can be had: nothing at all while so many are left; none where that is not known.
    #[must_use]
    pub fn wait_for(&self, needed: u64) -> Option<Duration> {
        match needed.checked_sub(self.remaining?) {
            None | Some(0) => Some(Duration::ZERO),
            Some(lacking) => self.refill(lacking),
        }
    }

    /// Whether the provider said nothing of this limit.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        self.limit.is_none() && self.remaining.is_none() && self.reset.is_none()
    }

    /// What is left of it, 0 to 1.
    fn left(&self) -> f64 {
        match (self.remaining, self.limit) {
            (Some(0), _) => 0.0,
            (Some(remaining), Some(limit)) => share(remaining, limit),
            _ => 1.0,
        }
    }

    /// Of several limits of one thing, the one that is nearest to its end; of equals, the one that is longest in coming back.
    fn scarcest(limits: impl Iterator<Item = Self>) -> Self {
        let order = |a: &Self, b: &Self| a.left().total_cmp(&b.left()).then(b.reset.cmp(&a.reset));
        limits.min_by(order).unwrap_or_default()
    }
}

/// `part / whole`, at most 1.
#[expect(clippy::cast_precision_loss, reason = "a share of a limit need not be exact")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { (part as f64 / whole as f64).min(1.0) }
}

/// The room that a provider says is left, in requests and tokens. The period is the provider's own: a minute for most; Groq
/// counts requests by the day under the same header's name. Where one thing is counted in several periods, this is the scarcest.
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
    /// Reads the limits in all their names. `header` looks up a response header by its lower-case name; `wall` is the calendar
    /// time that dates are seen from. A limit of which nothing is said to be left or used is not read.
    pub fn read<'h>(header: impl Fn(&str) -> Option<&'h str>, wall: SystemTime) -> Self {
        let read = |names: &[Names]| {
            Limit::scarcest(names.iter().filter_map(|names| Limit::read(&header, names, wall)))
        };
        Self {
            requests: read(names::REQUESTS),
            tokens: read(names::TOKENS),
            input_tokens: read(names::INPUT_TOKENS),
            output_tokens: read(names::OUTPUT_TOKENS),
        }
    }

    /// The limit of tokens that is nearest to its end, whichever direction it counts.
    #[must_use]
    pub fn scarcest_tokens(&self) -> Limit {
        let known = [self.tokens, self.input_tokens, self.output_tokens].into_iter();
        Limit::scarcest(known.filter(|limit| !limit.is_unknown()))
    }
}

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
            ("anthropic-ratelimit-input-tokens-remaining", "7"),
            ("anthropic-ratelimit-input-tokens-reset", "1970-01-01T00:00:30Z"),
        ];
        let room = Headroom::read(table(&anthropic), wall);
        assert_eq!(room.requests.remaining, Some(4));
        assert_eq!(room.input_tokens.reset, Some(Duration::from_secs(30)));
        assert!(room.tokens.is_unknown());
        assert_eq!(room.scarcest_tokens(), room.input_tokens);
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

    const fn limit(limit: u64, remaining: u64, reset_s: u64) -> Limit {
        Limit { limit: Some(limit), remaining: Some(remaining), reset: Some(Duration::from_secs(reset_s)) }
    }

    /// Who, the headers, and what they say of requests and tokens.
    type Row = (&'static str, &'static [(&'static str, &'static str)], Limit, Limit);

    const UNKNOWN: Limit = Limit { limit: None, remaining: None, reset: None };

    /// Each provider's own names and forms, as they were seen.
    const DIALECTS: &[Row] = &[
        (
            "Groq: requests by the day",
            &[
                ("x-ratelimit-limit-requests", "14400"),
                ("x-ratelimit-remaining-requests", "14370"),
                ("x-ratelimit-reset-requests", "3m0s"),
                ("x-ratelimit-limit-tokens", "6000"),
                ("x-ratelimit-remaining-tokens", "3000"),
                ("x-ratelimit-reset-tokens", "30000ms"),
            ],
            limit(14_400, 14_370, 180),
            limit(6_000, 3_000, 30),
        ),
        (
            "OpenAI: a second limit of tokens, by use",
            &[
                ("x-ratelimit-limit-tokens", "100"),
                ("x-ratelimit-remaining-tokens", "90"),
                ("x-ratelimit-reset-tokens", "6s"),
                ("x-ratelimit-limit-tokens_usage_based", "200"),
                ("x-ratelimit-remaining-tokens_usage_based", "20"),
                ("x-ratelimit-reset-tokens_usage_based", "54s"),
            ],
            UNKNOWN,
            limit(200, 20, 54),
        ),
        (
            "Azure: a reset of nothing beside a period",
            &[
                ("x-ratelimit-limit-requests", "20"),
                ("x-ratelimit-remaining-requests", "10"),
                ("x-ratelimit-reset-requests", "0"),
                ("x-ratelimit-renewalperiod-requests", "60"),
            ],
            limit(20, 10, 30),
            UNKNOWN,
        ),
        (
            "Mistral: the period is in the name",
            &[
                ("x-ratelimit-limit-req-minute", "120"),
                ("x-ratelimit-remaining-req-minute", "60"),
                ("x-ratelimit-limit-tokens-minute", "1000"),
                ("x-ratelimit-remaining-tokens-minute", "0"),
            ],
            limit(120, 60, 30),
            limit(1_000, 0, 60),
        ),
        (
            "Cerebras: the day is nearer to its end than the minute",
            &[
                ("x-ratelimit-limit-requests-minute", "5"),
                ("x-ratelimit-remaining-requests-minute", "4"),
                ("x-ratelimit-reset-requests-minute", "45.0"),
                ("x-ratelimit-limit-requests-day", "2400"),
                ("x-ratelimit-remaining-requests-day", "24"),
                ("x-ratelimit-reset-requests-day", "33011.0"),
            ],
            limit(2_400, 24, 33_011),
            UNKNOWN,
        ),
        (
            "Together: no names for what is counted",
            &[
                ("x-ratelimit-limit", "60"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "1"),
                ("x-tokenlimit-limit", "180000"),
                ("x-tokenlimit-remaining", "9"),
            ],
            limit(60, 0, 1),
            Limit { limit: Some(180_000), remaining: Some(9), reset: None },
        ),
        (
            "OpenRouter: an instant in milliseconds",
            &[
                ("x-ratelimit-limit", "20"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "1767225660000"),
            ],
            limit(20, 0, 60),
            UNKNOWN,
        ),
        (
            "Anthropic: dates",
            &[
                ("anthropic-ratelimit-requests-limit", "50"),
                ("anthropic-ratelimit-requests-remaining", "49"),
                ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:01Z"),
            ],
            limit(50, 49, 1),
            UNKNOWN,
        ),
    ];

    #[test]
    fn every_dialect_of_limits_is_read() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        for (who, headers, requests, tokens) in DIALECTS {
            let room = Headroom::read(table(headers), wall);
            assert_eq!((room.requests, room.tokens), (*requests, *tokens), "{who}");
        }
    }

    #[test]
    fn what_is_used_comes_back_at_the_rate_that_the_reset_tells() {
        // Thirty used, three minutes until they are back: one every six seconds.
        let day = limit(14_400, 14_370, 180);
        assert_eq!(day.refill(1), Some(Duration::from_secs(6)));
        assert_eq!(day.refill(1_000), Some(Duration::from_secs(180)));
        assert_eq!(limit(60, 0, 60).refill(1), Some(Duration::from_secs(1)));
        assert_eq!(limit(60, 60, 0).refill(1), None);
        assert_eq!(Limit { reset: None, ..day }.refill(1), None);
    }

    #[test]
    fn what_fits_does_not_wait() {
        let tokens = limit(1_000, 400, 60);
        assert_eq!(tokens.wait_for(400), Some(Duration::ZERO));
        assert_eq!(tokens.wait_for(500), Some(Duration::from_secs(10)));
        assert_eq!(tokens.wait_for(5_000), Some(Duration::from_secs(60)));
        assert_eq!(Limit::default().wait_for(1), None);
    }
}
