//! The price of a choice, by the number of deployments; half of them are cooling down.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use outrigger_registry::{CooldownOrigin, Deployment, Query, Registry, RegistryConfig, Sample};
use std::hint::black_box;
use std::time::{Duration, Instant};

#[expect(clippy::disallowed_methods, reason = "an origin for made-up time")]
fn t0() -> Instant {
    Instant::now()
}

#[expect(clippy::expect_used, reason = "a bench that cannot start should say so")]
fn pick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    group.throughput(Throughput::Elements(1));
    for size in [3_u64, 16, 256, 4096] {
        let start = t0();
        let now = start + Duration::from_secs(1);
        let mut registry = Registry::new(RegistryConfig::default()).expect("the defaults are valid");
        let mut ids = Vec::new();
        for n in 0..size {
            let id = registry.insert(Deployment::new("p", format!("region-{n}"), "m"));
            let in_flight = registry.begin(id, start);
            registry.finish(in_flight, Sample::first_token(Duration::from_millis(100 + n % 50)), start);
            if n % 2 == 1 {
                registry.cooldown(id, start + Duration::from_secs(3600), CooldownOrigin::Named);
            }
            ids.push(id);
        }
        let query = Query::new(&ids);
        let mut draw = 0_u64;
        group.bench_function(BenchmarkId::from_parameter(size), |bench| {
            bench.iter(|| {
                draw = draw.wrapping_add(1);
                black_box(registry.pick(black_box(&query), draw, now))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, pick);
criterion_main!(benches);
