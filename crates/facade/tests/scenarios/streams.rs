//! Streams: bytes as they came, and an honest end.

use std::sync::Arc;

use bytes::Bytes;
use outrigger::{AnswerBody, CallError, Request, wire::Class};
use sim::Fault;

use crate::support::*;

fn stream_request() -> Request {
    Request::chat(
        r#"{"model":"chat","messages":[{"role":"user","content":"How high is the swell?"}],"stream":true,"stream_options":{"include_usage":true}}"#,
    )
    .unwrap()
}

async fn read(harbour: &Harbour) -> (Bytes, Option<CallError>) {
    let answer = harbour.client.send(stream_request()).await.unwrap();
    let AnswerBody::Stream(mut stream) = answer.body else { panic!("not a stream") };
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => all.extend_from_slice(&chunk),
            Err(error) => return (all.into(), Some(error)),
        }
    }
    (all.into(), None)
}

/// A healthy stream passes through as the provider's bytes, to its `[DONE]`, with usage counted and priced.
#[tokio::test(start_paused = true)]
async fn a_healthy_stream_passes_through_whole() {
    let harbour = harbour();
    let answer = harbour.client.send(stream_request()).await.unwrap();
    let AnswerBody::Stream(mut stream) = answer.body else { panic!("not a stream") };
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await {
        all.extend_from_slice(&chunk.unwrap());
    }
    assert!(all.ends_with(b"data: [DONE]\n\n"));
    let summary = stream.summary();
    assert!(summary.usage.unwrap().output > 0);
    assert!(summary.cost_usd.unwrap() > 0.0);
    let sent: u64 =
        REGIONS.iter().flat_map(|region| harbour.received(region)).map(|one| one.bytes_sent).sum();
    assert_eq!(sent, all.len() as u64, "not a byte more or less than was sent");
    drop(stream);
    harbour.assert_idle();
}

/// **A cut stream never looks whole.** Cut, stalled or malformed after content: the caller gets what came, whole frames
/// only, and then an error.
#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_ends_with_an_error() {
    for (fault, class) in [
        (Fault::Cut { after: 5 }, Class::Cut),
        (Fault::Stall { after: 5 }, Class::Stalled),
        (Fault::Malformed { after: 6 }, Class::Malformed),
    ] {
        let harbour = harbour();
        harbour.inject_everywhere(&fault);
        let (given, error) = read(&harbour).await;
        assert!(given.ends_with(b"\n\n"), "{fault:?}: a frame was given in part");
        assert!(!String::from_utf8_lossy(&given).contains("[DONE]"));
        let Some(CallError::Truncated { class: told, attempts, .. }) = error else {
            panic!("{fault:?}: {error:?}")
        };
        assert_eq!(told, class);
        assert_eq!(attempts.len(), 1, "after the commit point nothing is retried");
        harbour.assert_idle();
    }
}

/// A stream that gave its finish reason is whole; the `[DONE]` that the provider forgot is supplied.
#[tokio::test(start_paused = true)]
async fn a_missing_done_is_supplied() {
    let harbour = harbour();
    harbour.inject_everywhere(&Fault::NoDone);
    let (given, error) = read(&harbour).await;
    assert!(error.is_none(), "{error:?}");
    assert!(given.ends_with(b"data: [DONE]\n\n"));
}

/// Dropping a stream cancels the upstream request at once, and nothing is counted against the region.
#[tokio::test(start_paused = true)]
async fn a_dropped_stream_is_cancelled_upstream() {
    let harbour = harbour();
    let answer = harbour.client.send(stream_request()).await.unwrap();
    let region: Arc<str> = Arc::clone(&answer.route.region);
    drop(answer);
    tokio::task::yield_now().await;
    let received = harbour.received(&region);
    assert_eq!(received.len(), 1);
    assert!(was_left(received.first().unwrap()));
    harbour.assert_idle();
    let status = harbour.client.deployments().into_iter().find(|at| at.region == region).unwrap();
    assert_eq!(status.failures, 0);
}

/// Dropping a call before its answer cancels every attempt it has running.
#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_cancelled_upstream() {
    let harbour = harbour();
    harbour.inject_everywhere(&Fault::Silent);
    let call = harbour.client.send(stream_request());
    assert!(tokio::time::timeout(secs(15), call).await.is_err());
    tokio::task::yield_now().await;
    assert!(harbour.total() >= 1);
    for region in REGIONS {
        assert!(harbour.received(region).iter().all(was_left));
    }
    harbour.assert_idle();
}
