//! How traffic spreads: statistics of many picks on three fixed seeds, in made-up time.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of a test may panic: that is how a test fails"
)]

mod common;

use common::t0;
use outrigger_registry::{
    CooldownOrigin, Deployment, DeploymentId, Kind, Query, Registry, RegistryConfig, Sample, Why,
};
use std::time::{Duration, Instant};

const SEEDS: [u64; 3] = [1, 2_024, 0xdead_beef];
const SLOTS: usize = 8;

fn registry(deployments: usize) -> (Registry, Vec<DeploymentId>) {
    let mut registry = Registry::new(RegistryConfig::default()).expect("the defaults are valid");
    let ids = (0..deployments).map(|n| registry.insert(Deployment::new("p", format!("r{n}"), "m"))).collect();
    (registry, ids)
}

/// A closed loop: `SLOTS` callers, each of whom asks again as soon as it is answered. Answers how often each was asked.
fn closed_loop(latency_ms: &[u64], calls: u32, seed: u64) -> Vec<u32> {
    let (mut registry, ids) = registry(latency_ms.len());
    let mut shares = vec![0_u32; ids.len()];
    let mut running = Vec::new();
    let mut now = t0();
    let mut draw = seed;
    for _ in 0..calls {
        if running.len() == SLOTS {
            let next = (0..SLOTS)
                .min_by_key(|&at| {
                    let (ends, ..): &(Instant, u64, _) = &running[at];
                    *ends
                })
                .unwrap();
            let (ends, took, in_flight) = running.swap_remove(next);
            now = ends;
            registry.finish(in_flight, Sample::first_token(Duration::from_millis(took)), now);
        }
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let id = registry.pick(&Query::new(&ids), draw, now).expect("all may be asked").id;
        let place = ids.iter().position(|&known| known == id).unwrap();
        shares[place] += 1;
        // Up to a tenth more, so that callers do not march in step.
        let took = latency_ms[place] + (draw >> 33) % (latency_ms[place] / 10 + 1);
        running.push((now + Duration::from_millis(took), took, registry.begin(id, now)));
    }
    shares
}

/// **No monopoly.** Identical deployments share evenly. Fails if the load is left out of the cost.
#[test]
fn identical_deployments_share_evenly() {
    for seed in SEEDS {
        let shares = closed_loop(&[100; 4], 8_000, seed);
        assert!(shares.iter().all(|share| (1_700..=2_300).contains(share)), "seed {seed}: {shares:?}");
    }
}

/// **Slow is asked less.** One twice as slow gets about half. Fails if the latency is left out of the cost.
#[test]
fn one_twice_as_slow_gets_about_half() {
    for seed in SEEDS {
        let shares = closed_loop(&[100, 100, 200], 8_000, seed);
        let ratio = f64::from(shares[2]) * 2.0 / f64::from(shares[0] + shares[1]);
        assert!((0.3..=0.7).contains(&ratio), "seed {seed}: {shares:?}");
    }
}

/// **A newcomer is tried once.** While its first answer is out, others are asked. Fails if the unknown is taken for fast.
#[test]
fn one_that_never_answered_is_tried_once_and_not_flooded() {
    for seed in SEEDS {
        let (mut registry, ids) = registry(2);
        for step in 0..100 {
            let now = t0() + Duration::from_millis(step * 100);
            let id = registry.pick(&Query::new(&ids), seed, now).unwrap().id;
            let in_flight = registry.begin(id, now);
            if id == ids[0] {
                registry.finish(in_flight, Sample::first_token(Duration::from_millis(50)), now);
            }
        }
        assert_eq!(registry.view(ids[1], t0()).unwrap().in_flight, 1, "seed {seed}");
    }
}

/// **Nobody starves.** Whoever may be asked is asked within the memory. Fails if an old estimate is kept for ever.
#[test]
fn nobody_starves() {
    for seed in SEEDS {
        let (mut registry, ids) = registry(3);
        let mut asked = [0_u32; 3];
        for step in 0..700_u64 {
            let now = t0() + Duration::from_secs(step);
            let id = registry.pick(&Query::new(&ids), seed ^ step, now).unwrap().id;
            let place = ids.iter().position(|&known| known == id).unwrap();
            asked[place] += 1;
            let in_flight = registry.begin(id, now);
            registry.finish(
                in_flight,
                Sample::first_token(Duration::from_millis([20, 2_000, 60_000][place])),
                now,
            );
        }
        assert!(asked.iter().all(|&asked| asked >= 3), "seed {seed}: {asked:?}");
    }
}

/// **A fast failure is never cheap.** After a failure another one is asked. Fails if failures leave the latency alone.
#[test]
fn a_fast_failure_does_not_attract() {
    let (mut registry, ids) = registry(2);
    for (&id, sample) in ids.iter().zip([Sample::Failure, Sample::first_token(Duration::from_secs(4))]) {
        let in_flight = registry.begin(id, t0());
        registry.finish(in_flight, sample, t0());
    }
    assert_eq!(registry.pick(&Query::new(&ids), 0, t0()).unwrap().id, ids[1]);
}

/// **Only our own guesses are waived.** Fails if a named wait is waived, or the later of two guesses.
#[test]
fn an_inferred_cooldown_is_waived_when_nobody_is_left_and_a_named_one_never() {
    let (mut registry, ids) = registry(2);
    let (soon, late) = (t0() + Duration::from_secs(5), t0() + Duration::from_secs(9));
    registry.cooldown(ids[0], late, CooldownOrigin::Inferred);
    registry.cooldown(ids[1], soon, CooldownOrigin::Inferred);
    let pick = registry.pick(&Query::new(&ids), 0, t0()).unwrap();
    assert_eq!((pick.id, pick.waived_cooldown), (ids[1], true));
    registry.cooldown(ids[0], late, CooldownOrigin::Named);
    registry.cooldown(ids[1], soon, CooldownOrigin::Named);
    let nobody = registry.pick(&Query::new(&ids), 0, t0()).unwrap_err();
    assert_eq!((nobody.why, nobody.retry_at), (Why::Waiting, Some(soon)));
    assert_eq!(registry.pick(&Query::new(&ids), 0, soon).unwrap().id, ids[1]);
}

/// **Forgiven once.** One that failed is left to the others for half a minute, then tried once; a further failure starts the
/// wait anew, a success ends it. Fails if the penalty of a closed circuit lasts until the next success, which never comes.
#[test]
fn one_that_failed_is_tried_once_again_when_it_is_forgiven() {
    let (mut registry, ids) = registry(2);
    let forgive = registry.config().forgive;
    let mut now = t0();
    let end = |registry: &mut Registry, id: DeploymentId, sample: Sample, now: Instant| {
        let in_flight = registry.begin(id, now);
        registry.finish(in_flight, sample, now);
    };
    end(&mut registry, ids[0], Sample::first_token(Duration::from_millis(20)), now);
    end(&mut registry, ids[1], Sample::first_token(Duration::from_millis(40)), now);
    for _ in 0..3 {
        end(&mut registry, ids[0], Sample::Failure, now);
        for ms in (0..30_000).step_by(1_000) {
            let id = registry.pick(&Query::new(&ids), ms, now + Duration::from_millis(ms)).unwrap().id;
            assert_eq!(id, ids[1], "{ms} ms after its failure");
        }
        now += forgive;
        assert_eq!(registry.pick(&Query::new(&ids), 0, now).unwrap().id, ids[0]);
        let trying = registry.begin(ids[0], now);
        assert_eq!(registry.pick(&Query::new(&ids), 0, now).unwrap().id, ids[1], "it is tried once");
        registry.abandon(trying);
        assert_eq!(
            registry.pick(&Query::new(&ids), 0, now).unwrap().id,
            ids[1],
            "a try that told nothing was one"
        );
        now += forgive;
    }
    end(&mut registry, ids[0], Sample::first_token(Duration::from_millis(20)), now);
    assert_eq!(registry.pick(&Query::new(&ids), 0, now + Duration::from_secs(1)).unwrap().id, ids[0]);
}

/// **A named wait ends.** One refused for a quota before it ever answered is tried when the wait that it named is over, not
/// after a `memory`. Fails if a refusal makes a newcomer count as dear as a failure for good.
#[test]
fn one_that_was_limited_at_first_is_tried_when_its_wait_is_over() {
    let (mut registry, ids) = registry(2);
    for (&id, sample) in ids.iter().zip([Sample::RateLimited, Sample::first_token(Duration::from_millis(40))])
    {
        let in_flight = registry.begin(id, t0());
        registry.finish(in_flight, sample, t0());
    }
    let until = t0() + Duration::from_secs(3);
    registry.cooldown(ids[0], until, CooldownOrigin::Named);
    let before = until - Duration::from_nanos(1);
    assert_eq!(registry.pick(&Query::new(&ids), 0, before).unwrap().id, ids[1]);
    assert_eq!(registry.pick(&Query::new(&ids), 0, until).unwrap().id, ids[0]);
    // Without a named wait, it is forgiven like a failure.
    let in_flight = registry.begin(ids[0], until);
    registry.finish(in_flight, Sample::RateLimited, until);
    let forgiven = until + registry.config().forgive;
    assert_eq!(registry.pick(&Query::new(&ids), 0, forgiven - Duration::from_nanos(1)).unwrap().id, ids[1]);
    assert_eq!(registry.pick(&Query::new(&ids), 0, forgiven).unwrap().id, ids[0]);
}

/// **Kinds are known apart.** Who answered whole is still untried for streams. Fails if one mark of having been heard of
/// serves both, so that streams and whole answers split over places for ever.
#[test]
fn one_known_for_whole_answers_is_still_tried_for_a_stream() {
    let (mut registry, ids) = registry(2);
    for (&id, sample) in ids
        .iter()
        .zip([Sample::answer(Duration::from_secs(2)), Sample::first_token(Duration::from_millis(40))])
    {
        let in_flight = registry.begin(id, t0());
        registry.finish(in_flight, sample, t0());
    }
    let mut query = Query::new(&ids);
    assert_eq!(registry.pick(&query, 0, t0()).unwrap().id, ids[0]);
    query.kind = Kind::Whole;
    assert_eq!(registry.pick(&query, 0, t0()).unwrap().id, ids[1]);
}

/// **A passed try is a clean slate.** Once forgiven and answered well, it is compared by that answer. Fails if the rest of a
/// failure's penalty, still hundreds of milliseconds, keeps it out for another minute.
#[test]
fn one_that_passes_its_try_is_as_good_as_before() {
    let (mut registry, ids) = registry(2);
    let samples = [Sample::Failure, Sample::first_token(Duration::from_millis(40))];
    for (&id, sample) in ids.iter().zip(samples) {
        let in_flight = registry.begin(id, t0());
        registry.finish(in_flight, sample, t0());
    }
    let forgiven = t0() + registry.config().forgive;
    let in_flight = registry.begin(ids[0], forgiven);
    registry.finish(in_flight, Sample::first_token(Duration::from_millis(39)), forgiven);
    assert_eq!(registry.pick(&Query::new(&ids), 0, forgiven).unwrap().id, ids[0]);
}

/// **A health check is no try.** It heals, and its place is still to be asked for a latency. Fails if checks put off the
/// try of a place that nobody knows, for as long as they go on.
#[test]
fn a_success_without_latency_does_not_put_off_a_try() {
    let (mut registry, ids) = registry(2);
    for (&id, sample) in ids.iter().zip([Sample::Failure, Sample::first_token(Duration::from_millis(40))]) {
        let in_flight = registry.begin(id, t0());
        registry.finish(in_flight, sample, t0());
    }
    let forgiven = t0() + registry.config().forgive;
    let check = registry.begin(ids[0], forgiven);
    registry.finish(check, Sample::Success { first_token: None, answer: None, tokens: 0 }, forgiven);
    assert_eq!(registry.view(ids[0], forgiven).unwrap().consecutive_failures, 0);
    assert_eq!(registry.pick(&Query::new(&ids), 0, forgiven).unwrap().id, ids[0]);
}
