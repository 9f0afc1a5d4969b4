//! The client's own life: health checks that send, a shutdown that leaves nothing running.

use outrigger::{
    CallError, ChatError, Config, Notice,
    breaker::State,
    config::{CheckKind, HealthCheck, Target},
};
use sim::{Fault, World};

use crate::support::*;

fn checked(world: &World) -> Config {
    with_checks(config(world), CheckKind::Models)
}

fn with_checks(mut config: Config, kind: CheckKind) -> Config {
    for (_, provider) in &mut config.providers {
        let mut check = HealthCheck::default();
        check.kind = kind;
        provider.health_check = Some(check);
    }
    config
}

/// Two models at one endpoint, which is checked every thirty seconds.
fn two_models(kind: CheckKind) -> Harbour {
    let at_us_east = |model: &str| Target::new("holysheep", model).regions(["us-east"]);
    harbour_with(
        alike(),
        |world| with_checks(config_with(world, [at_us_east("gpt-4.1"), at_us_east("deepseek-v3.2")]), kind),
        |builder| builder,
    )
}

/// A health check is a real request: the provider sees it, and an idle region that died is found out.
#[tokio::test(start_paused = true)]
async fn a_health_check_sends_a_real_request() {
    let harbour = harbour_with(World::article(7), checked, |builder| builder);
    tokio::time::sleep(secs(31)).await;
    for region in REGIONS {
        let received = harbour.received(region);
        assert_eq!(received.len(), 1);
        assert_eq!(received.first().unwrap().path, "GET /v1/models");
    }
    harbour.inject("eu-west", Fault::Refuse);
    tokio::time::sleep(secs(31 * 6)).await;
    let eu_west = harbour.client.deployments().into_iter().find(|at| &*at.region == "eu-west").unwrap();
    assert!(eu_west.health < 100.0);
    assert_eq!(eu_west.breaker, "open");
    harbour.client.shutdown().await;
}

/// **One check, one verdict.** A refused check counts once at its endpoint, however many models are deployed there: the
/// circuit opens with the fifth, as it would for one model.
#[tokio::test(start_paused = true)]
async fn a_refused_check_is_one_failure_of_its_endpoint() {
    let harbour = two_models(CheckKind::Models);
    harbour.inject("us-east", Fault::Refuse);
    tokio::time::sleep(secs(4 * 30 + 1)).await;
    assert_eq!(harbour.count("us-east"), 4);
    for deployment in harbour.client.deployments() {
        assert_eq!(deployment.breaker, "closed", "after four refusals");
    }
    tokio::time::sleep(secs(30)).await;
    assert_eq!(harbour.count("us-east"), 5);
    for deployment in harbour.client.deployments() {
        assert_eq!((deployment.breaker, deployment.level), ("open", "endpoint"), "{}", deployment.model);
    }
    harbour.client.shutdown().await;
}

/// A check that chats with one model says nothing of another.
#[tokio::test(start_paused = true)]
async fn a_check_by_chat_speaks_for_the_model_it_asked() {
    let harbour = two_models(CheckKind::Chat);
    harbour.inject("us-east", Fault::status(500));
    tokio::time::sleep(secs(5 * 30 + 1)).await;
    let received = harbour.received("us-east");
    assert_eq!(received.len(), 5);
    for deployment in harbour.client.deployments() {
        let chats = received.iter().filter(|one| one.model.as_deref() == Some(&*deployment.model)).count();
        let failures = usize::try_from(deployment.consecutive_failures).unwrap();
        assert_eq!(failures, chats, "{} failed {failures} times in {chats} chats", deployment.model);
        assert_eq!(deployment.breaker == "open", chats >= 5, "{}", deployment.model);
    }
    harbour.client.shutdown().await;
}

/// A shutdown amid a health check gives the check up: nothing stays in flight, and nobody is charged.
#[tokio::test(start_paused = true)]
async fn a_shutdown_amid_a_health_check_leaves_nothing_in_flight() {
    let harbour = harbour_with(alike(), checked, |builder| builder);
    harbour.inject_everywhere(&Fault::Silent);
    tokio::time::sleep(secs(31)).await;
    assert!(harbour.client.deployments().iter().all(|deployment| deployment.in_flight == 1));
    harbour.client.shutdown().await;
    harbour.assert_idle();
    for deployment in harbour.client.deployments() {
        assert_eq!((deployment.breaker, deployment.consecutive_failures), ("closed", 0));
    }
}

/// After a shutdown nothing runs and nothing is taken; a stream in progress was waited for.
#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_streams_and_leaves_nothing_running() {
    let harbour = harbour_with(World::article(7), checked, |builder| builder);
    let mut stream = harbour.client.chat("chat").user("x").stream().await.unwrap();
    let reader = tokio::spawn(async move {
        let mut text = String::new();
        while let Some(piece) = stream.next().await {
            text.push_str(&piece.unwrap());
        }
        text
    });
    harbour.client.shutdown().await;
    assert!(is_whole(&reader.await.unwrap()));
    let refused = harbour.ask().await.unwrap_err();
    assert!(matches!(refused, ChatError::Call(CallError::ShuttingDown)));
    let asked = harbour.total();
    tokio::time::sleep(secs(300)).await;
    assert_eq!(harbour.total(), asked, "a health check outlived the client");
    harbour.assert_idle();
}

/// Whoever watches sees the failover and the circuit trip, in words of places.
#[tokio::test(start_paused = true)]
async fn what_happens_is_noticed() {
    let harbour = harbour();
    harbour.inject("us-east", Fault::status(500));
    for answer in futures_util::future::join_all((0..60).map(|_| harbour.ask())).await {
        answer.unwrap();
    }
    let notices = harbour.notices();
    let failovers = notices.iter().filter(|notice| matches!(notice, Notice::Failover { .. })).count();
    assert!(failovers >= 1);
    assert!(notices.iter().any(|notice| matches!(
        notice,
        Notice::Transition { route, to: State::Open, .. } if &*route.region == "us-east"
    )));
    let ended = notices.iter().filter(|notice| matches!(notice, Notice::CallEnded { .. })).count();
    assert_eq!(ended, 60, "every call ends once");
    let attempts = notices.iter().filter(|notice| matches!(notice, Notice::AttemptEnded { .. })).count();
    assert_eq!(attempts as u64, harbour.total(), "every attempt ends once");
}

/// An answer says where it came from, what it took and what it cost.
#[tokio::test(start_paused = true)]
async fn an_answer_says_where_it_came_from_and_what_it_cost() {
    let harbour = harbour();
    let answer = harbour.ask().await.unwrap();
    assert_eq!(&*answer.route.provider, "holysheep");
    assert_eq!(&*answer.route.model, "gpt-4.1");
    let usage = answer.usage.unwrap();
    // GPT-4.1: 2 USD per million tokens in, 8 out.
    let expected = f64::from(u32::try_from(usage.input * 2 + usage.output * 8).unwrap()) / 1e6;
    assert!((answer.cost_usd.unwrap() - expected).abs() < 1e-12);
    assert_eq!(answer.attempts.len(), 1);
    assert!(answer.timing.total >= answer.timing.upstream);
    assert!(answer.timing.upstream > ms(10));
}

/// One call more than may be in progress is refused before anything is sent; when one ends there is room again.
#[tokio::test(start_paused = true)]
async fn one_call_too_many_is_refused_before_anything_is_sent() {
    let harbour = harbour_with(World::article(7), config, |builder| builder.max_in_progress(2));
    let streams = [
        harbour.client.chat("chat").user("x").stream().await.unwrap(),
        harbour.client.chat("chat").user("x").stream().await.unwrap(),
    ];
    let asked = harbour.total();
    let refused = harbour.ask().await.unwrap_err();
    assert!(matches!(refused, ChatError::Call(CallError::Overloaded)), "{refused}");
    assert_eq!(harbour.total(), asked);
    drop(streams);
    assert!(is_whole(&harbour.ask().await.unwrap().text));
}
