//! Azure's two ways: a chat goes to the path that the resource knows, with the key in Azure's header.

use outrigger::{
    Config,
    config::{Model, Provider, Region, Target},
};
use sim::World;

use crate::support::*;

/// One public model at a resource of Azure's in each region, reached by its host.
fn azure(world: &World, version: Option<&str>) -> Config {
    let mut provider = Provider::azure().api_key("test-not-a-secret");
    for name in world.regions() {
        let mut url = world.base_url(name).unwrap();
        url.set_path("/");
        let mut region = Region::new(url);
        region.api_version = version.map(str::to_owned);
        provider = provider.with_region(name, region);
    }
    Config::new().provider("azure", provider).model("chat", Model::new([Target::new("azure", "gpt-4.1")]))
}

#[tokio::test(start_paused = true)]
async fn a_chat_goes_where_the_resource_serves_it() {
    for (version, path) in [
        (Some("2024-10-21"), "POST /openai/deployments/gpt-4.1/chat/completions?api-version=2024-10-21"),
        (None, "POST /openai/v1/chat/completions"),
    ] {
        let harbour = harbour_with(alike(), |world| azure(world, version), |builder| builder);
        for stream in [false, true] {
            assert!(is_whole(&harbour.text(stream).await.unwrap()));
        }
        let received: Vec<_> = REGIONS.iter().flat_map(|region| harbour.received(region)).collect();
        assert_eq!(received.len(), 2);
        for received in received {
            assert_eq!(received.path, path);
            assert_eq!(received.headers["api-key"], "test-not-a-secret");
            assert_eq!(received.headers.get("authorization"), None);
        }
    }
}
