//! A transport around a transport: one that goes to a second host when surely nothing was sent to the first.
//!
//! This is all that failover needs of a transport: the word on what was sent, and a body that replays for free.
//!
//! `cargo run --example transport-composed --features testing`

use std::{error::Error, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use outrigger_transport::{
    ErrorKind, MemoryTransport, Pool, Request, Response, ResponseBody, Sent, Transport, TransportError,
};

/// Tries `elsewhere` once, when the first host never saw the request.
#[derive(Debug)]
struct Elsewhere<T> {
    inner: T,
    elsewhere: &'static str,
}

#[async_trait]
impl<T: Transport> Transport for Elsewhere<T> {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let mut again = request.clone(); // copies no body
        match self.inner.send(request).await {
            Err(error) if error.sent() == Sent::No && again.url.set_host(Some(self.elsewhere)).is_ok() => {
                self.inner.send(again).await
            }
            result => result,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let world = MemoryTransport::new(|request: Request| async move {
        match request.url.host_str() {
            Some("us-east.test") => Err(TransportError::new(ErrorKind::Refused)),
            _ => {
                let body = ResponseBody::from_chunks([Bytes::from_static(b"hello from eu-west")]);
                Ok(Response::new(StatusCode::OK, HeaderMap::new(), body))
            }
        }
    });
    let transport = Elsewhere { inner: world, elsewhere: "eu-west.test" };
    let url = "https://us-east.test/v1/chat/completions".parse()?;
    let mut response = transport.send(Request::new(Method::POST, url, Arc::new(Pool::new("demo")))).await?;
    while let Some(chunk) = response.body.chunk().await {
        report(&String::from_utf8_lossy(&chunk?));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example shows what it did")]
fn report(line: &str) {
    println!("{line}");
}
