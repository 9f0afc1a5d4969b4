//! The lower tier: there for the day on which the upper one cannot, and not before or after.

use futures_util::future::join_all;
use outrigger::config::Target;
use sim::{Fault, Region, When, World};
use tokio::time::Instant;

use crate::support::*;

/// The good model in two regions, the other one in a third.
fn two_tiers(world: &World) -> outrigger::Config {
    config_with(
        world,
        [
            Target::new("holysheep", "gpt-4.1").regions(["us-east", "eu-west"]),
            Target::new("holysheep", "deepseek-v3.2").regions(["ap-southeast"]).tier(1),
        ],
    )
}

fn tiered() -> Harbour {
    harbour_with(alike(), two_tiers, |builder| builder)
}

/// **The lower tier is the last resort.** While one region of the upper tier is well no call goes below it, whatever the other
/// one does, even with two hundred at once.
#[tokio::test(start_paused = true)]
async fn nobody_goes_below_while_the_tier_has_one_that_is_well() {
    for fault in
        [Fault::Refuse, Fault::Reset, Fault::status(500), Fault::Overloaded, Fault::QuotaSpent, Fault::Empty]
    {
        let harbour = tiered();
        harbour.inject("us-east", fault.clone());
        for text in join_all((0..200).map(|call| harbour.text(call % 2 == 0))).await {
            assert!(is_whole(&text.unwrap()), "{fault:?}");
        }
        assert_eq!(harbour.count("ap-southeast"), 0, "{fault:?}");
        harbour.assert_idle();
    }
}

/// **A tier that is gone is stepped over.** Both its regions fail: every caller is answered by the other model, and once that is
/// known the tier above is asked by trials only.
#[tokio::test(start_paused = true)]
async fn a_tier_that_is_gone_is_stepped_over() {
    for fault in [Fault::Refuse, Fault::status(503), Fault::Reset, Fault::BadKey] {
        let harbour = tiered();
        for region in ["us-east", "eu-west"] {
            harbour.inject(region, fault.clone());
        }
        for _ in 0..200 {
            assert!(is_whole(&harbour.ask().await.unwrap().text), "{fault:?}");
        }
        let above = harbour.count("us-east") + harbour.count("eu-west");
        assert!(above <= 20, "{fault:?}: {above} calls to a tier that is gone");
        assert_eq!(harbour.count("ap-southeast"), 200);
    }
}

/// **A provider of many regions may be ill as a whole.** Six regions of the upper tier fail, and a request has four attempts:
/// every caller is answered all the same, by the other tier. Fails if the regions of one tier may use up all attempts.
#[tokio::test(start_paused = true)]
async fn a_provider_of_many_regions_that_is_ill_as_a_whole_is_stepped_over() {
    const MANY: [&str; 7] = ["a", "b", "c", "d", "e", "f", "well"];
    let (well, sick) = MANY.split_last().unwrap();
    for fault in [Fault::Refuse, Fault::status(503), Fault::Reset, Fault::RateLimit { retry_after: None }] {
        let world = MANY
            .iter()
            .fold(World::builder().seed(7), |all, name| all.region(Region::new(*name).latency(ms(40))));
        let two = |world: &World| {
            let upper = Target::new("holysheep", "gpt-4.1").regions(sick.iter().copied());
            config_with(world, [upper, Target::new("holysheep", "deepseek-v3.2").regions([*well]).tier(1)])
        };
        let harbour = harbour_with(world.build().unwrap(), two, |builder| builder);
        for region in sick {
            harbour.inject(region, fault.clone());
        }
        for call in 0..100 {
            let text = harbour.text(call % 2 == 0).await;
            assert!(text.is_ok_and(|text| is_whole(&text)), "{fault:?}, call {call}");
        }
        assert_eq!(harbour.count(well), 100, "{fault:?}");
        let above: u64 = sick.iter().map(|region| harbour.count(region)).sum();
        assert!(above <= 50, "{fault:?}: {above} calls to a tier that is gone");
    }
}

/// A short limit is waited for where the alternative is a lesser model; a long one is not.
#[tokio::test(start_paused = true)]
async fn a_short_wait_is_worth_the_better_model_and_a_long_one_is_not() {
    let one_above = |world: &World| {
        config_with(
            world,
            [
                Target::new("holysheep", "gpt-4.1").regions(["us-east"]),
                Target::new("holysheep", "deepseek-v3.2").regions(["eu-west"]).tier(1),
            ],
        )
    };
    for (wait, model, at_most) in [(ms(800), "gpt-4.1", secs(1)), (secs(30), "deepseek-v3.2", ms(200))] {
        let harbour = harbour_with(alike(), one_above, |builder| builder);
        let limit = Fault::RateLimit { retry_after: Some(wait) };
        harbour.world.inject("us-east", limit, When::always().first(1)).unwrap();
        let began = Instant::now();
        let answer = harbour.ask().await.unwrap();
        assert_eq!(&*answer.route.model, model, "after a wait of {wait:?}");
        assert!(began.elapsed() <= at_most, "took {:?}", began.elapsed());
    }
}

/// **And back.** When the upper tier is well again its trials find out, and the lower one has its peace.
#[tokio::test(start_paused = true)]
async fn the_upper_tier_serves_again_once_it_is_well() {
    let harbour = tiered();
    for region in ["us-east", "eu-west"] {
        harbour.world.inject(region, Fault::status(503), When::from(secs(60))).unwrap();
    }
    let mut below_since_return = 0;
    for second in 0..180_u64 {
        let answer = harbour.ask().await.unwrap();
        // The tier is back after 60 s, and its circuits have had another 30 to find out.
        if second > 95 && &*answer.route.model != "gpt-4.1" {
            below_since_return += 1;
        }
        tokio::time::sleep(secs(1)).await;
    }
    assert_eq!(below_since_return, 0, "calls to the lower tier after the upper one was back");
    harbour.assert_idle();
}
