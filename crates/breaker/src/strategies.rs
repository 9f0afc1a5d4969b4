//! Strategies for proptest: configs, and histories to drive any [`Gate`] with.
//!
//! A history names permits by their place among those held, so that every list of steps is a valid one and
//! shrinks well.

use std::ops::Range;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use crate::{
    BreakerConfig, Event, Gate, Permit, RateRule, Ratio, Rejected, Report, State, Thresholds, TripReason,
    TripRule, Verdict,
};

/// What happens at a step.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// Asks for leave, with a lease of this long.
    Acquire(Duration),
    /// Reports one of the permits held: the index, modulo their number. If none is held, time passes.
    Report(usize, Report),
    /// Drops one of them.
    Release(usize),
    /// Confirms one of them.
    Confirm(usize),
    /// Time passes.
    Advance,
    /// Forces the circuit open.
    ForceOpen,
    /// Takes the breaker out.
    Disable,
    /// Closes it.
    Reset,
    /// Opens it for this long.
    OpenFor(Duration),
}

/// A step of a history.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// Milliseconds since the step before; below 0 the clock goes back.
    pub after_ms: i64,
    /// What happens.
    pub op: Op,
}

/// What a gate shows after a step.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Observation {
    /// For [`Op::Acquire`]: the refusal, or whether the permit is a trial.
    pub answer: Option<Result<bool, Rejected>>,
    /// The state.
    pub state: State,
    /// How often it has opened.
    pub opened_total: u64,
    /// Why it is open.
    pub reason: Option<TripReason>,
    /// Until when.
    pub open_until: Option<Instant>,
    /// Whether it would admit.
    pub admits: Result<(), Rejected>,
    /// The transitions of this step.
    pub events: Vec<Event>,
}

/// Takes a gate through a history that begins at `origin` and tells what it showed after each step.
pub fn replay(gate: &mut dyn Gate, steps: &[Step], origin: Instant) -> Vec<Observation> {
    let mut held: Vec<Permit> = Vec::new();
    let mut now = origin;
    let mut observe = |step: &Step| {
        let gap = Duration::from_millis(step.after_ms.unsigned_abs());
        let moved = if step.after_ms < 0 { now.checked_sub(gap) } else { now.checked_add(gap) };
        now = moved.unwrap_or(now);
        let place = |index: &usize, held: &Vec<Permit>| index.checked_rem(held.len());
        let mut answer = None;
        match &step.op {
            Op::Acquire(lease) => {
                let got = gate.acquire_until(now + *lease, now);
                answer = Some(got.map(|permit| {
                    let trial = permit.is_trial();
                    held.push(permit);
                    trial
                }));
            }
            Op::Report(index, report) => match place(index, &held) {
                Some(place) => gate.report(held.swap_remove(place), *report, now),
                None => gate.advance(now),
            },
            Op::Release(index) => {
                if let Some(place) = place(index, &held) {
                    gate.release(held.swap_remove(place));
                }
            }
            Op::Confirm(index) => match place(index, &held).and_then(|place| held.get_mut(place)) {
                Some(permit) => gate.confirm(permit, now),
                None => gate.advance(now),
            },
            Op::Advance => gate.advance(now),
            Op::ForceOpen => gate.force_open(now),
            Op::Disable => gate.disable(now),
            Op::Reset => gate.reset(now),
            Op::OpenFor(duration) => gate.open_for(*duration, now),
        }
        Observation {
            answer,
            state: gate.state(now),
            opened_total: gate.opened_total(),
            reason: gate.reason(),
            open_until: gate.open_until(),
            admits: gate.admits(now),
            events: std::iter::from_fn(|| gate.poll_event()).collect(),
        }
    };
    steps.iter().map(&mut observe).collect()
}

fn ms(range: Range<u64>) -> impl Strategy<Value = Duration> + Clone {
    range.prop_map(Duration::from_millis)
}

/// Shares with small denominators, where equality with a threshold happens.
pub fn ratios() -> impl Strategy<Value = Ratio> {
    prop_oneof![Just(Ratio::HALF), Just(Ratio::ONE), (1..=10_u8).prop_map(tenths)]
}

fn tenths(tenths: u8) -> Ratio {
    Ratio::new(f64::from(tenths) / 10.0).unwrap_or(Ratio::ONE)
}

/// How long calls take: few values, so that one equals a threshold now and then.
fn call_times() -> impl Strategy<Value = Duration> + Clone {
    (0..8_u64).prop_map(|quarters| Duration::from_millis(250 * quarters))
}

/// Thresholds of every mixture.
pub fn thresholds() -> impl Strategy<Value = Thresholds> {
    (option::of(ratios()), option::of(ratios()), option::of((ratios(), call_times()))).prop_map(
        |(failure_rate, success_rate_below, slow)| Thresholds {
            failure_rate,
            success_rate_below,
            slow_rate: slow.map(|(rate, _)| rate),
            slow_above: slow.map(|(_, above)| above),
        },
    )
}

/// Trip rules of every kind.
pub fn trip_rules() -> impl Strategy<Value = TripRule> {
    prop_oneof![
        (0..6_u32).prop_map(|failures| TripRule::Consecutive { failures }),
        (1..12_u32, 0..12_u32, thresholds())
            .prop_map(|(size, min_calls, thresholds)| TripRule::CountWindow { size, min_calls, thresholds }),
        (1000..20_000_u64, 1..12_u32, 0..8_u32, thresholds()).prop_map(
            |(length, buckets, min_calls, thresholds)| TripRule::TimeWindow {
                length: Duration::from_millis(length),
                buckets,
                min_calls,
                thresholds
            }
        ),
    ]
}

/// Configs that validate, small enough for their rules to fire in a short history.
pub fn configs() -> impl Strategy<Value = BreakerConfig> {
    let trips = (0..6_u32, option::of((ratios(), 0..6_u32, ms(1000..20_000))), vec(trip_rules(), 0..3));
    let opens = (ms(1..10_000), option::of(1..20_u32), 1..4_u8, vec(ms(1..10_000), 0..3), 0..=10_u8);
    let halves = (1..5_u32, any::<u32>(), option::weighted(0.3, thresholds()), option::of(ms(1..20_000)));
    (trips, opens, halves, any::<bool>(), any::<bool>()).prop_map(
        |(trips, opens, halves, count_rate_limits, rate_limited_fails)| BreakerConfig {
            failure_threshold: trips.0,
            failure_rate: trips.1.map(|(share, calls, within)| RateRule::new(share, calls, within)),
            rules: trips.2,
            count_rate_limits,
            recovery_timeout: opens.0,
            recovery_timeout_max: opens.1.map(|times| opens.0 * times),
            recovery_factor: f64::from(opens.2),
            recovery_list: opens.3,
            jitter: tenths(opens.4),
            half_open_max_calls: halves.0,
            success_threshold: 1 + halves.1 % halves.0,
            half_open_rate: halves.2,
            half_open_max_stay: halves.3,
            rate_limited_fails,
            ..BreakerConfig::default()
        },
    )
}

/// Reports of every kind, failures the commonest.
pub fn reports() -> impl Strategy<Value = Report> {
    let verdicts = prop_oneof![
        4 => Just(Verdict::Failure),
        3 => Just(Verdict::Success),
        1 => Just(Verdict::RateLimited),
        1 => Just(Verdict::Ignored),
    ];
    let wishes = option::weighted(0.1, ms(0..600_000));
    (verdicts, option::of(call_times()), wishes, any::<u64>())
        .prop_map(|(verdict, duration, retry_after, draw)| Report { verdict, duration, retry_after, draw })
}

/// Histories of calls and time; commands are rare, the clock seldom goes back.
pub fn histories(length: Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let commands = prop_oneof![
        Just(Op::ForceOpen),
        Just(Op::Disable),
        Just(Op::Reset),
        ms(0..10_000).prop_map(Op::OpenFor)
    ];
    steps(length, prop_oneof![30 => calls(), 1 => commands])
}

/// Histories without an operator's commands.
pub fn call_histories(length: Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    steps(length, calls())
}

fn calls() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => ms(0..20_000).prop_map(Op::Acquire),
        8 => (any::<usize>(), reports()).prop_map(|(index, report)| Op::Report(index, report)),
        1 => any::<usize>().prop_map(Op::Release),
        1 => any::<usize>().prop_map(Op::Confirm),
        1 => Just(Op::Advance),
    ]
}

fn steps(length: Range<usize>, ops: impl Strategy<Value = Op>) -> impl Strategy<Value = Vec<Step>> {
    let gaps = prop_oneof![4 => Just(0), 8 => 0..800_i64, 2 => 0..40_000_i64, 1 => -2000..0_i64];
    vec((gaps, ops).prop_map(|(after_ms, op)| Step { after_ms, op }), length)
}
