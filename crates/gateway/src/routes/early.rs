//! Streams whose status leaves early, for proxies that cut a connection on which nothing moves.
//!
//! Status and headers wait for the first content, so that a failover can be had until then, and a slow first token is a long
//! silence. Where `server.early_status` is a duration, a stream that has no content by then is committed to 200; what its headers
//! would have told comes in the stream. Comments keep it moving: one at once, and one whenever nothing else has moved for as
//! long again. Where it came from is the last comment, `: outrigger {...}`, since only then all is known. What fails is an error
//! frame and an abort, as after the first content of any stream. SDKs skip comments.
//!
//! A plain answer cannot be begun before it is known, so it waits as ever.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::Frame;
use outrigger::{AnswerBody, AttemptRecord, Route};
use serde::Serialize;
use tokio::time::{Sleep, sleep, timeout};

use super::{
    call::{Answered, Parcel},
    provenance::{ToldInBand, UPSTREAM_REQUEST_ID, own_time},
    stream::{Aborted, StreamBody},
};

const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// The answer to a stream's request: as ever when it is there in time, else begun without it.
pub(crate) async fn answer(
    asked: impl Future<Output = Answered> + Send + 'static,
    after: Duration,
    parcel: Parcel,
) -> Response {
    let mut asked: Asked = Box::pin(asked);
    match timeout(after, &mut asked).await {
        Ok(answered) => parcel.deliver(answered),
        Err(_) => {
            let body = EarlyBody {
                state: State::Waiting(asked, Some(Box::new(parcel))),
                every: after,
                // The first is due at once.
                due: Box::pin(sleep(Duration::ZERO)),
            };
            let mut response = Response::new(Body::new(body));
            response.headers_mut().insert(header::CONTENT_TYPE, EVENT_STREAM);
            response.headers_mut().insert(header::CACHE_CONTROL, NO_CACHE);
            response.extensions_mut().insert(ToldInBand);
            response
        }
    }
}

type Asked = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// The body of a stream that was begun before its content.
///
/// # Drop
/// Cancels the upstream request, and gives the caller's place back.
struct EarlyBody {
    state: State,
    every: Duration,
    /// When something has to move again.
    due: Pin<Box<Sleep>>,
}

enum State {
    Waiting(Asked, Option<Box<Parcel>>),
    Flowing {
        body: Box<StreamBody>,
        source: Bytes,
    },
    /// All is given but where it came from.
    Last(Bytes),
    Ended,
}

impl EarlyBody {
    /// Something moves now; the next comment is due later.
    fn moved(&mut self) {
        self.due.as_mut().reset(tokio::time::Instant::now() + self.every);
    }

    /// What the answer, or the lack of one, comes to; with the first bytes of it where there are some.
    fn begin(&mut self, answered: Answered, parcel: Parcel) -> Option<Bytes> {
        let Parcel { gateway, seat, way, began } = parcel;
        match answered {
            Ok(answer) => {
                gateway.watch.metrics().overhead(own_time(began.elapsed(), &answer.attempts));
                let source = comment(Some(&answer.route), answer.attempts.len(), &answer.headers);
                match answer.body {
                    AnswerBody::Whole { bytes, .. } => {
                        self.state = State::Last(source);
                        Some(seat.around(bytes))
                    }
                    AnswerBody::Stream(stream) => {
                        let body = StreamBody::new(stream, &answer.headers, way, &gateway.phases, seat);
                        self.state = State::Flowing { body: Box::new(body), source };
                        None
                    }
                }
            }
            Err(failure) => {
                let attempts: &[AttemptRecord] = failure.attempts();
                let route = attempts.last().map(|record| &record.route);
                let mut last = comment(route, attempts.len(), &HeaderMap::new()).to_vec();
                last.extend_from_slice(&failure.frame(&way.hearer));
                let body = StreamBody::broken_off(way, &gateway.phases, seat);
                self.state = State::Flowing { body: Box::new(body), source: Bytes::new() };
                Some(last.into())
            }
        }
    }
}

impl http_body::Body for EarlyBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Waiting(asked, parcel) => {
                    let Poll::Ready(answered) = asked.as_mut().poll(cx) else { break };
                    let Some(parcel) = parcel.take() else { return Poll::Ready(None) };
                    if let Some(first) = this.begin(answered, *parcel) {
                        this.moved();
                        return Poll::Ready(Some(Ok(Frame::data(first))));
                    }
                }
                State::Flowing { body, source } => match Pin::new(&mut **body).poll_frame(cx) {
                    Poll::Ready(None) => this.state = State::Last(std::mem::take(source)),
                    Poll::Ready(frame) => {
                        this.moved();
                        return Poll::Ready(frame);
                    }
                    Poll::Pending if body.is_flowing() => break,
                    Poll::Pending => return Poll::Pending,
                },
                State::Last(source) => {
                    let source = std::mem::take(source);
                    this.state = State::Ended;
                    return Poll::Ready(Some(Ok(Frame::data(source))));
                }
                State::Ended => return Poll::Ready(None),
            }
        }
        // Whole frames alone pass, so a comment never stands amid one.
        ready!(this.due.as_mut().poll(cx));
        this.moved();
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(KEEP_ALIVE)))))
    }
}

/// What headers would have told.
#[derive(Serialize)]
struct Source<'a> {
    provider: Option<&'a str>,
    region: Option<&'a str>,
    model: Option<&'a str>,
    attempts: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_request_id: Option<&'a str>,
}

fn comment(route: Option<&Route>, attempts: usize, headers: &HeaderMap) -> Bytes {
    let source = Source {
        provider: route.map(|route| &*route.provider),
        region: route.map(|route| &*route.region),
        model: route.map(|route| &*route.model),
        attempts,
        upstream_request_id: headers.get(UPSTREAM_REQUEST_ID).and_then(|id| id.to_str().ok()),
    };
    // Strings and numbers always serialise, and JSON has no line's end in it.
    let json = serde_json::to_string(&source).unwrap_or_default();
    format!(": outrigger {json}\n\n").into()
}
