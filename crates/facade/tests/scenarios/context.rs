//! Requests too long for a model: another model may read them, the same one elsewhere may not, and nobody is ill for it.

use outrigger::{CallError, config::Target};
use sim::Fault;

use crate::support::*;

/// GPT-4.1 in two regions, another model in a third as the next tier, each with the context that it is said to take.
fn two_models(gpt: Option<u32>, other: Option<u32>) -> Harbour {
    let with = |target: Target, context: Option<u32>| match context {
        Some(tokens) => target.context(tokens),
        None => target,
    };
    let targets = [
        with(Target::new("holysheep", "gpt-4.1").regions(["us-east", "eu-west"]), gpt),
        with(Target::new("holysheep", "deepseek-v3.2").regions(["ap-southeast"]).tier(1), other),
    ];
    let harbour = harbour_with(alike(), |world| config_with(world, targets), |builder| builder);
    for region in ["us-east", "eu-west"] {
        harbour.inject(region, Fault::ContextLength);
    }
    harbour
}

/// **Too long here is not too long everywhere.** A request that a model cannot read goes on to another model unless that is
/// known to read no more, after one attempt, and never to the same model in another region.
#[tokio::test(start_paused = true)]
async fn a_request_too_long_for_one_model_goes_on_to_another() {
    for (gpt, other) in [(None, None), (Some(8_192), Some(131_072)), (None, Some(8_192)), (Some(8_192), None)]
    {
        for stream in [false, true] {
            let harbour = two_models(gpt, other);
            for calls in 1..=5 {
                assert!(is_whole(&harbour.text(stream).await.unwrap()));
                let asked = harbour.count("us-east") + harbour.count("eu-west");
                assert_eq!((asked, harbour.count("ap-southeast")), (calls, calls), "each model once a call");
            }
            for deployment in harbour.client.deployments() {
                assert_eq!((deployment.breaker, deployment.failures), ("closed", 0), "{}", deployment.region);
            }
            harbour.assert_idle();
        }
    }
}

/// Where nobody reads more, the caller hears it from the provider itself.
#[tokio::test(start_paused = true)]
async fn a_request_too_long_for_all_is_refused_in_the_providers_words() {
    for (gpt, other) in [(Some(8_192), Some(8_192)), (Some(8_192), Some(4_096))] {
        let harbour = two_models(gpt, other);
        let error = call_error(harbour.ask().await.unwrap_err());
        let CallError::Rejected { status, body, attempts, .. } = error else { panic!("{error}") };
        assert_eq!((status.as_u16(), attempts.len()), (400, 1));
        assert!(String::from_utf8_lossy(&body).contains("context_length_exceeded"));
        assert_eq!(harbour.count("ap-southeast"), 0, "known to read no more");
    }
    let harbour = two_models(None, None);
    harbour.inject("ap-southeast", Fault::ContextLength);
    let error = call_error(harbour.ask().await.unwrap_err());
    assert!(matches!(error, CallError::Rejected { .. }), "{error}");
    assert_eq!(error.attempts().len(), 2, "one for each model");
}
