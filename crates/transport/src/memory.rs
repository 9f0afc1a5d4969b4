//! [`MemoryTransport`]: a transport that is a function, for tests of whatever sits on one.

use std::{fmt, future::Future, pin::Pin};

use async_trait::async_trait;

use crate::{
    Request, Response, ResponseBody, Transport, TransportError,
    limits::{Limited, within_head},
};

type Answering = Pin<Box<dyn Future<Output = Result<Response, TransportError>> + Send>>;

/// Answers each request by a function, without a socket. [`Timeouts`](crate::Timeouts) hold as they do on a socket, so a
/// test under tokio's paused time meets silence and stalls without waiting.
///
/// ```
/// # use outrigger_transport::{MemoryTransport, Response, ResponseBody};
/// # use http::{HeaderMap, StatusCode};
/// let busy = MemoryTransport::new(|_request| async {
///     let body = ResponseBody::from_chunks([bytes::Bytes::from_static(b"try later")]);
///     Ok(Response::new(StatusCode::SERVICE_UNAVAILABLE, HeaderMap::new(), body))
/// });
/// ```
///
/// # Cancel safety
/// Dropping the future of `send` drops the function's future; dropping the body drops the function's stream.
pub struct MemoryTransport {
    answer: Box<dyn Fn(Request) -> Answering + Send + Sync>,
}

impl MemoryTransport {
    /// A transport that answers by `answer`.
    pub fn new<F, A>(answer: F) -> Self
    where
        F: Fn(Request) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Response, TransportError>> + Send + 'static,
    {
        Self { answer: Box::new(move |request| Box::pin(answer(request))) }
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let timeouts = request.timeouts;
        let answering = (self.answer)(request);
        let Response { status, headers, body } = match timeouts.head {
            Some(head) => within_head(answering, std::future::ready(()), head).await?,
            None => answering.await?,
        };
        Ok(Response::new(status, headers, ResponseBody::new(Limited::new(body, timeouts.idle))))
    }
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTransport").finish_non_exhaustive()
    }
}
