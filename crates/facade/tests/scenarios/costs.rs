//! What a call may cost: estimated before it is made, and held to.

use outrigger::{CallError, Request, config::Price, config::Target};
use sim::Fault;

use crate::support::*;

/// A dear model first, a cheap one behind it, and one whose price nobody knows behind both.
fn priced() -> Harbour {
    let target = |model: &str, region| Target::new("holysheep", model).regions([region]);
    let mut targets = [
        target("dear", "us-east"),
        target("cheap", "eu-west").tier(1),
        target("mystery", "ap-southeast").tier(2),
    ];
    targets[0].price = Some(Price::new(10.0, 100.0));
    targets[1].price = Some(Price::new(1.0, 10.0));
    harbour_with(alike(), |world| config_with(world, targets), |builder| builder)
}

/// A thousand tokens of answer: about 0.1 USD at the dear one, 0.01 at the cheap one.
fn request() -> Request {
    let body = r#"{"model":"chat","max_tokens":1000,"messages":[{"role":"user","content":"How high is the swell?"}]}"#;
    Request::chat(body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_estimate_ranges_from_the_cheapest_to_the_dearest_known_price() {
    let harbour = priced();
    let estimate = harbour.client.estimate_cost(&request()).unwrap();
    let usage = request().estimated_usage();
    assert_eq!((usage.input, usage.output), (24, 1000));
    assert!((estimate.least_usd - (24.0 + 10_000.0) / 1e6).abs() < 1e-12, "{estimate:?}");
    assert!((estimate.most_usd - (240.0 + 100_000.0) / 1e6).abs() < 1e-12, "{estimate:?}");
    let only = harbour.client.estimate_cost(&request().residency(["eu-west"])).unwrap();
    assert!((only.most_usd - estimate.least_usd).abs() < 1e-12, "{only:?}");
    assert_eq!(harbour.client.estimate_cost(&request().residency(["ap-southeast"])), None);
    let two = r#"{"model":"chat","n":2,"messages":[{"role":"user","content":"Which way is the wind?"}]}"#;
    assert_eq!(Request::chat(two).unwrap().estimated_usage().output, 2048);
}

/// **A call costs no more than it may**, whoever is ill: dearer targets and those of unknown price are left out, as if they were not
/// there. Fails if they are asked as a last resort.
#[tokio::test(start_paused = true)]
async fn dearer_targets_are_left_out_whatever_happens() {
    let harbour = priced();
    for _ in 0..5 {
        harbour.client.send(request().max_cost(0.05)).await.unwrap();
    }
    assert_eq!((harbour.count("us-east"), harbour.count("eu-west")), (0, 5));
    harbour.inject("eu-west", Fault::status(500));
    for _ in 0..20 {
        harbour.client.send(request().max_cost(0.05)).await.unwrap_err();
    }
    assert_eq!((harbour.count("us-east"), harbour.count("ap-southeast")), (0, 0));
    harbour.client.send(request().max_cost(0.2)).await.unwrap();
    assert_eq!(harbour.count("us-east"), 1);
    harbour.assert_idle();
}

/// **A reload makes no call dearer than it may be**, by what is new or by what a price has become. Fails if a call in progress goes by the
/// prices that held when it began.
#[tokio::test(start_paused = true)]
async fn a_call_under_way_is_held_to_its_cost_over_a_reload() {
    let priced = |region, tier, input| {
        let mut target = Target::new("holysheep", region).regions([region]).tier(tier);
        target.price = Some(Price::new(input, 10.0 * input));
        target
    };
    let before = [priced("eu-west", 0, 1.0), priced("ap-southeast", 1, 1.0)];
    let harbour = harbour_with(alike(), |world| config_with(world, before), |builder| builder);
    harbour.inject("eu-west", Fault::Silent);
    let answer = harbour.client.send(request().max_cost(0.05));
    let reload = async {
        tokio::time::sleep(secs(1)).await;
        let after = [priced("eu-west", 0, 1.0), priced("us-east", 0, 10.0), priced("ap-southeast", 1, 10.0)];
        harbour.client.reload(config_with(&harbour.world, after)).unwrap();
    };
    let (answer, ()) = tokio::join!(answer, reload);
    assert!(answer.is_err());
    assert_eq!(
        (harbour.count("eu-west"), harbour.count("us-east"), harbour.count("ap-southeast")),
        (1, 0, 0)
    );
    harbour.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_does_so_cheaply_is_refused_before_anything_is_sent() {
    let harbour = priced();
    for most in [0.005, 0.0, -1.0, f64::NAN] {
        let error = harbour.client.send(request().max_cost(most)).await.unwrap_err();
        assert!(matches!(error, CallError::TooDear { least_usd: Some(_), .. }), "{error}");
        assert_eq!((error.code(), error.status().as_u16()), ("budget_exceeded", 429));
        assert!(error.to_string().contains("may cost 0.010024 USD"), "{error}");
    }
    let unknown = request().residency(["ap-southeast"]).max_cost(100.0);
    let error = harbour.client.send(unknown).await.unwrap_err();
    assert!(matches!(error, CallError::TooDear { least_usd: None, .. }), "{error}");
    assert!(error.to_string().contains("no target of `chat` has a known price"), "{error}");
    assert_eq!(harbour.total(), 0);
}
