//! What runs for every chunk of every stream, and once a request.

use std::{fmt::Write as _, hint::black_box, time::SystemTime};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use outrigger_wire::{Api, SseEvent, SseFramer, classify, read_answer, read_delta, read_frame, skim_request};

/// A usual chunk: 201 bytes with its frame.
const CHUNK: &[u8] = b"data: {\"id\":\"chatcmpl-9aZ\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\
\"model\":\"gpt-4.1-2025-04-14\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" harbour\"},\"logprobs\":null,\
\"finish_reason\":null}]}\n\n";

fn request(messages: usize) -> String {
    let mut body = r#"{"model":"chat","stream":true,"messages":["#.to_owned();
    for index in 0..messages {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(
            body,
            r#"{comma}{{"role":"user","content":"Line {index} of a conversation that has gone on for quite some time now, as they do.\n"}}"#
        );
    }
    body + "]}"
}

/// Looks at an event, so that the compiler keeps it.
fn look(event: SseEvent<'_>) {
    let _seen = black_box(event);
}

fn streams(c: &mut Criterion) {
    let data = CHUNK.strip_prefix(b"data: ").unwrap_or(CHUNK).trim_ascii_end();
    let mut group = c.benchmark_group("chunk");
    group.throughput(Throughput::Bytes(CHUNK.len() as u64));
    group.bench_function("frame", |b| {
        let mut framer = SseFramer::new(1 << 20);
        b.iter(|| framer.feed(black_box(CHUNK), look));
    });
    group.bench_function("facts", |b| b.iter(|| read_frame(Api::Chat, None, black_box(data))));
    group.bench_function("text", |b| b.iter(|| drop(black_box(read_delta(black_box(data))))));
    group.bench_function("frame+facts", |b| {
        let mut framer = SseFramer::new(1 << 20);
        b.iter(|| {
            framer.feed(black_box(CHUNK), |event| {
                if let SseEvent::Data { data, .. } = event {
                    drop(black_box(read_frame(Api::Chat, None, data)));
                }
            })
        });
    });
    let (head, tail) = CHUNK.split_at(CHUNK.len() / 2);
    group.bench_function("frame, cut in two", |b| {
        let mut framer = SseFramer::new(1 << 20);
        b.iter(|| {
            let first = framer.feed(black_box(head), look);
            (first, framer.feed(black_box(tail), look))
        });
    });
    group.finish();
}

fn bodies(c: &mut Criterion) {
    let mut group = c.benchmark_group("body");
    for messages in [4, 1_000] {
        let body = request(messages);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("skim_request, {} bytes", body.len()), |b| {
            b.iter(|| skim_request(Api::Chat, black_box(body.as_bytes())));
        });
    }
    let answer = r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",
        "content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1}}"#;
    group.throughput(Throughput::Bytes(answer.len() as u64));
    group.bench_function("read_answer", |b| b.iter(|| read_answer(Api::Chat, black_box(answer.as_bytes()))));
    let refusal = br#"{"error":{"message":"Rate limit reached","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#;
    let header = |name: &str| (name == "retry-after").then_some("20");
    group.throughput(Throughput::Bytes(refusal.len() as u64));
    group.bench_function("classify", |b| {
        b.iter(|| classify(429, header, black_box(refusal), SystemTime::UNIX_EPOCH));
    });
    group.finish();
}

criterion_group!(benches, streams, bodies);
criterion_main!(benches);
