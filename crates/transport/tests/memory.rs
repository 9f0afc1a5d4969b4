//! The in-memory transport passes the suite, under paused time.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::Bytes;
use common::Log;
use futures_core::Stream;
use http::{HeaderMap, StatusCode};
use outrigger_transport::{
    ErrorKind, MemoryTransport, Request, Response, ResponseBody, TransportError,
    conformance::{self, Ending, Next, Received, Upstream},
};
use url::Url;

const CHUNK: &[u8] = &[b'x'; 64 << 10];

/// The other end of a [`MemoryTransport`].
struct Memory {
    log: Arc<Log>,
}

#[async_trait]
impl Upstream for Memory {
    fn url(&self) -> Url {
        Url::parse("http://upstream.test/").expect("a url")
    }

    fn refusing_url(&self) -> Url {
        Url::parse("http://refusing.test/").expect("a url")
    }

    fn prepare(&self, next: Next) {
        self.log.prepare(next);
    }

    async fn received(&self) -> Received {
        self.log.received().await
    }

    fn waiting(&self) -> usize {
        self.log.waiting()
    }

    async fn hung_up(&self) {
        self.log.hung_up().await;
    }

    /// A stream in memory makes a chunk when it is polled for one, so it is always held back.
    async fn held_back(&self, _limit: u64) -> u64 {
        self.log.written()
    }
}

/// Tells the log when it is dropped before it was told that all is well.
struct Held {
    log: Arc<Log>,
    is_over: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.is_over {
            self.log.hang_up();
        }
    }
}

/// What an answer's chunks and ending look like in memory.
struct Scripted {
    chunks: std::vec::IntoIter<Bytes>,
    ending: Ending,
    held: Held,
}

impl Stream for Scripted {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(chunk) = self.chunks.next() {
            return Poll::Ready(Some(Ok(chunk)));
        }
        match self.ending {
            Ending::Endless => {
                self.held.log.wrote(CHUNK.len() as u64);
                Poll::Ready(Some(Ok(Bytes::from_static(CHUNK))))
            }
            Ending::Stall => Poll::Pending,
            Ending::Cut => {
                self.held.is_over = true;
                Poll::Ready(Some(Err(TransportError::new(ErrorKind::Cut))))
            }
            _ => {
                self.held.is_over = true;
                Poll::Ready(None)
            }
        }
    }
}

async fn answer(log: Arc<Log>, request: Request) -> Result<Response, TransportError> {
    if request.url.host_str() == Some("refusing.test") {
        return Err(TransportError::new(ErrorKind::Refused));
    }
    let target = request.url[url::Position::BeforePath..].to_owned();
    log.receive(Received::new(request.method, target, request.headers, request.body.to_bytes()));
    let mut held = Held { log: Arc::clone(&log), is_over: false };
    match log.next() {
        Next::Answer(answer) => {
            let body = Scripted { chunks: answer.chunks.into_iter(), ending: answer.ending, held };
            Ok(Response::new(answer.status, answer.headers, ResponseBody::new(body)))
        }
        Next::Reset => {
            held.is_over = true;
            Err(TransportError::new(ErrorKind::Reset))
        }
        Next::Nonsense => {
            held.is_over = true;
            Err(TransportError::new(ErrorKind::Protocol))
        }
        _ => std::future::pending().await,
    }
}

#[tokio::test(start_paused = true)]
async fn the_memory_transport_conforms() {
    let log = Arc::new(Log::default());
    let upstream = Memory { log: Arc::clone(&log) };
    let transport = MemoryTransport::new(move |request| answer(Arc::clone(&log), request));
    conformance::run(&transport, &upstream).await;
}

#[tokio::test]
async fn chunks_given_at_once_end_properly() {
    let mut body = ResponseBody::from_chunks([Bytes::from_static(b"a"), Bytes::from_static(b"b")]);
    let response = Response::new(StatusCode::OK, HeaderMap::new(), ResponseBody::from_chunks([]));
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(body.chunk().await.expect("a chunk").expect("no error"), "a");
    assert_eq!(body.chunk().await.expect("a chunk").expect("no error"), "b");
    assert!(body.chunk().await.is_none());
}
