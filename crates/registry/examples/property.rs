//! Property-tests a use of the registry: whatever happens to three places, a fourth untouched one can always be had.

use outrigger_registry::testing::{Bench, histories};
use outrigger_registry::{Query, Registry, RegistryConfig};
use proptest::test_runner::{TestError, TestRunner};
use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "an origin for made-up time")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let t0 = Instant::now();
    let outcome = TestRunner::default().run(&histories(3, 60), |steps| {
        let registry = Registry::new(RegistryConfig::default())
            .map_err(|error| proptest::test_runner::TestCaseError::fail(error.to_string()))?;
        let mut bench = Bench::new(registry, 4, t0);
        steps.iter().for_each(|step| bench.play(step));
        let query = Query::new(&bench.ids);
        proptest::prop_assert!(bench.registry.pick(&query, 1, bench.now).is_ok());
        Ok(())
    });
    outcome.map_err(|error: TestError<_>| error.to_string().into())
}
