//! Composed with what a caller has: a circuit's word, residency, a failover within one call, a cooldown that was named.

use outrigger_registry::{
    CooldownOrigin, Deployment, DeploymentId, NoPick, Query, Registry, RegistryConfig, Sample,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a made-up region does to a call.
enum Answer {
    After(Duration),
    Broken,
    Limited(Duration),
}

/// Asks one region after the other until one answers; says who did.
fn call(
    registry: &mut Registry,
    query: &Query<'_>,
    world: impl Fn(&str) -> Answer,
    now: Instant,
) -> Result<DeploymentId, NoPick> {
    let mut tried: Vec<DeploymentId> = Vec::new();
    for draw in 0.. {
        let pick = {
            let mut query = *query;
            query.excluded = &tried;
            registry.pick(&query, draw, now)?
        };
        let region = registry.view(pick.id, now).map(|view| Arc::clone(&view.deployment.region));
        let in_flight = registry.begin(pick.id, now);
        match world(region.as_deref().unwrap_or_default()) {
            Answer::After(took) => {
                registry.finish(in_flight, Sample::first_token(took), now + took);
                return Ok(pick.id);
            }
            Answer::Broken => registry.finish(in_flight, Sample::Failure, now),
            Answer::Limited(wait) => {
                registry.finish(in_flight, Sample::RateLimited, now);
                registry.cooldown(pick.id, now + wait, CooldownOrigin::Named);
            }
        }
        tried.push(pick.id);
    }
    unreachable!("each round excludes one more, until a pick finds nobody")
}

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program has a clock and a screen")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let mut registry = Registry::new(RegistryConfig::default())?;
    let places = ["us-east", "eu-west", "eu-north", "ap-southeast"]
        .map(|region| registry.insert(Deployment::new("openai", region, "gpt-4.1")));
    let [.., open_circuit] = places;
    let open = HashSet::from([open_circuit]);
    let admits = |id| !open.contains(&id);
    let residency: [Arc<str>; 3] = ["eu-west".into(), "eu-north".into(), "ap-southeast".into()];

    let mut query = Query::new(&places);
    query.residency = Some(&residency);
    query.admits = &admits;
    let world = |region: &str| match region {
        "eu-west" => Answer::Limited(Duration::from_secs(20)),
        "eu-north" => Answer::After(Duration::from_millis(280)),
        _ => Answer::Broken,
    };
    for second in 0..3 {
        let id = call(&mut registry, &query, world, start + Duration::from_secs(second))?;
        println!("call {second} was answered by {id}");
    }
    print!("{}", registry.explain(&query, 0, start + Duration::from_secs(3)));
    Ok(())
}
