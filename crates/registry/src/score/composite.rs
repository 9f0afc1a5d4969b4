//! Composite: the article's choice, number by number.
//!
//! A preferred region wins while its health is above 50. Otherwise the best of health / max(1, latency / 50 ms) wins, those
//! below health 30 skipped, the first listed of equals. It knows neither load nor time: the best score takes nearly all
//! the traffic, and a region below 30 returns only if something else than traffic heals it.

use crate::health::{Health, NORMAL_MS};
use crate::selector::{Candidate, Choices};

/// Above it, a preferred region wins.
const PREFERRED_ABOVE: f64 = 50.0;
/// Below it, a region is skipped.
const SKIPPED_BELOW: f64 = 30.0;

/// health / max(1, latency / 50 ms)
pub(crate) fn score(health: &Health) -> f64 {
    health.score / (health.average_ms / NORMAL_MS).max(1.0)
}

pub(super) fn decide<'a>(choices: &'a Choices<'a>) -> Option<Candidate<'a>> {
    let query = choices.query();
    let failover = query.composite_failover.unwrap_or(choices.config.composite_failover);
    let preferred = choices.iter().filter(|candidate| {
        query.preferred_region.is_some_and(|region| *candidate.deployment().region == *region)
            && candidate.health() > PREFERRED_ABOVE
            && !(failover && candidate.state.health.failover_advised())
    });
    best(preferred).or_else(|| best(choices.iter().filter(|candidate| candidate.health() >= SKIPPED_BELOW)))
}

/// The highest score; the first listed of equals.
fn best<'a>(candidates: impl Iterator<Item = Candidate<'a>>) -> Option<Candidate<'a>> {
    candidates.fold(None, |best: Option<Candidate<'a>>, candidate| match best {
        Some(best) if score(&best.state.health) >= score(&candidate.state.health) => Some(best),
        _ => Some(candidate),
    })
}
