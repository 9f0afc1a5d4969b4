//! What a failure means, for whom: the call's way on, the circuits, the scores.
//!
//! One table in code, so that a question of the form 'does a 429 trip the breaker?' has one place to look. Health lives at
//! three levels, and a failure is charged to exactly one of them.

use std::time::{Duration, Instant};

use breaker::Verdict;
use policy::{Backoff, BackoffConfig, Failed};
use registry::Quota;
use wire::{Class, Headroom, Level, Limit};

use super::event::AttemptFailure;

/// The wait before one and the same deployment is asked again after a failure that may pass at once. With jitter it lies
/// between half of this and all of it. AWS's standard mode starts at 50 ms and doubles; a model API that has just answered
/// 500 is given a little longer.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// How long a deployment is left alone after a 429 that names no wait. Providers' limits are mostly counted per minute in
/// windows of 1 to 10 s, so this is the order of the shortest wait that helps.
pub(super) const INFERRED_COOLDOWN: Duration = Duration::from_secs(5);

/// The longest wait of a provider's that is believed as a cooldown; linkerd caps at the same.
pub(super) const LONGEST_COOLDOWN: Duration = Duration::from_secs(300);

/// What a failure does to the state of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Charge {
    /// The verdict on the endpoint's circuit.
    pub endpoint: Verdict,
    /// The verdict on the deployment's circuit.
    pub deployment: Verdict,
    /// Whether it lowers the deployment's score.
    pub hurts_score: bool,
    /// Whether it is a rate limit.
    pub limits: bool,
    /// Whether it takes the deployment out until the configuration changes.
    pub takes_out: bool,
}

/// Who is charged with a failure.
pub(super) fn charge(class: Class) -> Charge {
    let reached = Charge {
        endpoint: Verdict::Success,
        deployment: Verdict::Ignored,
        hurts_score: false,
        limits: false,
        takes_out: false,
    };
    if class == Class::RateLimited {
        return Charge { deployment: Verdict::RateLimited, limits: true, ..reached };
    }
    match class.level() {
        Level::Endpoint => Charge { endpoint: Verdict::Failure, hurts_score: true, ..reached },
        Level::Deployment if class == Class::ModelMissing => Charge { takes_out: true, ..reached },
        Level::Deployment => {
            // A reset or a silence says nothing sure of the endpoint: another model there may be well.
            let endpoint = match class {
                Class::Reset | Class::Timeout => Verdict::Ignored,
                _ => Verdict::Success,
            };
            Charge { endpoint, deployment: Verdict::Failure, hurts_score: true, ..reached }
        }
        Level::Credential => Charge { takes_out: true, ..reached },
        Level::Nobody => Charge {
            endpoint: if class == Class::Cancelled { Verdict::Ignored } else { Verdict::Success },
            ..reached
        },
    }
}

/// Whether a deployment refused for the load it had: an overload, or a limit that names no wait and so is none of a minute's.
pub(super) fn is_for_load(failure: &AttemptFailure) -> bool {
    match failure.class {
        Class::Overloaded => true,
        Class::RateLimited => failure.retry_after.is_none(),
        _ => false,
    }
}

/// What a failure means for the call's way on. `draw` spreads the pause.
pub(super) fn way_on(failure: &AttemptFailure, now: Instant, draw: u64) -> Failed {
    let mut failed = Failed::elsewhere();
    // What is too long for one model may fit another; which those are, only the configuration knows.
    failed.refused = failure.class == Class::ContextTooLong;
    failed.elsewhere = failure.class.may_try_elsewhere() || failed.refused;
    failed.limited = failure.class == Class::RateLimited;
    failed.limited_until =
        if failed.limited { failure.retry_after.and_then(|wait| now.checked_add(wait)) } else { None };
    failed.billed = failure.sent && !failure.class.surely_not_processed();
    failed.again = match failure.class {
        Class::RateLimited => failure.retry_after,
        Class::Transient | Class::Reset | Class::Unreachable | Class::Overloaded => {
            Some(pause(failure.retry_after, draw))
        }
        Class::Cut | Class::Malformed | Class::Empty => Some(pause(None, draw)),
        // Silence is not asked twice, and what the configuration must mend does not mend itself.
        _ => None,
    };
    failed
}

/// The wait that the server wishes, else a short one that chance spreads: between half of [`PAUSE`] and all of it.
fn pause(wish: Option<Duration>, draw: u64) -> Duration {
    let mut config = BackoffConfig::default();
    config.initial = PAUSE;
    config.jitter = 0.5;
    Backoff::new(config).map_or(PAUSE, |mut backoff| backoff.next(wish, draw))
}

/// What a provider's count of what is left means for the next requests, each of `tokens`: until one more has come back, what is
/// left is all there is.
pub(super) fn quota(headroom: &Headroom, tokens: u32, now: Instant) -> Quota {
    let mut quota = Quota::default();
    let back_at = |limit: &Limit, needed: u64| now.checked_add(limit.refill(needed)?);
    if let Some(at) = back_at(&headroom.requests, 1) {
        (quota.remaining_requests, quota.requests_reset_at) = (headroom.requests.remaining, Some(at));
    }
    let counted = headroom.scarcest_tokens();
    if let Some(at) = back_at(&counted, u64::from(tokens)) {
        (quota.remaining_tokens, quota.tokens_reset_at) = (counted.remaining, Some(at));
    }
    quota
}
