//! What goes on at one connection: requests from their head to their answer's end, and bytes that wait for the peer to take them.
//!
//! Whether a connection rests is not read from bytes that come in. Half a head in drops, or a ping of HTTP/2 now and then, would keep a
//! place from others for ever; what is worth a place is a request.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// What goes on at one connection.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Requests begun, and requests done.
    turns: AtomicU64,
    /// Requests begun and not done.
    requests: AtomicU32,
    /// Whether the requests are HTTP/2's, which share the connection with much else that comes in.
    is_http2: AtomicBool,
    /// Whether bytes wait for the peer to take them.
    is_blocked: AtomicBool,
    /// Writes that moved something.
    writes: AtomicU64,
}

impl Activity {
    /// A request's head has come.
    pub(crate) fn begin(self: &Arc<Self>, is_http2: bool) -> Turn {
        self.is_http2.store(is_http2, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.turns.fetch_add(1, Ordering::Relaxed);
        Turn(Arc::clone(self))
    }

    /// Something was written.
    pub(crate) fn wrote(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes wait for the peer to take them, or do so no longer.
    pub(crate) fn block(&self, is_blocked: bool) {
        self.is_blocked.store(is_blocked, Ordering::Relaxed);
    }

    /// Moves on with each request that begins or is done.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Moves on with each write.
    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Whether a request is under way, or its answer on the way out.
    pub(crate) fn is_busy(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0 || self.is_blocked.load(Ordering::Relaxed)
    }

    /// Whether no request has come yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.turns() == 0
    }

    /// The rest that goes on, where what comes in can be nothing but the head that ends it.
    pub(crate) fn rest_before_a_head(&self) -> Option<u64> {
        let rests = self.requests.load(Ordering::Relaxed) == 0 && !self.is_fresh();
        (rests && !self.is_http2.load(Ordering::Relaxed)).then(|| self.turns())
    }
}

/// A request under way. Its connection does not rest meanwhile.
///
/// # Drop
/// The request is done.
#[derive(Debug)]
pub(crate) struct Turn(Arc<Activity>);

impl Turn {
    /// The answer's body, with whose end the request is done.
    pub(crate) fn around(self, body: Body) -> Body {
        Body::new(Answer { body, _turn: self })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.turns.fetch_add(1, Ordering::Relaxed);
    }
}

struct Answer {
    body: Body,
    _turn: Turn,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;

    use super::*;

    /// **A request is under way until its answer is gone.** Fails if it ends with the answer's head.
    #[test]
    fn an_answer_that_is_still_there_is_no_rest() {
        let activity = Arc::<Activity>::default();
        let body = activity.begin(false).around(Body::from("ahoy"));
        assert_eq!(body.size_hint().exact(), Some(4));
        assert!(activity.is_busy() && activity.rest_before_a_head().is_none());
        drop(body);
        assert!(!activity.is_busy() && activity.rest_before_a_head().is_some());
    }

    #[test]
    fn each_rest_is_another_one() {
        let activity = Arc::<Activity>::default();
        assert_eq!(activity.rest_before_a_head(), None, "the first head has a clock of its own");
        let rests = [(); 3].map(|()| {
            drop(activity.begin(false));
            activity.rest_before_a_head().unwrap()
        });
        assert!(rests.is_sorted_by(|former, latter| former < latter), "{rests:?}");
        drop(activity.begin(true));
        assert_eq!(activity.rest_before_a_head(), None, "a ping is no head");
    }
}
