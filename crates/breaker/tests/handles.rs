//! What surrounds the machine: guards, `call`, the keyed set, the article's methods, config files.

#![expect(clippy::expect_used, reason = "a helper that finds its input wrong fails the run")]

use std::future::{Future, pending, ready};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use outrigger_breaker::{
    ArticleBreaker, BreakerConfig, ConfigError, KeyedBreakers, Ratio, SharedBreaker, State, Verdict,
};

#[expect(clippy::disallowed_methods, reason = "an origin for made-up instants, read once")]
fn t0() -> Instant {
    Instant::now()
}

/// A breaker whose next call is the only trial, and the time of it.
fn one_trial() -> (SharedBreaker, Instant) {
    let now = t0();
    let mut config = BreakerConfig::article();
    config.half_open_max_calls = 1;
    config.success_threshold = 1;
    let breaker = SharedBreaker::new(config, now).expect("valid");
    breaker.open_for(Duration::from_secs(1), now);
    (breaker, now + Duration::from_secs(1))
}

fn poll<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_dropped_guard_frees_its_slot() {
    let (breaker, now) = one_trial();
    let guard = breaker.guard(now).expect("the trial");
    assert!(guard.is_trial() && breaker.guard(now).is_err());
    drop(guard);
    breaker.guard(now).expect("the slot is free").report(Verdict::Success, now);
    assert_eq!(breaker.state(now), State::Closed);
}

#[test]
fn a_panicking_call_frees_its_slot() {
    let (breaker, now) = one_trial();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _guard = breaker.guard(now).expect("the trial");
        panic!("the call");
    }));
    assert!(panicked.is_err() && breaker.guard(now).is_ok());
}

#[test]
fn a_cancelled_call_frees_its_slot_and_a_finished_one_reports() {
    let (breaker, now) = one_trial();
    let cancelled = breaker.call(|| now, pending::<()>(), |()| Verdict::Success);
    assert!(poll(cancelled).is_pending());
    let done = poll(breaker.call(|| now, ready(7), |_| Verdict::Success));
    assert_eq!(done, Poll::Ready(Ok(7)));
    assert_eq!(breaker.state(now), State::Closed);
}

#[test]
fn a_full_keyed_set_lets_a_closed_breaker_go_before_an_open_one() {
    let now = t0();
    let two = NonZeroUsize::new(2).expect("not zero");
    let set: KeyedBreakers<String> = KeyedBreakers::new(BreakerConfig::article(), two).expect("valid");
    set.get("sick", now).expect("valid").open_for(Duration::from_secs(9), now);
    for key in ["well", "new", "newer"] {
        set.get(key, now).expect("valid");
    }
    assert_eq!(set.len(), 2);
    assert_eq!(set.get("sick", now).expect("valid").state(now), State::Open);
}

#[test]
fn the_articles_methods_trip_refuse_and_recover() {
    let now = t0();
    let mut breaker = ArticleBreaker::new(BreakerConfig::article()).expect("valid");
    for _ in 0..5 {
        assert!(breaker.should_allow_request(now));
        breaker.record_failure(now);
    }
    assert!(!breaker.should_allow_request(now));
    let later = now + Duration::from_secs(30);
    let admitted = (0..9).filter(|_| breaker.should_allow_request(later)).count();
    assert_eq!(admitted, 3);
    breaker.record_success(later);
    breaker.record_success(later);
    assert_eq!(breaker.breaker().state(later), State::Closed);
}

#[test]
fn a_config_is_read_with_its_own_names_and_refused_with_unknown_ones() {
    let text = "failure_threshold = 7\nrecovery_timeout = \"9s\"\nrecovery_timeout_max = \"5m\"\njitter = 0.5\n\
        recovery_list = [\"1s\", \"2s\"]\nfailure_rate = { at_least = 0.25, min_calls = 4, within = \"30s\" }\n\
        rules = [{ kind = \"count_window\", size = 9, min_calls = 3, thresholds = { failure_rate = 1.0 } }]\n";
    let config: BreakerConfig = toml::from_str(text).expect("a good config");
    assert_eq!((config.failure_threshold, config.recovery_timeout), (7, Duration::from_secs(9)));
    assert_eq!(config.jitter, Ratio::HALF);
    assert_eq!(config.validate(), Ok(()));
    assert!(toml::from_str::<BreakerConfig>("failure_treshold = 7").is_err());
    assert!(toml::from_str::<BreakerConfig>("jitter = 1.5").is_err());
}

#[test]
fn a_cap_below_the_open_time_is_refused_with_both_numbers() {
    let mut config = BreakerConfig::default();
    config.recovery_timeout = Duration::from_secs(9);
    config.recovery_timeout_max = Some(Duration::from_secs(5));
    let error = SharedBreaker::new(config, t0()).expect_err("refused");
    assert!(matches!(error, ConfigError::MaxBelowBase { .. }));
    assert_eq!(error.to_string(), "recovery_timeout (9s) is above recovery_timeout_max (5s)");
}
