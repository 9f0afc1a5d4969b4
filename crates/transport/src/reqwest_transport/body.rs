//! Bodies on their way through reqwest: slices out, chunks in, nothing copied.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    vec,
};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::Notify;

use crate::{Body, ErrorKind, TransportError};

/// Told when a connection has taken the last byte of a request.
#[derive(Debug)]
pub(super) struct Taken(Notify);

impl Taken {
    /// Resolves when the request is with the connection; waits for ever when it never gets there.
    pub(super) async fn wait(taken: Arc<Self>) {
        taken.0.notified().await;
    }
}

/// The slices of a request, one frame each, with their exact length.
#[derive(Debug)]
pub(super) struct SlicesBody {
    slices: vec::IntoIter<Bytes>,
    remaining: u64,
    taken: Option<Arc<Taken>>,
}

impl SlicesBody {
    /// A body, and the word of its last byte if that `is_watched`.
    pub(super) fn new(body: Body, is_watched: bool) -> (Self, Option<Arc<Taken>>) {
        let taken = is_watched.then(|| Arc::new(Taken(Notify::new())));
        let remaining = body.slices().iter().map(|slice| slice.len() as u64).sum();
        (Self { slices: body.into_slices().into_iter(), remaining, taken: taken.clone() }, taken)
    }

    fn tell_if_over(&self) {
        if let (0, Some(taken)) = (self.remaining, &self.taken) {
            taken.0.notify_one();
        }
    }
}

impl HttpBody for SlicesBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let slice = self.slices.next();
        self.remaining -= slice.as_ref().map_or(0, |slice| slice.len() as u64);
        self.tell_if_over();
        Poll::Ready(slice.map(|slice| Ok(Frame::data(slice))))
    }

    /// hyper asks this when a connection takes the request up, and asks it of an empty body only then; so this is where
    /// an empty body tells that it has been taken.
    fn is_end_stream(&self) -> bool {
        self.tell_if_over();
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

/// An answer's body as a stream of its data frames. Trailers end unseen: no caller of this crate has a use for them.
#[derive(Debug)]
pub(super) struct AnswerBody(reqwest::Body);

impl AnswerBody {
    pub(super) fn new(body: reqwest::Body) -> Self {
        Self(body)
    }
}

impl Stream for AnswerBody {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
            let chunk = match frame {
                None => return Poll::Ready(None),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) => Ok(chunk),
                    Err(_trailers) => continue,
                },
                Some(Err(error)) => Err(TransportError::new(ErrorKind::Cut).with_source(error.without_url())),
            };
            return Poll::Ready(Some(chunk));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn slices_go_out_one_by_one_and_uncopied() {
        let slices =
            [Bytes::from_static(b"{\"model\":"), Bytes::from_static(b"\"m\""), Bytes::from_static(b"}")];
        let (mut body, taken) = SlicesBody::new(Body::from_slices(slices.clone()), false);
        assert!(taken.is_none());
        assert_eq!(body.size_hint().exact(), Some(13));
        let mut cx = Context::from_waker(Waker::noop());
        for slice in slices {
            let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut cx) else {
                panic!("a frame is due")
            };
            assert_eq!(frame.into_data().expect("data").as_ptr(), slice.as_ptr());
        }
        assert!(body.is_end_stream());
    }
}
