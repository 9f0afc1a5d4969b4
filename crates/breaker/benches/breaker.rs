//! What a call pays: closed without and with a window, and refused. Fake time, on one thread and on two.

#![expect(clippy::expect_used, reason = "a helper that finds its input wrong fails the run")]

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use outrigger_breaker::{Breaker, BreakerConfig, SharedBreaker, Verdict};

#[expect(clippy::disallowed_methods, reason = "an origin for made-up instants, and criterion's own measure")]
fn t0() -> Instant {
    Instant::now()
}

fn shared(config: BreakerConfig, now: Instant) -> SharedBreaker {
    SharedBreaker::new(config, now).expect("a valid config")
}

fn pair(breaker: &SharedBreaker, now: Instant) {
    if let Ok(permit) = breaker.acquire(black_box(now)) {
        breaker.report(permit, Verdict::Success, black_box(now));
    }
}

/// Two threads, each doing all the iterations.
fn on_two(iterations: u64, step: impl Fn() + Sync) -> Duration {
    let started = t0();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..iterations).for_each(|_| step()));
        }
    });
    t0().duration_since(started)
}

fn benches(criterion: &mut Criterion) {
    let now = t0();
    let mut group = criterion.benchmark_group("breaker");
    group.throughput(Throughput::Elements(1));
    for (name, config) in [("no_window", BreakerConfig::article()), ("ten_buckets", BreakerConfig::default())]
    {
        let mut core = Breaker::new_at(config.clone(), now).expect("a valid config");
        group.bench_function(format!("core/closed/{name}"), |bencher| {
            bencher.iter(|| {
                if let Ok(permit) = core.acquire(black_box(now)) {
                    core.report(permit, Verdict::Success, black_box(now));
                }
            });
        });
        let breaker = shared(config, now);
        group.bench_function(format!("shared/closed/{name}"), |bencher| bencher.iter(|| pair(&breaker, now)));
        group.bench_function(format!("shared/closed/{name}/two_threads"), |bencher| {
            bencher.iter_custom(|iterations| on_two(iterations, || pair(&breaker, now)));
        });
    }
    let open = shared(BreakerConfig::article(), now);
    open.open_for(Duration::from_secs(60), now);
    group.bench_function("shared/open", |bencher| bencher.iter(|| open.acquire(black_box(now)).is_err()));
    group.bench_function("shared/open/two_threads", |bencher| {
        bencher.iter_custom(|iterations| {
            on_two(iterations, || {
                black_box(open.acquire(black_box(now)).is_err());
            })
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
