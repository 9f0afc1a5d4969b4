//! What a caller may wish for: places, residency, sessions, and refusals before anything is sent.

use std::collections::{BTreeSet, HashSet};

use http::{HeaderName, HeaderValue};
use outrigger::{ChatError, Request, config::Target};
use sim::{Fault, World};

use crate::support::*;

/// A preferred region wins while it is well.
#[tokio::test(start_paused = true)]
async fn a_preferred_region_wins_while_it_is_well() {
    for region in REGIONS {
        let harbour = harbour_with(alike(), config, |builder| builder);
        for _ in 0..10 {
            harbour.client.chat("chat").user("hello").region(region).send().await.unwrap();
        }
        assert!(harbour.count(region) >= 8, "{region} got {} of 10", harbour.count(region));
    }
}

/// **Residency is never broken**, not even when the only region allowed is ill and the others are well.
#[tokio::test(start_paused = true)]
async fn residency_holds_even_when_it_hurts() {
    let harbour = harbour();
    harbour.inject("eu-west", Fault::Reset);
    for _ in 0..20 {
        harbour.client.chat("chat").user("hello").residency(["eu-west"]).send().await.unwrap_err();
    }
    assert!(harbour.count("eu-west") >= 5, "the only region allowed was asked until its circuit opened");
    assert_eq!(harbour.count("us-east") + harbour.count("ap-southeast"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_no_deployment_can_satisfy_is_refused_before_anything_is_sent() {
    let harbour = harbour_with(
        World::article(7),
        |world| config_with(world, [Target::new("holysheep", "gpt-4.1").regions(["us-east", "eu-west"])]),
        |builder| builder,
    );
    let client = &harbour.client;
    let code = |error: ChatError| match error {
        ChatError::Call(error) => error.code(),
        other => panic!("{other}"),
    };
    assert_eq!(code(client.chat("nobody").user("x").send().await.unwrap_err()), "model_not_found");
    assert_eq!(code(client.chat("chat").region("mars").send().await.unwrap_err()), "unknown_region");
    let beyond = client.chat("chat").user("x").residency(["ap-southeast"]).send().await.unwrap_err();
    assert_eq!(code(beyond), "residency_unsatisfiable");
    assert_eq!(harbour.total(), 0);
}

/// Calls of one session stay together while that costs little, and sessions do not all stay at one place.
#[tokio::test(start_paused = true)]
async fn the_calls_of_a_session_stay_together() {
    let harbour = harbour_with(
        alike(),
        |world| {
            let mut config = config(world);
            config.routing.preferred_region = None;
            for (_, model) in &mut config.models {
                model.routing.preferred_region = None;
            }
            config
        },
        |builder| builder,
    );
    // Known alike well, so that affinity and not exploration decides.
    let mut without = HashSet::new();
    for _ in 0..60 {
        without.insert(harbour.ask().await.unwrap().route.region);
    }
    assert_eq!(without.len(), 3, "without a session calls go everywhere");
    let mut homes = BTreeSet::new();
    for session in 0..8 {
        let mut places = BTreeSet::new();
        for _ in 0..20 {
            let chat = harbour.client.chat("chat").user("x").session(format!("voyage {session}"));
            places.insert(chat.send().await.unwrap().route.region);
        }
        assert_eq!(places.len(), 1, "one session was served by {places:?}");
        homes.append(&mut places);
    }
    assert!(homes.len() >= 2, "all sessions live in {homes:?}");
}

/// A lower tier serves only when the upper one cannot.
#[tokio::test(start_paused = true)]
async fn the_next_tier_serves_when_the_first_cannot() {
    let harbour = harbour_with(
        World::article(7),
        |world| {
            config_with(
                world,
                [
                    Target::new("holysheep", "gpt-4.1").regions(["us-east"]),
                    Target::new("holysheep", "deepseek-v3.2").regions(["eu-west"]).tier(1),
                ],
            )
        },
        |builder| builder,
    );
    for _ in 0..5 {
        assert_eq!(&*harbour.ask().await.unwrap().route.model, "gpt-4.1");
    }
    harbour.inject("us-east", Fault::Silent);
    let answer = harbour.client.chat("chat").user("x").send().await.unwrap();
    assert_eq!(&*answer.route.model, "deepseek-v3.2");
    let model = harbour.received("eu-west").first().unwrap().model.clone();
    assert_eq!(
        model.as_deref(),
        Some("deepseek-v3.2"),
        "the provider is asked for its own name of the model"
    );
}

/// The call's error never holds the key.
#[tokio::test(start_paused = true)]
async fn the_credential_goes_to_the_provider_and_nowhere_else() {
    let harbour = harbour();
    harbour.inject_everywhere(&Fault::BadKey);
    let error = harbour.ask().await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("sk-test"));
    let received = REGIONS.iter().flat_map(|region| harbour.received(region)).next().unwrap();
    assert_eq!(received.headers["authorization"], "Bearer sk-test-not-a-secret");
    assert!(!format!("{:?}", harbour.client).contains("sk-test"));
}

/// **Callers' credentials stay here.** Of a caller's headers those of the protocol cross to the provider, and nothing that
/// names or proves who the caller is.
#[tokio::test(start_paused = true)]
async fn a_callers_headers_cross_only_where_they_may() {
    let harbour = harbour();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = Request::chat(r#"{"model":"chat","messages":[{"role":"user","content":"x"}]}"#).unwrap();
    let request = [
        ("authorization", "Bearer of-the-caller"),
        ("cookie", "session=of-the-caller"),
        ("x-api-key", "of-the-caller"),
        ("api-key", "of-the-caller"),
        ("x-forwarded-for", "192.0.2.1"),
        ("proxy-authorization", "Basic of-the-caller"),
        ("traceparent", trace),
        ("openai-beta", "assistants=v2"),
    ]
    .into_iter()
    .fold(request, |request, (name, value)| {
        request.header(HeaderName::from_static(name), HeaderValue::from_static(value))
    });
    harbour.client.send(request).await.unwrap();
    let received = REGIONS.iter().flat_map(|region| harbour.received(region)).next().unwrap();
    for name in ["cookie", "x-api-key", "api-key", "x-forwarded-for", "proxy-authorization"] {
        assert!(!received.headers.contains_key(name), "{name} crossed");
    }
    assert!(!format!("{:?}", received.headers).contains("of-the-caller"));
    let keys: Vec<_> = received.headers.get_all("authorization").into_iter().collect();
    assert_eq!(keys, ["Bearer sk-test-not-a-secret"]);
    let sent = received.headers["traceparent"].to_str().unwrap();
    assert_eq!((&sent[..36], &sent[52..]), (&trace[..36], &trace[52..]), "the same trace, at a span of ours");
    assert_eq!(received.headers["openai-beta"], "assistants=v2");
}

/// A header that may be repeated crosses with all its values; one that the configuration sets is not the caller's to
/// change.
#[tokio::test(start_paused = true)]
async fn a_configured_header_wins_and_repeated_ones_all_cross() {
    let configured = |world: &_| {
        let mut config = config(world);
        let regions = config.providers.iter_mut().flat_map(|(_, provider)| &mut provider.regions);
        for (_, region) in regions {
            region.headers.push(("openai-beta".to_owned(), "of-the-configuration".into()));
        }
        config
    };
    let harbour = harbour_with(World::article(7), configured, |builder| builder);
    let request = Request::chat(r#"{"model":"chat","messages":[{"role":"user","content":"x"}]}"#).unwrap();
    let request = [("openai-beta", "of-the-caller"), ("accept", "a/1"), ("accept", "b/2")].into_iter().fold(
        request,
        |request, (name, value)| {
            request.header(HeaderName::from_static(name), HeaderValue::from_static(value))
        },
    );
    harbour.client.send(request).await.unwrap();
    let received = REGIONS.iter().flat_map(|region| harbour.received(region)).next().unwrap();
    let values = |name: &str| received.headers.get_all(name).into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(values("openai-beta"), ["of-the-configuration"]);
    assert_eq!(values("accept"), ["a/1", "b/2"]);
}
