//! What the integration tests share: an origin of time.

use std::sync::OnceLock;
use std::time::Instant;

/// A made-up origin, the same for the whole test run.
#[expect(clippy::disallowed_methods, reason = "tests need some origin of time; nothing is measured from it")]
pub(crate) fn t0() -> Instant {
    static T0: OnceLock<Instant> = OnceLock::new();
    *T0.get_or_init(Instant::now)
}
