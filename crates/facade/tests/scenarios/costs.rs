//! What a call may cost: estimated before it is made, and held to.

use http::{HeaderMap, StatusCode};
use outrigger::{Answer, AnswerBody, CallError, Notice, Request, config::Price, config::Target};
use sim::{Fault, Step, When, World};

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
    assert!((estimate.all_usd - 4.0 * estimate.most_usd).abs() < 1e-12, "as many attempts as may be made");
    let all = |request| harbour.client.estimate_cost(&request).unwrap().all_usd;
    assert!((all(request().caller_retries()) - 2.0 * estimate.most_usd).abs() < 1e-12);
    assert!((all(request().max_cost(0.15)) - 0.15).abs() < 1e-12, "a bound is for all of them");
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

/// What one attempt of [`request`] is thought to cost where prices are [`plain`], and what is billed of one that was reset: its request.
const ONE: f64 = 0.010_024;
const RESET: f64 = 0.000_024;

/// One model at the same known price in these regions.
fn plain(regions: &'static [&'static str]) -> Harbour {
    let mut target = Target::new("holysheep", "gpt-4.1").regions(regions.iter().copied());
    target.price = Some(Price::new(1.0, 10.0));
    harbour_with(alike(), |world| config_with(world, [target]), |builder| builder)
}

async fn ask(harbour: &Harbour, request: Request) -> Result<Answer, CallError> {
    let answered = harbour.client.send(request).await;
    harbour.assert_idle();
    answered
}

/// What all calls of a harbour cost.
fn cost(harbour: &Harbour) -> f64 {
    let cost = |notice| match notice {
        Notice::CallEnded { bill, .. } => bill?.cost_usd,
        _ => None,
    };
    harbour.notices().into_iter().filter_map(cost).sum()
}

/// **A bound is for the call**, all its attempts together, its free failover included. Every region resets its connections, which may
/// be billed: as many attempts are made as the bound has room for, and the caller is told what failed and why nobody else was asked.
/// Fails if each attempt is held to the whole bound.
#[tokio::test(start_paused = true)]
async fn the_attempts_of_a_call_together_cost_no_more_than_it_may() {
    for (most, attempts) in
        [(ONE, 1_u32), (ONE + 1.5 * RESET, 2), (ONE + 2.0 * RESET, 3), (ONE + 3.0 * RESET, 4), (1.0, 4)]
    {
        let harbour = plain(&REGIONS);
        harbour.inject_everywhere(&Fault::Reset);
        let error = ask(&harbour, request().max_cost(most)).await.unwrap_err();
        assert_eq!(harbour.total(), u64::from(attempts), "of {most}: {error}");
        assert_eq!((error.code(), error.attempts().len()), ("upstream_exhausted", attempts as usize));
        let told = error.to_string();
        assert_eq!(told.contains("beyond the 0.0100"), attempts < 4, "{told}");
        let cost = cost(&harbour);
        assert!(cost > 0.9 * RESET * f64::from(attempts) && cost <= most, "{cost} of {most}");
    }
}

/// **What costs nothing takes nothing of a bound.** A provider that refuses does not bill, and so the failover is as free as it was.
#[tokio::test(start_paused = true)]
async fn a_refusal_leaves_room_for_another_attempt() {
    let harbour = plain(&REGIONS);
    harbour.inject("us-east", Fault::status(500));
    let answer = ask(&harbour, request().max_cost(ONE)).await.unwrap();
    assert_eq!((harbour.count("us-east"), answer.attempts.len()), (1, 2));
}

/// **What runs is counted by its estimate.** Nobody is asked beside a silent place unless both may be paid, and the caller is told that this is
/// why. Fails if only bills count, or a deadline's error hides it.
#[tokio::test(start_paused = true)]
async fn an_attempt_beside_a_silent_one_is_paid_beside_it() {
    for (times, total) in [(1.9, 1), (2.0, 2)] {
        let harbour = plain(&REGIONS);
        harbour.inject("us-east", Fault::Silent);
        let answered = ask(&harbour, request().max_cost(times * ONE)).await;
        assert_eq!((answered.is_ok(), harbour.total()), (total > 1, total), "{times}");
        if let Err(error) = answered {
            assert_eq!(error.code(), "deadline_exceeded");
            assert!(error.to_string().contains("beyond the 0.0190"), "{error}");
        }
    }
}

/// **Cost is named only where it is why nobody else was asked.** What could not be paid beside a silent place can be when that has failed without a
/// bill; and where another could be paid, it is the budget that refuses it. Fails if what was once too dear is told to the end.
#[tokio::test(start_paused = true)]
async fn cost_is_not_named_where_something_else_held_the_call_back() {
    let target = |model, price: f64| {
        let mut target = Target::new("holysheep", model);
        target.price = Some(Price::new(price, 10.0 * price));
        target
    };
    let without_retries = |targets: &[Target]| {
        let config = |world: &World| {
            let mut config = config_with(world, targets.iter().cloned());
            config.models[0].1.retry.budget = 0;
            config
        };
        harbour_with(alike(), config, |builder| builder)
    };
    let harbour = without_retries(&[target("gpt-4.1", 1.0).regions(["us-east", "eu-west"])]);
    harbour.client.cordon("holysheep", "eu-west", None);
    let refusal = Step::Head { status: StatusCode::SERVICE_UNAVAILABLE, headers: HeaderMap::new() };
    harbour.world.answer_next("us-east", vec![Step::Wait(secs(100)), refusal]).unwrap();
    let error = ask(&harbour, request().max_cost(1.5 * ONE)).await.unwrap_err();
    assert_eq!((harbour.total(), error.code()), (1, "upstream_exhausted"));
    assert!(!error.to_string().contains("beyond"), "{error}");

    let harbour = without_retries(&[target("gpt-4.1", 1.0), target("dear", 2.0).tier(1)]);
    harbour.inject_everywhere(&Fault::Reset);
    let error = ask(&harbour, request().max_cost(2.0 * ONE + 0.5 * RESET)).await.unwrap_err();
    assert_eq!((harbour.total(), error.code()), (2, "upstream_exhausted"));
    assert!(!error.to_string().contains("beyond"), "{error}");
}

/// **A second try at the same place is an attempt too.** Fails if it passes by what is asked before a pick.
#[tokio::test(start_paused = true)]
async fn the_same_place_is_asked_again_only_where_that_can_be_paid() {
    for (most, total) in [(ONE, 1), (ONE + RESET, 2)] {
        let harbour = plain(&["us-east"]);
        harbour.world.inject("us-east", Fault::Reset, When::always().first(1)).unwrap();
        let answered = ask(&harbour, request().max_cost(most)).await;
        assert_eq!((answered.is_ok(), harbour.total()), (total > 1, total), "{most}");
    }
}

/// **A stream is mended only where that can be paid.** Fails if the rest of an answer is sought at any price.
#[tokio::test(start_paused = true)]
async fn the_rest_of_an_answer_is_paid_from_the_same_bound() {
    for (times, total) in [(1.0, 1), (2.0, 2)] {
        let harbour = plain(&REGIONS);
        harbour.inject("us-east", Fault::Cut { after: 5 });
        let body = r#"{"model":"chat","stream":true,"max_tokens":1000,"messages":[{"role":"user","content":"How high is the swell?"}]}"#;
        let request = Request::chat(body).unwrap();
        let one = harbour.client.estimate_cost(&request).unwrap().most_usd;
        let answer = harbour.client.send(request.max_cost(times * one)).await.unwrap();
        let AnswerBody::Stream(stream) = answer.body else { panic!("not a stream") };
        assert_eq!((stream.collect().await.is_ok(), harbour.total()), (total > 1, total), "{times}");
        assert!(cost(&harbour) <= times * one);
        harbour.assert_idle();
    }
}

/// **What is held for a call holds it**, at places without a price too, which cost nothing that anybody knows of. Fails if a
/// payer's bound leaves them out, as a caller's own does.
#[tokio::test(start_paused = true)]
async fn a_call_is_held_to_what_is_held_for_it_and_may_go_where_no_price_is_known() {
    let harbour = priced();
    harbour.inject("eu-west", Fault::Reset);
    let answer = ask(&harbour, request().held_cost(0.02)).await.unwrap();
    assert_eq!(&*answer.route.region, "ap-southeast");
    let error = ask(&harbour, request().held_cost(0.02).max_cost(0.02)).await.unwrap_err();
    assert!(error.attempts().iter().all(|attempt| &*attempt.route.region == "eu-west"), "{error}");
    assert_eq!((harbour.count("us-east"), harbour.count("ap-southeast")), (0, 1));
}

/// **What is held below every price is told as that**, and not as if nobody were there. Fails if all are left out one by one.
#[tokio::test(start_paused = true)]
async fn what_is_held_below_every_price_is_too_little() {
    let harbour = plain(&REGIONS);
    let error = harbour.client.send(request().held_cost(0.5 * ONE)).await.unwrap_err();
    assert_eq!((error.code(), harbour.total()), ("budget_exceeded", 0), "{error}");
    let error = harbour.client.send(request().held_cost(0.5 * ONE).max_cost(1.0)).await.unwrap_err();
    assert!(error.to_string().contains("and 0.0050"), "{error}");
}
