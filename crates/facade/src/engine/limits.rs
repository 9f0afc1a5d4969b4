//! How long an attempt may be silent before another is started beside it: configured, or learned.

use std::time::Duration;

use crate::config::{Limit, Timeouts};

/// Before anything is known of a deployment, a stream's first content is given this long.
const FIRST_TOKEN_UNKNOWN: Duration = Duration::from_secs(10);
/// The least that a learned limit for first content may be.
const FIRST_TOKEN_LEAST: Duration = Duration::from_secs(1);
/// Before anything is known of a deployment, a whole plain answer is given this long.
const ANSWER_UNKNOWN: Duration = Duration::from_secs(60);
/// The least that a learned limit for a whole answer may be.
const ANSWER_LEAST: Duration = Duration::from_secs(30);
/// A learned limit is this many times the estimate. The estimate is a peak average, which already leans to the slow side;
/// for a log-normal first-token time with sigma 0.5, four times the median is beyond the 99.7th percentile.
const MARGIN: u32 = 4;

/// The patience with one attempt. `estimate_ms` is what the registry has learned of this deployment and this kind of
/// request, in milliseconds.
pub(super) fn patience(timeouts: &Timeouts, stream: bool, estimate_ms: Option<f64>) -> Duration {
    let learned = estimate_ms
        .filter(|estimate| estimate.is_finite() && *estimate >= 0.0)
        .map(|estimate| Duration::from_secs_f64((estimate / 1000.0).min(86_400.0)) * MARGIN);
    if stream {
        match timeouts.first_token {
            Limit::Fixed(limit) => limit,
            Limit::Auto => {
                learned.unwrap_or(FIRST_TOKEN_UNKNOWN).max(FIRST_TOKEN_LEAST).min(timeouts.first_token_max)
            }
        }
    } else {
        match timeouts.answer {
            Limit::Fixed(limit) => limit,
            Limit::Auto => learned.unwrap_or(ANSWER_UNKNOWN).max(ANSWER_LEAST).min(timeouts.total),
        }
    }
}
