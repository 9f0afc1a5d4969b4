//! Quotas: a 429 is a wait, not an illness.

use outrigger::{CallError, config::Target};
use sim::{Fault, Quota, When};
use tokio::time::Instant;

use crate::support::*;

/// A limited region is left alone for exactly as long as it asked, and its circuit stays closed.
#[tokio::test(start_paused = true)]
async fn a_limited_region_is_left_alone_as_long_as_it_asked() {
    let harbour = harbour();
    harbour
        .world
        .inject("us-east", Fault::RateLimit { retry_after: Some(secs(20)) }, When::always().first(1))
        .unwrap();
    for _ in 0..30 {
        assert!(is_whole(&harbour.ask().await.unwrap().text));
    }
    assert_eq!(harbour.count("us-east"), 1, "asked again within the wait it named");
    let us_east = harbour.client.deployments().into_iter().find(|at| &*at.region == "us-east").unwrap();
    assert_eq!(us_east.breaker, "closed");
    assert!(us_east.cooldown_ms > 0);
    tokio::time::sleep(secs(21)).await;
    for _ in 0..30 {
        harbour.ask().await.unwrap();
    }
    assert!(harbour.count("us-east") > 1, "the wait is over");
}

/// With every region limited the caller is told at once, with the soonest wait.
#[tokio::test(start_paused = true)]
async fn all_limited_is_told_at_once_with_the_soonest_wait() {
    let harbour = harbour();
    for (region, wait) in [("us-east", 30), ("eu-west", 12), ("ap-southeast", 50)] {
        harbour.inject(region, Fault::RateLimit { retry_after: Some(secs(wait)) });
    }
    // Each call meets what is left of the regions; after a few, all are known to be limited.
    for _ in 0..3 {
        harbour.ask().await.unwrap_err();
    }
    let asked = harbour.total();
    let began = Instant::now();
    let CallError::RateLimited { retry_in, .. } = call_error(harbour.ask().await.unwrap_err()) else {
        panic!("not a rate limit")
    };
    assert_eq!(began.elapsed(), ms(0), "at once");
    let wait = retry_in.unwrap();
    assert!(wait <= secs(12) && wait > secs(10), "{wait:?}");
    assert_eq!(harbour.total(), asked, "nobody was asked in vain");
}

/// A call that learns of every limit by itself names the wait as well as one that knew them all before.
#[tokio::test(start_paused = true)]
async fn limits_met_within_one_call_name_the_wait() {
    for stream in [false, true] {
        let harbour = harbour();
        harbour.inject_everywhere(&Fault::RateLimit { retry_after: Some(secs(30)) });
        let error = call_error(harbour.text(stream).await.unwrap_err());
        let CallError::RateLimited { retry_in, ref attempts, .. } = error else { panic!("{error}") };
        assert_eq!(attempts.len(), 3, "each region said so itself");
        let wait = retry_in.unwrap();
        assert!(wait <= secs(30) && wait > secs(29), "{wait:?}");
    }
}

/// What an operator took out comes back by an operator's hand: no wait is named, and least of all none.
#[tokio::test(start_paused = true)]
async fn what_is_cordoned_names_no_wait() {
    let harbour = harbour();
    for region in REGIONS {
        assert_eq!(harbour.client.cordon("holysheep", region, None), 1);
    }
    let error = call_error(harbour.ask().await.unwrap_err());
    assert!(matches!(error, CallError::NoDeployment { retry_in: None, .. }), "{error:?}");
    assert_eq!(harbour.total(), 0);

    // With one of them back, and its circuit open, the wait for its next trial is the answer.
    harbour.client.uncordon("holysheep", "us-east", None);
    harbour.inject("us-east", Fault::status(500));
    for _ in 0..10 {
        harbour.ask().await.unwrap_err();
    }
    let error = call_error(harbour.ask().await.unwrap_err());
    let CallError::NoDeployment { retry_in: Some(wait), .. } = error else { panic!("{error:?}") };
    assert!(wait > ms(0) && wait <= ms(500), "its next trial: {wait:?}");
}

/// A wait is named for places that the call may go to: when a region beyond its residency comes back is nothing to it.
#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_residency_is_not_named() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    harbour.inject("us-east", Fault::status(500));
    for region in ["eu-west", "ap-southeast"] {
        harbour.client.cordon("holysheep", region, None);
    }
    for _ in 0..10 {
        harbour.ask().await.unwrap_err();
    }
    let error = call_error(harbour.ask().await.unwrap_err());
    assert!(error.retry_in().is_some(), "us-east comes back");
    let call = harbour.client.chat("chat").user("x").residency(["eu-west"]);
    let error = call_error(call.send().await.unwrap_err());
    assert!(matches!(error, CallError::NoDeployment { retry_in: None, .. }), "{error:?}");
}

/// A provider that says that its last request of the moment was used is not asked for the next one: callers that come one
/// after the other never meet its 429.
#[tokio::test(start_paused = true)]
async fn a_provider_that_counts_down_to_nothing_is_not_asked_in_vain() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    harbour.world.set_quota("us-east", Some(Quota::new(5, secs(10)))).unwrap();
    for _ in 0..150 {
        assert!(is_whole(&harbour.ask().await.unwrap().text));
    }
    let received = harbour.received("us-east");
    assert!(received.len() >= 6, "the quota is used: {} calls", received.len());
    assert!(received.iter().all(|one| one.status == Some(200)), "the region had to refuse");
}

/// **A guess of ours yields to a need.** A wait that we inferred is kept while another tier is well, and waived when nobody else
/// is left; one that a provider named is kept either way.
#[tokio::test(start_paused = true)]
async fn an_inferred_wait_is_waived_only_when_no_tier_is_left() {
    for named in [None, Some(secs(60))] {
        let targets = [
            Target::new("holysheep", "gpt-4.1").regions(["us-east"]),
            Target::new("holysheep", "deepseek-v3.2").regions(["eu-west"]).tier(1),
        ];
        let harbour = harbour_with(alike(), |world| config_with(world, targets), |builder| builder);
        let limit = Fault::RateLimit { retry_after: named };
        harbour.world.inject("us-east", limit, When::always().first(1)).unwrap();
        for _ in 0..5 {
            assert!(is_whole(&harbour.ask().await.unwrap().text));
        }
        assert_eq!((harbour.count("us-east"), harbour.count("eu-west")), (1, 5), "{named:?}");
        harbour.client.cordon("holysheep", "eu-west", None);
        assert_eq!(harbour.ask().await.is_ok(), named.is_none(), "{named:?}");
        assert_eq!(harbour.count("us-east"), if named.is_none() { 2 } else { 1 });
    }
}
