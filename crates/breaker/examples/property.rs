//! Tests a breaker against the naive model: put your own `Gate` in place of `Breaker` below.

use std::time::Instant;

use outrigger_breaker::strategies::{configs, histories, replay};
use outrigger_breaker::{Breaker, Model};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "an example is the edge")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let origin = Instant::now();
    let mut runner =
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) });
    runner.run(&(configs(), histories(0..100)), |(config, steps)| {
        let mut model = Model::new(config.clone(), origin).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let mut yours = Breaker::new_at(config, origin).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(replay(&mut yours, &steps, origin), replay(&mut model, &steps, origin));
        Ok(())
    })?;
    println!("200 histories, no difference");
    Ok(())
}
