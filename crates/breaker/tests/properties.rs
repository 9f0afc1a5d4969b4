//! The breaker's promises, over histories that nobody thought of.

#![expect(clippy::expect_used, reason = "a helper that finds its input wrong fails the run")]

mod common;

use std::time::{Duration, Instant};

use outrigger_breaker::strategies::{
    self, Observation, Op, Step, call_histories, configs, histories, replay,
};
use outrigger_breaker::{
    Breaker, BreakerConfig, Event, Gate, Model, Permit, RateRule, Ratio, Report, State, TripReason, Verdict,
};
use proptest::prelude::*;

use common::{breaker, settings, t0};

fn run(config: &BreakerConfig, steps: &[Step]) -> Vec<Observation> {
    let origin = t0();
    replay(&mut breaker(config, origin), steps, origin)
}

fn events(seen: &[Observation]) -> Vec<Event> {
    seen.iter().flat_map(|observation| observation.events.clone()).collect()
}

/// A breaker opened by hand at `now`, for the config's plain recovery time.
fn tripped(config: &BreakerConfig, now: Instant) -> Breaker {
    let mut breaker = breaker(config, now);
    breaker.open_for(config.recovery_timeout, now);
    breaker
}

proptest! {
    #![proptest_config(settings())]

    /// **The naive model agrees** on every answer, state, reason, instant and event of any history: totality, trip
    /// and window exactness, trial bound, close exactness, late isolation (invariants 1, 4, 5, 9-12, 14, 16, 21).
    /// Fails if a window forgets to evict, a lease to end, or an old epoch counts.
    #[test]
    fn the_machine_does_what_the_naive_model_does(config in configs(), steps in histories(0..120)) {
        let origin = t0();
        let mut model = Model::new(config.clone(), origin).expect("a valid config");
        let expected = replay(&mut model, &steps, origin);
        let seen = replay(&mut breaker(&config, origin), &steps, origin);
        for (place, (expected, seen)) in expected.iter().zip(&seen).enumerate() {
            prop_assert_eq!(expected, seen, "step {} {:?}", place, &steps[place]);
        }
    }

    /// **Legal edges, one epoch each, one event each.** Without commands the state moves along four edges, and
    /// replaying the events rebuilds it (invariants 2, 3, 19). Fails if a transition skips `enter`.
    #[test]
    fn states_move_along_legal_edges_and_events_tell_them(config in configs(), steps in call_histories(0..150)) {
        let seen = run(&config, &steps);
        let (mut state, mut epoch) = (State::Closed, 0);
        for observation in &seen {
            for event in &observation.events {
                prop_assert_eq!(event.from, state);
                let legal = matches!(
                    (event.from, event.to),
                    (State::Closed | State::HalfOpen, State::Open)
                        | (State::Open, State::HalfOpen)
                        | (State::HalfOpen, State::Closed)
                );
                prop_assert!(legal, "{:?} to {:?}", event.from, event.to);
                epoch += 1;
                prop_assert_eq!(event.epoch, epoch);
                prop_assert_eq!(event.reason.is_some(), event.to == State::Open);
                state = event.to;
            }
            // A release has no clock: an overdue stay then reads as open, and its event is yet to come.
            let overdue = state == State::HalfOpen && observation.state == State::Open;
            prop_assert!(observation.state == state || overdue);
        }
    }

    /// **Trials are bounded.** In one half-open stay at most so many trials are out or spent (invariant 11). Fails
    /// if a spent slot is handed out again.
    #[test]
    fn trials_in_one_stay_never_exceed_their_number(
        config in configs(), answered in prop::collection::vec(any::<bool>(), 1..40),
    ) {
        let now = t0();
        let mut breaker = tripped(&config, now);
        let later = now + config.recovery_timeout;
        let mut admitted = 0;
        for (asks, answered) in answered.iter().enumerate() {
            if let Ok(permit) = breaker.acquire(later) {
                admitted += 1;
                if *answered {
                    breaker.report(permit, Verdict::Success, later);
                }
            }
            if breaker.state(later) != State::HalfOpen {
                break;
            }
            prop_assert_eq!(admitted, (asks + 1).min(config.half_open_max_calls as usize));
        }
    }

    /// **It always comes back.** Whatever happened, once every permit is past its lease the circuit admits at a
    /// finite time, unless forced (invariants 10, 13). Fails if a lost trial keeps its slot.
    #[test]
    fn every_history_ends_in_a_breaker_that_admits_again(config in configs(), steps in call_histories(0..150)) {
        let origin = t0();
        let mut breaker = breaker(&config, origin);
        replay(&mut breaker, &steps, origin);
        let mut now = origin + Duration::from_secs(100_000);
        for _ in 0..3 {
            match breaker.admits(now) {
                Ok(()) => break,
                Err(refusal) => now = refusal.retry_at.expect("no trial is out any more"),
            }
        }
        prop_assert!(breaker.acquire(now).is_ok());
    }

    /// **Late answers change nothing** (invariant 14). Fails if `report` does not look at the epoch.
    #[test]
    fn a_report_of_a_past_epoch_changes_nothing(
        config in configs(), steps in call_histories(0..80), report in strategies::reports(), stale in any::<bool>()
    ) {
        let origin = t0();
        let mut breaker = breaker(&config, origin);
        replay(&mut breaker, &steps, origin);
        let now = breaker.since().unwrap_or(origin);
        breaker.advance(now);
        let before = format!("{breaker:?}");
        // Numbered as a past epoch, or as a trial that was never sent out.
        let permit = if stale { Permit::issue(u64::MAX, None) } else { Permit::issue(u64::MAX, Some(0)) };
        breaker.report(permit, report, now);
        breaker.release(Permit::issue(u64::MAX, Some(0)));
        prop_assert_eq!(before, format!("{breaker:?}"));
    }

    /// **Drops are neutral.** A trial taken and dropped at once leaves no trace (invariant 15). Fails if `release`
    /// spends the slot.
    #[test]
    fn a_trial_taken_and_dropped_leaves_no_trace(config in configs(), verdicts in prop::collection::vec(any::<bool>(), 0..6)) {
        let now = t0();
        let later = now + config.recovery_timeout;
        let outcome = |drops: bool| {
            let mut breaker = tripped(&config, now);
            for good in &verdicts {
                if drops && let Ok(permit) = breaker.acquire(later) {
                    breaker.release(permit);
                }
                if let Ok(permit) = breaker.acquire(later) {
                    breaker.report(permit, if *good { Verdict::Success } else { Verdict::Failure }, later);
                }
            }
            (breaker.state(later), breaker.trial_results(), breaker.open_until(), breaker.opened_total())
        };
        let plain = outcome(false);
        prop_assume!(plain.0 != State::Open || plain.3 > 1);
        prop_assert_eq!(plain, outcome(true));
    }

    /// **A clock that goes back stands still** (invariant 18). Fails if `tick` does not keep the latest time.
    #[test]
    fn time_that_goes_back_reads_as_no_time(config in configs(), steps in call_histories(0..100)) {
        // A release has no clock, and no part in this.
        let timed = |step: &Step| !matches!(step.op, Op::Release(_));
        let steps: Vec<Step> = steps.into_iter().filter(timed).collect();
        let (mut now, mut latest) = (0_i64, 0_i64);
        let forward: Vec<Step> = steps
            .iter()
            .cloned()
            .map(|mut step| {
                let before = latest;
                now += step.after_ms;
                latest = latest.max(now);
                step.after_ms = latest - before;
                // A lease is an instant: it ends when it would have.
                if let Op::Acquire(lease) = &mut step.op {
                    *lease = lease.saturating_sub(Duration::from_millis(latest.abs_diff(now)));
                }
                step
            })
            .collect();
        let leases_fit = steps.iter().zip(&forward).all(|(a, b)| match (&a.op, &b.op) {
            (Op::Acquire(a), Op::Acquire(b)) => a == b || !b.is_zero(),
            _ => true,
        });
        prop_assume!(leases_fit);
        let origin = t0();
        let seen = replay(&mut breaker(&config, origin), &steps, origin);
        prop_assert_eq!(seen, replay(&mut breaker(&config, origin), &forward, origin));
    }

    /// **No trip below the minimum** (invariant 6): a rate speaks at its minimum of calls and not before. Fails if
    /// `min_calls` is compared with `>` or not at all.
    #[test]
    fn a_rate_is_silent_below_its_minimum(min_calls in 1..40_u32, calls in 0..40_u32) {
        let now = t0();
        let mut config = BreakerConfig::article();
        config.failure_threshold = 0;
        config.failure_rate = Some(RateRule::new(Ratio::ONE, min_calls, Duration::from_secs(10)));
        let mut breaker = breaker(&config, now);
        for _ in 0..calls {
            if let Ok(permit) = breaker.acquire(now) {
                breaker.report(permit, Verdict::Failure, now);
            }
        }
        prop_assert_eq!(breaker.opened_total(), u64::from(calls >= min_calls));
    }

    /// **Turning a failure into a success never trips sooner** (invariant 7), whatever the rules. Fails if a success
    /// adds to the run, is counted as a failure by a window, or is left out of its total.
    #[test]
    fn more_success_never_trips_sooner(
        config in configs(), calls in prop::collection::vec((0..800_u64, strategies::reports()), 1..80),
        place in any::<prop::sample::Index>(),
    ) {
        let origin = t0();
        let tripped_at = |calls: &[(u64, Report)]| {
            let mut breaker = breaker(&config, origin);
            let mut now = origin;
            calls.iter().position(|(gap, report)| {
                now += Duration::from_millis(*gap);
                let permit = breaker.acquire(now).expect("still closed");
                breaker.report(permit, *report, now);
                breaker.state(now) == State::Open
            })
        };
        let mut better = calls.clone();
        let report = &mut better[place.index(calls.len())].1;
        if report.verdict != Verdict::Ignored {
            report.verdict = Verdict::Success;
        }
        let (before, after) = (tripped_at(&calls), tripped_at(&better));
        prop_assert!(after.is_none_or(|after| before.is_some_and(|before| before <= after)), "{:?} {:?}", before, after);
    }

    /// **Rate independence.** Inside one bucket the pace of calls decides nothing (invariant 8). Fails if a window
    /// looks at gaps.
    #[test]
    fn the_pace_inside_a_bucket_decides_nothing(verdicts in prop::collection::vec(any::<bool>(), 1..40), gap in 0..20_u64) {
        let now = t0();
        let states = |gap: u64| {
            let mut breaker = breaker(&BreakerConfig::default(), now);
            let mut at = now;
            verdicts.iter().map(|good| {
                at += Duration::from_millis(gap);
                if let Ok(permit) = breaker.acquire(at) {
                    breaker.report(permit, if *good { Verdict::Success } else { Verdict::Failure }, at);
                }
                breaker.state(at)
            }).collect::<Vec<_>>()
        };
        prop_assert_eq!(states(0), states(gap));
    }

    /// **Open times follow their formula**: `min(base * f^k, cap) * (1 + j)` with j up to the jitter, and never
    /// below the callee's wish up to its cap (invariant 17). Fails if `k` is not reset by a close.
    #[test]
    fn open_times_follow_their_formula(
        base in 1..1000_u32, times in 1..50_u32, factor in 1..4_u32, jitter in 0.0..1.0_f64, draw in any::<u64>(),
        wish in proptest::option::of(0..1000_u32), k in 0..12_u8,
    ) {
        let mut config = BreakerConfig::article();
        config.failure_threshold = 1;
        config.recovery_timeout = Duration::from_secs(base.into());
        config.recovery_timeout_max = Some(Duration::from_secs((base * times).into()));
        config.recovery_factor = f64::from(factor);
        config.jitter = Ratio::new(jitter).expect("a ratio");
        let mut now = t0();
        // Opened and closed once before: that opening is no longer counted.
        let mut breaker = tripped(&config, now);
        now += config.recovery_timeout;
        for _ in 0..config.success_threshold {
            let permit = breaker.acquire(now).expect("a trial");
            breaker.report(permit, Verdict::Success, now);
        }
        let mut report = Report::new(Verdict::Failure).draw(draw);
        for round in 0..=k {
            now = breaker.open_until().unwrap_or(now);
            if round == k && let Some(wish) = wish {
                report = report.retry_after(Duration::from_secs(wish.into()));
            }
            let permit = breaker.acquire(now).expect("its open time is over");
            breaker.report(permit, report, now);
        }
        let waited = (breaker.open_until().expect("open") - now).as_secs_f64();
        let plain = (f64::from(base) * f64::from(factor).powi(k.into())).min(f64::from(base * times));
        let floor = f64::from(wish.unwrap_or(0).min(300));
        prop_assert!(waited >= plain.max(floor) - 1e-6, "{} < {}", waited, plain);
        prop_assert!(waited <= (plain * (1.0 + jitter)).max(floor) + 1e-6, "{} > {}", waited, plain);
    }

    /// **Forced open admits none, disabled admits all** and records none (invariant 21). Fails if time ends a
    /// forced stay.
    #[test]
    fn commands_hold_whatever_time_does(config in configs(), steps in call_histories(1..60), forced in any::<bool>()) {
        let origin = t0();
        let mut breaker = breaker(&config, origin);
        if forced { breaker.force_open(origin) } else { breaker.disable(origin) }
        prop_assert_eq!(events(&replay(&mut breaker, &steps, origin)).len(), 1);
        let later = origin + Duration::from_secs(1 << 30);
        prop_assert_eq!(breaker.acquire(later).is_ok(), !forced);
    }

    /// **Waking is enough and never spins.** A driver that sleeps until `next_wakeup` and calls `advance` finds the
    /// next one strictly later. Fails if a passed instant is named again.
    #[test]
    fn wake_ups_move_forward(config in configs(), steps in histories(0..80)) {
        let origin = t0();
        let mut breaker = breaker(&config, origin);
        replay(&mut breaker, &steps, origin);
        let mut last = None;
        for _ in 0..20 {
            let Some(next) = breaker.next_wakeup() else { break };
            prop_assert!(last.is_none_or(|last| last < next));
            breaker.advance(next);
            last = Some(next);
        }
        prop_assert!(breaker.next_wakeup().is_none());
    }
}

#[test]
fn a_confirmed_trial_counts_once_and_its_late_failure_counts_where_it_stands() {
    let now = t0();
    let mut breaker = tripped(&BreakerConfig::article(), now);
    let later = now + Duration::from_secs(30);
    let mut first = breaker.acquire(later).expect("a trial");
    let mut second = breaker.acquire(later).expect("a trial");
    breaker.confirm(&mut first, later);
    assert_eq!(breaker.state(later), State::HalfOpen);
    breaker.confirm(&mut first, later);
    assert_eq!(breaker.state(later), State::HalfOpen, "a second confirm counts nothing");
    breaker.confirm(&mut second, later);
    assert_eq!(breaker.state(later), State::Closed);
    breaker.report(second, Verdict::Failure, later);
    assert_eq!(breaker.consecutive_failures(), 1);
    breaker.report(first, Verdict::Failure, later);
    assert_eq!(breaker.consecutive_failures(), 1, "confirmed in half-open, its epoch is over");
}

#[test]
fn a_trial_past_its_lease_frees_its_slot_and_its_report_counts_nowhere() {
    let now = t0();
    let mut config = BreakerConfig::article();
    config.half_open_max_calls = 1;
    config.success_threshold = 1;
    let mut breaker = tripped(&config, now);
    let later = now + Duration::from_secs(30);
    let lost = breaker.acquire_until(later + Duration::from_secs(5), later).expect("a trial");
    assert!(breaker.acquire(later + Duration::from_secs(4)).is_err());
    let end = later + Duration::from_secs(5);
    assert_eq!(breaker.next_wakeup(), Some(end));
    let next = breaker.acquire(end).expect("the slot is free again");
    breaker.report(lost, Verdict::Failure, end);
    assert_eq!(breaker.state(end), State::HalfOpen);
    breaker.report(next, Verdict::Success, end);
    assert_eq!(breaker.state(end), State::Closed);
}

#[test]
fn an_overdue_half_open_stay_opens_when_it_was_due() {
    let now = t0();
    let mut config = BreakerConfig::article();
    config.half_open_max_stay = Some(Duration::from_secs(10));
    let mut breaker = tripped(&config, now);
    let held = breaker.acquire(now + Duration::from_secs(30)).expect("a trial");
    breaker.advance(now + Duration::from_secs(45));
    assert_eq!(breaker.reason(), Some(TripReason::HalfOpenTimeout));
    assert_eq!(breaker.open_until(), Some(now + Duration::from_secs(70)));
    breaker.report(held, Verdict::Success, now + Duration::from_secs(45));
    assert_eq!(breaker.state(now + Duration::from_secs(45)), State::Open);
}

#[test]
fn a_gate_is_an_object() {
    let now = t0();
    let mut gate: Box<dyn Gate> = Box::new(breaker(&BreakerConfig::default(), now));
    let permit = gate.acquire_until(now, now).expect("closed");
    gate.report(permit, Verdict::Success.into(), now);
    assert_eq!(gate.state(now), State::Closed);
}
