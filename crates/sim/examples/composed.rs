//! Two strategies through the article's four acts on one seed, in virtual time: always the same region, and the next
//! region after a failure. A minute of faults takes a moment.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{sync::Arc, time::Duration};

use http::Method;
use outrigger_sim::{LAST_WORD, Scenario, World};
use tokio::time::{sleep, timeout};
use transport::{Pool, Request, Transport};

/// Whether one call gives a whole answer within five seconds.
async fn ask(world: &World, region: &str) -> Result<bool, Box<dyn std::error::Error>> {
    let url = format!("{}/chat/completions", world.base_url(region)?).parse()?;
    let mut request = Request::new(Method::POST, url, Arc::new(Pool::new(region)));
    request.body = br#"{"model":"gpt-4.1","messages":[{"role":"user","content":"ahoy"}]}"#.as_slice().into();
    let whole = async {
        let mut response = world.transport().send(request).await?;
        let mut text = Vec::new();
        while let Some(chunk) = response.body.chunk().await {
            text.extend_from_slice(&chunk?);
        }
        Ok::<bool, transport::TransportError>(String::from_utf8_lossy(&text).contains(LAST_WORD))
    };
    Ok(matches!(timeout(Duration::from_secs(5), whole).await, Ok(Ok(true))))
}

/// Failed calls of one caller that asks ten times a second, and may try this many regions.
async fn run(tries: usize) -> Result<(u32, u32), Box<dyn std::error::Error>> {
    let scenario = Scenario::four_acts(Duration::from_secs(60), 7);
    let world = scenario.world()?;
    world.play(&scenario)?;
    let (mut calls, mut failed) = (0, 0);
    while world.elapsed() < scenario.duration() {
        calls += 1;
        let mut whole = false;
        for region in world.regions().iter().take(tries) {
            whole = whole || ask(&world, region).await?;
        }
        failed += u32::from(!whole);
        sleep(Duration::from_millis(100)).await;
    }
    Ok((calls, failed))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (name, tries) in [("one region", 1), ("the next after a failure", 3)] {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let (calls, failed) = runtime.block_on(run(tries))?;
        println!("{name}: {failed} of {calls} calls failed");
    }
    Ok(())
}
