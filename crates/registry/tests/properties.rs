//! Promises that hold for every history, against a naive model that keeps all of it.

#![expect(clippy::expect_used, reason = "a helper of a test may panic: that is how a test fails")]

mod common;

use common::t0;
use outrigger_registry::testing::{Bench, Step, histories};
use outrigger_registry::{CooldownOrigin, Ewma, Query, Registry, RegistryConfig, Sample};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use std::time::Duration;

fn bench(deployments: usize, steps: &[Step]) -> Bench {
    let registry = Registry::new(RegistryConfig::default()).expect("the defaults are valid");
    let mut bench = Bench::new(registry, deployments, t0());
    steps.iter().for_each(|step| bench.play(step));
    bench
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// **The counts are true.** In flight, requests per minute, failures in a row and health are what all that happened
    /// adds up to. Fails if `abandon` forgets the in-flight count, or the ring keeps a bucket too long.
    #[test]
    fn the_registry_agrees_with_the_model(steps in histories(3, 80)) {
        let bench = bench(3, &steps);
        for (model, &id) in bench.models.iter().zip(&bench.ids) {
            let view = bench.registry.view(id, bench.now).unwrap();
            prop_assert_eq!(view.in_flight as usize, model.in_flight());
            prop_assert_eq!(view.requests_per_minute, model.requests_per_minute(bench.now) as u64);
            prop_assert_eq!(view.consecutive_failures as usize, model.consecutive_failures());
            prop_assert!((view.health - model.health()).abs() < 1e-9);
        }
    }

    /// **An average stays among its samples.** Bounded by the decayed least and the greatest, finite, and falling while
    /// nothing comes. Fails if a read moves the value.
    #[test]
    fn an_average_stays_among_its_samples(samples in prop::collection::vec((0.0..1e6_f64, 1_u64..60_000, any::<bool>()), 1..50)) {
        let mut average = Ewma::new(Duration::from_secs(10));
        let mut now = t0();
        let most = samples.iter().fold(0.0_f64, |most, sample| most.max(sample.0));
        for (sample, gap, peak) in samples {
            now += Duration::from_millis(gap);
            if peak { average.add_peak(sample, now) } else { average.add(sample, now) }
            let value = average.value().unwrap();
            prop_assert!(value.is_finite() && (0.0..=most * (1.0 + 1e-12)).contains(&value));
            prop_assert!(!peak || value >= sample * (1.0 - 1e-12));
            prop_assert!(average.value_at(now + Duration::from_secs(1)).unwrap() <= value);
        }
    }

    /// **A failure never makes cheaper.** Fails if a failure counts as the short time that it took.
    #[test]
    fn a_failure_never_makes_cheaper(steps in histories(1, 60)) {
        let mut bench = bench(1, &steps);
        let ids = bench.ids.clone();
        let in_flight = bench.registry.begin(ids[0], bench.now);
        let cost = |bench: &Bench| bench.registry.explain(&Query::new(&ids), 0, bench.now).rows[0].terms.unwrap().cost;
        let _other = bench.registry.begin(ids[0], bench.now);
        let before = cost(&bench);
        bench.registry.finish(in_flight, Sample::Failure, bench.now);
        let _same_load = bench.registry.begin(ids[0], bench.now);
        prop_assert!(cost(&bench) >= before);
    }

    /// **A pick is sound and repeatable.** It is a candidate that may be asked, `explain` foretells it, and the same draw
    /// gives the same. Fails if a cooldown or an exclusion is looked at after the score.
    #[test]
    fn a_pick_is_sound_and_repeatable(steps in histories(12, 80), draw: u64, cooling in 0_usize..12, out in 0_usize..12) {
        let mut bench = bench(12, &steps);
        let until = bench.now + Duration::from_secs(1);
        bench.registry.cooldown(bench.ids[cooling], until, CooldownOrigin::Named);
        let excluded = [bench.ids[out]];
        let mut query = Query::new(&bench.ids);
        query.excluded = &excluded;
        let foretold = bench.registry.explain(&query, draw, bench.now).outcome.unwrap();
        let pick = bench.registry.pick(&query, draw, bench.now);
        prop_assert_eq!(pick, foretold);
        let id = pick.unwrap().id;
        prop_assert!(bench.ids.contains(&id) && id != excluded[0] && id != bench.ids[cooling]);
    }

    /// **The preference is bounded.** The preferred one wins only while its cost, less a fifth, is not above the others'.
    /// Fails if the preference is a gate.
    #[test]
    fn the_preference_is_bounded(near_ms in 1_u32..5_000, far_ms in 1_u32..5_000, draw: u64) {
        let mut bench = bench(2, &[]);
        for (&id, ms) in bench.ids.iter().zip([near_ms, far_ms]) {
            let in_flight = bench.registry.begin(id, bench.now);
            bench.registry.finish(in_flight, Sample::first_token(Duration::from_millis(ms.into())), bench.now);
        }
        let mut query = Query::new(&bench.ids);
        query.preferred_region = Some("r0");
        let nearer = bench.registry.pick(&query, draw, bench.now).unwrap().id == bench.ids[0];
        let lowered = f64::from(near_ms) - (f64::from(near_ms) * 0.2).min(150.0);
        prop_assert!(!nearer || lowered <= f64::from(far_ms) + 1e-6);
        prop_assert!(nearer || lowered >= f64::from(far_ms) - 1e-6);
    }
}
