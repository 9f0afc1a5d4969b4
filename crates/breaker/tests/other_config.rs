//! Another config under way: a breaker goes by it and forgets nothing.

#![expect(clippy::expect_used, reason = "a helper that finds its input wrong fails the run")]

mod common;

use std::time::{Duration, Instant};

use outrigger_breaker::strategies::{configs, histories, replay};
use outrigger_breaker::{
    Breaker, BreakerConfig, Event, Gate, Permit, Rejected, Report, State, TripReason, Verdict,
};
use proptest::prelude::*;

use common::{breaker, settings, t0};

/// A breaker that is given its own config again before whatever it is told at a time.
#[derive(Debug)]
struct Restless(Breaker);

impl Restless {
    fn again(&mut self, now: Instant) {
        let config = self.0.config().clone();
        self.0.set_config(config, now).expect("it was valid before");
    }
}

impl Gate for Restless {
    fn acquire_until(&mut self, lease_end: Instant, now: Instant) -> Result<Permit, Rejected> {
        self.again(now);
        self.0.acquire_until(lease_end, now)
    }

    fn report(&mut self, permit: Permit, report: Report, now: Instant) {
        self.again(now);
        self.0.report(permit, report, now);
    }

    fn release(&mut self, permit: Permit) {
        self.0.release(permit);
    }

    fn confirm(&mut self, permit: &mut Permit, now: Instant) {
        self.again(now);
        self.0.confirm(permit, now);
    }

    fn state(&self, now: Instant) -> State {
        self.0.state(now)
    }

    fn admits(&self, now: Instant) -> Result<(), Rejected> {
        self.0.admits(now)
    }

    fn advance(&mut self, now: Instant) {
        self.again(now);
        self.0.advance(now);
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.0.poll_event()
    }

    fn force_open(&mut self, now: Instant) {
        self.0.force_open(now);
    }

    fn disable(&mut self, now: Instant) {
        self.0.disable(now);
    }

    fn reset(&mut self, now: Instant) {
        self.0.reset(now);
    }

    fn open_for(&mut self, duration: Duration, now: Instant) {
        self.0.open_for(duration, now);
    }

    fn opened_total(&self) -> u64 {
        self.0.opened_total()
    }

    fn reason(&self) -> Option<TripReason> {
        self.0.reason()
    }

    fn open_until(&self) -> Option<Instant> {
        self.0.open_until()
    }
}

proptest! {
    #![proptest_config(settings())]

    /// **The same numbers again are no news.** Fails if a change of config forgets a count, a trial, a run or an open time.
    #[test]
    fn the_config_that_it_has_changes_nothing(config in configs(), steps in histories(0..120)) {
        let origin = t0();
        let seen = replay(&mut Restless(breaker(&config, origin)), &steps, origin);
        prop_assert_eq!(replay(&mut breaker(&config, origin), &steps, origin), seen);
    }

    /// **No change of config leaves a circuit stuck**, wherever it stood and whatever was out: left alone and asked again with
    /// success, it closes. And what stood open stands open as long as it was to. Fails if a stay is left half-open with no slot
    /// left that would decide it.
    #[test]
    fn a_circuit_of_another_config_still_recovers(
        before in configs(),
        after in configs(),
        steps in histories(0..80),
    ) {
        let origin = t0();
        let mut breaker = breaker(&before, origin);
        replay(&mut breaker, &steps, origin);
        let mut now = origin + Duration::from_secs(100_000_000);
        let open = (breaker.state(now) == State::Open).then(|| (breaker.open_until(), breaker.reason()));
        breaker.set_config(after, now).expect("strategies make valid configs");
        if let Some(open) = open.filter(|(until, _)| until.is_some()) {
            prop_assert_eq!((breaker.open_until(), breaker.reason()), open);
        }
        if matches!(breaker.state(now), State::ForcedOpen | State::Disabled) {
            return Ok(());
        }
        for _ in 0..4096 {
            match breaker.acquire(now) {
                Ok(permit) => breaker.report(permit, Verdict::Success, now),
                Err(_) => now = breaker.next_wakeup().unwrap_or(now + Duration::from_secs(1)),
            }
            if breaker.state(now) == State::Closed {
                return Ok(());
            }
        }
        prop_assert!(false, "it never closed: {:?}", breaker);
    }
}

/// **Counts of a window that keeps its shape go on**, and new limits are judged at the next report. Fails if a lower limit waits for
/// as many failures again.
#[test]
fn a_lower_limit_counts_the_failures_there_were() {
    let (mut breaker, now) = (breaker(&BreakerConfig::default(), t0()), t0());
    for _ in 0..3 {
        let permit = breaker.acquire(now).expect("closed");
        breaker.report(permit, Verdict::Failure, now);
    }
    let window = breaker.window(1, now);
    let mut lower = BreakerConfig::default();
    lower.failure_threshold = 4;
    breaker.set_config(lower, now).expect("valid");
    assert_eq!((breaker.window(1, now), breaker.state(now)), (window, State::Closed));
    let permit = breaker.acquire(now).expect("closed");
    breaker.report(permit, Verdict::Failure, now);
    assert_eq!((breaker.state(now), breaker.reason()), (State::Open, Some(TripReason::Consecutive)));
    let mut none = BreakerConfig::default();
    none.half_open_max_calls = 0;
    assert!(breaker.set_config(none, now).is_err());
    assert_eq!(breaker.config().failure_threshold, 4, "a config that is refused changes nothing");
}
