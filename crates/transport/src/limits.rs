//! The two limits of [`Timeouts`](crate::Timeouts), written once for every implementation here.
//!
//! A limit that is `None` costs nothing: no timer is made. A limit that is set costs one timer an answer, armed only
//! while the peer is silent, so a fast body never touches the clock between two chunks.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep};

use crate::{ErrorKind, Phase, TransportError};

/// Runs `exchange`; after `started` has resolved, it has `head` left to resolve itself.
///
/// # Cancel safety
/// Dropping the future drops `exchange`, and so does a limit that passes.
pub(crate) async fn within_head<T>(
    exchange: impl Future<Output = Result<T, TransportError>>,
    started: impl Future<Output = ()>,
    head: Duration,
) -> Result<T, TransportError> {
    let mut exchange = pin!(exchange);
    let mut limit = pin!(async {
        started.await;
        sleep(head).await;
    });
    poll_fn(|cx| {
        if let Poll::Ready(result) = exchange.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        ready!(limit.as_mut().poll(cx));
        Poll::Ready(Err(TransportError::new(ErrorKind::Timeout(Phase::Head))))
    })
    .await
}

/// A body that ends with an error when its peer has been silent for too long, and lets go of what is below it as soon as
/// it has ended, however it ends.
pub(crate) struct Limited<S> {
    body: Option<S>,
    idle: Option<Idle>,
}

/// The timer of one body.
struct Idle {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    is_armed: bool,
}

impl<S> Limited<S> {
    pub(crate) fn new(body: S, idle: Option<Duration>) -> Self {
        let idle = idle.map(|limit| Idle { limit, timer: None, is_armed: false });
        Self { body: Some(body), idle }
    }
}

impl Idle {
    /// Ready once the silence has lasted for the limit.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.is_armed {
            timer.as_mut().reset(Instant::now() + limit);
            self.is_armed = true;
        }
        timer.as_mut().poll(cx)
    }
}

impl<S> Stream for Limited<S>
where
    S: Stream<Item = Result<Bytes, TransportError>> + Unpin,
{
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(body) = this.body.as_mut() else { return Poll::Ready(None) };
        let item = match Pin::new(body).poll_next(cx) {
            Poll::Ready(item) => item,
            Poll::Pending => {
                let Some(idle) = this.idle.as_mut() else { return Poll::Pending };
                ready!(idle.poll_silence(cx));
                Some(Err(TransportError::new(ErrorKind::Timeout(Phase::Body))))
            }
        };
        if let Some(idle) = this.idle.as_mut() {
            idle.is_armed = false;
        }
        if !matches!(item, Some(Ok(_))) {
            this.body = None;
        }
        Poll::Ready(item)
    }
}
