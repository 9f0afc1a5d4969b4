//! Calls allocate nothing, in the machine and in the shared handle.

use std::time::{Duration, Instant};

use outrigger_breaker::{Breaker, BreakerConfig, SharedBreaker, Verdict};

#[expect(clippy::disallowed_methods, reason = "an origin for made-up instants, read once")]
fn t0() -> Instant {
    Instant::now()
}

/// **No allocation.** Trips, refusals, trials, recovery and window rolls included. Fails if trials are collected
/// in a fresh vector.
#[test]
fn a_full_cycle_allocates_nothing() {
    let mut now = t0();
    let config = BreakerConfig::default();
    let shared = SharedBreaker::new(config.clone(), now).expect("valid");
    let mut core = Breaker::new_at(config, now).expect("valid");
    let mut transitions = 0;
    let counted = allocation_counter::measure(|| {
        for _ in 0..200 {
            for verdict in [Verdict::Success, Verdict::Failure] {
                for _ in 0..5 {
                    if let Ok(permit) = shared.acquire(now) {
                        shared.report(permit, verdict, now);
                    }
                    if let Ok(permit) = core.acquire(now) {
                        core.report(permit, verdict, now);
                    }
                    now += Duration::from_secs(4);
                }
            }
            drop(shared.guard(now));
            transitions += u32::from(core.poll_event().is_some());
        }
    });
    assert!(transitions > 10);
    assert_eq!(counted.count_total, 0);
}
