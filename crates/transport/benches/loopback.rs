//! What an exchange costs on loopback, the server's part included. For reading, not for a gate: it is wall time.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has no result")]

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use http::Method;
use outrigger_transport::{Pool, Request, ReqwestTransport, Transport};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::{Builder, Runtime},
};
use url::Url;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Answers whatever fits into one read, for ever.
fn serve(runtime: &Runtime) -> Url {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("loopback");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    runtime.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 << 10];
                while let Ok(1..) = socket.read(&mut buffer).await {
                    socket.write_all(ANSWER).await.expect("a reader");
                }
            });
        }
    });
    Url::parse(&url).expect("a url")
}

fn exchange(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let transport = ReqwestTransport::new();
    let plain = Request::new(Method::GET, serve(&runtime), Arc::new(Pool::new("bench")));
    let mut limited = plain.clone();
    limited.timeouts.head = Some(Duration::from_secs(30));
    limited.timeouts.idle = Some(Duration::from_secs(30));
    for (name, request) in [("exchange without limits", plain), ("exchange with limits", limited)] {
        c.bench_function(name, |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let mut response = transport.send(request.clone()).await.expect("an answer");
                    while let Some(chunk) = response.body.chunk().await {
                        black_box(chunk.expect("whole"));
                    }
                });
            });
        });
    }
}

criterion_group!(benches, exchange);
criterion_main!(benches);
