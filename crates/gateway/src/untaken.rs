//! HTTP/2: an answer of which its caller takes nothing is given up, so that it holds no place for ever.
//!
//! On HTTP/1.1 a caller that stops reading stops its connection, which the socket sees ([`outflow`](crate::outflow)). On HTTP/2 the connection
//! is alive and one stream of it stands still: the peer opens no window for it, and the server asks for no more of its body. Nothing of a
//! body runs while nobody asks, its own time limits included. So somebody else looks at the clock here: when nothing more is asked for
//! within the stall timeout of the last bytes, the body is dropped, and with it the caller's place and the upstream request. A caller that
//! comes back later finds a stream that is reset.
//!
//! Large frames are given in portions, so that a caller that takes a little now and then is seen to take it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{BoxError, body::Body};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep},
};

use crate::load::Seat;

/// Bytes that are given at a time: so many at least a caller takes within the stall timeout, or it takes nothing.
const PORTION: usize = 16 << 10;
/// What the server keeps of one stream without being asked for more; a whole answer of that size needs no copy.
const KEPT: usize = 64 << 10;

/// A body that is given up when nothing of it is taken for long.
///
/// # Drop
/// Drops the body, if it is there still.
#[derive(Debug)]
pub(crate) struct Taken {
    held: Arc<Mutex<Held>>,
    clock: AbortHandle,
}

#[derive(Debug)]
struct Held {
    /// None once it has been given up.
    body: Option<Body>,
    /// The part of the last frame that was not given yet.
    rest: Bytes,
    /// When the last bytes were given, for as long as no more are asked for.
    given: Option<Instant>,
}

impl Taken {
    /// Gives up what is not taken for so long. Must be called on the runtime.
    pub(crate) fn new(body: Body, stall_timeout: Duration) -> Self {
        let held = Arc::new(Mutex::new(Held { body: Some(body), rest: Bytes::new(), given: None }));
        let clock = tokio::spawn(give_up(Arc::downgrade(&held), stall_timeout)).abort_handle();
        Self { held, clock }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.clock.abort();
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns when the body was given up, or is gone.
async fn give_up(held: Weak<Mutex<Held>>, stall_timeout: Duration) {
    let mut left = stall_timeout;
    loop {
        sleep(left).await;
        let Some(held) = held.upgrade() else { return };
        let mut now = lock(&held);
        left = now.given.map_or(stall_timeout, |given| stall_timeout.saturating_sub(given.elapsed()));
        if left.is_zero() {
            let body = now.body.take();
            now.rest = Bytes::new();
            drop(now);
            return drop(body);
        }
    }
}

impl Held {
    fn give(&mut self, mut data: Bytes) -> Frame<Bytes> {
        self.rest = if data.len() > PORTION { data.split_off(PORTION) } else { Bytes::new() };
        self.given = Some(Instant::now());
        Frame::data(data)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.given = None;
        let Some(body) = &mut self.body else {
            return Poll::Ready(Some(Err("its caller took nothing of the answer".into())));
        };
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(self.give(rest))));
        }
        match ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(data) => self.give(data),
                Err(trailers) => trailers,
            }))),
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            None => Poll::Ready(None),
        }
    }
}

impl http_body::Body for Taken {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        lock(&self.held).poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        let held = lock(&self.held);
        held.rest.is_empty() && held.body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let held = lock(&self.held);
        let body = held.body.as_ref().map(Body::size_hint).unwrap_or_default();
        let rest = held.rest.len() as u64;
        drop(held);
        let mut hint = SizeHint::new();
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(body.lower().saturating_add(rest));
        hint
    }
}

/// A whole answer whose seat is kept by the body, not by its bytes: the server may keep those for a caller that takes nothing.
///
/// # Drop
/// Gives the seat back.
#[derive(Debug)]
pub(crate) struct Seated {
    rest: Bytes,
    /// Portions of a large answer are copies, so that one that is kept does not keep all of it.
    is_large: bool,
    _seat: Seat,
}

impl Seated {
    pub(crate) fn new(answer: Bytes, mut seat: Seat) -> Self {
        seat.hold_answer(answer.len());
        Self { is_large: answer.len() > KEPT, rest: answer, _seat: seat }
    }
}

impl http_body::Body for Seated {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = if self.is_large { PORTION.min(self.rest.len()) } else { self.rest.len() };
        let portion = self.rest.split_to(length);
        let portion = if self.is_large { Bytes::copy_from_slice(&portion) } else { portion };
        Poll::Ready(Some(Ok(Frame::data(portion))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::load::Load;

    const STALL: Duration = Duration::from_secs(60);

    /// **Slow is not stopped.** All of an answer comes, in order, to who asks for a portion just in time. Fails if the clock runs on
    /// through progress, or a portion is lost.
    #[tokio::test(start_paused = true)]
    async fn who_takes_a_portion_now_and_then_gets_all_of_it() {
        let answer: Vec<u8> = (0..5 * PORTION + 3).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let load = Load::new(1, 0);
        let seated = Seated::new(answer.clone().into(), load.enter().unwrap());
        for body in [Body::from(answer.clone()), Body::new(seated)] {
            let mut body = Taken::new(body, STALL);
            assert_eq!(http_body::Body::size_hint(&body).exact(), Some(answer.len() as u64));
            let mut taken = Vec::new();
            while let Some(frame) = body.frame().await {
                let data = frame.unwrap().into_data().unwrap();
                assert!(data.len() <= PORTION);
                taken.extend_from_slice(&data);
                sleep(STALL - Duration::from_secs(1)).await;
            }
            assert_eq!(taken, answer);
        }
        assert!(load.enter().is_some());
    }

    /// **Who takes nothing holds nothing.** Fails if the seat stays with bytes that nobody takes, or if the end looks clean.
    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_loses_place_and_answer() {
        for length in [PORTION, 3 * KEPT] {
            let load = Load::new(1, 0);
            let seated = Seated::new(vec![7; length].into(), load.enter().unwrap());
            let mut body = Taken::new(Body::new(seated), STALL);
            let first = body.frame().await.unwrap().unwrap();
            assert!(load.enter().is_none());
            sleep(STALL * 2).await;
            assert!(load.enter().is_some(), "{length}");
            assert!(body.frame().await.unwrap().is_err());
            drop(first);
        }
    }

    /// A body that has nothing to give is not its caller's fault. Fails if waiting for a provider counts as not taking.
    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_next_bytes_is_not_given_up() {
        let stream = futures_util::stream::once(async {
            sleep(STALL * 10).await;
            Ok::<_, BoxError>(Bytes::from_static(b"late"))
        });
        let mut body = Taken::new(Body::from_stream(Box::pin(stream)), STALL);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "late");
    }
}
