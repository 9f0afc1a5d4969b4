//! What calls cost whose providers did not count it all: hung up, cut, silent, or not asked to count.

use outrigger::{Bill, Notice, Outcome, Request, config::Target, wire::Class};
use serde_json::json;
use sim::Fault;

use crate::{
    support::*,
    torn::{changed, harbour_that, open, read},
};

/// Where each attempt was made, how it failed, and its bill.
fn bills(harbour: &Harbour) -> Vec<(String, Option<Class>, Option<Bill>)> {
    let ended = |notice| match notice {
        Notice::AttemptEnded { route, class, bill, .. } => Some((route.region.to_string(), class, bill)),
        _ => None,
    };
    harbour.notices().into_iter().filter_map(ended).collect()
}

/// How the harbour's only call ended, and what it cost; the same as its attempts and as its deployments.
fn ended(harbour: &Harbour) -> (Outcome, Bill) {
    let end = |notice| match notice {
        Notice::CallEnded { outcome, bill, .. } => Some((outcome, bill)),
        _ => None,
    };
    let ends: Vec<_> = harbour.notices().into_iter().filter_map(end).collect();
    let [(outcome, bill)] = ends[..] else { panic!("a call ends once: {ends:?}") };
    let mut sum = Bill::default();
    bills(harbour).into_iter().filter_map(|(_, _, bill)| bill).for_each(|bill| sum += bill);
    assert_eq!(bill.unwrap_or_default(), sum);
    let deployments = harbour.client.deployments();
    let of_all =
        |part: fn(&outrigger::engine::DeploymentStatus) -> f64| deployments.iter().map(part).sum::<f64>();
    assert!((of_all(|at| at.cost_usd) - sum.cost_usd.unwrap_or(0.0)).abs() < 1e-12);
    assert!((of_all(|at| at.estimated_usd) - sum.estimated_usd).abs() < 1e-12);
    (outcome, sum)
}

/// A stream that is not asked for its usage.
fn raw() -> serde_json::Value {
    json!({"model": "chat", "stream": true, "messages": [{"role": "user", "content": "How high is the swell?"}]})
}

/// What the request is taken to be read as.
fn input(body: &serde_json::Value) -> u64 {
    Request::chat(body.to_string()).unwrap().estimated_usage().input
}

/// **What was heard is paid for.** A caller hangs up in mid stream: its request and the words that came are booked, and no more.
/// Fails if a hang-up costs nothing, or the whole answer.
#[tokio::test(start_paused = true)]
async fn a_caller_that_hangs_up_pays_for_what_it_heard() {
    let harbour = harbour();
    let body = raw();
    let mut stream = open(&harbour, &body).await;
    let mut heard = Vec::new();
    while heard.windows(7).filter(|window| *window == b"content").count() < 6 {
        heard.extend_from_slice(&stream.next().await.unwrap().unwrap());
    }
    drop(stream);
    let (outcome, bill) = ended(&harbour);
    assert_eq!((outcome, bill.estimated, bill.usage.input), (Outcome::Cancelled, true, input(&body)));
    assert!((4..=12).contains(&bill.usage.output), "six words or so: {bill:?}");
    // GPT-4.1: 2 USD per million tokens in, 8 out.
    let expected = f64::from(u32::try_from(2 * bill.usage.input + 8 * bill.usage.output).unwrap()) / 1e6;
    assert!((bill.cost_usd.unwrap() - expected).abs() < 1e-12);
    assert!((bill.estimated_usd - expected).abs() < 1e-12, "all of it");
    harbour.assert_idle();
}

/// **An estimate is near.** The same answer counted and uncounted: within a half of it, here, where words are tokens.
#[tokio::test(start_paused = true)]
async fn a_stream_without_usage_costs_about_what_it_costs_with_it() {
    let (counting, other) = (harbour_that(false), harbour_that(false));
    let mut body = raw();
    let mut stream = open(&other, &body).await;
    while let Some(chunk) = stream.next().await {
        chunk.unwrap();
    }
    let summary = stream.summary();
    let cost = summary.cost_usd.expect("an estimate");
    assert_eq!((summary.usage, summary.estimated_usd), (None, cost), "usage is what providers counted");
    let (outcome, estimated) = ended(&other);
    assert_eq!((outcome, estimated.cost_usd), (Outcome::Ok, Some(cost)));
    body["stream_options"] = json!({"include_usage": true});
    read(open(&counting, &body).await).await;
    let (_, counted) = ended(&counting);
    assert!(!counted.estimated && counted.estimated_usd == 0.0, "{counted:?}");
    let (estimate, count) = (estimated.usage.output, counted.usage.output);
    assert!(estimate >= count / 2 && estimate <= count * 3 / 2, "{estimate} for {count}");
}

/// **A break is paid for, and so is its mending.** Fails if the part before the break is free, or stands under the wrong place.
#[tokio::test(start_paused = true)]
async fn a_rescued_stream_costs_its_broken_part_too() {
    let harbour = harbour_that(false);
    harbour.inject("us-east", Fault::Cut { after: 5 });
    let mut stream = harbour.open_stream().await;
    while let Some(chunk) = stream.next().await {
        chunk.unwrap();
    }
    let bills = bills(&harbour);
    let [(at, Some(Class::Cut), Some(cut)), (to, None, Some(rest))] = &bills[..] else { panic!("{bills:?}") };
    assert_eq!(
        (at.as_str(), cut.estimated, to.as_str(), rest.estimated),
        ("us-east", true, "eu-west", false)
    );
    assert!(cut.usage.output >= 5 && cut.usage.input > 0, "{cut:?}");
    let (_, sum) = ended(&harbour);
    let summary = stream.summary();
    assert_eq!((summary.cost_usd, summary.estimated_usd), (sum.cost_usd, sum.estimated_usd));
    assert_eq!(Some(summary.estimated_usd), cut.cost_usd);
    assert_eq!(summary.usage, Some(rest.usage), "only what was counted");
}

/// **Silence may have been work, a refusal was none.** What was sent and let go costs its request; what was refused, or never
/// sent, costs nothing, and the answer that came elsewhere is counted as ever.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_fell_silent_costs_its_request_and_one_that_was_refused_nothing() {
    for (fault, costs) in [
        (Fault::Silent, true),
        (Fault::Reset, true),
        (Fault::Refuse, false),
        (Fault::status(401), false),
        (Fault::status(503), false),
        (Fault::Overloaded, false),
    ] {
        let harbour = changed(|_| {});
        harbour.inject("us-east", fault.clone());
        let answer = harbour.ask().await.unwrap();
        let (_, sum) = ended(&harbour);
        let bills = bills(&harbour);
        let failed = bills.iter().find(|(region, ..)| region == "us-east").unwrap();
        assert_eq!(failed.2.is_some(), costs, "{fault:?}: {bills:?}");
        if let Some(bill) = failed.2 {
            assert!(bill.estimated && bill.usage.input > 0 && bill.usage.output == 0, "{fault:?}: {bill:?}");
        }
        assert_eq!((answer.cost_usd, answer.estimated_usd), (sum.cost_usd, sum.estimated_usd), "{fault:?}");
        assert_eq!(answer.estimated_usd > 0.0, costs, "{fault:?}");
        assert!(answer.usage.is_some());
    }
}

/// A price that nobody knows is not guessed: the tokens are estimated, and the cost is unknown.
#[tokio::test(start_paused = true)]
async fn an_estimate_without_a_price_is_no_cost() {
    let harbour = harbour_with(
        alike(),
        |world| config_with(world, [Target::new("holysheep", "mystery")]),
        |builder| builder,
    );
    drop(open(&harbour, &raw()).await);
    let (outcome, bill) = ended(&harbour);
    assert_eq!((outcome, bill.cost_usd, bill.estimated_usd), (Outcome::Cancelled, None, 0.0));
    assert!(bill.estimated && bill.usage.input > 0);
}
