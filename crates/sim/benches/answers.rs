//! What one simulated answer costs: planning, logging and handing out its bytes, in virtual time.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::Method;
use outrigger_sim::{LAST_WORD, World};
use transport::{Pool, Request, Transport};

fn answers(c: &mut Criterion) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
    else {
        return;
    };
    let world = World::article(7);
    let transport = world.transport();
    let pool = Arc::new(Pool::new("sim/us-east"));
    let mut group = c.benchmark_group("answer");
    group.throughput(Throughput::Elements(1));
    for (name, stream) in [("plain", false), ("stream of 20 tokens", true)] {
        let Ok(url) = "http://us-east.sim.invalid/v1/chat/completions".parse() else { return };
        let mut request = Request::new(Method::POST, url, Arc::clone(&pool));
        let body = format!(
            r#"{{"model":"gpt-4.1","stream":{stream},"messages":[{{"role":"user","content":"ahoy"}}]}}"#
        );
        request.body = body.into_bytes().into();
        group.bench_function(name, |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let mut bytes = 0;
                    if let Ok(mut response) = transport.send(black_box(request.clone())).await {
                        while let Some(Ok(chunk)) = response.body.chunk().await {
                            bytes += chunk.len();
                        }
                    }
                    assert!(bytes > LAST_WORD.len(), "an answer came");
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, answers);
criterion_main!(benches);
