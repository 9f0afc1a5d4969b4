//! Attempts beside slow ones: what they save, what they cost, and when there are none.

use outrigger::{AnswerBody, Config, HedgeResult, Notice, wire::Class};
use sim::{Fault, When, World};
use tokio::time::Instant;

use crate::support::*;

fn hedging(world: &World) -> Config {
    let mut config = config(world);
    config.models.iter_mut().for_each(|(_, model)| model.hedge.enabled = true);
    config
}

/// `us-east` is slow now and then, by less than any patience; its answers are known by then.
async fn a_place_that_is_slow_now_and_then(config: fn(&World) -> Config, share: f64) -> Harbour {
    let harbour = harbour_with(alike(), config, |builder| builder);
    for _ in 0..100 {
        harbour.ask_stream().await.unwrap();
    }
    let slow = Fault::SlowFirstToken { delay: ms(700) };
    harbour.world.inject("us-east", slow, When::always().share(share)).unwrap();
    harbour
}

/// Asks so many times; how many callers waited for their first content for longer than a healthy answer takes.
async fn late(harbour: &Harbour, requests: u32) -> usize {
    let mut late = 0;
    for _ in 0..requests {
        let began = Instant::now();
        let stream = harbour.open_stream().await;
        late += usize::from(began.elapsed() > ms(200));
        stream.collect().await.unwrap();
    }
    late
}

fn hedges(harbour: &Harbour) -> Vec<HedgeResult> {
    let results = harbour.notices().into_iter().filter_map(|notice| match notice {
        Notice::Hedge { result, .. } => Some(result),
        _ => None,
    });
    results.collect()
}

/// **A slow answer is hedged, rarely.** One answer in a hundred that dawdles is asked for elsewhere as well and nobody waits
/// for it; the dawdling one is dropped at once and charged to nobody. Fails if the loser runs on, or counts as a failure.
#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_asked_for_elsewhere_as_well() {
    let harbour = a_place_that_is_slow_now_and_then(hedging, 0.02).await;
    let before = harbour.total();
    assert_eq!(late(&harbour, 400).await, 0, "nobody waits for the slow one");
    let hedges = hedges(&harbour);
    assert!(!hedges.is_empty());
    assert!(hedges.iter().all(|result| *result == HedgeResult::Won), "{hedges:?}");
    assert_eq!(harbour.total() - before, 400 + hedges.len() as u64, "each is one call more");
    let left = harbour.received("us-east").iter().filter(|received| was_left(received)).count();
    assert_eq!(left, hedges.len(), "the slow ones are dropped");
    let lost: Vec<_> = harbour
        .notices()
        .into_iter()
        .filter_map(|notice| match notice {
            Notice::AttemptEnded { route, class: Some(Class::Cancelled), bill, .. } => Some((route, bill)),
            _ => None,
        })
        .collect();
    assert_eq!(lost.len(), hedges.len());
    for (route, bill) in lost {
        let bill = bill.expect("the loser has read the request");
        assert_eq!((&*route.region, bill.usage.output, bill.estimated), ("us-east", 0, true), "{bill:?}");
        assert!(bill.usage.input > 0 && bill.cost_usd.unwrap() > 0.0, "{bill:?}");
    }
    for deployment in harbour.client.deployments() {
        assert_eq!((deployment.breaker, deployment.failures), ("closed", 0), "{}", deployment.region);
    }
    harbour.assert_idle();
}

/// **Two in a hundred.** However many answers are slow, hedges stay a fiftieth of the requests.
#[tokio::test(start_paused = true)]
async fn hedges_stay_a_fiftieth_of_the_requests() {
    let harbour = harbour_with(alike(), hedging, |builder| builder);
    for _ in 0..100 {
        harbour.ask_stream().await.unwrap();
    }
    for region in REGIONS {
        let slow = Fault::SlowFirstToken { delay: ms(700) };
        harbour.world.inject(region, slow, When::always().share(0.045)).unwrap();
    }
    late(&harbour, 900).await;
    let sent = hedges(&harbour).len();
    assert!((10..=20).contains(&sent), "{sent} hedges for 1,000 requests");
    assert_eq!(harbour.total(), 1_000 + sent as u64);
    harbour.assert_idle();
}

/// Off by default, never for callers who retry by themselves, and never while the provider asks for less.
#[tokio::test(start_paused = true)]
async fn nothing_is_hedged_where_it_is_not_wanted_or_not_welcome() {
    let off = a_place_that_is_slow_now_and_then(config, 0.5).await;
    assert!(late(&off, 50).await > 0);
    assert_eq!(hedges(&off), []);

    let limited = a_place_that_is_slow_now_and_then(hedging, 0.0).await;
    let limit = Fault::RateLimit { retry_after: Some(secs(3_000)) };
    limited.world.inject("ap-southeast", limit, When::always()).unwrap();
    while !limited.client.deployments().iter().any(|deployment| deployment.cooldown_ms > 0) {
        limited.client.cordon("holysheep", "us-east", None);
        limited.client.cordon("holysheep", "eu-west", None);
        let _limited = limited.ask().await;
        limited.client.uncordon("holysheep", "us-east", None);
        limited.client.uncordon("holysheep", "eu-west", None);
    }
    let slow = Fault::SlowFirstToken { delay: ms(700) };
    limited.world.inject("us-east", slow, When::always().share(0.5)).unwrap();
    assert!(late(&limited, 50).await > 0);
    assert_eq!(hedges(&limited), []);

    let single = a_place_that_is_slow_now_and_then(hedging, 0.5).await;
    for _ in 0..50 {
        single.client.send(stream_request().caller_retries()).await.unwrap().bytes().await.unwrap();
    }
    assert_eq!(hedges(&single), []);
}

/// **A hedge is paid beside what it stands beside.** Fails if a call that may cost one attempt and a half makes two at once.
#[tokio::test(start_paused = true)]
async fn a_hedge_is_made_only_where_its_call_may_pay_for_both() {
    let harbour = a_place_that_is_slow_now_and_then(hedging, 0.02).await;
    let one = harbour.client.estimate_cost(&stream_request()).unwrap().most_usd;
    let ask = async |times: f64| {
        let mut late = 0;
        for _ in 0..300 {
            let began = Instant::now();
            let answer = harbour.client.send(stream_request().max_cost(times * one)).await.unwrap();
            late += usize::from(began.elapsed() > ms(600));
            let AnswerBody::Stream(stream) = answer.body else { panic!("not a stream") };
            stream.collect().await.unwrap();
        }
        (late, hedges(&harbour).len())
    };
    let (late, hedges) = ask(2.0).await;
    assert!(late == 0 && hedges > 0, "{late} late, {hedges} hedges");
    let (late, after) = ask(1.5).await;
    assert!(late > 0 && after == hedges, "{late} late, {after} hedges after {hedges}");
    harbour.assert_idle();
}
