//! Another configuration under way: no call notices, what did not change lives on, what is gone is asked no more.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use outrigger::{
    BuildError, CallError, Client, Config,
    config::{Model, Provider, Region as Place, Target},
    engine::{DeploymentStatus, RetryBudgetStatus},
    transport::{Request, Response, Transport, TransportError},
};
use sim::{Fault, Region, SimTransport, When, World, WorldBuilder};

use crate::support::*;

/// The configuration with some regions only, asked with this key.
fn only(world: &World, regions: &[&str], key: &str) -> Config {
    let mut provider = Provider::openai().api_key(key);
    for region in regions {
        provider = provider.region(*region, world.base_url(region).unwrap().as_str()).unwrap();
    }
    let mut config = Config::new().provider("holysheep", provider);
    config.routing.preferred_region = Some("us-east".to_owned());
    let mut model = Model::new([Target::new("holysheep", "gpt-4.1")]);
    model.routing = config.routing.clone();
    config.model("chat", model)
}

fn status(client: &Client, region: &str) -> DeploymentStatus {
    client.deployments().into_iter().find(|at| &*at.region == region).unwrap()
}

fn budget(client: &Client) -> RetryBudgetStatus {
    client.retry_budgets().into_iter().find(|(model, _)| &**model == "chat").unwrap().1
}

/// **What is known of a place outlives a reload.** A circuit that an outage opened stays open, what was spent of the retry
/// budget stays spent, what was counted stays counted, and a cordon holds; new numbers hold at once. Fails if any of them begins afresh.
#[tokio::test(start_paused = true)]
async fn what_did_not_change_lives_on() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    harbour.inject("us-east", Fault::status(500));
    harbour.client.cordon("holysheep", "ap-southeast", None);
    while status(&harbour.client, "us-east").breaker != "open" {
        harbour.ask().await.unwrap();
    }
    harbour.world.inject("eu-west", Fault::status(500), When::always().first(3)).unwrap();
    drop(harbour.ask().await);
    harbour.world.clear("eu-west").unwrap();
    let shown = |client: &Client| REGIONS.map(|region| format!("{:?}", status(client, region)));
    let (before, left, asked) = (shown(&harbour.client), budget(&harbour.client), harbour.count("us-east"));
    assert!(left.balance < left.capacity, "retries have cost something");

    let mut changed = config(&harbour.world);
    for (_, model) in &mut changed.models {
        model.breaker.failure_threshold = 2;
        model.retry.budget = left.capacity + 100;
        model.targets[0].weight = 2.0;
    }
    harbour.client.reload(changed).unwrap();
    assert_eq!(shown(&harbour.client), before);
    let now = budget(&harbour.client);
    assert_eq!((now.balance, now.capacity), (left.balance, left.capacity + 100));
    for _ in 0..10 {
        assert!(is_whole(&harbour.ask().await.unwrap().text));
    }
    assert_eq!(harbour.count("us-east"), asked, "an open circuit was asked after the reload");
    assert_eq!(harbour.count("ap-southeast"), 0, "a cordon was forgotten");

    // Two failures in a row open it now.
    harbour.client.uncordon("holysheep", "ap-southeast", None);
    harbour.inject("eu-west", Fault::status(500));
    while status(&harbour.client, "eu-west").breaker == "closed" {
        let failures = status(&harbour.client, "eu-west").consecutive_failures;
        assert!(failures < 2, "{failures} failures in a row and the new rule has not opened it");
        harbour.ask().await.unwrap();
    }
    harbour.assert_idle();
}

/// A transport that notes which edition of authorities each request is to trust.
#[derive(Debug)]
struct Trusting(SimTransport, Arc<Mutex<Vec<u64>>>);

#[async_trait]
impl Transport for Trusting {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        self.1.lock().unwrap().push(request.pool.ca_edition);
        self.0.send(request).await
    }
}

/// **Authorities that were written anew are trusted by the next call.** Fails if a place keeps its connections over a reload that
/// gives its `ca_file` another edition.
#[tokio::test(start_paused = true)]
async fn another_edition_of_authorities_makes_new_connections() {
    let (world, editions) = (alike(), Arc::default());
    let transport = Trusting(world.transport(), Arc::clone(&editions));
    let client = Client::builder().config(config(&world)).transport(transport).build().unwrap();
    let ask = async || client.chat("chat").user("How high is the swell?").send().await.unwrap();
    ask().await;
    let mut changed = config(&world);
    for (_, region) in &mut changed.providers[0].1.regions {
        region.ca_edition = 7;
    }
    client.reload(changed).unwrap();
    ask().await;
    assert_eq!(*editions.lock().unwrap(), [0, 7]);
}

/// **A region leaves, and its streams finish.** The stream that runs there is read to its end; no call is sent there any more; when
/// it comes back it begins afresh, and what ended there meanwhile is not counted against it.
#[tokio::test(start_paused = true)]
async fn a_region_that_is_gone_finishes_its_streams_and_gets_no_new_call() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    let mut stream = harbour.open_stream().await;
    assert_eq!(harbour.count("us-east"), 1);
    harbour.client.reload(only(&harbour.world, &REGIONS[1..], "sk-test-not-a-secret")).unwrap();
    assert_eq!(harbour.client.deployments().len(), 2);
    for _ in 0..20 {
        assert!(is_whole(&harbour.ask().await.unwrap().text));
    }
    harbour.client.reload(config(&harbour.world)).unwrap();
    assert_eq!(status(&harbour.client, "us-east").in_flight, 0, "another deployment's stream");
    let mut text = Vec::new();
    while let Some(chunk) = stream.next().await {
        text.extend_from_slice(&chunk.unwrap());
    }
    assert!(String::from_utf8_lossy(&text).contains("[DONE]"));
    let received = harbour.received("us-east");
    assert!(received.len() == 1 && !received[0].cancelled_by_caller, "the stream was cut");
    let back = status(&harbour.client, "us-east");
    assert_eq!((back.in_flight, back.attempts), (0, 0));
    harbour.assert_idle();
}

/// **A stream over many reloads is one stream.** What is in flight is one until it ends, then none. Fails if its report does not
/// reach the place that it began at.
#[tokio::test(start_paused = true)]
async fn a_stream_in_flight_is_counted_once_over_reloads() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    let mut stream = harbour.open_stream().await;
    for round in 0_u32..10 {
        let regions = if round % 2 == 0 { &REGIONS[..1] } else { &REGIONS[..] };
        harbour.client.reload(only(&harbour.world, regions, &format!("sk-{round}"))).unwrap();
        assert_eq!(status(&harbour.client, "us-east").in_flight, 1);
        assert!(stream.next().await.unwrap().is_ok());
    }
    while let Some(chunk) = stream.next().await {
        chunk.unwrap();
    }
    let ended = status(&harbour.client, "us-east");
    assert_eq!((ended.in_flight, ended.attempts, ended.failures), (0, 1, 0));
    assert!(ended.last_success_ms.is_some());
}

/// **A call that has lost its place finds another by the new configuration.** Its region dies and is removed while it waits for the
/// answer; it goes on to one that was not there when it began, with the new key.
#[tokio::test(start_paused = true)]
async fn a_call_under_way_goes_on_to_what_is_new() {
    let harbour = harbour_with(alike(), |world| only(world, &["us-east"], "sk-old"), |builder| builder);
    harbour.inject("us-east", Fault::Silent);
    let answer = harbour.ask();
    let reload = async {
        tokio::time::sleep(secs(1)).await;
        harbour.client.reload(only(&harbour.world, &["eu-west"], "sk-new")).unwrap();
    };
    let (answer, ()) = tokio::join!(answer, reload);
    assert!(is_whole(&answer.unwrap().text));
    let received = harbour.received("eu-west");
    assert_eq!((received.len(), harbour.count("us-east")), (1, 1));
    assert_eq!(received[0].headers["authorization"], "Bearer sk-new");
    harbour.assert_idle();
}

/// **Residency holds over a reload**, also for a caller who named regions of its own while more were allowed. Fails if a call goes on to
/// one that its model does not allow any more.
#[tokio::test(start_paused = true)]
async fn a_call_under_way_goes_nowhere_that_is_not_allowed_any_more() {
    let harbour =
        harbour_with(alike(), |world| only(world, &["us-east", "eu-west"], "sk-1"), |builder| builder);
    harbour.inject("us-east", Fault::Silent);
    let answer = harbour.client.chat("chat").user("hello").residency(["us-east", "eu-west"]).send();
    let reload = async {
        tokio::time::sleep(secs(1)).await;
        let mut narrower = only(&harbour.world, &["us-east", "eu-west"], "sk-1");
        narrower.models[0].1.residency = Some(vec!["us-east".to_owned()]);
        harbour.client.reload(narrower).unwrap();
    };
    let (answer, ()) = tokio::join!(answer, reload);
    assert!(answer.is_err());
    assert_eq!((harbour.count("us-east"), harbour.count("eu-west")), (1, 0));
    harbour.assert_idle();
}

/// **A bad configuration changes nothing.** Its faults are told, and all goes on as it was.
#[tokio::test(start_paused = true)]
async fn a_bad_configuration_changes_nothing() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    harbour.ask().await.unwrap();
    let shown = format!("{:?}", harbour.client.deployments());
    let nowhere = config_with(&harbour.world, [Target::new("nobody", "gpt-4.1")]);
    assert!(matches!(harbour.client.reload(nowhere), Err(BuildError::Config(_))));
    let mut absurd = config(&harbour.world);
    absurd.models[0].1.breaker.half_open_max_calls = 0;
    assert!(harbour.client.reload(absurd).is_err());
    assert_eq!(format!("{:?}", harbour.client.deployments()), shown);
    assert!(is_whole(&harbour.ask().await.unwrap().text));
    assert_eq!(harbour.total(), 2);
}

/// **A new key gets a new chance, and only it.** The old one was refused; an unrelated change leaves it out, another key brings the
/// place back.
#[tokio::test(start_paused = true)]
async fn a_rotated_key_brings_a_place_back() {
    let region = |name| Region::new(name).latency(ms(40)).key("sk-new");
    let world = REGIONS.map(region).into_iter().fold(World::builder().seed(7), WorldBuilder::region);
    let harbour =
        harbour_with(world.build().unwrap(), |world| only(world, &REGIONS, "sk-old"), |builder| builder);
    harbour.ask().await.unwrap_err();
    assert_eq!(status(&harbour.client, "us-east").reason, Some("credential"));
    let mut same_key = only(&harbour.world, &REGIONS, "sk-old");
    same_key.models[0].1.targets[0].weight = 2.0;
    harbour.client.reload(same_key).unwrap();
    assert_eq!(status(&harbour.client, "us-east").reason, Some("credential"));
    assert!(matches!(call_error(harbour.ask().await.unwrap_err()), CallError::NoDeployment { .. }));
    harbour.client.reload(only(&harbour.world, &REGIONS, "sk-new")).unwrap();
    assert_eq!(status(&harbour.client, "us-east").reason, None);
    assert!(is_whole(&harbour.ask().await.unwrap().text));
}

/// **Another base URL is another place**, with nothing known of it; but what an operator took out by name stays out.
#[tokio::test(start_paused = true)]
async fn another_address_begins_afresh_and_a_cordon_is_about_a_name() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    harbour.inject("us-east", Fault::Refuse);
    while status(&harbour.client, "us-east").breaker != "open" {
        harbour.ask().await.unwrap();
    }
    harbour.client.cordon("holysheep", "eu-west", None);
    // The places change their addresses with one another.
    let mut provider = Provider::openai().api_key("sk-test-not-a-secret");
    for (region, at) in [("us-east", "eu-west"), ("eu-west", "us-east"), ("ap-southeast", "ap-southeast")] {
        provider = provider.with_region(region, Place::new(harbour.world.base_url(at).unwrap()));
    }
    let mut moved = config(&harbour.world);
    moved.providers[0].1 = provider;
    harbour.client.reload(moved).unwrap();
    let (us_east, eu_west) = (status(&harbour.client, "us-east"), status(&harbour.client, "eu-west"));
    assert_eq!((us_east.breaker, us_east.attempts, us_east.cordoned), ("closed", 0, false));
    assert_eq!((eu_west.attempts, eu_west.cordoned), (0, true));
    let asked = harbour.count("us-east");
    for _ in 0..10 {
        harbour.ask().await.unwrap();
    }
    assert_eq!(harbour.count("us-east"), asked, "what was taken out by name was asked at its new address");
}

/// **A cordon is about a name**: another model in a region that is out is out with it, and a region that is gone for a while comes back as
/// it went. What was said of one model is about that one. Fails if a cordon means the deployments of the moment in which it was said.
#[tokio::test(start_paused = true)]
async fn a_cordon_holds_for_whatever_comes_to_bear_its_name() {
    let of = |world: &World, model: &str, regions: &[&str]| {
        let target = |model: &str| Target::new("holysheep", model).regions(regions.iter().copied());
        let mut config = config_with(world, [target("gpt-4.1"), target(model).tier(1)]);
        config.providers[0].1.regions.retain(|(region, _)| regions.contains(&region.as_str()));
        config
    };
    let harbour = harbour_with(alike(), |world| of(world, "gpt-4.1-mini", &REGIONS), |builder| builder);
    let client = &harbour.client;
    let out = || {
        let out = client.deployments().into_iter().filter(|status| status.cordoned);
        out.map(|status| format!("{}/{}", status.region, status.model)).collect::<Vec<_>>()
    };
    assert_eq!(client.cordon("holysheep", "us-east", None), 2);
    assert_eq!(client.cordon("holysheep", "eu-west", Some("gpt-4.1-mini")), 1);
    assert_eq!(client.cordon("holysheep", "nowhere", None), 0, "a slip of the pen is no word");
    assert_eq!(client.uncordon("holysheep", "us-east", Some("gpt-4.1")), 1);
    client.reload(of(&harbour.world, "gpt-4.1-nano", &REGIONS)).unwrap();
    assert_eq!(out(), ["us-east/gpt-4.1-nano"]);
    client.reload(of(&harbour.world, "gpt-4.1-mini", &["ap-southeast"])).unwrap();
    assert!(out().is_empty());
    let told: Vec<_> = client.cordons().into_iter().map(|cordon| (cordon.region, cordon.model)).collect();
    assert_eq!(told, [("us-east".into(), None), ("eu-west".into(), Some("gpt-4.1-mini".into()))]);
    client.reload(of(&harbour.world, "gpt-4.1-mini", &REGIONS)).unwrap();
    assert_eq!(out(), ["us-east/gpt-4.1-mini", "eu-west/gpt-4.1-mini"]);

    // A word over one model does not outlive its end, and the region's does not end with it.
    client.cordon("holysheep", "us-east", Some("gpt-4.1"));
    client.end_cordon("holysheep", "us-east", None);
    assert_eq!(out(), ["us-east/gpt-4.1", "eu-west/gpt-4.1-mini"]);
    client.end_cordon("holysheep", "us-east", Some("gpt-4.1"));
    client.uncordon("holysheep", "eu-west", None);
    assert!(out().is_empty() && client.cordons().is_empty());
}

/// **Models come and go.** One that is new is served at once, one that is gone is not found, and the others keep their order.
#[tokio::test(start_paused = true)]
async fn models_come_and_go() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    let with = |names: &[&str]| {
        let mut config = config(&harbour.world);
        let (_, model) = config.models.remove(0);
        config.models = names.iter().map(|name| ((*name).to_owned(), model.clone())).collect();
        config
    };
    for names in [&["draft", "chat"][..], &["draft"], &["other", "draft", "chat"], &["chat"]] {
        harbour.client.reload(with(names)).unwrap();
        let models: Vec<String> = harbour.client.models().iter().map(ToString::to_string).collect();
        assert_eq!(models, names);
        for name in ["chat", "draft", "other"] {
            let answer = harbour.client.chat(name).user("x").send().await;
            assert_eq!(answer.is_ok(), names.contains(&name), "{name} of {names:?}");
        }
    }
    harbour.assert_idle();
}

/// **A caller who waits for a place hears of a wider limit.** Fails if it waits on for the one that is taken.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_has_it_when_the_limit_is_raised() {
    let narrow = |world: &World, places| {
        let mut config = only(world, &["us-east"], "sk");
        config.providers[0].1.regions[0].1.limits.concurrent = std::num::NonZeroU32::new(places);
        config
    };
    let harbour = harbour_with(alike(), |world| narrow(world, 1), |builder| builder);
    harbour.world.inject("us-east", Fault::Silent, When::always().first(1)).unwrap();
    let began = tokio::time::Instant::now();
    let held = tokio::time::timeout(secs(30), harbour.ask());
    let waits = async {
        tokio::time::sleep(ms(10)).await;
        let answer = harbour.ask().await.unwrap();
        (answer, began.elapsed())
    };
    let reload = async {
        tokio::time::sleep(secs(1)).await;
        harbour.client.reload(narrow(&harbour.world, 2)).unwrap();
    };
    let (_, (answer, waited), ()) = tokio::join!(held, waits, reload);
    assert!(is_whole(&answer.text));
    assert!(waited < secs(5), "{waited:?}");
}

/// **Health checks follow.** A place that is new is checked, one that is gone is not, and frequent reloads do not put a check off.
#[tokio::test(start_paused = true)]
async fn health_checks_go_by_the_new_configuration() {
    let checked = |world: &World, regions: &[&str]| {
        let mut config = only(world, regions, "sk");
        config.providers[0].1.health_check.get_or_insert_default().every = secs(10);
        config
    };
    let harbour = harbour_with(alike(), |world| checked(world, &["us-east"]), |builder| builder);
    for round in 0_u32..70 {
        tokio::time::sleep(ms(500)).await;
        if round % 4 == 3 {
            harbour.client.reload(checked(&harbour.world, &["us-east"])).unwrap();
        }
    }
    assert_eq!(harbour.count("us-east"), 3, "35 s with a check every 10 s");
    harbour.client.reload(checked(&harbour.world, &["eu-west"])).unwrap();
    tokio::time::sleep(secs(35)).await;
    assert_eq!((harbour.count("us-east"), harbour.count("eu-west")), (3, 3));
}
