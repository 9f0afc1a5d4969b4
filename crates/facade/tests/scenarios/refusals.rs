//! What is the caller's own: a refusal is passed on in the provider's words, and nobody is charged with it.

use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use outrigger::{CallError, config::Target};
use sim::{Fault, Step, World};

use crate::support::*;

/// A refusal of the request itself, however many places there are to go.
fn is_refusal(error: CallError, words: &str) -> bool {
    let CallError::Rejected { status, body, attempts, .. } = error else { return false };
    status == 400 && attempts.len() == 1 && String::from_utf8_lossy(&body).contains(words)
}

fn other_tier(world: &World) -> outrigger::Config {
    config_with(
        world,
        [
            Target::new("holysheep", "gpt-4.1").regions(["us-east"]),
            Target::new("holysheep", "deepseek-v3.2").regions(["eu-west"]).tier(1),
        ],
    )
}

/// **A refused content is not shopped around.** What one region's filter refuses is passed back as it came, and no other region
/// or model is asked whether it would say yes.
#[tokio::test(start_paused = true)]
async fn a_refused_content_is_passed_on_and_asked_of_nobody_else() {
    for stream in [false, true] {
        for place in [config as fn(&World) -> outrigger::Config, other_tier] {
            let harbour = harbour_with(alike(), place, |builder| builder);
            harbour.inject("us-east", Fault::ContentFilter);
            let error = call_error(harbour.text(stream).await.unwrap_err());
            assert!(is_refusal(error, "content_filter"));
            assert_eq!((harbour.count("us-east"), harbour.total()), (1, 1));
        }
    }
}

/// A model that does not go on from an assistant's message says so to who asked for that; it is well, and stays in use.
#[tokio::test(start_paused = true)]
async fn a_model_without_prefill_refuses_its_caller_and_is_well() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    harbour.inject_everywhere(&Fault::NoPrefill);
    for _ in 0..20 {
        let begun = harbour.client.chat("chat").user("How high?").assistant("As high as");
        assert!(is_refusal(call_error(begun.send().await.unwrap_err()), "prefill"));
        assert!(is_whole(&harbour.ask().await.unwrap().text));
    }
    assert!(harbour.client.deployments().iter().all(|at| at.breaker == "closed" && at.failures == 0));
}

/// **A caller's fault harms nobody else.** Two hundred requests that every provider refuses, at once: two hundred refusals, two
/// hundred upstream calls, and circuits, scores and the retry budget stand as before.
#[tokio::test(start_paused = true)]
async fn two_hundred_refusals_leave_everything_as_it_was() {
    let harbour = harbour();
    let before = harbour.client.retry_budgets();
    harbour.inject_everywhere(&Fault::ContentFilter);
    for answer in join_all((0..200).map(|call| harbour.text(call % 2 == 0))).await {
        assert!(is_refusal(call_error(answer.unwrap_err()), "content_filter"));
    }
    assert_eq!(harbour.total(), 200);
    for deployment in harbour.client.deployments() {
        let state = (deployment.breaker, deployment.consecutive_failures, deployment.cooldown_ms);
        assert_eq!(state, ("closed", 0, 0), "{}", deployment.region);
    }
    let balance = |budgets: Vec<(_, outrigger::engine::RetryBudgetStatus)>| {
        budgets.into_iter().map(|(_, budget)| budget.balance).collect::<Vec<_>>()
    };
    assert_eq!(balance(harbour.client.retry_budgets()), balance(before));
    harbour.assert_idle();
}

/// **A refusal in a stream's first words is a refusal.** Some servers judge a request when its stream has begun: its caller gets
/// what was said as a 400 all the same, after one attempt. Fails if the words of the event are lost, or other places are asked.
#[tokio::test(start_paused = true)]
async fn a_refusal_within_a_stream_that_has_given_nothing_is_passed_back_as_one() {
    let said = r#"{"error":{"message":"filtered","type":"invalid_request_error","code":"content_filter"}}"#;
    let harbour = harbour();
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))]);
    let head = Step::Head { status: StatusCode::OK, headers };
    harbour.answer_next(&[head, Step::Chunk(format!(": hm\n\ndata: {said}\n\n").into()), Step::End]);
    let error = call_error(harbour.text(true).await.unwrap_err());
    let CallError::Rejected { headers, body, .. } = &error else { panic!("{error}") };
    assert_eq!(headers[CONTENT_TYPE], "application/json");
    assert_eq!(**body, *said.as_bytes());
    assert!(is_refusal(error, "content_filter"));
    assert_eq!(harbour.total(), 1);
    harbour.assert_idle();
}
