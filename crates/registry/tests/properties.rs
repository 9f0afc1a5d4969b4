//! Promises that hold for every history, against a naive model that keeps all of it.

#![expect(clippy::expect_used, reason = "a helper of a test may panic: that is how a test fails")]

mod common;

use common::t0;
use outrigger_registry::testing::{Bench, Step, configs, histories, numbers};
use outrigger_registry::{
    CooldownOrigin, Deployment, Ewma, Kind, NoPick, Numbers, Query, Refusal, Registry, RegistryConfig,
    Sample, Scoring, SharedRegistry, Terms, Used, Verdict, Why,
};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

fn played(config: RegistryConfig, numbers: &[Numbers], steps: &[Step]) -> Bench {
    let registry = Registry::new(config).expect("the configuration is valid");
    let mut bench = Bench::with_numbers(registry, numbers, t0());
    steps.iter().for_each(|step| bench.play(step));
    bench
}

fn plain(deployments: usize, steps: &[Step]) -> Bench {
    played(RegistryConfig::default(), &vec![Numbers::default(); deployments], steps)
}

/// The terms of the only candidate, or of one of several.
fn terms(bench: &Bench, place: usize) -> Terms {
    let explained = bench.registry.explain(&Query::new(&bench.ids), 0, bench.now);
    explained.rows.get(place).and_then(|row| row.terms).expect("it is configured")
}

/// A property's verdict, where nothing further is to be looked at.
fn holds(rule: bool, what: &str) -> Result<(), TestCaseError> {
    if rule { Ok(()) } else { Err(TestCaseError::fail(what.to_owned())) }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 192,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// **The counts are true.** In flight, requests per minute, failures in a row and health are what all that happened
    /// adds up to. Fails if `abandon` forgets the in-flight count, or the ring keeps a bucket too long.
    #[test]
    fn the_registry_agrees_with_the_model(steps in histories(3, 80)) {
        let bench = plain(3, &steps);
        for (model, &id) in bench.models.iter().zip(&bench.ids) {
            let view = bench.registry.view(id, bench.now).unwrap();
            prop_assert_eq!(view.in_flight as usize, model.in_flight());
            prop_assert_eq!(view.requests_per_minute, model.requests_per_minute(bench.now));
            let elsewhere = (view.requests_elsewhere, view.tokens_elsewhere);
            prop_assert_eq!(elsewhere, model.used_elsewhere(bench.now));
            prop_assert_eq!(view.consecutive_failures as usize, model.consecutive_failures());
            prop_assert!((view.health - model.health()).abs() < 1e-9);
        }
    }

    /// **A limit is of all who share it.** What was used here and what others told last is what it is held to, whoever used it; the wait is to the
    /// first of it that leaves, and who looks is told whether others are why. Fails if others' use counts twice, for longer than it was
    /// told, or not in the wait.
    #[test]
    fn a_limit_per_minute_counts_all_that_is_known(
        steps in histories(1, 60), requests in prop::option::of(1_u32..12), tokens in prop::option::of(1_u64..4_000), needed in 0_u32..500,
    ) {
        let mut numbers = Numbers::default();
        numbers.limits.requests_per_minute = requests.and_then(NonZeroU32::new);
        numbers.limits.tokens_per_minute = tokens.and_then(NonZeroU64::new);
        let steps: Vec<_> = steps.into_iter().filter(|step| !matches!(step, Step::Cooldown(..) | Step::Cordon(..))).collect();
        let bench = played(RegistryConfig::default(), &[numbers], &steps);
        let mut query = Query::new(&bench.ids);
        query.tokens = needed;
        let verdict = bench.registry.explain(&query, 0, bench.now).rows[0].verdict;
        let expected = match bench.models[0].full_until(needed.into(), bench.now) {
            None => Verdict::Chosen,
            Some((until, true)) => Verdict::Refused(Refusal::SharedQuota { until }),
            Some((until, false)) => Verdict::Refused(Refusal::Quota { until }),
        };
        prop_assert_eq!(verdict, expected);
    }

    /// **What is told is what was used**: as much as counts here, in thirteen parts at most, none of which counts for longer than a minute or has ended.
    /// And it counts there as long as here, and not six seconds longer. Fails if a part is told for less time than its last second
    /// counts, is left out, or is told on from others.
    #[test]
    fn what_is_told_is_what_was_used(steps in histories(1, 80), later_ms in 30_000_u64..62_000) {
        // Most of it within the minute, and several times within one part.
        let sooner = |step| if let Step::Wait(time) = step { Step::Wait(time / 8) } else { step };
        let steps: Vec<_> = steps.into_iter().map(sooner).collect();
        let bench = plain(1, &steps);
        let (own, id) = (|after| bench.registry.view(bench.ids[0], bench.now + after).unwrap(), bench.ids[0]);
        let parts = bench.registry.used(id, bench.now);
        let sum = |of: fn(&Used) -> u64| parts.iter().map(of).sum::<u64>();
        let view = own(Duration::ZERO);
        prop_assert_eq!((sum(|part| part.requests), sum(|part| part.tokens)), (view.requests_per_minute, view.tokens_per_minute));
        prop_assert!(parts.len() <= 13 && parts.iter().all(|part| !part.left.is_zero() && part.left <= Duration::from_secs(60)));
        let mut other = Registry::new(RegistryConfig::default()).unwrap();
        let there = other.insert(Deployment::new("p", "r", "m"));
        other.used_elsewhere(there, &parts, bench.now);
        let later = Duration::from_millis(later_ms);
        let counted = other.view(there, bench.now + later).unwrap().requests_elsewhere;
        prop_assert!(counted >= own(later).requests_per_minute);
        let sooner = later.saturating_sub(Duration::from_secs(6));
        prop_assert!(counted <= own(sooner).requests_per_minute);
    }

    /// **Two that tell each other share one limit.** Where each hears what the other used before it asks, no 59 seconds see more than the limit
    /// over both (a second counts as a whole); and a minute after the last attempt all of it is free at both.
    #[test]
    fn two_that_tell_each_other_share_one_limit(
        steps in prop::collection::vec((0_u64..9_000, any::<bool>()), 1..120), limit in 1_u32..30,
    ) {
        let mut numbers = Numbers::default();
        numbers.limits.requests_per_minute = NonZeroU32::new(limit);
        let mut benches = [(); 2].map(|()| played(RegistryConfig::default(), &[numbers], &[]));
        let (mut now, mut asked) = (t0(), Vec::new());
        for (later, first) in steps {
            now += Duration::from_millis(later);
            let [one, two] = &mut benches;
            let (here, there) = if first { (one, two) } else { (two, one) };
            let heard = there.registry.used(there.ids[0], now);
            here.registry.used_elsewhere(here.ids[0], &heard, now);
            if here.registry.pick(&Query::new(&here.ids), 0, now).is_ok() {
                let running = here.registry.begin(here.ids[0], now);
                here.registry.finish(running, Sample::Neutral, now);
                asked.push(now);
            }
            let within = asked.iter().filter(|&&at| now - at < Duration::from_secs(59)).count();
            prop_assert!(within <= limit as usize, "{} of {}", within, limit);
        }
        now += Duration::from_secs(60);
        for bench in &benches {
            prop_assert_eq!(bench.registry.used(bench.ids[0], now), []);
        }
    }

    /// **The terms are true.** Cost, the right to a try, and the composite score are what the whole history adds up to.
    /// Fails if a failure leaves the latency alone, or a dropped attempt does not count as a try.
    #[test]
    fn the_terms_agree_with_the_model(config in configs(), numbers in prop::collection::vec(numbers(), 1..4), steps in histories(3, 60)) {
        let bench = played(config.clone(), &numbers, &steps);
        for (place, model) in bench.models.iter().enumerate() {
            let found = terms(&bench, place);
            let (untried, cost) = model.rank(Kind::Stream, bench.now, &config);
            prop_assert_eq!(found.untried, untried);
            prop_assert!(near(found.cost, cost), "{} is not {}", found.cost, cost);
            prop_assert!(near(found.composite, model.composite()));
        }
    }

    /// **A pick is the best.** Of up to eight, each scoring takes one that the model finds best, and nobody only when nobody
    /// may be asked. Fails if a comparison is turned round, or a tie of the composite goes to the last.
    #[test]
    fn a_pick_is_the_best_of_the_model(
        config in configs(), numbers in prop::collection::vec(numbers(), 1..7), steps in histories(6, 80),
        whole: bool, prefers in 0_usize..9, draw: u64,
    ) {
        let mut bench = played(config.clone(), &numbers, &steps);
        let (now, kind) = (bench.now, if whole { Kind::Whole } else { Kind::Stream });
        let region = format!("r{prefers}");
        let mut query = Query::new(&bench.ids);
        query.kind = kind;
        let composite = config.scoring == Scoring::Composite;
        query.preferred_region = Some(region.as_str()).filter(|_| composite);
        let open: Vec<usize> = (0..bench.ids.len()).filter(|&place| bench.models[place].may_be_asked(now)).collect();
        let picked = bench.registry.pick(&query, draw, now);
        let place = match picked {
            Ok(pick) if !pick.waived_cooldown => bench.ids.iter().position(|&id| id == pick.id).unwrap(),
            Ok(_) => return holds(open.is_empty(), "a cooldown was waived, though somebody may be asked"),
            Err(NoPick { why: Why::AllUnhealthy, .. }) => {
                let ill = open.iter().all(|&place| bench.models[place].health() < 30.0);
                return holds(composite && ill && !open.is_empty(), "not all are unhealthy");
            }
            Err(_) => return holds(open.is_empty(), "somebody may be asked"),
        };
        prop_assert!(open.contains(&place));
        let model = &bench.models[place];
        let others = open.iter().map(|&other| (other, &bench.models[other]));
        match config.scoring {
            Scoring::Adaptive => {
                let (untried, cost) = model.rank(kind, now, &config);
                for (_, other) in others {
                    let (its_untried, its_cost) = other.rank(kind, now, &config);
                    let beaten = if untried == its_untried { its_cost < cost * (1.0 - 1e-9) } else { its_untried };
                    prop_assert!(!beaten);
                }
            }
            Scoring::Cheapest => for (_, other) in others {
                prop_assert!(model.price() <= other.price());
                let (cost, its_cost) = (model.rank(kind, now, &config).1, other.rank(kind, now, &config).1);
                prop_assert!(model.price() < other.price() || cost <= its_cost * (1.0 + 1e-9));
            },
            Scoring::Composite => {
                let preferred = prefers;
                let well = |place: usize| {
                    let model = &bench.models[place];
                    model.health() > 50.0 && !(config.composite_failover && model.consecutive_failures() >= 3)
                };
                if open.contains(&preferred) && well(preferred) {
                    prop_assert_eq!(place, preferred);
                } else {
                    prop_assert!(model.health() >= 30.0);
                    for (at, other) in others.filter(|(_, other)| other.health() >= 30.0) {
                        let (score, its_score) = (model.composite(), other.composite());
                        prop_assert!(score >= its_score * (1.0 - 1e-9));
                        // Of equals the first: what happened alike to two adds up alike, to the last bit.
                        prop_assert!(at >= place || (score - its_score).abs() > 0.0);
                    }
                }
            }
            _ => {}
        }
    }

    /// **A pick is sound and repeatable.** It is a candidate that may be asked, `explain` foretells it, the same draw gives
    /// the same, and two choices are two. Fails if a cooldown or an exclusion is looked at after the score, or one is
    /// compared with itself.
    #[test]
    fn a_pick_is_sound_and_repeatable(config in configs(), steps in histories(12, 80), draw: u64, cooling in 0_usize..12, out in 0_usize..12) {
        let mut bench = played(config.clone(), &[Numbers::default(); 12], &steps);
        let now = bench.now;
        bench.registry.cooldown(bench.ids[cooling], now + Duration::from_secs(1), CooldownOrigin::Named);
        let excluded = [bench.ids[out]];
        let mut query = Query::new(&bench.ids);
        query.excluded = &excluded;
        let explained = bench.registry.explain(&query, draw, now);
        let pick = bench.registry.pick(&query, draw, now);
        prop_assert_eq!(explained.outcome, Some(pick));
        prop_assert_eq!(pick, bench.registry.pick(&query, draw, now));
        let looked_at = explained.rows.iter().filter(|row| matches!(row.verdict, Verdict::Chosen | Verdict::Lost)).count();
        let open = explained.rows.iter().filter(|row| !matches!(row.verdict, Verdict::Refused(_) | Verdict::ChosenWaived)).count();
        if let Ok(pick) = pick {
            let place = bench.ids.iter().position(|&id| id == pick.id).unwrap();
            prop_assert!(place != out && place != cooling && !bench.models[place].cordoned);
            prop_assert!(pick.waived_cooldown || bench.models[place].may_be_asked(now));
            prop_assert!(!pick.waived_cooldown || open == 0);
            if config.scoring == Scoring::Adaptive && !pick.waived_cooldown {
                prop_assert_eq!(looked_at, open.min(2));
            }
        }
    }

    /// **Weighted takes whoever may be asked.** Fails if a rounding of the drawn point takes one that may not.
    #[test]
    fn whoever_may_be_asked_can_be_had(config in configs(), steps in histories(4, 60), draw: u64) {
        let mut bench = played(config, &[Numbers::default(); 4], &steps);
        let now = bench.now;
        let mut query = Query::new(&bench.ids);
        query.scoring = Some(Scoring::Weighted);
        let picked = bench.registry.pick(&query, draw, now);
        let open = bench.models.iter().any(|model| model.may_be_asked(now));
        prop_assert_eq!(open, picked.is_ok_and(|pick| !pick.waived_cooldown));
    }

    /// **An average stays among its samples.** Bounded by the decayed least and the greatest, finite, falling while nothing
    /// comes; a peak is never below its sample, and a lower sample draws it strictly toward itself. Fails if a read moves
    /// the value, or a peak averages a higher sample in.
    #[test]
    fn an_average_stays_among_its_samples(samples in prop::collection::vec((0.0..1e6_f64, 1_u64..60_000, any::<bool>()), 1..50)) {
        let decay = Duration::from_secs(10);
        let mut average = Ewma::new(decay);
        let mut now = t0();
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for (sample, gap, peak) in samples {
            now += Duration::from_millis(gap);
            let (before, decayed) = (average.value(), average.value_at(now));
            (least, most) = (least.min(sample), most.max(sample));
            if peak { average.add_peak(sample, now) } else { average.add(sample, now) }
            let value = average.value().unwrap();
            let passed = now.duration_since(t0()).div_duration_f64(decay);
            prop_assert!(value.is_finite() && value <= most * (1.0 + 1e-12));
            prop_assert!(value >= least * (-passed).exp() * (1.0 - 1e-12));
            prop_assert!(!peak || value >= sample * (1.0 - 1e-12));
            if peak && decayed.is_some_and(|decayed| decayed > sample + 1e-6) {
                prop_assert!(value > sample && before.is_some_and(|before| value < before));
            }
            prop_assert!(average.value_at(now + Duration::from_secs(1)).unwrap() <= value);
            prop_assert_eq!(average.value(), Some(value));
        }
    }

    /// **A failure never makes cheaper.** Beside the same history without it, the one that failed never goes first, nor looks
    /// cheaper, until a `forgive` has passed. Fails if a failure counts as the short time that it took, or is forgiven at once.
    #[test]
    fn a_failure_never_makes_cheaper(steps in histories(1, 60), later_ms in 0_u64..30_000, busy: bool) {
        // The end of a wait that the provider names forgives, too: that is another rule.
        let steps: Vec<_> = steps.into_iter().filter(|step| !matches!(step, Step::Cooldown(..))).collect();
        let ends = [Sample::Failure, Sample::Neutral].map(|end| {
            let mut bench = plain(1, &steps);
            bench.drain();
            bench.play(&Step::Begin(0));
            bench.play(&Step::Finish(0, end));
            bench.play(&Step::Wait(Duration::from_millis(later_ms)));
            if busy {
                bench.play(&Step::Begin(0));
            }
            terms(&bench, 0)
        });
        let [failed, neutral] = ends;
        prop_assert!(!failed.untried || neutral.untried);
        prop_assert!(failed.untried != neutral.untried || failed.cost >= neutral.cost * (1.0 - 1e-12));
    }

    /// **A failure is dearer than any success.** Just failed, a place is no cheaper than one with the same load whose calls
    /// all succeeded within the penalty. Fails if a fast failure counts as fast.
    #[test]
    fn a_failure_is_dearer_than_a_slow_success(steps in histories(1, 40), slow in prop::collection::vec((0_u64..20_000, 1_u64..=5_000), 1..20)) {
        let mut bench = plain(2, &steps);
        bench.drain();
        bench.play(&Step::Recovered(0));
        bench.play(&Step::Recovered(1));
        for (gap, took) in slow {
            bench.play(&Step::Wait(Duration::from_millis(gap)));
            bench.play(&Step::Begin(1));
            bench.play(&Step::Finish(1, Sample::first_token(Duration::from_millis(took))));
        }
        bench.play(&Step::Wait(Duration::from_secs(40)));
        bench.play(&Step::Begin(0));
        bench.play(&Step::Finish(0, Sample::Failure));
        let (failed, slow) = (terms(&bench, 0), terms(&bench, 1));
        prop_assert!(!failed.untried && failed.cost >= slow.cost, "{} is below {}", failed.cost, slow.cost);
    }

    /// **Nobody starves.** Whatever happened, and however each answers from now on, whoever may be asked is asked within
    /// `memory` and `forgive`. Fails if a penalty, or an estimate, lasts until the next answer.
    #[test]
    fn nobody_starves_whatever_happened(steps in histories(3, 60), answers in prop::collection::vec(prop_oneof![
        Just(Sample::Failure), Just(Sample::RateLimited), Just(Sample::Neutral),
        (1_u64..20_000).prop_map(|ms| Sample::first_token(Duration::from_millis(ms))),
    ], 3)) {
        let mut bench = plain(3, &steps);
        bench.drain();
        (0..3).for_each(|place| bench.play(&Step::Cordon(place, false)));
        bench.play(&Step::Wait(Duration::from_secs(60)));
        let mut asked = [0_u32; 3];
        for draw in 0..(300 + 30 + 3) {
            let pick = bench.registry.pick(&Query::new(&bench.ids), draw, bench.now).unwrap();
            let place = bench.ids.iter().position(|&id| id == pick.id).unwrap();
            asked[place] += 1;
            bench.play(&Step::Begin(place));
            bench.play(&Step::Finish(place, answers[place]));
            bench.play(&Step::Wait(Duration::from_secs(1)));
        }
        prop_assert!(asked.iter().all(|&asked| asked > 0), "{asked:?}");
    }

    /// **The preference is bounded.** The preferred one wins only while its cost, less a fifth, is not above the others'.
    /// Fails if the preference is a gate.
    #[test]
    fn the_preference_is_bounded(near_ms in 1_u32..5_000, far_ms in 1_u32..5_000, draw: u64) {
        let mut bench = plain(2, &[]);
        for (place, ms) in [near_ms, far_ms].into_iter().enumerate() {
            bench.play(&Step::Begin(place));
            bench.play(&Step::Finish(place, Sample::first_token(Duration::from_millis(ms.into()))));
        }
        let mut query = Query::new(&bench.ids);
        query.preferred_region = Some("r0");
        let nearer = bench.registry.pick(&query, draw, bench.now).unwrap().id == bench.ids[0];
        let lowered = f64::from(near_ms) - (f64::from(near_ms) * 0.2).min(150.0);
        prop_assert!(!nearer || lowered <= f64::from(far_ms) + 1e-6);
        prop_assert!(nearer || lowered >= f64::from(far_ms) - 1e-6);
    }

    /// **In flight comes back.** However attempts end (finished, dropped, unwound by a panic), none is in flight in the end.
    /// Fails if `Drop` of an attempt forgets it, or `finish` leaves it to `Drop` as well.
    #[test]
    fn in_flight_returns_to_zero(ends in prop::collection::vec(0_u8..4, 1..40)) {
        let mut registry = Registry::new(RegistryConfig::default()).unwrap();
        let ids = [registry.insert(Deployment::new("p", "r", "m"))];
        let shared = SharedRegistry::new(registry);
        let mut held = Vec::new();
        for (draw, end) in (0..).zip(ends) {
            let attempt = shared.begin(&Query::new(&ids), draw, t0()).unwrap();
            match end {
                0 => attempt.finish(Sample::Failure, t0()),
                1 => drop(attempt),
                2 => held.push(attempt),
                _ => {
                    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        let _attempt = attempt;
                        std::panic::resume_unwind(Box::new("the caller's own"));
                    }));
                    prop_assert!(unwound.is_err());
                }
            }
            prop_assert_eq!(shared.with(|registry| registry.view(ids[0], t0()).unwrap().in_flight) as usize, held.len());
        }
        drop(held);
        prop_assert_eq!(shared.with(|registry| registry.view(ids[0], t0()).unwrap().in_flight), 0);
    }
}
