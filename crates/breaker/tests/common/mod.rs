//! What the properties of the breaker share: an origin, how many histories are played, and a breaker for each.

use std::time::{Duration, Instant};

use outrigger_breaker::{Breaker, BreakerConfig};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

#[expect(clippy::disallowed_methods, reason = "an origin for made-up instants, read once")]
pub(crate) fn t0() -> Instant {
    // Far enough from the platform's own zero for clocks that go back.
    Instant::now() + Duration::from_secs(3600)
}

pub(crate) fn settings() -> ProptestConfig {
    let seeds = FileFailurePersistence::WithSource("regressions");
    ProptestConfig { failure_persistence: Some(Box::new(seeds)), ..ProptestConfig::with_cases(512) }
}

pub(crate) fn breaker(config: &BreakerConfig, origin: Instant) -> Breaker {
    Breaker::new_at(config.clone(), origin).expect("strategies make valid configs")
}
