//! The ways to choose, one by one, and what bends them: affinity, nearness, the ramp, a selector of one's own.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of a test may panic: that is how a test fails"
)]

mod common;

use common::t0;
use outrigger_registry::{
    Choices, CooldownOrigin, Deployment, DeploymentId, Event, Numbers, Price, Query, Registry,
    RegistryConfig, Sample, Scoring, Selector, SharedRegistry, Weight, Why,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn registry(numbers: &[Numbers]) -> (Registry, Vec<DeploymentId>) {
    let mut registry = Registry::new(RegistryConfig::default()).expect("the defaults are valid");
    let deploy = |(n, &numbers): (usize, &Numbers)| Deployment::new("p", format!("r{n}"), "m").with(numbers);
    let ids = numbers.iter().enumerate().map(deploy).map(|deployment| registry.insert(deployment)).collect();
    (registry, ids)
}

fn plain(deployments: usize) -> (Registry, Vec<DeploymentId>) {
    registry(&vec![Numbers::default(); deployments])
}

fn ends(registry: &mut Registry, id: DeploymentId, sample: Sample, now: Instant) {
    let in_flight = registry.begin(id, now);
    registry.finish(in_flight, sample, now);
}

fn answers_in(registry: &mut Registry, id: DeploymentId, ms: u64, now: Instant) {
    ends(registry, id, Sample::first_token(Duration::from_millis(ms)), now);
}

/// How often each is picked over many draws.
fn shares(registry: &mut Registry, query: &Query<'_>, draws: u64, now: Instant) -> Vec<u64> {
    let mut shares = vec![0; query.candidates.len()];
    for draw in 0..draws {
        let id = registry.pick(query, draw.wrapping_mul(0x9e37_79b9_7f4a_7c15), now).unwrap().id;
        shares[query.candidates.iter().position(|&known| known == id).unwrap()] += 1;
    }
    shares
}

/// Fails if the hash is taken of the place in the list, which changes when another one goes.
#[test]
fn a_session_keeps_its_deployment_while_it_costs_little_more() {
    let (mut registry, ids) = plain(5);
    ids.iter().for_each(|&id| answers_in(&mut registry, id, 100, t0()));
    let mut query = Query::new(&ids);
    let homes: Vec<_> = (0..200_u64)
        .map(|key| {
            query.affinity = Some(key.wrapping_mul(0x2545_f491_4f6c_dd1d));
            let home = registry.pick(&query, key, t0()).unwrap().id;
            assert!((0..20).all(|draw| registry.pick(&query, draw, t0()).unwrap().id == home));
            home
        })
        .collect();
    assert!(ids.iter().all(|id| homes.iter().filter(|home| *home == id).count() >= 20), "homes spread");
    // One that leaves moves its own sessions, and no other.
    registry.cordon(ids[2]);
    for (key, &home) in (0..200_u64).zip(&homes).filter(|(_, home)| **home != ids[2]) {
        query.affinity = Some(key.wrapping_mul(0x2545_f491_4f6c_dd1d));
        assert_eq!(registry.pick(&query, 0, t0()).unwrap().id, home);
    }
    registry.uncordon(ids[2]);
    // Thirty percent dearer is bearable, more is not.
    query.affinity = Some(0);
    let home = homes[0];
    let later = t0() + Duration::from_secs(200);
    ids.iter().for_each(|&id| answers_in(&mut registry, id, 100, later));
    let much_later = later + Duration::from_secs(200);
    ids.iter().for_each(|&id| answers_in(&mut registry, id, if id == home { 129 } else { 100 }, much_later));
    assert_eq!(registry.pick(&query, 0, much_later).unwrap().id, home);
    let last = much_later + Duration::from_secs(200);
    ids.iter().for_each(|&id| answers_in(&mut registry, id, if id == home { 132 } else { 100 }, last));
    assert_ne!(registry.pick(&query, 0, last).unwrap().id, home);
}

/// Fails if an unknown price counts as nothing, or load is ignored among equal prices.
#[test]
fn the_cheapest_is_the_lowest_price_and_then_the_lowest_cost() {
    let priced = |price: Option<f64>| {
        let mut numbers = Numbers::default();
        numbers.price = price.map(|price| Price::new(price).unwrap());
        numbers
    };
    let (mut registry, ids) =
        registry(&[priced(None), priced(Some(2.0)), priced(Some(0.4)), priced(Some(0.4))]);
    ids.iter().for_each(|&id| answers_in(&mut registry, id, 100, t0()));
    answers_in(&mut registry, ids[3], 900, t0());
    let mut query = Query::new(&ids);
    query.scoring = Some(Scoring::Cheapest);
    assert_eq!(shares(&mut registry, &query, 50, t0()), [0, 0, 50, 0]);
    registry.cordon(ids[2]);
    assert_eq!(shares(&mut registry, &query, 50, t0()), [0, 0, 0, 50]);
    registry.cordon(ids[3]);
    assert_eq!(shares(&mut registry, &query, 50, t0()), [0, 50, 0, 0]);
    registry.cordon(ids[1]);
    assert_eq!(shares(&mut registry, &query, 50, t0()), [50, 0, 0, 0]);
}

/// Fails if the ramp is left out, or the weights are taken for ranks.
#[test]
fn weighted_shares_follow_weight_and_ramp() {
    let weighing = |weight: f64| {
        let mut numbers = Numbers::default();
        numbers.weight = Weight::new(weight).unwrap();
        numbers
    };
    let (mut registry, ids) = registry(&[weighing(1.0), weighing(3.0), weighing(4.0)]);
    let mut query = Query::new(&ids);
    query.scoring = Some(Scoring::Weighted);
    let found = shares(&mut registry, &query, 8_000, t0());
    let close = |found: &[u64], expected: [u64; 3]| {
        found.iter().zip(expected).all(|(&found, expected)| found.abs_diff(expected) < 250)
    };
    assert!(close(&found, [1_000, 3_000, 4_000]), "{found:?}");
    // A third of its ramp gone: 4 x 1/3 beside 1 and 3; right at its start a tenth.
    registry.recovered(ids[2], t0());
    let found = shares(&mut registry, &query, 8_000, t0() + Duration::from_secs(10));
    assert!(close(&found, [1_500, 4_500, 2_000]), "{found:?}");
    let (mut registry, ids) = plain(3);
    query = Query::new(&ids);
    query.scoring = Some(Scoring::Weighted);
    registry.recovered(ids[0], t0());
    let found = shares(&mut registry, &query, 8_000, t0());
    assert!(close(&found, [381, 3_810, 3_810]), "{found:?}");
}

/// Fails if a recovered one gets its whole share at once.
#[test]
fn a_recovered_deployments_cost_falls_back_over_the_ramp() {
    let (mut registry, ids) = plain(1);
    answers_in(&mut registry, ids[0], 100, t0());
    registry.recovered(ids[0], t0());
    for (secs, ramp) in [(0, 0.1), (3, 0.1), (15, 0.5), (30, 1.0), (60, 1.0)] {
        let now = t0() + Duration::from_secs(secs);
        assert!((registry.view(ids[0], now).unwrap().ramp - ramp).abs() < 1e-9, "{secs}");
        let cost = registry.explain(&Query::new(&ids), 0, now).rows[0].terms.unwrap().cost;
        assert!((cost - 100.0 / ramp).abs() < 1e-6, "{secs}: {cost}");
    }
}

/// **Hearsay orders and takes none out.** A suspected deployment looks as dear as one that failed, for as long; its health and its run of
/// failures stay, and alone it is chosen as before. Fails if a suspicion counts as a failure of its own, or shuts somebody out.
#[test]
fn a_suspected_deployment_looks_dear_for_a_while_and_is_no_sicker() {
    let (mut registry, ids) = plain(2);
    ids.iter().for_each(|&id| answers_in(&mut registry, id, 100, t0()));
    let before = registry.view(ids[0], t0()).unwrap();
    registry.suspect(ids[0], t0());
    let cost = |registry: &Registry, secs| {
        let now = t0() + Duration::from_secs(secs);
        registry.explain(&Query::new(&ids), 0, now).rows[0].terms.unwrap().cost
    };
    assert!((cost(&registry, 0) - 5_000.0).abs() < 1e-6 && cost(&registry, 10) > 1_000.0);
    assert!((cost(&registry, 60) - 100.0).abs() < 1e-6, "it is over within the minute");
    assert_eq!(registry.view(ids[0], t0()).unwrap(), before);
    for draw in 0..20 {
        assert_eq!(registry.pick(&Query::new(&ids), draw, t0()).unwrap().id, ids[1]);
        assert_eq!(registry.pick(&Query::new(&ids[..1]), draw, t0()).unwrap().id, ids[0]);
    }
}

#[test]
fn three_failures_override_the_composites_preference_where_it_is_wished() {
    let (mut registry, ids) = plain(2);
    (0..3).for_each(|_| ends(&mut registry, ids[0], Sample::Failure, t0()));
    let mut query = Query::new(&ids);
    query.scoring = Some(Scoring::Composite);
    query.preferred_region = Some("r0");
    assert_eq!(registry.pick(&query, 0, t0()).unwrap().id, ids[0], "the article only advises");
    query.composite_failover = Some(true);
    assert_eq!(registry.pick(&query, 0, t0()).unwrap().id, ids[1]);
}

/// Fails if the advice is repeated with each further failure, or never given again after a success.
#[test]
fn failover_is_advised_once_in_a_run_of_failures() {
    let (mut registry, ids) = plain(1);
    for _run in 0..2 {
        for failures in 1..=5 {
            ends(&mut registry, ids[0], Sample::Failure, t0());
            let advice = (failures == 3).then_some(Event::FailoverAdvised { id: ids[0] });
            assert_eq!(registry.poll_event(), advice, "after {failures}");
        }
        assert!(registry.view(ids[0], t0()).unwrap().failover_advised);
        answers_in(&mut registry, ids[0], 1, t0());
    }
    assert_eq!(registry.poll_event(), None);
}

/// Fails if all regions that are near count alike.
#[test]
fn nearer_regions_are_preferred_by_halves() {
    let (mut registry, ids) = plain(3);
    ids.iter().for_each(|&id| answers_in(&mut registry, id, 100, t0()));
    let near: [Arc<str>; 2] = ["r2".into(), "r1".into()];
    let mut query = Query::new(&ids);
    query.near = &near;
    let rows = registry.explain(&query, 0, t0()).rows;
    let lowered: Vec<_> = rows.iter().map(|row| row.terms.unwrap().preference_ms).collect();
    assert_eq!(lowered, [0.0, 10.0, 20.0]);
    assert_eq!(shares(&mut registry, &query, 20, t0()), [0, 0, 20]);
}

/// Fails if an early first token is counted again when the stream ends.
#[test]
fn a_first_token_is_told_once() {
    let (mut registry, ids) = plain(1);
    let mut in_flight = registry.begin(ids[0], t0());
    registry.first_token(&mut in_flight, Duration::from_millis(100), t0());
    registry.first_token(&mut in_flight, Duration::from_millis(900), t0() + Duration::from_secs(1));
    registry.finish(
        in_flight,
        Sample::first_token(Duration::from_millis(900)),
        t0() + Duration::from_secs(5),
    );
    let view = registry.view(ids[0], t0() + Duration::from_secs(5)).unwrap();
    assert_eq!((view.ttft_ms, view.in_flight), (Some(100.0), 0));
}

/// Fails if a caller's little patience makes a place look quick.
#[test]
fn a_cancelled_wait_only_raises_the_estimate() {
    let (mut registry, ids) = plain(1);
    answers_in(&mut registry, ids[0], 500, t0());
    let waits = |waited, content| Sample::Cancelled {
        kind: outrigger_registry::Kind::Stream,
        waited: Duration::from_millis(waited),
        content,
    };
    let latency =
        |registry: &Registry| registry.explain(&Query::new(&ids), 0, t0()).rows[0].terms.unwrap().latency_ms;
    for (waited, content, expected) in [(100, false, 500.0), (9_000, true, 500.0), (2_000, false, 2_000.0)] {
        ends(&mut registry, ids[0], waits(waited, content), t0());
        assert!((latency(&registry) - expected).abs() < 1e-9, "{waited}");
    }
    assert_eq!(registry.view(ids[0], t0()).unwrap().consecutive_failures, 0);
}

/// Each in its turn.
#[derive(Debug, Default)]
struct RoundRobin(usize);

impl Selector for RoundRobin {
    fn select(&mut self, choices: &Choices<'_>, _draw: u64) -> Option<DeploymentId> {
        let places = (self.0..choices.len()).chain(0..self.0.min(choices.len()));
        let chosen = places.filter_map(|place| choices.get(place)).next()?;
        self.0 = chosen.place() + 1;
        Some(chosen.id())
    }
}

/// Answers what it was told to, whether or not that may be.
#[derive(Debug)]
struct Stubborn(Option<DeploymentId>);

impl Selector for Stubborn {
    fn select(&mut self, _choices: &Choices<'_>, _draw: u64) -> Option<DeploymentId> {
        self.0
    }
}

#[test]
fn a_selector_of_ones_own_chooses_within_the_constraints() {
    let (registry, ids) = plain(3);
    let mut registry = registry.with_selector(Box::new(RoundRobin::default()));
    registry.cordon(ids[1]);
    let turns: Vec<_> = (0..4).map(|draw| registry.pick(&Query::new(&ids), draw, t0()).unwrap().id).collect();
    assert_eq!(turns, [ids[0], ids[2], ids[0], ids[2]]);
    assert_eq!(registry.explain(&Query::new(&ids), 0, t0()).outcome, None, "its choice is not foretold");
}

/// Fails if the selector's answer is not looked at again.
#[test]
fn a_selector_cannot_pick_what_may_not_be_asked() {
    let (registry, ids) = plain(2);
    let mut registry = registry.with_selector(Box::new(Stubborn(Some(ids[0]))));
    assert_eq!(registry.pick(&Query::new(&ids), 0, t0()).unwrap().id, ids[0]);
    assert_eq!(registry.pick(&Query::new(&ids[1..]), 0, t0()).unwrap_err().why, Why::Declined);
    registry.cooldown(ids[0], t0() + Duration::from_secs(1), CooldownOrigin::Named);
    assert_eq!(registry.pick(&Query::new(&ids), 0, t0()).unwrap_err().why, Why::Declined);
    let mut registry = registry.with_selector(Box::new(Stubborn(None)));
    assert_eq!(registry.pick(&Query::new(&ids), 0, t0()).unwrap_err().why, Why::Declined);
}

/// Fails if choosing and beginning are two steps: threads that choose at one instant would all take the same.
#[test]
fn threads_that_share_a_registry_see_each_other() {
    let (registry, ids) = plain(4);
    let shared = SharedRegistry::new(registry);
    let attempts: Vec<_> = std::thread::scope(|scope| {
        let begin = |draw| {
            let (shared, ids) = (shared.clone(), &ids);
            scope.spawn(move || shared.begin(&Query::new(ids), draw, t0()).unwrap())
        };
        let threads: Vec<_> = (0..8).map(begin).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for &id in &ids {
        assert_eq!(shared.with(|registry| registry.view(id, t0()).unwrap().in_flight), 2);
    }
    drop(attempts);
    for &id in &ids {
        assert_eq!(shared.with(|registry| registry.view(id, t0()).unwrap().in_flight), 0);
    }
}
