//! The smallest use: two places, one call, one choice.

use outrigger_registry::{Deployment, Query, Registry, RegistryConfig, Sample};
use std::time::{Duration, Instant};

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program has a clock and a screen")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut registry = Registry::new(RegistryConfig::default())?;
    let places =
        ["us-east", "eu-west"].map(|region| registry.insert(Deployment::new("openai", region, "gpt-4.1")));
    let started = Instant::now();
    let pick = registry.pick(&Query::new(&places), 7, started)?;
    let in_flight = registry.begin(pick.id, started);
    // Here the call would be made; let it take 320 ms to its first content.
    let after = Duration::from_millis(320);
    registry.finish(in_flight, Sample::first_token(after), started + after);
    print!("{}", registry.explain(&Query::new(&places), 8, started + after));
    Ok(())
}
