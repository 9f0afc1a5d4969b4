//! The whole life of a circuit in made-up time: trips, refuses, tries, closes.

use std::time::{Duration, Instant};

use outrigger_breaker::{Breaker, BreakerConfig, Verdict};

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "an example is the edge")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut now = Instant::now();
    let mut breaker = Breaker::new(BreakerConfig::article())?;
    for verdict in [[Verdict::Failure; 5].as_slice(), &[Verdict::Success; 2]].concat() {
        let permit = breaker.acquire(now)?;
        breaker.report(permit, verdict, now);
        if let Err(refusal) = breaker.admits(now) {
            println!("refused until {:?} from now", refusal.retry_at.map(|at| at - now));
            now += Duration::from_secs(30);
        }
    }
    while let Some(event) = breaker.poll_event() {
        let reason = event.reason.map_or("", |reason| reason.as_str());
        println!("{} -> {} {reason}", event.from, event.to);
    }
    Ok(())
}
