//! The trait.

use async_trait::async_trait;

use crate::{Request, Response, TransportError};

/// Sends one request, once.
///
/// # Contract
/// An implementation never retries, never follows a redirect, never decodes a body, and has no total timeout. The suite
/// in `conformance` (feature `testing`) holds each implementation to this.
///
/// # Cancel safety
/// Dropping the future of [`send`](Self::send), or the body of its response, gives the upstream connection up (HTTP/1.1)
/// or resets the stream (HTTP/2). Nothing goes on in the background.
#[async_trait]
pub trait Transport: Send + Sync + std::fmt::Debug {
    /// Sends `request` and returns when the head of the answer is there.
    ///
    /// # Errors
    /// A [`TransportError`] when no head arrived. Any status is an answer, not an error.
    async fn send(&self, request: Request) -> Result<Response, TransportError>;
}

#[async_trait]
impl<T: Transport + ?Sized> Transport for std::sync::Arc<T> {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        (**self).send(request).await
    }
}
