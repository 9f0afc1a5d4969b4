//! The numbers that were promised, each in a world of its own: two hundred requests a second, one region ill for ten seconds.

use std::time::Duration;

use outrigger::{CallError, ChatError, config::Target};
use sim::Fault;
use tokio::time::Instant;

use crate::support::*;

/// One request of a load: when it came, how long it took, and what its caller got.
#[derive(Debug)]
struct Done {
    at: Duration,
    took: Duration,
    error: Option<ChatError>,
}

/// Two hundred requests a second for so long, each its own caller.
async fn load(harbour: &Harbour, lasting: Duration, stream: bool) -> Vec<Done> {
    let began = Instant::now();
    let requests = u32::try_from(lasting.as_millis() / 5).unwrap();
    let calls = (0..requests).map(|request| async move {
        tokio::time::sleep(ms(5) * request).await;
        let at = began.elapsed();
        let error = harbour.text(stream).await.err();
        Done { at, took: began.elapsed() - at, error }
    });
    futures_util::future::join_all(calls).await
}

/// The world of three like regions, warm.
async fn warm(stream: bool) -> Harbour {
    let harbour = harbour_with(alike(), config, |builder| builder);
    load(&harbour, secs(1), stream).await;
    harbour
}

fn failed(done: &[Done]) -> usize {
    done.iter().filter(|done| done.error.is_some()).count()
}

/// The 99th percentile of what the callers waited who came after so long.
fn p99(done: &[Done], after: Duration) -> Duration {
    let mut took: Vec<_> = done.iter().filter(|done| done.at >= after).map(|done| done.took).collect();
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

/// **A slow region is left.** It takes a second instead of forty milliseconds and fails nobody; after two seconds it has next to
/// no traffic, and callers wait no longer than ever.
#[tokio::test(start_paused = true)]
async fn traffic_leaves_a_slow_region_within_two_seconds() {
    for stream in [false, true] {
        let harbour = warm(stream).await;
        let healthy = p99(&load(&harbour, secs(2), stream).await, ms(0));
        harbour.inject("us-east", Fault::SlowFirstToken { delay: ms(960) });
        let (before, all_before) = (harbour.count("us-east"), harbour.total());
        let first = load(&harbour, secs(2), stream).await;
        let while_leaving = harbour.count("us-east") - before;
        let rest = load(&harbour, secs(8), stream).await;
        let later = harbour.count("us-east") - before - while_leaving;
        assert_eq!((failed(&first), failed(&rest)), (0, 0));
        assert!(later <= 16, "{later} of 1,600 requests still went there, {while_leaving} of 400 before");
        assert!(p99(&rest, ms(0)) <= healthy * 2, "p99 {:?}, healthy {healthy:?}", p99(&rest, ms(0)));
        let calls = harbour.total() - all_before;
        assert!(calls <= 2_100, "{calls} calls for 2,000 requests");
        harbour.assert_idle();
    }
}

/// **A hung region costs its first second.** Streams wait for their learned limit at most, and from the second second on no
/// longer than twice a healthy answer; a silent region is asked once a request.
#[tokio::test(start_paused = true)]
async fn a_hung_region_costs_its_first_seconds_only() {
    let harbour = warm(true).await;
    let healthy = p99(&load(&harbour, secs(2), true).await, ms(0));
    harbour.inject("us-east", Fault::Silent);
    let before = harbour.total();
    let done = load(&harbour, secs(10), true).await;
    assert_eq!(failed(&done), 0);
    assert!(done.iter().all(|done| done.took <= secs(1) + healthy * 2), "the limit and one healthy answer");
    assert!(p99(&done, secs(1)) <= healthy * 2, "p99 {:?}, healthy {healthy:?}", p99(&done, secs(1)));
    let calls = harbour.total() - before;
    assert!(calls <= 2_100, "{calls} calls for 2,000 requests");
    harbour.assert_idle();
}

/// A first token that takes twenty seconds is answered from elsewhere within the learned limit and one healthy answer.
#[tokio::test(start_paused = true)]
async fn a_first_token_of_twenty_seconds_is_not_waited_for() {
    let harbour = warm(true).await;
    harbour.inject("us-east", Fault::SlowFirstToken { delay: secs(20) });
    for _ in 0..50 {
        let began = Instant::now();
        let stream = harbour.open_stream().await;
        assert!(began.elapsed() <= secs(1) + ms(100), "took {:?}", began.elapsed());
        stream.collect().await.unwrap();
    }
    harbour.assert_idle();
}

/// **A brown-out is ridden out.** One call in five fails everywhere; hardly a caller notices, and the providers get little more
/// than they must.
#[tokio::test(start_paused = true)]
async fn a_brown_out_costs_four_in_a_thousand_at_the_most() {
    for stream in [false, true] {
        let harbour = warm(stream).await;
        for region in REGIONS {
            let fault = sim::When::always().share(0.2);
            harbour.world.inject(region, Fault::status(500), fault).unwrap();
        }
        let before = harbour.total();
        let done = load(&harbour, secs(10), stream).await;
        let (failed, calls) = (failed(&done), harbour.total() - before);
        assert!(failed <= 8, "{failed} of 2,000 failed");
        assert!(calls <= 2_560, "{calls} calls for 2,000 requests");
        harbour.assert_idle();
    }
}

/// **A full outage is not stormed, and is over when it is over.** All regions answer 503 for ten seconds: at most 1.1 calls a
/// request; a second after the end nobody fails.
#[tokio::test(start_paused = true)]
async fn a_full_outage_is_not_stormed_and_ends_within_a_second() {
    for stream in [false, true] {
        let harbour = warm(stream).await;
        harbour.inject_everywhere(&Fault::status(503));
        let before = harbour.total();
        let done = load(&harbour, secs(10), stream).await;
        let calls = harbour.total() - before;
        assert!(calls <= 2_200, "{calls} calls for 2,000 requests");
        assert!(done.iter().all(|done| done.took <= secs(1)), "each is told at once");
        harbour.world.clear_all();
        let after = load(&harbour, secs(5), stream).await;
        let late: Vec<_> = after.iter().filter(|done| done.error.is_some() && done.at >= secs(1)).collect();
        assert!(late.is_empty(), "{} still fail a second later, the last {:?}", late.len(), late.last());
        harbour.assert_idle();
    }
}

/// Two hundred calls that one region resets at one instant are all saved by the others.
#[tokio::test(start_paused = true)]
async fn two_hundred_calls_reset_at_one_instant_are_all_saved() {
    for stream in [false, true] {
        let harbour = warm(stream).await;
        for region in ["eu-west", "ap-southeast"] {
            harbour.client.cordon("holysheep", region, None);
        }
        harbour.inject("us-east", Fault::Reset);
        let begin = Instant::now();
        let calls = (0..200).map(|_| harbour.text(stream));
        let uncordon = async {
            for region in ["eu-west", "ap-southeast"] {
                harbour.client.uncordon("holysheep", region, None);
            }
        };
        let (answers, ()) = tokio::join!(futures_util::future::join_all(calls), uncordon);
        let lost: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        assert!(lost.is_empty(), "{} lost: {:?}", lost.len(), lost.first());
        assert!(begin.elapsed() <= secs(2));
        harbour.assert_idle();
    }
}

/// **A dead first tier is left in peace.** For sixty seconds under a request every four: it is asked eight times at the most,
/// nobody fails, and within thirty seconds of its return it serves again.
#[tokio::test(start_paused = true)]
async fn a_dead_first_tier_is_left_in_peace_and_found_again() {
    for fault in [Fault::status(503), Fault::Refuse, Fault::Reset] {
        let targets = [
            Target::new("holysheep", "gpt-4.1").regions(["us-east"]),
            Target::new("holysheep", "gpt-4.1").regions(["eu-west"]).tier(1),
        ];
        let harbour = harbour_with(alike(), |world| config_with(world, targets), |builder| builder);
        for _ in 0..5 {
            harbour.ask().await.unwrap();
        }
        let before = harbour.count("us-east");
        harbour.inject("us-east", fault.clone());
        for _ in 0..15 {
            harbour.ask().await.unwrap();
            tokio::time::sleep(secs(4)).await;
        }
        let asked = harbour.count("us-east") - before;
        assert!(asked <= 8, "{fault}: asked {asked} times");
        harbour.world.clear_all();
        let back = Instant::now();
        let served = harbour.count("us-east");
        while harbour.count("us-east") == served {
            harbour.ask().await.unwrap();
            assert!(back.elapsed() <= secs(30), "{fault}: not asked again after {:?}", back.elapsed());
            tokio::time::sleep(secs(4)).await;
        }
        harbour.assert_idle();
    }
}

/// With every region limited each caller is told so at once, with the soonest wait, and nobody is asked in vain.
#[tokio::test(start_paused = true)]
async fn all_limited_is_a_wait_told_at_once() {
    let harbour = warm(false).await;
    harbour.inject_everywhere(&Fault::RateLimit { retry_after: Some(secs(20)) });
    let before = harbour.total();
    let done = load(&harbour, secs(5), false).await;
    for done in &done {
        let Some(ChatError::Call(CallError::RateLimited { retry_in: Some(wait), .. })) = &done.error else {
            panic!("{done:?}");
        };
        assert!(*wait <= secs(20) && done.took <= secs(1), "{done:?}");
    }
    let calls = harbour.total() - before;
    assert!(calls <= 60, "{calls} calls, though all had said for how long");
    harbour.assert_idle();
}
