//! A breaker per host, and a gate of one's own in place of the machine.

use std::num::NonZeroUsize;
use std::time::Instant;

use outrigger_breaker::{BreakerConfig, Gate, KeyedBreakers, Permit, Rejected, Report, State, Verdict};

/// Admits every call, counts none.
#[derive(Debug)]
struct AlwaysClosed;

impl Gate for AlwaysClosed {
    fn acquire_until(&mut self, _lease_end: Instant, _now: Instant) -> Result<Permit, Rejected> {
        Ok(Permit::untracked())
    }
    fn report(&mut self, _permit: Permit, _report: Report, _now: Instant) {}
    fn release(&mut self, _permit: Permit) {}
    fn state(&self, _now: Instant) -> State {
        State::Closed
    }
    fn admits(&self, _now: Instant) -> Result<(), Rejected> {
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "an example is the edge")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let now = Instant::now();
    let hosts: KeyedBreakers<String> = KeyedBreakers::new(BreakerConfig::article(), NonZeroUsize::MIN)?;
    for _ in 0..5 {
        hosts.get("sick.example", now)?.guard(now)?.report(Verdict::Failure, now);
    }
    println!("sick.example is {}", hosts.get("sick.example", now)?.state(now));

    let mut gate: Box<dyn Gate> = Box::new(AlwaysClosed);
    let permit = gate.acquire_until(now, now)?;
    gate.report(permit, Verdict::Failure.into(), now);
    println!("a gate of one's own is {}", gate.state(now));
    Ok(())
}
