//! How long an attempt may be silent before another is started beside it: configured, or learned of the deployment.
//!
//! What is learned is a high quantile of the times that its healthy answers took lately, with a margin: nearly all answers
//! come within it, and one that does not is worth another attempt. Few answers say little about the slow tail, so the margin
//! is the wider the fewer there are: [`MARGIN`] x (1 + [`FEW`] / answers), ten times the only one, twice the quantile of many.

use std::time::{Duration, Instant};

use policy::Quantiles;
use registry::Kind;

use crate::config::{Limit, Timeouts};

/// Before anything is known of a deployment, a stream's first content is given this long.
const FIRST_TOKEN_UNKNOWN: Duration = Duration::from_secs(10);
/// The least that a learned limit for first content may be.
const FIRST_TOKEN_LEAST: Duration = Duration::from_secs(1);
/// Before anything is known of a deployment, a whole plain answer is given this long.
const ANSWER_UNKNOWN: Duration = Duration::from_secs(60);
/// The least that a learned limit for a whole answer may be.
const ANSWER_LEAST: Duration = Duration::from_secs(30);
/// The share of a deployment's answers that a learned limit is about.
const SHARE: f64 = 0.99;
/// A learned limit is this many times what that share of many answers took.
const MARGIN: f64 = 2.0;
/// The answers beside which doubt weighs as much as they do.
const FEW: f64 = 4.0;
/// How long answers are remembered at least; at most twice as long.
const WINDOW: Duration = Duration::from_secs(300);
/// The share of answers that come before a hedge, and how many must be known for it.
const HEDGE_SHARE: f64 = 0.95;
const HEDGE_SAMPLES: u64 = 20;

/// The times that one deployment's answers took lately.
#[derive(Clone, Debug)]
pub(super) struct Learned {
    first_token: Quantiles,
    answer: Quantiles,
}

impl Learned {
    pub(super) fn new() -> Self {
        Self { first_token: Quantiles::new(WINDOW), answer: Quantiles::new(WINDOW) }
    }

    fn of(&self, kind: Kind) -> &Quantiles {
        match kind {
            Kind::Stream => &self.first_token,
            Kind::Whole => &self.answer,
        }
    }

    /// A first content, or a whole answer, came after so long.
    pub(super) fn record(&mut self, kind: Kind, after: Duration, now: Instant) {
        match kind {
            Kind::Stream => self.first_token.record(after, now),
            Kind::Whole => self.answer.record(after, now),
        }
    }

    /// The patience with one attempt.
    pub(super) fn patience(&self, timeouts: &Timeouts, kind: Kind, now: Instant) -> Duration {
        let limit = match kind {
            Kind::Stream => timeouts.first_token,
            Kind::Whole => timeouts.answer,
        };
        let learned = || limit_of(self.of(kind), now);
        match (limit, kind) {
            (Limit::Fixed(limit), _) => limit,
            (Limit::Auto, Kind::Stream) => {
                learned().unwrap_or(FIRST_TOKEN_UNKNOWN).max(FIRST_TOKEN_LEAST).min(timeouts.first_token_max)
            }
            (Limit::Auto, Kind::Whole) => {
                learned().unwrap_or(ANSWER_UNKNOWN).max(ANSWER_LEAST).min(timeouts.total)
            }
        }
    }

    /// How slow an attempt is to be before it is hedged: slower than 95 % of what is known, once that is enough.
    pub(super) fn hedge_after(&self, kind: Kind, now: Instant) -> Option<Duration> {
        let known = self.of(kind);
        known.quantile(HEDGE_SHARE, now).filter(|_| known.count(now) >= HEDGE_SAMPLES)
    }
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 answers one more or less is nothing")]
fn limit_of(known: &Quantiles, now: Instant) -> Option<Duration> {
    let doubt = 1.0 + FEW / (known.count(now) as f64).max(1.0);
    Some(known.quantile(SHARE, now)?.mul_f64(MARGIN * doubt))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t0() -> Instant {
        Instant::now()
    }

    fn knowing(kind: Kind, millis: &[u64], now: Instant) -> Learned {
        let mut learned = Learned::new();
        millis.iter().for_each(|millis| learned.record(kind, Duration::from_millis(*millis), now));
        learned
    }

    #[test]
    fn a_limit_is_wide_at_first_and_narrows_as_answers_come() {
        let now = t0();
        let limit = |count: usize| {
            let learned = knowing(Kind::Stream, &vec![1_000; count], now);
            learned.patience(&Timeouts::default(), Kind::Stream, now)
        };
        let limits = [0, 1, 4, 40, 400].map(limit);
        assert_eq!(limits[0], FIRST_TOKEN_UNKNOWN);
        // A bucket tells up to an eighth more than it was told.
        for (limit, times) in limits[1..].iter().zip([10, 4, 2, 2]) {
            let least = Duration::from_secs(times);
            assert!(*limit >= least && *limit <= least.mul_f64(1.25), "{limit:?} for {times} times 1 s");
        }
    }

    #[test]
    fn a_limit_stays_within_its_bounds_and_is_forgotten() {
        let now = t0();
        let timeouts = Timeouts::default();
        let quick = knowing(Kind::Stream, &[20; 100], now);
        assert_eq!(quick.patience(&timeouts, Kind::Stream, now), FIRST_TOKEN_LEAST);
        let slow = knowing(Kind::Stream, &[29_000; 100], now);
        assert_eq!(slow.patience(&timeouts, Kind::Stream, now), timeouts.first_token_max);
        assert_eq!(slow.patience(&timeouts, Kind::Stream, now + WINDOW * 2), FIRST_TOKEN_UNKNOWN);
        let short = knowing(Kind::Whole, &[900; 100], now);
        assert_eq!(short.patience(&timeouts, Kind::Whole, now), ANSWER_LEAST);
        assert_eq!(short.patience(&timeouts, Kind::Stream, now), FIRST_TOKEN_UNKNOWN, "like with like");
        let endless = knowing(Kind::Whole, &[900_000; 100], now);
        assert_eq!(endless.patience(&timeouts, Kind::Whole, now), timeouts.total);
    }

    #[test]
    fn one_slow_answer_in_a_hundred_and_one_moves_no_limit() {
        let now = t0();
        let mut times = vec![500; 101];
        times.push(25_000);
        let learned = knowing(Kind::Stream, &times, now);
        assert!(learned.patience(&Timeouts::default(), Kind::Stream, now) < Duration::from_millis(1_300));
    }

    #[test]
    fn nothing_is_hedged_on_hearsay() {
        let now = t0();
        let hedge =
            |count: usize| knowing(Kind::Stream, &vec![400; count], now).hedge_after(Kind::Stream, now);
        assert_eq!(hedge(19), None);
        let after = hedge(20).expect("twenty are enough");
        assert!(after >= Duration::from_millis(400) && after <= Duration::from_millis(450), "{after:?}");
    }

    #[test]
    fn the_page_of_defaults_tells_these_numbers() {
        const PAGE: &str = include_str!("../../../../docs/defaults.md");
        for (key, value) in [
            ("first_token_unknown", "\"10s\"".to_owned()),
            ("first_token_least", "\"1s\"".to_owned()),
            ("answer_unknown", "\"60s\"".to_owned()),
            ("answer_least", "\"30s\"".to_owned()),
            ("share", SHARE.to_string()),
            ("margin", format!("{MARGIN:.1}")),
            ("few", format!("{FEW:.0}")),
            ("window", format!("\"{}m\"", WINDOW.as_secs() / 60)),
        ] {
            assert!(PAGE.contains(&format!("| `auto.{key}` | `{value}` |")), "auto.{key} is {value}");
        }
    }
}
