//! A pick allocates nothing, at any size.

mod common;

use common::t0;
use outrigger_registry::{Deployment, Query, Registry, RegistryConfig, Used};
use std::num::NonZeroU32;
use std::time::Duration;

#[test]
fn a_pick_allocates_nothing() {
    for size in [3, 16, 256, 4096] {
        let mut registry = Registry::new(RegistryConfig::default()).unwrap();
        let ids: Vec<_> =
            (0..size).map(|n| registry.insert(Deployment::new("p", format!("r{n}"), "m"))).collect();
        for &id in &ids {
            let mut numbers = registry.view(id, t0()).unwrap().deployment.numbers;
            numbers.limits.requests_per_minute = NonZeroU32::new(1_000);
            registry.update(id, numbers);
            registry.used_elsewhere(id, &[Used::new(Duration::from_secs(30), 9, 9)], t0());
        }
        let mut query = Query::new(&ids);
        query.preferred_region = Some("r1");
        query.affinity = Some(7);
        let counted = allocation_counter::measure(|| {
            for draw in 0..100 {
                assert!(registry.pick(&query, draw, t0()).is_ok());
            }
        });
        assert_eq!(counted.count_total, 0, "{size} deployments");
    }
}
