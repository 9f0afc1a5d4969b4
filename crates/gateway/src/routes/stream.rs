//! A stream on its way to a caller: the provider's bytes as they come, and an honest end.
//!
//! After the first content nothing can be taken back, so an event stream that breaks off says so twice: by a last frame that is an
//! error in the caller's form, for whoever reads frames, and by an aborted connection, for whoever reads only its end. Every
//! SDK takes a clean end for success. A long plain answer that breaks off is aborted without a frame, which would stand amid
//! its JSON.
//!
//! # Why wait between the frame and the abort?
//! A body that fails makes the server drop the connection with all that it has not written yet. So the body stays silent
//! after its last frame until the connection has flushed it, and only then fails; a caller that does not read gets [`FLUSH`].

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, Version, header};
use http_body::Frame;
use outrigger::{AnswerStream, Api};

use super::{error::ApiError, words::Hearer};
use crate::{
    load::Seat,
    outflow::Outflow,
    phase::{Phase, Phases},
};

/// Time at most for the last frame to leave.
pub(crate) const FLUSH: Duration = Duration::from_secs(2);
/// HTTP/2 flushes a connection for other streams too, perhaps between our frame and its turn.
const TURN: Duration = Duration::from_millis(100);

/// The way to one caller.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) version: Version,
    /// Absent only where nobody watches the connection; then the time alone decides.
    pub(crate) outflow: Option<Outflow>,
    /// Who is at its end.
    pub(crate) hearer: Hearer,
}

impl Way {
    /// Ends when what was given to the server before has left, or after [`FLUSH`].
    fn flushed(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        let marked = self.outflow.clone().map(|outflow| (outflow.mark(), outflow));
        let turn = if self.version == Version::HTTP_2 { TURN } else { Duration::ZERO };
        async move {
            let left = async {
                match marked {
                    Some((mark, outflow)) => {
                        tokio::join!(outflow.flushed_since(mark), tokio::time::sleep(turn))
                    }
                    None => std::future::pending().await,
                }
            };
            drop(tokio::time::timeout(FLUSH, left).await);
        }
    }
}

/// The body of a streamed answer.
///
/// # Drop
/// Cancels the upstream request, and gives the caller's place back. When the time to finish is over, it is that which ends it, and not the
/// caller.
pub(crate) struct StreamBody {
    state: State,
    is_events: bool,
    way: Way,
    over: Over,
    /// The last frames that were given, where the next one bears a number after theirs.
    last: Bytes,
    _seat: Seat,
}

type Flushed = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

enum State {
    Flowing(Box<AnswerStream>),
    /// All is given, an error's frame last where frames are read; when this ends the connection is aborted.
    Flushing(Flushed),
    Ended,
}

impl StreamBody {
    /// The stream of an answer with these headers. It ends with an error when the gateway's time to finish is over.
    pub(crate) fn new(
        stream: Box<AnswerStream>,
        headers: &HeaderMap,
        way: Way,
        phases: &Phases,
        mut seat: Seat,
    ) -> Self {
        if !stream.holds_request() {
            seat.let_go();
        }
        Self {
            state: State::Flowing(stream),
            is_events: is_event_stream(headers),
            way,
            over: Over::new(phases),
            last: Bytes::new(),
            _seat: seat,
        }
    }

    /// The rest of an event stream whose last frame is given to the server with this.
    pub(crate) fn broken_off(way: Way, phases: &Phases, seat: Seat) -> Self {
        let state = State::Flushing(Box::pin(way.flushed()));
        Self { state, is_events: true, way, over: Over::new(phases), last: Bytes::new(), _seat: seat }
    }

    /// Whether more is to come, and nothing has ended it.
    pub(crate) fn is_flowing(&self) -> bool {
        matches!(self.state, State::Flowing(_))
    }

    /// Gives the error as a last frame, where frames are read. The upstream request ends here, not when the caller has read
    /// the news.
    fn break_off(
        &mut self,
        error: &ApiError,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let mut flushed: Flushed = Box::pin(self.way.flushed());
        if self.is_events {
            self.state = State::Flushing(flushed);
            return Poll::Ready(Some(Ok(Frame::data(self.way.hearer.frame(error, &self.last)))));
        }
        // No frame, but what was given before is to leave.
        let has_left = flushed.as_mut().poll(cx).is_ready();
        self.state = if has_left { State::Ended } else { State::Flushing(flushed) };
        if has_left { Poll::Ready(Some(Err(Aborted))) } else { Poll::Pending }
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        if let (true, State::Flowing(stream)) = (self.over.is_reached(), &mut self.state) {
            stream.cut_off();
        }
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let essence =
        |value: &[u8]| value.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"));
    headers.get(header::CONTENT_TYPE).is_some_and(|value| essence(value.as_bytes()))
}

/// Whether the gateway's time to finish is over: asked for every chunk, so asked cheaply.
struct Over {
    phases: Phases,
    reached: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    /// Who is woken when it is; the queue of those is joined once, not for every chunk.
    joined: Option<Waker>,
}

impl Over {
    fn new(phases: &Phases) -> Self {
        Self { phases: phases.clone(), reached: Box::pin(phases.reached(Phase::Over)), joined: None }
    }

    fn is_reached(&self) -> bool {
        self.phases.now() >= Phase::Over
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_reached() {
            return Poll::Ready(());
        }
        if self.joined.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        let reached = self.reached.as_mut().poll(cx);
        self.joined = Some(cx.waker().clone());
        reached
    }
}

/// Why the connection is dropped. The caller has been told in the frame before.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
pub(crate) struct Aborted;

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let this = self.get_mut();
        match &mut this.state {
            State::Flowing(stream) => match Pin::new(&mut **stream).poll_next(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    // Comments bear no number.
                    if this.way.hearer.api == Api::Responses && !bytes.starts_with(b":") {
                        this.last = bytes.clone();
                    }
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
                Poll::Ready(Some(Err(error))) => this.break_off(&ApiError::from(error), cx),
                Poll::Ready(None) => {
                    this.state = State::Ended;
                    Poll::Ready(None)
                }
                Poll::Pending => {
                    ready!(this.over.poll(cx));
                    stream.cut_off();
                    this.break_off(&ApiError::draining(), cx)
                }
            },
            State::Flushing(flushed) => {
                ready!(flushed.as_mut().poll(cx));
                this.state = State::Ended;
                Poll::Ready(Some(Err(Aborted)))
            }
            State::Ended => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncWriteExt,
        time::{Instant, timeout},
    };

    use super::*;
    use crate::{
        outflow::{Patience, Watched},
        phase::phases,
    };

    /// How long the wait for a last frame takes on this connection, when it is flushed once at the beginning or not at all.
    async fn waits(version: Version, is_flushed: bool) -> Duration {
        let (ours, _theirs) = tokio::io::duplex(64);
        let patience = Patience { header_timeout: FLUSH, stall_timeout: FLUSH };
        let mut watched = Watched::new(ours, std::sync::Arc::default(), patience);
        let hearer = Hearer { api: Api::Chat, id: http::HeaderValue::from_static("req_7") };
        let way = Way { version, outflow: Some(watched.outflow()), hearer };
        let flushed = way.flushed();
        if is_flushed {
            watched.flush().await.unwrap();
        }
        let began = Instant::now();
        flushed.await;
        began.elapsed()
    }

    /// **A prompt reader does not wait, and a stopped one is not waited for.** Fails if the flush is not heard, or not bounded.
    #[tokio::test(start_paused = true)]
    async fn the_abort_waits_for_the_frame_and_no_longer() {
        assert_eq!(waits(Version::HTTP_11, true).await, Duration::ZERO);
        assert_eq!(waits(Version::HTTP_11, false).await, FLUSH);
        assert!((TURN..FLUSH).contains(&waits(Version::HTTP_2, true).await));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_is_heard_though_its_queue_is_joined_once() {
        let (control, phases) = phases();
        let mut over = Over::new(&phases);
        let mut next = std::pin::pin!(std::future::poll_fn(|cx| over.poll(cx)));
        for _ in 0..3 {
            assert!(timeout(Duration::ZERO, &mut next).await.is_err());
        }
        control.advance(Phase::Over);
        next.await;
    }

    #[test]
    fn an_event_stream_is_known_by_its_essence() {
        let is = |text: &'static str| {
            let pair = (header::CONTENT_TYPE, http::HeaderValue::from_static(text));
            is_event_stream(&HeaderMap::from_iter([pair]))
        };
        assert!(is("text/event-stream") && is("Text/Event-Stream; charset=utf-8"));
        assert!(!is("application/json") && !is("text/event") && !is_event_stream(&HeaderMap::new()));
    }
}
