//! A stream on its way to a caller: the provider's bytes as they come, and an honest end.
//!
//! After the first content nothing can be taken back, so a stream that breaks off says so twice: by a last `data: {"error": ..}`
//! frame, for whoever reads frames, and by an aborted connection, for whoever reads only its end. Every SDK takes a clean end
//! for success.
//!
//! # Why wait between the frame and the abort?
//! A body that fails makes the server drop the connection with all that it has not written yet. Nothing tells a body when its
//! bytes have left, so it stays silent for [`FLUSH`] after its last frame, and only then fails.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use http_body::Frame;
use outrigger::AnswerStream;
use tokio::time::Sleep;

use super::error::ApiError;
use crate::{
    load::Seat,
    phase::{Phase, Phases},
};

/// Time for the last frame to reach the wire: a loopback needs microseconds, a slow reader gets this much.
const FLUSH: Duration = Duration::from_millis(100);

/// The body of a streamed answer.
///
/// # Drop
/// Cancels the upstream request, and gives the caller's place back.
pub(crate) struct StreamBody {
    state: State,
    over: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    _seat: Seat,
}

enum State {
    Flowing(Box<AnswerStream>),
    /// The error's frame is given; when this ends the connection is aborted.
    Flushing(Pin<Box<Sleep>>),
    Ended,
}

impl StreamBody {
    /// The stream of an answer. It ends with an error when the gateway's time to finish is over.
    pub(crate) fn new(stream: Box<AnswerStream>, phases: &Phases, seat: Seat) -> Self {
        Self { state: State::Flowing(stream), over: Box::pin(phases.reached(Phase::Over)), _seat: seat }
    }

    /// Gives the error as a last frame.
    fn break_off(&mut self, error: &ApiError) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        self.state = State::Flushing(Box::pin(tokio::time::sleep(FLUSH)));
        Poll::Ready(Some(Ok(Frame::data(error.frame()))))
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
            State::Flowing(stream) => match Pin::new(stream).poll_next(cx) {
                Poll::Ready(Some(Ok(bytes))) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Poll::Ready(Some(Err(error))) => this.break_off(&ApiError::from(error)),
                Poll::Ready(None) => {
                    this.state = State::Ended;
                    Poll::Ready(None)
                }
                Poll::Pending => {
                    ready!(this.over.as_mut().poll(cx));
                    this.break_off(&ApiError::draining())
                }
            },
            State::Flushing(timer) => {
                ready!(timer.as_mut().poll(cx));
                this.state = State::Ended;
                Poll::Ready(Some(Err(Aborted)))
            }
            State::Ended => Poll::Ready(None),
        }
    }
}
