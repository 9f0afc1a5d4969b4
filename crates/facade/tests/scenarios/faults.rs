//! One region ill, its neighbours well: the caller never learns of it.

use http::{HeaderMap, StatusCode};
use sim::{Fault, Step, When};
use tokio::time::Instant;

use crate::support::*;

/// Faults that strike before the commit point, plain or streamed.
fn before_commit() -> Vec<Fault> {
    vec![
        Fault::Refuse,
        Fault::Reset,
        Fault::Silent,
        Fault::status(500),
        Fault::status(503),
        Fault::RateLimit { retry_after: Some(secs(20)) },
        Fault::RateLimit { retry_after: None },
        Fault::QuotaSpent,
        Fault::Overloaded,
        Fault::SlowFirstToken { delay: secs(120) },
        Fault::Empty,
        Fault::KeepaliveForever,
        Fault::BadKey,
        Fault::Cut { after: 0 },
        Fault::Stall { after: 0 },
    ]
}

/// **A sick region is the client's problem.** Every fault, plain and streamed: the answer is whole and comes from another
/// region, after exactly one attempt at the sick one.
#[tokio::test(start_paused = true)]
async fn a_region_that_fails_before_content_is_never_noticed() {
    for fault in before_commit() {
        for stream in [false, true] {
            let harbour = harbour_with(alike(), config, |builder| builder);
            harbour.inject("us-east", fault.clone());
            let text =
                harbour.text(stream).await.unwrap_or_else(|error| panic!("{fault:?} {stream}: {error}"));
            assert!(is_whole(&text), "{fault:?}, stream {stream}: {text}");
            assert_eq!(harbour.count("us-east"), 1, "{fault:?}: the sick region is asked once in a call");
            assert_eq!(
                harbour.total() - harbour.count("us-east"),
                1,
                "{fault:?}: one healthy answer is enough"
            );
            harbour.assert_idle();
        }
    }
}

/// Half a plain answer is a failure like any other, because it is held until it is whole.
#[tokio::test(start_paused = true)]
async fn a_plain_answer_that_comes_half_is_asked_for_elsewhere() {
    for fault in [Fault::Cut { after: 5 }, Fault::Malformed { after: 1 }] {
        let harbour = harbour_with(alike(), config, |builder| builder);
        harbour.inject("us-east", fault);
        let answer = harbour.ask().await.unwrap();
        assert!(is_whole(&answer.text));
        assert_ne!(&*answer.route.region, "us-east");
        assert_eq!(answer.attempts.len(), 2);
    }
}

/// **A sick region is left in peace.** Under steady traffic a region that fails everything is asked a handful of times
/// until its circuit opens, and then by trials only.
#[tokio::test(start_paused = true)]
async fn a_region_that_keeps_failing_is_asked_ever_more_rarely() {
    for fault in [Fault::Reset, Fault::status(500), Fault::Refuse, Fault::Overloaded] {
        let harbour = harbour();
        harbour.inject("us-east", fault.clone());
        for _ in 0..300 {
            assert!(is_whole(&harbour.ask().await.unwrap().text));
        }
        let asked = harbour.count("us-east");
        assert!((1..=10).contains(&asked), "{fault:?}: asked {asked} times in 300 calls");
        assert!(harbour.total() <= 315, "{fault:?}: {} upstream calls for 300 requests", harbour.total());
    }
}

/// Two hundred calls reset at one instant are all saved by another region, each by its own free failover.
#[tokio::test(start_paused = true)]
async fn two_hundred_calls_reset_at_one_instant_are_all_answered() {
    let harbour = harbour();
    harbour.inject("us-east", Fault::Reset);
    let calls = (0..200).map(|_| harbour.ask());
    for answer in futures_util::future::join_all(calls).await {
        assert!(is_whole(&answer.unwrap().text));
    }
    assert!(harbour.count("us-east") >= 1, "nobody was reset");
    assert!(harbour.total() <= 400);
    harbour.assert_idle();
}

/// A silent region costs the learned patience and one healthy answer, no more, and is asked once.
#[tokio::test(start_paused = true)]
async fn a_silent_region_costs_one_patience() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    for _ in 0..20 {
        harbour.ask_stream().await.unwrap();
    }
    harbour.inject("us-east", Fault::Silent);
    let before = harbour.count("us-east");
    let began = Instant::now();
    assert!(is_whole(&harbour.ask_stream().await.unwrap()));
    let took = began.elapsed();
    assert!(took <= secs(5), "took {took:?}");
    assert_eq!(harbour.count("us-east"), before + 1);
    harbour.assert_idle();
}

/// A refusal has said enough with its status: a body that stalls or trickles is not waited for.
#[tokio::test(start_paused = true)]
async fn a_refusal_whose_body_dawdles_is_not_waited_for() {
    let trickle = Step::Repeat { every: ms(300), bytes: " ".into() };
    for last in [Step::Hold, trickle] {
        for stream in [false, true] {
            let harbour = harbour_with(alike(), config, |builder| builder);
            let head = Step::Head { status: StatusCode::INTERNAL_SERVER_ERROR, headers: HeaderMap::new() };
            let steps = vec![head, Step::Chunk("{\"error\":".into()), last.clone()];
            harbour.world.answer_next("us-east", steps).unwrap();
            let began = Instant::now();
            assert!(is_whole(&harbour.text(stream).await.unwrap()));
            assert!(began.elapsed() <= ms(2_500), "{last:?}, stream {stream}: took {:?}", began.elapsed());
            assert_eq!(harbour.count("us-east"), 1);
            harbour.assert_idle();
        }
    }
}

/// A caller's fault is told with as much of the provider's words as came: its body dawdles, and what is there is passed on.
#[tokio::test(start_paused = true)]
async fn a_refusal_that_dawdles_is_passed_on_as_far_as_it_came() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    let head = Step::Head { status: StatusCode::BAD_REQUEST, headers: HeaderMap::new() };
    harbour.answer_next(&[head, Step::Chunk("{\"error\":{\"message\":".into()), Step::Hold]);
    let error = call_error(harbour.ask().await.unwrap_err());
    let outrigger::CallError::Rejected { status, body, .. } = error else { panic!("{error}") };
    assert_eq!((status, &*body), (StatusCode::BAD_REQUEST, &b"{\"error\":{\"message\":"[..]));
    assert_eq!(harbour.total(), 1);
}

/// When a region returns, so does its traffic.
#[tokio::test(start_paused = true)]
async fn a_region_that_recovers_is_used_again() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    harbour.world.inject("us-east", Fault::status(500), When::from(secs(20))).unwrap();
    for _ in 0..50 {
        harbour.ask().await.unwrap();
    }
    let while_ill = harbour.count("us-east");
    tokio::time::sleep(secs(31)).await;
    for _ in 0..200 {
        harbour.ask().await.unwrap();
    }
    let after = harbour.count("us-east") - while_ill;
    assert!(after >= 50, "the preferred region got {after} of 200 calls after its return");
}

/// Silence beyond the patience is a failure of the deployment that was silent, once another has answered. Fails if an attempt
/// that was outrun is let go like one that a caller left.
#[tokio::test(start_paused = true)]
async fn a_silence_that_was_outrun_is_charged() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    harbour.inject("us-east", Fault::Silent);
    assert!(is_whole(&harbour.ask_stream().await.unwrap()));
    assert_eq!(harbour.count("us-east"), 1);
    let silent = harbour.client.deployments().into_iter().find(|at| &*at.region == "us-east").unwrap();
    assert_eq!((silent.failures, silent.consecutive_failures), (1, 1));
}
