//! Keys that are wrong, revoked or spent: the credential is out, its neighbours are not, and nobody hammers at a shut door.

use futures_util::future::join_all;
use outrigger::{
    CallError, Config,
    config::{Model, Provider, Region as Place, Target},
};
use sim::{Fault, Region, When, World, WorldBuilder};

use crate::support::*;

/// The level at which the deployment at `region` is out.
fn level(harbour: &Harbour, region: &str) -> &'static str {
    let deployments = harbour.client.deployments();
    deployments.into_iter().find(|at| &*at.region == region).unwrap().level
}

/// How the deployment of `model` at `region` is out, if it is.
fn out(harbour: &Harbour, region: &str, model: &str) -> Option<&'static str> {
    let deployments = harbour.client.deployments();
    let status = deployments.into_iter().find(|at| &*at.region == region && &*at.model == model);
    status.unwrap().reason
}

/// What providers say when a key is no good any more.
fn dead_keys() -> [(Fault, &'static str); 3] {
    let unpaid = Fault::Status {
        code: 402,
        retry_after: None,
        body: Some(r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#.into()),
        headers: Vec::new(),
    };
    [(Fault::BadKey, "credential"), (unpaid, "quota_spent"), (Fault::QuotaSpent, "quota_spent")]
}

/// **One call finds a dead key, and the rest stay away.** The key of the preferred region is revoked, unpaid or spent: of three
/// hundred callers who come one after the other not one notices, and the provider is asked with it once.
#[tokio::test(start_paused = true)]
async fn a_dead_key_is_tried_once_and_costs_nobody_an_answer() {
    for (fault, reason) in dead_keys() {
        for stream in [false, true] {
            let harbour = harbour_with(alike(), config, |builder| builder);
            harbour.inject("us-east", fault.clone());
            for _ in 0..300 {
                assert!(is_whole(&harbour.text(stream).await.unwrap()), "{fault:?}");
            }
            assert_eq!(harbour.count("us-east"), 1, "{fault:?}: a dead key was tried again");
            assert_eq!(out(&harbour, "us-east", "gpt-4.1"), Some(reason), "operators see why");
            assert_eq!(
                (level(&harbour, "us-east"), level(&harbour, "eu-west")),
                ("credential", "deployment")
            );
            assert_eq!(harbour.total(), 301);
            harbour.assert_idle();
        }
    }
}

/// **Two hundred find it at once.** All of them were under way when the key died: each fails over, none is lost, and the bucket
/// of retries pays for none of it.
#[tokio::test(start_paused = true)]
async fn a_key_that_dies_under_two_hundred_calls_loses_none_of_them() {
    for (fault, _) in dead_keys() {
        let harbour = harbour_with(alike(), config, |builder| builder);
        harbour.inject("us-east", fault);
        for text in join_all((0..200).map(|call| harbour.text(call % 2 == 0))).await {
            assert!(is_whole(&text.unwrap()));
        }
        assert!(harbour.count("us-east") <= 200 && harbour.total() <= 400);
        let before = harbour.count("us-east");
        for _ in 0..50 {
            harbour.ask().await.unwrap();
        }
        assert_eq!(harbour.count("us-east"), before, "the dead key was tried again");
        harbour.assert_idle();
    }
}

/// A key is neither a region nor a model: health, circuits and latencies say nothing against the place, whose key it was.
#[tokio::test(start_paused = true)]
async fn a_dead_key_is_no_illness_of_its_region() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    harbour.inject("us-east", Fault::BadKey);
    harbour.ask().await.unwrap();
    let us_east = harbour.client.deployments().into_iter().find(|at| &*at.region == "us-east").unwrap();
    assert_eq!((us_east.breaker, us_east.consecutive_failures), ("closed", 0));
    assert!(us_east.health > 99.9);
}

/// **Both models of a key go with it.** Two models share an endpoint and its key; the one that is told 401 first speaks for both,
/// so the other is not tried there in vain.
#[tokio::test(start_paused = true)]
async fn a_dead_key_takes_every_model_that_it_opens() {
    let two_models = |world: &World| {
        let mut config = config_with(world, [Target::new("holysheep", "gpt-4.1")]);
        let mut other = Model::new([Target::new("holysheep", "deepseek-v3.2")]);
        other.routing = config.routing.clone();
        config.models.push(("other".to_owned(), other));
        config
    };
    let harbour = harbour_with(alike(), two_models, |builder| builder);
    harbour.inject("us-east", Fault::BadKey);
    harbour.ask().await.unwrap();
    assert_eq!(harbour.count("us-east"), 1);
    for _ in 0..20 {
        harbour.client.chat("other").user("x").send().await.unwrap();
    }
    assert_eq!(harbour.count("us-east"), 1, "the other model tried the same dead key");
    assert_eq!(out(&harbour, "us-east", "deepseek-v3.2"), Some("credential"));
}

/// Each region has a key of its own. One that its region does not accept is out there; the others are not suspected.
#[tokio::test(start_paused = true)]
async fn each_region_is_asked_with_its_own_key() {
    let key_of = |name: &str| format!("sk-of-{name}");
    let regions = REGIONS.map(|name| Region::new(name).latency(ms(40)).key(key_of(name)));
    let world = regions.into_iter().fold(World::builder().seed(7), WorldBuilder::region).build().unwrap();
    let keys = |world: &World| {
        let mut provider = Provider::openai().api_key("sk-that-opens-nothing");
        for region in world.regions() {
            let mut place = Place::new(world.base_url(region).unwrap());
            if region != "us-east" {
                place.api_key = Some(key_of(region).into()); // us-east was forgotten, and has the provider's
            }
            provider = provider.with_region(region, place);
        }
        let mut config = Config::new().provider("holysheep", provider);
        config.routing.preferred_region = Some("us-east".to_owned());
        let mut model = Model::new([Target::new("holysheep", "gpt-4.1")]);
        model.routing = config.routing.clone();
        config.model("chat", model)
    };
    let harbour = harbour_with(world, keys, |builder| builder);
    for _ in 0..40 {
        assert!(is_whole(&harbour.ask().await.unwrap().text));
    }
    assert_eq!(harbour.count("us-east"), 1);
    for region in ["eu-west", "ap-southeast"] {
        let expected = format!("Bearer {}", key_of(region));
        assert!(harbour.received(region).iter().all(|one| one.headers["authorization"] == expected.as_str()));
        assert_eq!(out(&harbour, region, "gpt-4.1"), None);
    }
}

/// With no key left that opens anything the error says so: the attempts bear the class, and those that come after are told at
/// once, without another knock.
#[tokio::test(start_paused = true)]
async fn without_any_key_callers_are_told_and_providers_left_alone() {
    let harbour = harbour();
    harbour.inject_everywhere(&Fault::BadKey);
    let first = call_error(harbour.ask().await.unwrap_err());
    assert_eq!(first.attempts().len(), 3, "each region's key was tried");
    assert!(first.attempts().iter().all(|attempt| attempt.status == Some(401)));
    for _ in 0..100 {
        let error = call_error(harbour.ask().await.unwrap_err());
        assert!(matches!(error, CallError::NoDeployment { .. }), "{error}");
    }
    assert_eq!(harbour.total(), 3);
    harbour.assert_idle();
}

/// A 429 that no waiting heals looks like one that passes, but for its code: the one is a key that is out, the other a wait.
#[tokio::test(start_paused = true)]
async fn a_spent_quota_is_no_passing_limit() {
    for (fault, again) in
        [(Fault::QuotaSpent, false), (Fault::RateLimit { retry_after: Some(secs(5)) }, true)]
    {
        let harbour = harbour_with(alike(), config, |builder| builder);
        harbour.world.inject("us-east", fault.clone(), When::always().first(1)).unwrap();
        harbour.ask().await.unwrap();
        tokio::time::sleep(secs(60)).await;
        for _ in 0..20 {
            harbour.ask().await.unwrap();
        }
        assert_eq!(harbour.count("us-east") > 1, again, "{fault:?}");
    }
}
