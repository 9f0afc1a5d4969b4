//! A mock provider on real ports for any client in any language: `real [SCENARIO.toml]` serves a scenario (the article's
//! four acts in a minute when none is given) and says what each region received.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{collections::BTreeMap, env, fs, time::Duration};

use outrigger_sim::{Scenario, Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scenario = match env::args().nth(1) {
        Some(file) => Scenario::parse(&fs::read_to_string(file)?)?,
        None => Scenario::four_acts(Duration::from_secs(60), 7),
    };
    let world = scenario.world()?;
    let server = Server::start(world.clone()).await?;
    for region in world.regions() {
        println!("{region}: {}", server.base_url(region)?);
    }
    world.play(&scenario)?;
    for act in &scenario.acts {
        tokio::time::sleep(act.at.saturating_sub(world.elapsed())).await;
        println!("{:>6.1?}: {} (sick: {})", world.elapsed(), act.name, act.sick.join(", "));
    }
    tokio::time::sleep(scenario.duration().saturating_sub(world.elapsed())).await;
    for region in world.regions() {
        let mut outcomes = BTreeMap::new();
        for line in world.received(region)? {
            *outcomes
                .entry(format!("{:?} {}", line.outcome, line.fault.unwrap_or("healthy")))
                .or_insert(0) += 1;
        }
        println!("{region}: {} requests {outcomes:?}", world.count(region)?);
    }
    server.shutdown().await;
    Ok(())
}
