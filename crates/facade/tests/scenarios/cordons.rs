//! Cordons of names that nobody bears for a while.

use outrigger::{Notice, config::Target};
use sim::World;

use crate::support::*;

/// **Who was told that nothing is there has said nothing**, of a region that is gone and of a model that is; what changes nothing is not told.
/// Fails if a word that nobody bore holds when its name returns.
#[tokio::test(start_paused = true)]
async fn a_word_that_was_answered_with_nothing_is_no_word() {
    let of = |world: &World, models: &[&str], regions: &[&str]| {
        let target = |model: &&str| Target::new("holysheep", *model).regions(regions.iter().copied());
        let mut config = config_with(world, models.iter().map(target));
        config.providers[0].1.regions.retain(|(region, _)| regions.contains(&region.as_str()));
        config
    };
    let (both, some) = (["gpt-4.1", "gpt-4.1-mini"], ["eu-west", "ap-southeast"]);
    let harbour = harbour_with(alike(), |world| of(world, &both, &REGIONS), |builder| builder);
    let client = &harbour.client;
    let reload = |models: &[&str], regions: &[&str]| {
        client.reload(of(&harbour.world, models, regions)).unwrap();
    };
    let out = || {
        let out = client.deployments().into_iter().filter(|status| status.cordoned);
        out.map(|status| format!("{}/{}", status.region, status.model)).collect::<Vec<_>>()
    };
    let told = || {
        let is_word = |notice: &Notice| matches!(notice, Notice::Cordon { .. });
        harbour.notices().iter().filter(|notice| is_word(notice)).count()
    };

    assert_eq!(client.cordon("holysheep", "us-east", Some("gpt-4.1")), 1);
    reload(&both, &some);
    assert_eq!(client.cordon("holysheep", "us-east", None), 0);
    reload(&both, &REGIONS);
    assert_eq!((out(), told()), (vec!["us-east/gpt-4.1".to_owned()], 1));

    assert_eq!(client.cordon("holysheep", "us-east", None), 2);
    reload(&["gpt-4.1"], &REGIONS);
    assert_eq!(client.uncordon("holysheep", "us-east", Some("gpt-4.1-mini")), 0);
    assert_eq!(client.uncordon("holysheep", "eu-west", None), 1);
    assert_eq!(client.uncordon("holysheep", "nowhere", None), 0);
    reload(&both, &REGIONS);
    assert_eq!((out().len(), told()), (2, 2), "nothing has changed");
    assert_eq!(client.uncordon("holysheep", "us-east", Some("gpt-4.1-mini")), 1);
    assert_eq!((out(), told()), (vec!["us-east/gpt-4.1".to_owned()], 3));
}
