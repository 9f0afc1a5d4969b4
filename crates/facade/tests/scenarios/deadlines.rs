//! Callers in a hurry: a deadline is shared among the attempts, and missing it is nobody's illness.

use std::sync::{Arc, Mutex};

use outrigger::{AttemptRecord, CallError, Notice, Route, wire::Class};
use sim::Fault;
use tokio::time::Instant;

use crate::support::*;

/// **A deadline is split.** However long patience would be otherwise, silent regions leave time for the next one: the call
/// is answered within its deadline, whether the regions are known or not.
#[tokio::test(start_paused = true)]
async fn silence_leaves_time_for_another_region() {
    for (stream, limit) in [(false, secs(20)), (true, secs(8)), (false, secs(3)), (true, ms(900))] {
        for silent in [&["us-east"][..], &["us-east", "eu-west"]] {
            for known in [false, true] {
                let harbour = harbour_with(alike(), config, |builder| builder);
                for _ in 0..if known { 30 } else { 0 } {
                    harbour.text(stream).await.unwrap();
                }
                let before = harbour.count("us-east");
                silent.iter().for_each(|region| harbour.inject(region, Fault::Silent));
                let began = Instant::now();
                let text = harbour.text_within(stream, limit).await.unwrap_or_else(|error| {
                    panic!("stream {stream} within {limit:?}, {silent:?} silent, known {known}: {error}")
                });
                assert!(is_whole(&text));
                assert!(began.elapsed() <= limit + secs(1), "took {:?}", began.elapsed());
                assert_eq!(harbour.count("us-east"), before + 1, "the silent region is asked once");
                harbour.assert_idle();
            }
        }
    }
}

/// An attempt as those who watch hear of it: where, how it failed, and whether its place was judged by it.
fn told(notice: &Notice) -> Option<(Route, Option<Class>, bool)> {
    match notice {
        Notice::AttemptEnded { route, class, judged, .. } => Some((route.clone(), *class, *judged)),
        _ => None,
    }
}

/// A deadline far below any patience holds to the instant, and several regions had their chance within it. What it stops is a
/// timeout to whoever looks, and nobody's fault.
#[tokio::test(start_paused = true)]
async fn a_deadline_below_the_patience_holds_to_the_instant() {
    for stream in [false, true] {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&notices);
        let watch = move |notice: &Notice| seen.lock().unwrap().push(notice.clone());
        let harbour = harbour_with(alike(), config, |builder| builder.observer(watch));
        harbour.inject_everywhere(&Fault::Silent);
        let began = Instant::now();
        let error = call_error(harbour.text_within(stream, secs(3)).await.unwrap_err());
        assert!(matches!(error, CallError::DeadlineExceeded { .. }), "{error}");
        assert_eq!(began.elapsed(), secs(3));
        assert!(error.attempts().len() >= 2, "only {} attempts", error.attempts().len());
        let told = notices.lock().unwrap().iter().filter_map(told).collect::<Vec<_>>();
        let noted = |record: &AttemptRecord| (record.route.clone(), record.class, false);
        assert_eq!(told, error.attempts().iter().map(noted).collect::<Vec<_>>(), "one attempt has one class");
        assert!(told.iter().all(|(_, class, _)| *class == Some(Class::Timeout)), "{told:?}");
        for region in REGIONS {
            assert!(harbour.count(region) <= 1, "silence is not asked twice");
        }
        harbour.assert_idle();
    }
}

/// **A caller's haste is no region's fault.** Regions that answer in a second are not charged by callers who give them half
/// of one.
#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_too_short_is_charged_to_nobody() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    harbour.inject_everywhere(&Fault::SlowFirstToken { delay: secs(1) });
    for _ in 0..30 {
        let error = call_error(harbour.text_within(false, ms(500)).await.unwrap_err());
        assert!(matches!(error, CallError::DeadlineExceeded { .. }), "{error}");
    }
    for deployment in harbour.client.deployments() {
        let charged = (deployment.breaker, deployment.consecutive_failures, deployment.failures);
        assert_eq!(charged, ("closed", 0, 0), "{}", deployment.region);
    }
    assert!(is_whole(&harbour.ask().await.unwrap().text));
}
