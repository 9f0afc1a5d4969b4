//! What comes back: a head, and a body that is polled chunk by chunk.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, StatusCode};

use crate::TransportError;

/// The head of an answer, and its body to come.
#[derive(Debug)]
#[non_exhaustive]
pub struct Response {
    /// The status, whatever it is: 500 is an answer.
    pub status: StatusCode,
    /// The headers as they came.
    pub headers: HeaderMap,
    /// The body, unread.
    pub body: ResponseBody,
}

impl Response {
    /// An answer.
    pub fn new(status: StatusCode, headers: HeaderMap, body: ResponseBody) -> Self {
        Self { status, headers, body }
    }
}

/// A body: a stream of chunks exactly as they arrived. One allocation a body, none a chunk.
///
/// It ends with `None` only after a proper end (the last chunk, the announced length, END_STREAM); anything else ends it
/// with an error of kind [`Cut`](crate::ErrorKind::Cut).
///
/// # Drop
/// Dropping it before its end gives the upstream connection up.
pub struct ResponseBody {
    inner: Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>,
}

impl ResponseBody {
    /// A body that yields what `stream` yields.
    pub fn new(stream: impl Stream<Item = Result<Bytes, TransportError>> + Send + 'static) -> Self {
        Self { inner: Box::pin(stream) }
    }

    /// The next chunk; `None` after the proper end.
    ///
    /// # Errors
    /// A [`TransportError`] of kind [`Cut`](crate::ErrorKind::Cut), or of kind `Timeout(Body)` where an idle limit is set.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: what has not been returned is still to come.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, TransportError>> {
        poll_fn(|cx| self.inner.as_mut().poll_next(cx)).await
    }

    /// A body that is there already: these chunks, then a proper end.
    pub fn from_chunks(chunks: impl IntoIterator<Item = Bytes>) -> Self {
        Self::new(Chunks(chunks.into_iter().collect::<Vec<_>>().into_iter()))
    }
}

/// Chunks that wait for nobody.
struct Chunks(vec::IntoIter<Bytes>);

impl Stream for Chunks {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}

impl Stream for ResponseBody {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
