//! How spans leave: by the client's own transport, with its TLS, on the runtime that serves.
//!
//! The SDK exports on a thread of its own that knows no runtime, so each request is handed to one.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use outrigger::transport::{self, Body, Pool, ReqwestTransport, Transport};
use tokio::runtime::Handle;

/// OpenTelemetry's own default.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most that is read of what a collector says.
const LONGEST: usize = 1 << 20;

/// Posts spans to a collector.
#[derive(Debug)]
pub(super) struct Post {
    transport: Arc<ReqwestTransport>,
    pool: Arc<Pool>,
    runtime: Handle,
    patience: Duration,
}

impl Post {
    /// On the runtime of here.
    pub(super) fn new(patience: Option<Duration>) -> Self {
        Self {
            transport: ReqwestTransport::new().into(),
            pool: Pool::new("otlp").into(),
            runtime: Handle::current(),
            patience: patience.unwrap_or(PATIENCE),
        }
    }
}

#[async_trait::async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let url = head.uri.to_string().parse()?;
        let mut out = transport::Request::new(head.method, url, Arc::clone(&self.pool));
        out.headers = head.headers;
        out.body = Body::from(body);
        let (transport, patience) = (Arc::clone(&self.transport), self.patience);
        let sent =
            self.runtime.spawn(async move { tokio::time::timeout(patience, send(transport, out)).await });
        sent.await??
    }
}

async fn send(
    transport: Arc<ReqwestTransport>,
    request: transport::Request,
) -> Result<Response<Bytes>, HttpError> {
    let mut answer = transport.send(request).await?;
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.body.chunk().await {
        let chunk = chunk?;
        if body.len() + chunk.len() > LONGEST {
            return Err("the collector says too much".into());
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = Response::new(body.freeze());
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}
