//! A model that one deployment does not have: it is remembered there, and nowhere else.

use futures_util::future::join_all;
use outrigger::config::{Model, Target};
use sim::{Region, World, WorldBuilder};

use crate::support::*;

/// Three regions; the new model is rolled out everywhere but in the preferred one.
fn rolled_out_elsewhere() -> World {
    let regions = REGIONS.map(|name| {
        let models = if name == "us-east" { vec!["gpt-4.1"] } else { vec!["gpt-4.1", "gpt-next"] };
        Region::new(name).latency(ms(40)).models(models)
    });
    regions.into_iter().fold(World::builder().seed(7), WorldBuilder::region).build().unwrap()
}

/// **A 404 is remembered.** A model is not in the preferred region yet: one call finds out and is answered elsewhere, the others
/// do not ask there; the older model next door goes on being served from that very endpoint.
#[tokio::test(start_paused = true)]
async fn a_missing_model_is_found_missing_once_and_its_neighbour_stays() {
    let both = |world: &World| {
        let mut config = config_with(world, [Target::new("holysheep", "gpt-next")]);
        let mut old = Model::new([Target::new("holysheep", "gpt-4.1")]);
        old.routing = config.routing.clone();
        config.models.push(("old".to_owned(), old));
        config
    };
    for stream in [false, true] {
        let harbour = harbour_with(rolled_out_elsewhere(), both, |builder| builder);
        for _ in 0..50 {
            assert!(is_whole(&harbour.text(stream).await.unwrap()));
        }
        assert_eq!(harbour.count("us-east"), 1, "the model was sought again where it is not");
        let old = harbour.client.chat("old").user("x").send().await.unwrap();
        assert_eq!(&*old.route.region, "us-east", "the older model stays where it is preferred");
        let status = harbour.client.deployments().into_iter();
        let status = status.filter(|at| &*at.region == "us-east").map(|at| (at.model, at.reason, at.breaker));
        let status: Vec<_> = status.collect();
        assert!(status.contains(&("gpt-next".into(), Some("model_missing"), "closed")), "{status:?}");
        assert!(status.contains(&("gpt-4.1".into(), None, "closed")), "{status:?}");
        harbour.assert_idle();
    }
}

/// Two hundred callers who all meet the 404 at once are all answered by the regions that have the model.
#[tokio::test(start_paused = true)]
async fn two_hundred_who_find_it_missing_at_once_are_all_answered() {
    let newest = |world: &World| config_with(world, [Target::new("holysheep", "gpt-next")]);
    let harbour = harbour_with(rolled_out_elsewhere(), newest, |builder| builder);
    for text in join_all((0..200).map(|call| harbour.text(call % 2 == 0))).await {
        assert!(is_whole(&text.unwrap()));
    }
    assert!(harbour.total() <= 400, "{} upstream calls", harbour.total());
    harbour.assert_idle();
}

/// A model that is nowhere is said to be nowhere, after one attempt a region, and nobody is asked for it again.
#[tokio::test(start_paused = true)]
async fn a_model_that_is_nowhere_is_asked_for_once_everywhere() {
    let misspelt = |world: &World| config_with(world, [Target::new("holysheep", "gpt-41")]);
    let harbour = harbour_with(rolled_out_elsewhere(), misspelt, |builder| builder);
    let error = call_error(harbour.ask().await.unwrap_err());
    assert_eq!(error.attempts().len(), 3);
    assert!(error.attempts().iter().all(|attempt| attempt.status == Some(404)), "{error:?}");
    for _ in 0..20 {
        harbour.ask().await.unwrap_err();
    }
    assert_eq!(harbour.total(), 3);
}
