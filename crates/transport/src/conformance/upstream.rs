//! The other end, and the words in which it is told what to do.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

/// An upstream that does as it is told.
#[async_trait]
pub trait Upstream: Send + Sync {
    /// Where it listens; the suite adds paths and queries.
    fn url(&self) -> Url;

    /// Where nobody listens.
    fn refusing_url(&self) -> Url;

    /// What to do with the next request for which nothing is prepared yet.
    fn prepare(&self, next: Next);

    /// The oldest request that was received whole and not taken here yet; waits for one.
    async fn received(&self) -> Received;

    /// How many requests were received and not taken yet.
    fn waiting(&self) -> usize;

    /// Resolves once for each exchange that the transport gave up before its end.
    async fn hung_up(&self);

    /// Resolves when an [`Ending::Endless`] answer cannot go on because nobody reads it, or when `limit` bytes have gone
    /// out; tells how many bytes went out so far.
    async fn held_back(&self, limit: u64) -> u64;
}

/// What the upstream does with one request, after having received all of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Next {
    /// Answers.
    Answer(Answer),
    /// Breaks the connection without a byte of an answer.
    Reset,
    /// Says nothing, for as long as the transport waits.
    Silence,
    /// Says what is not HTTP.
    Nonsense,
}

/// One answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers, beside those that frame the body.
    pub headers: HeaderMap,
    /// The body, chunk by chunk.
    pub chunks: Vec<Bytes>,
    /// What comes after the chunks.
    pub ending: Ending,
}

impl Answer {
    /// An answer without headers or body that ends properly.
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), chunks: Vec::new(), ending: Ending::Whole }
    }

    /// The same, with a header more.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    /// The same, with a chunk more.
    #[must_use]
    pub fn chunk(mut self, chunk: impl Into<Bytes>) -> Self {
        self.chunks.push(chunk.into());
        self
    }

    /// The same, with another ending.
    #[must_use]
    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }
}

/// What comes after the chunks of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The proper end.
    Whole,
    /// The connection closes before the proper end.
    Cut,
    /// Nothing more comes, and the connection stays open.
    Stall,
    /// Bytes upon bytes, as fast as they are read.
    Endless,
}

/// A request as the upstream received it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Received {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Received {
    /// A request received.
    pub fn new(method: Method, target: impl Into<String>, headers: HeaderMap, body: Bytes) -> Self {
        Self { method, target: target.into(), headers, body }
    }
}
