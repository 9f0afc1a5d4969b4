//! Nobody well: an honest error, early, and no storm.

use http::{HeaderMap, StatusCode};
use outrigger::{CallError, config::Target, wire::Class};
use sim::{Fault, Step};
use tokio::time::Instant;

use crate::support::*;

/// **A full outage is not stormed.** A thousand requests while everything fails make hardly more than a thousand upstream
/// calls, and every one of them is told so.
#[tokio::test(start_paused = true)]
async fn a_full_outage_is_told_and_not_stormed() {
    let harbour = harbour();
    harbour.inject_everywhere(&Fault::status(503));
    for _ in 0..1_000 {
        let error = call_error(harbour.ask().await.unwrap_err());
        assert!(matches!(error, CallError::Exhausted { .. } | CallError::NoDeployment { .. }), "{error}");
    }
    assert!(harbour.total() <= 1_100, "{} upstream calls for 1,000 requests", harbour.total());
    harbour.assert_idle();
}

/// After an outage the first callers find the way back by themselves.
#[tokio::test(start_paused = true)]
async fn after_an_outage_the_circuits_recover() {
    let harbour = harbour();
    harbour.inject_everywhere(&Fault::status(503));
    for _ in 0..50 {
        harbour.ask().await.unwrap_err();
    }
    harbour.world.clear_all();
    tokio::time::sleep(secs(31)).await;
    for _ in 0..20 {
        assert!(is_whole(&harbour.ask().await.unwrap().text));
    }
}

/// **Nobody waits for a circuit that keeps nobody served.** Everything fails for ten seconds under fifty requests a
/// second; the places are hardly asked meanwhile, and a second after the end every caller is served, although the
/// circuits' open time is thirty. Fails if the call that finds nobody left cannot bring a trial forward.
#[tokio::test(start_paused = true)]
async fn after_a_full_outage_callers_are_served_within_a_second() {
    for stream in [false, true] {
        let harbour = harbour_with(alike(), config, |builder| builder);
        harbour.inject_everywhere(&Fault::status(503));
        let sick = &harbour;
        let calls = (0..500_u32).map(|request| async move {
            tokio::time::sleep(ms(20) * request).await;
            let error = call_error(sick.text(stream).await.unwrap_err());
            if let CallError::NoDeployment { retry_in, .. } = error {
                assert!(
                    retry_in.is_some_and(|wait| wait <= ms(500)),
                    "the soonest trial is told: {retry_in:?}"
                );
            }
        });
        futures_util::future::join_all(calls).await;
        // Twenty half-open stays of three trials at each of three regions, and what it took to trip them.
        assert!(harbour.total() <= 180 + 45, "{} calls in an outage of 500 requests", harbour.total());
        harbour.world.clear_all();
        let healed = Instant::now();
        while harbour.text(stream).await.is_err() {
            tokio::time::sleep(ms(20)).await;
        }
        assert!(healed.elapsed() <= secs(1), "served again after {:?}", healed.elapsed());
        for _ in 0..100 {
            assert!(is_whole(&harbour.text(stream).await.unwrap()));
        }
        harbour.assert_idle();
    }
}

/// **A named wait is kept.** A provider that answers 503 and asks to be left alone for twenty seconds is not tried early, with
/// nobody else left or not.
#[tokio::test(start_paused = true)]
async fn a_wait_that_an_outage_named_is_kept() {
    let only = |world: &_| config_with(world, [Target::new("holysheep", "gpt-4.1").regions(["us-east"])]);
    let harbour = harbour_with(alike(), only, |builder| builder);
    let fault = Fault::Status { code: 503, retry_after: Some(secs(20)), body: None, headers: Vec::new() };
    harbour.inject("us-east", fault);
    while !matches!(call_error(harbour.ask().await.unwrap_err()), CallError::NoDeployment { .. }) {}
    let asked = harbour.count("us-east");
    for _ in 0..19 {
        tokio::time::sleep(secs(1)).await;
        harbour.ask().await.unwrap_err();
    }
    assert_eq!(harbour.count("us-east"), asked, "asked again within the wait it named");
    tokio::time::sleep(secs(2)).await;
    harbour.ask().await.unwrap_err();
    assert_eq!(
        harbour.count("us-east"),
        asked + 1,
        "and once after it, though the circuit would wait for thirty"
    );
}

/// An error says what was tried.
#[tokio::test(start_paused = true)]
async fn an_error_lists_its_attempts() {
    let harbour = harbour();
    harbour.inject_everywhere(&Fault::status(500));
    let error = call_error(harbour.ask().await.unwrap_err());
    assert_eq!(error.code(), "upstream_exhausted");
    let attempts = error.attempts();
    assert!(attempts.len() >= 2);
    assert!(attempts.iter().all(|attempt| attempt.status == Some(500)));
    assert!(attempts.iter().all(|attempt| attempt.class == Some(Class::Transient)));
}

/// A caller's own fault is passed back as the provider said it, after one attempt, and charged to nobody.
#[tokio::test(start_paused = true)]
async fn a_callers_fault_is_passed_back_and_charged_to_nobody() {
    let harbour = harbour();
    harbour.inject_everywhere(&Fault::ContentFilter);
    for _ in 0..20 {
        let error = call_error(harbour.ask().await.unwrap_err());
        let CallError::Rejected { status, body, .. } = error else { panic!("{error}") };
        assert_eq!(status, 400);
        assert!(String::from_utf8_lossy(&body).contains("content_filter"));
    }
    assert_eq!(harbour.total(), 20, "one attempt a call");
    for deployment in harbour.client.deployments() {
        assert_eq!(deployment.breaker, "closed");
        assert_eq!(deployment.consecutive_failures, 0);
    }
}

/// The deadline holds even when every region is silent.
#[tokio::test(start_paused = true)]
async fn silence_everywhere_ends_at_the_deadline() {
    let harbour = harbour();
    harbour.inject_everywhere(&Fault::Silent);
    let began = Instant::now();
    let deadline = began.into_std() + secs(25);
    let error = harbour.client.chat("chat").user("hello").deadline(deadline).stream().await.unwrap_err();
    assert!(matches!(call_error(error), CallError::DeadlineExceeded { .. }));
    assert_eq!(began.elapsed(), secs(25));
    for region in REGIONS {
        assert!(harbour.count(region) <= 1, "silence is not asked twice");
        assert!(harbour.received(region).iter().all(was_left));
    }
    harbour.assert_idle();
}

/// **A closed door is not knocked at.** Where there is one place only and its circuit opens between a call's first try and
/// its second, the caller is told at once, and not at its deadline.
#[tokio::test(start_paused = true)]
async fn a_second_try_that_the_circuit_refuses_ends_the_call_at_once() {
    let only = |world: &_| config_with(world, [Target::new("holysheep", "gpt-4.1").regions(["us-east"])]);
    let harbour = harbour_with(alike(), only, |builder| builder);
    harbour.inject("us-east", Fault::status(500));
    let mut tries = Vec::new();
    for _ in 0..6 {
        let began = Instant::now();
        let error = call_error(harbour.ask().await.unwrap_err());
        assert!(began.elapsed() < secs(1), "told after {:?}: {error}", began.elapsed());
        tries.push(error.attempts().len());
    }
    assert_eq!(tries, [2, 2, 1, 0, 0, 0], "the fifth failure opened the circuit, within a call");
    harbour.assert_idle();
}

/// A refusal that comes with status 200 is a refusal: the caller gets it as a 400, in the provider's words, after one
/// attempt.
#[tokio::test(start_paused = true)]
async fn a_refusal_in_the_clothes_of_a_success_is_passed_back_as_one() {
    let harbour = harbour();
    let said = r#"{"error":{"message":"filtered","type":"invalid_request_error","code":"content_filter"}}"#;
    let head = Step::Head { status: StatusCode::OK, headers: HeaderMap::new() };
    harbour.answer_next(&[head, Step::Chunk(said.into()), Step::End]);
    let error = call_error(harbour.ask().await.unwrap_err());
    let CallError::Rejected { status, body, attempts, .. } = error else { panic!("{error}") };
    assert_eq!((status, &*body), (StatusCode::BAD_REQUEST, said.as_bytes()));
    assert_eq!(attempts.len(), 1);
    assert_eq!(harbour.total(), 1);
}
