//! The small machines: what each retry and each ended attempt costs.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use outrigger_policy::{AimdConfig, AimdLimit, Backoff, BackoffConfig, Budget, RETRY_COST_BILLED};

fn machines(c: &mut Criterion) {
    c.bench_function("budget: withdraw and deposit", |b| {
        let mut budget = Budget::default();
        b.iter(|| {
            let granted = budget.withdraw(black_box(RETRY_COST_BILLED));
            budget.deposit(black_box(RETRY_COST_BILLED));
            granted
        });
    });
    if let Ok(mut backoff) = Backoff::new(BackoffConfig::default()) {
        c.bench_function("backoff: next", |b| b.iter(|| backoff.next(None, black_box(7 << 60))));
    }
    if let Ok(mut limit) = AimdLimit::new(AimdConfig::default()) {
        let rtt = Duration::from_millis(300);
        c.bench_function("limit: sample", |b| b.iter(|| limit.sample(black_box(rtt), black_box(30), false)));
    }
}

criterion_group!(benches, machines);
criterion_main!(benches);
