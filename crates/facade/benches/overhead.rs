//! What a call costs beside its transport: a plain answer, and a stream by the chunk, over a transport that does nothing.

#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::hint::black_box;

use async_trait::async_trait;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use outrigger::{
    AnswerBody, Client, Config, Request,
    config::{Model, Provider, Target},
    transport::{self, Response, ResponseBody, Transport, TransportError},
};

const CHUNKS: u64 = 200;
const PLAIN: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1767225600,"model":"gpt-4.1","choices":[{"index":0,"message":{"role":"assistant","content":"The swell is two metres and falling."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":9,"total_tokens":21}}"#;

/// Answers at once, from memory.
#[derive(Debug)]
struct Null {
    stream: Vec<Bytes>,
}

impl Null {
    fn new() -> Self {
        let delta = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767225600,"model":"gpt-4.1","choices":[{"index":0,"delta":{"content":"swell "},"finish_reason":null}]}"#;
        let last = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767225600,"model":"gpt-4.1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
        let mut stream: Vec<Bytes> = (0..CHUNKS).map(|_| Bytes::from(format!("{delta}\n\n"))).collect();
        stream.push(Bytes::from(format!("{last}\n\ndata: [DONE]\n\n")));
        Self { stream }
    }
}

#[async_trait]
impl Transport for Null {
    async fn send(&self, request: transport::Request) -> Result<Response, TransportError> {
        let is_stream = request
            .body
            .slices()
            .iter()
            .any(|slice| slice.windows(13).any(|part| part == b"\"stream\":true"));
        let kind = if is_stream { "text/event-stream" } else { "application/json" };
        let chunks = if is_stream { self.stream.clone() } else { vec![Bytes::from_static(PLAIN.as_bytes())] };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let body = ResponseBody::new(futures_util::stream::iter(chunks.into_iter().map(Ok)));
        Ok(Response::new(StatusCode::OK, headers, body))
    }
}

/// A client, and whether it remembers streams for their rescue.
fn client(rescues: bool) -> Client {
    let mut provider = Provider::openai().api_key("sk-none");
    for region in ["us-east", "eu-west", "ap-southeast"] {
        provider = provider.region(region, &format!("http://{region}.invalid/v1")).expect("a URL");
    }
    let mut model = Model::new([Target::new("holysheep", "gpt-4.1")]);
    model.routing.rescue_streams = rescues;
    let config = Config::new().provider("holysheep", provider).model("chat", model);
    Client::builder().config(config).transport(Null::new()).seed(7).build().expect("a client")
}

fn overhead(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let clients = [client(true), client(false)];
    let [client, _] = &clients;
    let plain = Bytes::from_static(
        br#"{"model":"chat","messages":[{"role":"user","content":"How high is the swell?"}]}"#,
    );
    let streamed = Bytes::from_static(
        br#"{"model":"chat","stream":true,"messages":[{"role":"user","content":"How high is the swell?"}]}"#,
    );
    let mut group = criterion.benchmark_group("overhead");
    group.throughput(Throughput::Elements(1));
    group.bench_function("plain call", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let request = Request::chat(plain.clone()).expect("a request");
                black_box(client.send(request).await.expect("an answer"))
            })
        });
    });
    group.throughput(Throughput::Elements(CHUNKS));
    for (name, client) in ["stream of 200 chunks", "stream of 200 chunks, forgotten"].iter().zip(&clients) {
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let request = Request::chat(streamed.clone()).expect("a request");
                    let answer = client.send(request).await.expect("an answer");
                    let AnswerBody::Stream(mut stream) = answer.body else {
                        unreachable!("a stream was asked for")
                    };
                    while let Some(chunk) = stream.next().await {
                        black_box(chunk.expect("a chunk"));
                    }
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, overhead);
criterion_main!(benches);
