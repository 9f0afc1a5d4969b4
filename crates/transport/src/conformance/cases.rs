//! The cases. Each is a rule; each panics when the rule does not hold.

#![expect(
    clippy::missing_panics_doc,
    reason = "every case panics when its rule does not hold, and for nothing else"
)]

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};

use super::{Answer, Ending, Next, Upstream};
use crate::{ErrorKind, Phase, Pool, Request, Response, ResponseBody, Sent, Transport, TransportError};

/// A limit that has to pass on a socket: short, because the case waits for it.
const SHORT: Duration = Duration::from_millis(50);
/// A limit that must not pass.
const LONG: Duration = Duration::from_secs(30);
/// More than any pair of socket buffers holds, and more than any transport may hold for a reader that sleeps.
const MUCH: u64 = 256 << 20;

fn post(upstream: &dyn Upstream) -> Request {
    let mut request = Request::new(Method::POST, upstream.url(), Arc::new(Pool::new("conformance")));
    request.body = "{}".into();
    request
}

async fn answered(transport: &dyn Transport, request: Request) -> Response {
    match transport.send(request).await {
        Ok(response) => response,
        Err(error) => panic!("an answer was due, not {error:?}"),
    }
}

async fn failed(transport: &dyn Transport, request: Request) -> TransportError {
    match transport.send(request).await {
        Ok(response) => panic!("an error was due, not {response:?}"),
        Err(error) => error,
    }
}

async fn read(body: &mut ResponseBody) -> (Vec<u8>, Option<TransportError>) {
    let mut bytes = Vec::new();
    loop {
        match body.chunk().await {
            None => return (bytes, None),
            Some(Ok(chunk)) => bytes.extend_from_slice(&chunk),
            Some(Err(error)) => return (bytes, Some(error)),
        }
    }
}

async fn read_whole(mut body: ResponseBody) -> Vec<u8> {
    let (bytes, error) = read(&mut body).await;
    assert!(error.is_none(), "a proper end was due, not {error:?}");
    bytes
}

/// Polls `work` until `signal` is there, then drops it.
async fn drop_at<T>(work: impl Future<Output = T>, signal: impl Future) {
    let mut work = pin!(work);
    let mut signal = pin!(signal);
    poll_fn(|cx| {
        assert!(work.as_mut().poll(cx).is_pending(), "nothing can have come of this yet");
        signal.as_mut().poll(cx).map(|_| ())
    })
    .await;
}

/// Method, path, query, headers and body arrive unchanged, the body with its length, and once.
pub async fn a_request_arrives_as_it_was_made(transport: &dyn Transport, upstream: &dyn Upstream) {
    upstream.prepare(Next::Answer(Answer::new(StatusCode::OK)));
    let mut request = post(upstream);
    request.url.set_path("/v1/chat%20completions");
    request.url.set_query(Some("api-version=1&q=%C3%A9"));
    request.headers.insert("x-outrigger", HeaderValue::from_static("two words"));
    request.headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer key"));
    let slices = ["{\"model\":", "", "\"m\"", "}"].map(|slice| Bytes::from_static(slice.as_bytes()));
    request.body = crate::Body::from_slices(slices);

    let response = answered(transport, request).await;
    assert_eq!(response.status, StatusCode::OK);
    assert!(read_whole(response.body).await.is_empty());

    let received = upstream.received().await;
    assert_eq!(received.method, Method::POST);
    assert_eq!(received.target, "/v1/chat%20completions?api-version=1&q=%C3%A9");
    assert_eq!(received.headers.get("x-outrigger"), Some(&HeaderValue::from_static("two words")));
    assert_eq!(received.headers.get(header::AUTHORIZATION), Some(&HeaderValue::from_static("Bearer key")));
    assert_eq!(received.body, "{\"model\":\"m\"}");
    assert_eq!(upstream.waiting(), 0, "sent once");
}

/// A thousand slices arrive as one body.
pub async fn a_body_of_many_slices_arrives_whole(transport: &dyn Transport, upstream: &dyn Upstream) {
    upstream.prepare(Next::Answer(Answer::new(StatusCode::OK)));
    let slices: Vec<Bytes> = (0..1000).map(|n| Bytes::from(format!("{n:0>512}"))).collect();
    let mut request = post(upstream);
    request.body = crate::Body::from_slices(slices);
    let whole = request.body.to_bytes();
    let response = answered(transport, request).await;
    read_whole(response.body).await;
    let received = upstream.received().await;
    assert!(received.body == whole, "{} bytes arrived of {}", received.body.len(), whole.len());
}

/// A status is no error, whatever it is.
pub async fn any_status_is_an_answer(transport: &dyn Transport, upstream: &dyn Upstream) {
    for code in [200, 201, 400, 401, 404, 408, 421, 425, 429, 500, 502, 503, 504, 529] {
        let Ok(status) = StatusCode::from_u16(code) else { panic!("{code} is a status") };
        upstream.prepare(Next::Answer(Answer::new(status).chunk("why")));
        let response = answered(transport, post(upstream)).await;
        assert_eq!(response.status, status);
        assert_eq!(read_whole(response.body).await, b"why");
        upstream.received().await;
        assert_eq!(upstream.waiting(), 0, "{code} was sent again");
    }
}

/// A redirect is an answer like another: following it could carry a key elsewhere, or be billed twice.
pub async fn a_redirect_is_not_followed(transport: &dyn Transport, upstream: &dyn Upstream) {
    for code in [301, 302, 303, 307, 308] {
        let Ok(status) = StatusCode::from_u16(code) else { panic!("{code} is a status") };
        upstream.prepare(Next::Answer(Answer::new(status).header("location", "/elsewhere")));
        let response = answered(transport, post(upstream)).await;
        assert_eq!(response.status, status);
        assert_eq!(response.headers.get(header::LOCATION), Some(&HeaderValue::from_static("/elsewhere")));
        read_whole(response.body).await;
        upstream.received().await;
        assert_eq!(upstream.waiting(), 0, "{code} was followed");
    }
}

/// `content-encoding` and the bytes under it stay as they are, true or not.
pub async fn an_encoded_body_is_not_decoded(transport: &dyn Transport, upstream: &dyn Upstream) {
    let answer = Answer::new(StatusCode::OK).header("content-encoding", "gzip").chunk("\x1f not really gzip");
    upstream.prepare(Next::Answer(answer));
    let response = answered(transport, post(upstream)).await;
    assert_eq!(response.headers.get(header::CONTENT_ENCODING), Some(&HeaderValue::from_static("gzip")));
    assert_eq!(read_whole(response.body).await, b"\x1f not really gzip");
    upstream.received().await;
}

/// A header that comes twice is there twice, in order.
pub async fn a_repeated_header_is_kept(transport: &dyn Transport, upstream: &dyn Upstream) {
    let answer = Answer::new(StatusCode::OK).header("x-limit", "first").header("x-limit", "second");
    upstream.prepare(Next::Answer(answer));
    let response = answered(transport, post(upstream)).await;
    let values: Vec<&HeaderValue> = response.headers.get_all("x-limit").iter().collect();
    assert_eq!(values, ["first", "second"]);
    read_whole(response.body).await;
    upstream.received().await;
}

/// All chunks arrive, then the end.
pub async fn a_body_arrives_whole_and_in_order(transport: &dyn Transport, upstream: &dyn Upstream) {
    let chunks = (0..200).map(|n| format!("data: {n}\n\n"));
    let whole: String = chunks.clone().collect();
    let answer = chunks.fold(Answer::new(StatusCode::OK), Answer::chunk);
    upstream.prepare(Next::Answer(answer));
    let response = answered(transport, post(upstream)).await;
    assert_eq!(read_whole(response.body).await, whole.as_bytes());
    upstream.received().await;
}

/// Where nobody listens nothing was sent, and the error says so.
pub async fn a_refusal_sent_nothing(transport: &dyn Transport, upstream: &dyn Upstream) {
    let mut request = post(upstream);
    request.url = upstream.refusing_url();
    let error = failed(transport, request).await;
    assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
    assert_eq!(error.sent(), Sent::No);
    assert!(!error.answered());
}

/// Neither a key in a header nor one in the query gets into an error's words.
pub async fn an_error_keeps_secrets(transport: &dyn Transport, upstream: &dyn Upstream) {
    let mut request = post(upstream);
    request.url = upstream.refusing_url();
    request.url.set_query(Some("key=sesame"));
    request.headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer sesame"));
    let error = failed(transport, request).await;
    let words = format!("{error} {error:?}");
    assert!(!words.contains("sesame"), "{words}");
}

/// A connection that breaks before the head is an error that may have been sent, and was sent once.
pub async fn a_reset_is_not_retried(transport: &dyn Transport, upstream: &dyn Upstream) {
    upstream.prepare(Next::Reset);
    let error = failed(transport, post(upstream)).await;
    assert_eq!(error.kind(), ErrorKind::Reset, "{error:?}");
    assert_eq!(error.sent(), Sent::Maybe);
    assert!(!error.answered());
    upstream.received().await;
    assert_eq!(upstream.waiting(), 0, "a reset was retried");
}

/// What is not HTTP is called so, and counts as an answer begun.
pub async fn nonsense_is_a_protocol_violation(transport: &dyn Transport, upstream: &dyn Upstream) {
    upstream.prepare(Next::Nonsense);
    let error = failed(transport, post(upstream)).await;
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
    assert_eq!(error.sent(), Sent::Maybe);
    assert!(error.answered());
    upstream.received().await;
    assert_eq!(upstream.waiting(), 0, "nonsense was retried");
}

/// A cut body gives what came, then an error: never a clean end.
pub async fn a_cut_body_ends_with_an_error(transport: &dyn Transport, upstream: &dyn Upstream) {
    upstream.prepare(Next::Answer(Answer::new(StatusCode::OK).chunk("half a sen").ending(Ending::Cut)));
    let mut response = answered(transport, post(upstream)).await;
    let (bytes, error) = read(&mut response.body).await;
    assert_eq!(bytes, b"half a sen");
    let Some(error) = error else { panic!("a cut body must not end cleanly") };
    assert_eq!(error.kind(), ErrorKind::Cut, "{error:?}");
    assert_eq!(error.sent(), Sent::Maybe);
    assert!(error.answered());
    upstream.received().await;
}

/// A silent upstream is left at the head limit, and hears it.
pub async fn silence_ends_at_the_head_limit(transport: &dyn Transport, upstream: &dyn Upstream) {
    for body in ["{}", ""] {
        upstream.prepare(Next::Silence);
        let mut request = post(upstream);
        request.body = body.into();
        request.timeouts.head = Some(SHORT);
        let error = failed(transport, request).await;
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Head), "{error:?}");
        assert_eq!(error.sent(), Sent::Maybe);
        assert!(!error.answered());
        upstream.received().await;
        upstream.hung_up().await;
    }
}

/// A body that stalls gives what came, then the idle limit's error; the upstream hears of it.
pub async fn a_stalled_body_ends_at_the_idle_limit(transport: &dyn Transport, upstream: &dyn Upstream) {
    upstream.prepare(Next::Answer(Answer::new(StatusCode::OK).chunk("well,").ending(Ending::Stall)));
    let mut request = post(upstream);
    request.timeouts.idle = Some(SHORT);
    let mut response = answered(transport, request).await;
    let (bytes, error) = read(&mut response.body).await;
    assert_eq!(bytes, b"well,");
    let Some(error) = error else { panic!("a stalled body must not end cleanly") };
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Body), "{error:?}");
    assert!(error.answered());
    upstream.received().await;
    // The body is still held here: the limit itself has hung up.
    upstream.hung_up().await;
}

/// Limits that do not pass change nothing.
pub async fn a_steady_body_outlives_the_idle_limit(transport: &dyn Transport, upstream: &dyn Upstream) {
    let answer = (0..50).fold(Answer::new(StatusCode::OK), |answer, _| answer.chunk("tick "));
    upstream.prepare(Next::Answer(answer));
    let mut request = post(upstream);
    request.timeouts.head = Some(LONG);
    request.timeouts.idle = Some(LONG);
    let response = answered(transport, request).await;
    assert_eq!(read_whole(response.body).await, b"tick ".repeat(50));
    upstream.received().await;
}

/// Dropping the future of `send` gives the exchange up.
pub async fn a_dropped_send_hangs_up(transport: &dyn Transport, upstream: &dyn Upstream) {
    upstream.prepare(Next::Silence);
    drop_at(transport.send(post(upstream)), upstream.received()).await;
    upstream.hung_up().await;
}

/// Dropping a body in its middle gives the exchange up.
pub async fn a_dropped_body_hangs_up(transport: &dyn Transport, upstream: &dyn Upstream) {
    upstream.prepare(Next::Answer(Answer::new(StatusCode::OK).chunk("once upon").ending(Ending::Stall)));
    let mut response = answered(transport, post(upstream)).await;
    assert!(matches!(response.body.chunk().await, Some(Ok(_))));
    upstream.received().await;
    drop(response);
    upstream.hung_up().await;
}

/// An upstream can be ahead of its reader by some buffers, no more.
pub async fn a_slow_reader_holds_the_upstream_back(transport: &dyn Transport, upstream: &dyn Upstream) {
    upstream.prepare(Next::Answer(Answer::new(StatusCode::OK).ending(Ending::Endless)));
    let mut response = answered(transport, post(upstream)).await;
    assert!(matches!(response.body.chunk().await, Some(Ok(_))));
    upstream.received().await;
    let written = upstream.held_back(MUCH).await;
    assert!(written < MUCH, "{written} bytes went out to a reader that does not read");
    drop(response);
    upstream.hung_up().await;
}
