//! Who may not be asked, each hard constraint by itself, and what a pick says when nobody may.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of a test may panic: that is how a test fails"
)]

mod common;

use common::t0;
use outrigger_registry::{
    CooldownOrigin, Deployment, DeploymentId, NoPick, Query, Quota, Refusal, Registry, RegistryConfig,
    Sample, Used, Verdict, Why,
};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn registry(deployments: usize) -> (Registry, Vec<DeploymentId>) {
    let mut registry = Registry::new(RegistryConfig::default()).expect("the defaults are valid");
    let ids = (0..deployments).map(|n| registry.insert(Deployment::new("p", format!("r{n}"), "m"))).collect();
    (registry, ids)
}

fn at(secs: u64) -> Instant {
    t0() + Duration::from_secs(secs)
}

/// Why the first candidate is refused.
fn refusal(registry: &Registry, query: &Query<'_>, now: Instant) -> Option<Refusal> {
    match registry.explain(query, 0, now).rows[0].verdict {
        Verdict::Refused(refusal) => Some(refusal),
        _ => None,
    }
}

#[test]
fn residency_is_never_bent() {
    let (mut registry, ids) = registry(2);
    let allowed: [Arc<str>; 1] = ["r1".into()];
    let mut query = Query::new(&ids);
    query.residency = Some(&allowed);
    query.preferred_region = Some("r0");
    for draw in 0..50 {
        assert_eq!(registry.pick(&query, draw, t0()).unwrap().id, ids[1]);
    }
    registry.cordon(ids[1]);
    assert_eq!(registry.pick(&query, 0, t0()), Err(nobody(&registry, &query, Why::NoneEligible, None)));
    query.residency = Some(&[]);
    assert_eq!(registry.pick(&query, 0, t0()).unwrap_err().why, Why::Residency);
    assert_eq!(refusal(&registry, &query, t0()), Some(Refusal::Residency));
}

/// What `explain` foretells, after a look that it is what is expected.
fn nobody(registry: &Registry, query: &Query<'_>, why: Why, retry_at: Option<Instant>) -> NoPick {
    let foretold = registry.explain(query, 0, t0()).outcome.unwrap().unwrap_err();
    assert_eq!((foretold.why, foretold.retry_at), (why, retry_at));
    foretold
}

#[test]
fn a_cordoned_deployment_is_not_asked_until_it_is_taken_back() {
    let (mut registry, ids) = registry(1);
    registry.cordon(ids[0]);
    assert!(registry.view(ids[0], t0()).unwrap().cordoned);
    let none = registry.pick(&Query::new(&ids), 0, t0()).unwrap_err();
    assert_eq!((none.why, none.retry_at), (Why::NoneEligible, None));
    registry.uncordon(ids[0]);
    assert_eq!(registry.pick(&Query::new(&ids), 0, t0()).unwrap().id, ids[0]);
}

#[test]
fn a_cordoned_deployments_cooldown_is_not_waived() {
    let (mut registry, ids) = registry(2);
    for &id in &ids {
        registry.cooldown(id, at(5), CooldownOrigin::Inferred);
    }
    registry.cordon(ids[0]);
    let closed = ids[1];
    let mut query = Query::new(&ids);
    let admits = |id| id != closed;
    query.admits = &admits;
    assert_eq!(registry.pick(&query, 0, t0()).unwrap_err().why, Why::Waiting);
}

#[test]
fn the_circuits_word_is_kept() {
    let (mut registry, ids) = registry(2);
    let open = ids[0];
    let mut query = Query::new(&ids);
    let admits = |id| id != open;
    query.admits = &admits;
    assert_eq!(registry.pick(&query, 0, t0()).unwrap().id, ids[1]);
    assert_eq!(refusal(&registry, &query, t0()), Some(Refusal::Circuit));
}

#[test]
fn the_excluded_and_the_unknown_are_not_asked() {
    let (mut registry, ids) = registry(2);
    registry.remove(ids[0]);
    let mut query = Query::new(&ids);
    query.excluded = &ids[1..];
    assert_eq!(registry.pick(&query, 0, t0()).unwrap_err().why, Why::NoneEligible);
    assert_eq!(refusal(&registry, &query, t0()), Some(Refusal::NotConfigured));
    assert_eq!(registry.pick(&Query::new(&ids[..1]), 0, t0()).unwrap_err().why, Why::NotConfigured);
    assert_eq!(registry.pick(&Query::new(&[]), 0, t0()).unwrap_err().why, Why::NotConfigured);
}

#[test]
fn the_id_of_a_removed_deployment_is_not_its_successors() {
    let (mut registry, ids) = registry(1);
    let old = registry.begin(ids[0], t0());
    registry.remove(ids[0]);
    let new = registry.insert(Deployment::new("p", "r0", "m"));
    assert_ne!(new, ids[0]);
    registry.finish(old, Sample::Failure, t0());
    registry.cordon(ids[0]);
    let view = registry.view(new, t0()).unwrap();
    assert_eq!((view.in_flight, view.consecutive_failures, view.cordoned), (0, 0, false));
    assert_eq!(registry.view(ids[0], t0()), None);
}

#[test]
fn a_reload_changes_numbers_and_keeps_what_is_known() {
    let (mut registry, ids) = registry(1);
    let running = registry.begin(ids[0], t0());
    let mut numbers = registry.view(ids[0], t0()).unwrap().deployment.numbers;
    numbers.limits.concurrent = NonZeroU32::new(1);
    registry.update(ids[0], numbers);
    assert_eq!(registry.view(ids[0], t0()).unwrap().in_flight, 1);
    assert_eq!(refusal(&registry, &Query::new(&ids), t0()), Some(Refusal::Concurrency));
    registry.finish(running, Sample::Neutral, t0());
    assert!(registry.pick(&Query::new(&ids), 0, t0()).is_ok());
}

#[test]
fn our_own_limits_per_minute_hold_and_free_up() {
    let (mut registry, ids) = registry(1);
    let mut numbers = registry.view(ids[0], t0()).unwrap().deployment.numbers;
    (numbers.limits.requests_per_minute, numbers.limits.tokens_per_minute) =
        (NonZeroU32::new(2), NonZeroU64::new(100));
    registry.update(ids[0], numbers);
    let mut query = Query::new(&ids);
    query.tokens = 30;
    for tokens in [60, 0] {
        assert!(registry.pick(&query, 0, at(10)).is_ok());
        let running = registry.begin(ids[0], at(10));
        registry.finish(running, Sample::Success { first_token: None, answer: None, tokens }, at(10));
    }
    let full = registry.pick(&query, 0, at(11)).unwrap_err();
    assert_eq!((full.why, full.retry_at), (Why::Waiting, Some(at(70))));
    assert!(registry.pick(&query, 0, at(69)).is_err());
    assert!(registry.pick(&query, 0, at(70)).is_ok());
    let running = registry.begin(ids[0], at(70));
    registry.finish(running, Sample::Success { first_token: None, answer: None, tokens: 71 }, at(70));
    assert_eq!(refusal(&registry, &query, at(71)), Some(Refusal::Quota { until: at(130) }));
    query.tokens = 29;
    assert_eq!(refusal(&registry, &query, at(71)), None);
}

/// **What others used counts as what was used here**, each part until its end, and is what was told last. Fails if it counts for ever, is added
/// to what was heard before, or is told on as its hearer's own.
#[test]
fn what_others_used_counts_until_its_end() {
    let (mut registry, ids) = registry(1);
    let mut numbers = registry.view(ids[0], t0()).unwrap().deployment.numbers;
    numbers.limits.requests_per_minute = NonZeroU32::new(5);
    registry.update(ids[0], numbers);
    let query = Query::new(&ids);
    let used = |secs, requests| Used::new(Duration::from_secs(secs), requests, 7);
    registry.used_elsewhere(ids[0], &[used(50, 2), used(20, 2)], t0());
    registry.used_elsewhere(ids[0], &[used(50, 2), used(20, 2)], t0());
    assert_eq!(refusal(&registry, &query, t0()), None);
    let running = registry.begin(ids[0], t0());
    registry.finish(running, Sample::Neutral, t0());
    assert_eq!(refusal(&registry, &query, at(1)), Some(Refusal::SharedQuota { until: at(20) }));
    let full = registry.pick(&query, 0, at(1)).unwrap_err();
    assert_eq!((full.why, full.retry_at), (Why::Waiting, Some(at(20))));
    assert!(registry.explain(&query, 0, at(1)).to_string().contains("no quota left by what others used"));
    let view = registry.view(ids[0], at(1)).unwrap();
    assert_eq!((view.requests_per_minute, view.requests_elsewhere, view.tokens_elsewhere), (1, 4, 14));
    assert_eq!(registry.used(ids[0], at(1)), [Used::new(Duration::from_secs(59), 1, 0)]);
    assert_eq!(refusal(&registry, &query, at(20)), None);
    registry.used_elsewhere(ids[0], &[Used::new(Duration::MAX, 9, 0)], at(20));
    assert_eq!(
        refusal(&registry, &query, at(79)),
        Some(Refusal::SharedQuota { until: at(80) }),
        "a minute at most"
    );
    registry.used_elsewhere(ids[0], &[], at(30));
    assert_eq!(refusal(&registry, &query, at(79)), None);
}

/// Fails if a part counts for less time than the last of it does, or seconds far apart are one.
#[test]
fn what_was_used_is_told_in_parts_of_five_seconds() {
    let (mut registry, ids) = registry(1);
    for (secs, tokens) in [(0, 10), (4, 20), (5, 30)] {
        let running = registry.begin(ids[0], at(secs));
        registry.finish(running, Sample::Success { first_token: None, answer: None, tokens }, at(secs));
    }
    let used = |secs, requests, tokens| Used::new(Duration::from_secs(secs), requests, tokens);
    assert_eq!(registry.used(ids[0], at(10)), [used(54, 2, 30), used(55, 1, 30)]);
    assert_eq!(registry.used(ids[0], at(60)), [used(4, 1, 20), used(5, 1, 30)]);
    assert_eq!(registry.used(ids[0], at(65)), []);
}

#[test]
fn the_providers_word_on_its_quota_holds_until_its_reset() {
    let (mut registry, ids) = registry(2);
    let mut quota = Quota::default();
    (quota.remaining_requests, quota.requests_reset_at) = (Some(1), Some(at(20)));
    registry.note_quota(ids[0], quota, t0());
    assert_eq!(refusal(&registry, &Query::new(&ids), t0()), None);
    let running = registry.begin(ids[0], t0());
    assert_eq!(registry.view(ids[0], t0()).unwrap().remaining_requests, Some(0));
    registry.finish(running, Sample::first_token(Duration::from_millis(1)), t0());
    assert_eq!(refusal(&registry, &Query::new(&ids), at(19)), Some(Refusal::Quota { until: at(20) }));
    assert_eq!(registry.pick(&Query::new(&ids), 0, at(19)).unwrap().id, ids[1]);
    assert_eq!(refusal(&registry, &Query::new(&ids), at(20)), None);
}

#[test]
fn retry_at_is_the_soonest_end_of_all() {
    let (mut registry, ids) = registry(2);
    registry.cooldown(ids[0], at(9), CooldownOrigin::Named);
    let mut quota = Quota::default();
    (quota.remaining_tokens, quota.tokens_reset_at) = (Some(5), Some(at(7)));
    registry.note_quota(ids[1], quota, t0());
    let mut query = Query::new(&ids);
    query.tokens = 6;
    assert_eq!(registry.pick(&query, 0, t0()), Err(nobody(&registry, &query, Why::Waiting, Some(at(7)))));
}

#[test]
fn of_two_waits_the_longer_holds_and_the_providers_replaces_ours() {
    let (mut registry, ids) = registry(1);
    registry.cooldown(ids[0], at(9), CooldownOrigin::Named);
    registry.cooldown(ids[0], at(3), CooldownOrigin::Named);
    assert_eq!(registry.view(ids[0], t0()).unwrap().cooldown.unwrap().until, at(9));
    registry.cooldown(ids[0], at(60), CooldownOrigin::Inferred);
    assert_eq!(registry.view(ids[0], t0()).unwrap().cooldown.unwrap().origin, CooldownOrigin::Named);
    assert_eq!(registry.view(ids[0], at(9)).unwrap().cooldown.unwrap().origin, CooldownOrigin::Inferred);
    registry.cooldown(ids[0], at(10), CooldownOrigin::Named);
    assert_eq!(registry.view(ids[0], at(10)).unwrap().cooldown, None);
}

#[test]
fn time_that_goes_back_reads_as_no_time_passed() {
    let (mut registry, ids) = registry(1);
    let running = registry.begin(ids[0], at(100));
    registry.finish(running, Sample::Failure, at(1));
    assert!(registry.pick(&Query::new(&ids), 0, at(2)).is_ok());
    assert_eq!(registry.view(ids[0], at(3)).unwrap().requests_per_minute, 1);
}
