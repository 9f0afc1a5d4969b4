//! The way back: what was sick is trusted again by trials, by degrees, and not by a stampede.

use futures_util::future::join_all;
use sim::{Fault, When};

use crate::support::*;

/// **A return is no stampede.** A region has been dead for a minute and is well again: of two hundred calls that come at one
/// instant only as many go there as trials are allowed, and all are answered.
#[tokio::test(start_paused = true)]
async fn a_region_that_returns_is_tried_by_few() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    harbour.world.inject("us-east", Fault::status(503), When::from(secs(60))).unwrap();
    for text in join_all((0..50).map(|call| harbour.text(call % 2 == 0))).await {
        assert!(is_whole(&text.unwrap()));
    }
    let us_east = harbour.client.deployments().into_iter().find(|at| &*at.region == "us-east").unwrap();
    assert_eq!(us_east.breaker, "open");
    tokio::time::sleep(secs(120)).await;
    let before = harbour.count("us-east");
    for text in join_all((0..200).map(|call| harbour.text(call % 2 == 0))).await {
        assert!(is_whole(&text.unwrap()));
    }
    let trials = harbour.count("us-east") - before;
    assert!(trials <= 3, "{trials} calls went to a region that is only on trial");
    harbour.assert_idle();
}

/// A region that answers its trials and then fails again is not believed at once the next time, and nobody is lost to it.
#[tokio::test(start_paused = true)]
async fn a_region_that_flaps_costs_no_answer_and_few_calls() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    for minute in 0..5_u64 {
        let dead = When::from(secs(40)).after(secs(60 * minute));
        harbour.world.inject("us-east", Fault::Reset, dead).unwrap();
    }
    let mut asked = 0_u64;
    for _ in 0..600 {
        assert!(is_whole(&harbour.ask().await.unwrap().text));
        asked += 1;
        tokio::time::sleep(ms(500)).await;
    }
    let failed = harbour.received("us-east").iter().filter(|one| one.fault == Some("reset")).count();
    assert!(failed <= 5 * 8, "{failed} calls met the fault in five rounds of it");
    assert!(harbour.total() <= asked + asked / 20 + 20, "{} upstream calls for {asked}", harbour.total());
    harbour.assert_idle();
}

/// A region whose trials are answered with silence does not stand half open for ever: the trials end, and their slots come back.
#[tokio::test(start_paused = true)]
async fn silent_trials_give_their_slots_back() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    harbour.world.inject("us-east", Fault::status(500), When::from(secs(20))).unwrap();
    harbour.world.inject("us-east", Fault::Silent, When::from(secs(60)).after(secs(20))).unwrap();
    for _ in 0..300 {
        assert!(is_whole(&harbour.ask_stream().await.unwrap()));
        tokio::time::sleep(secs(1)).await;
    }
    let last: Vec<_> = harbour.received("us-east");
    assert!(last.iter().any(|one| one.fault.is_none() && one.at > secs(80)), "it never came back");
    let us_east = harbour.client.deployments().into_iter().find(|at| &*at.region == "us-east").unwrap();
    assert_eq!(us_east.breaker, "closed");
    harbour.assert_idle();
}

/// Everything was dead, and everything returns: within the circuits' half minute all callers are answered again.
#[tokio::test(start_paused = true)]
async fn after_a_full_outage_all_are_answered_again_within_half_a_minute() {
    let harbour = harbour();
    for region in REGIONS {
        harbour.world.inject(region, Fault::status(503), When::from(secs(60))).unwrap();
    }
    let mut last_failure = 0;
    for second in 0..180_u64 {
        let answers = join_all((0..5).map(|call| harbour.text(call % 2 == 0))).await;
        if answers.iter().any(Result::is_err) {
            last_failure = second;
        }
        tokio::time::sleep(secs(1)).await;
    }
    assert!(last_failure <= 60 + 31, "callers still failed {last_failure} s after the beginning");
    harbour.assert_idle();
}
