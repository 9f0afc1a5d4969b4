//! Streams: bytes as they came, and an honest end.

use std::sync::Arc;

use outrigger::{CallError, wire::Class};
use sim::{Fault, World};
use transport::{Pool, Transport};

use crate::support::*;

/// What a region of a world nobody has asked before sends, byte for byte, in answer to `body`.
async fn sent_by(world: &World, region: &str, body: bytes::Bytes) -> Vec<u8> {
    let url = format!("{}/chat/completions", world.base_url(region).unwrap());
    let pool = Arc::new(Pool::new("straight"));
    let mut request = transport::Request::new(http::Method::POST, url.parse().unwrap(), pool);
    request.body = body.into();
    let mut response = world.transport().send(request).await.unwrap();
    let mut all = Vec::new();
    while let Some(chunk) = response.body.chunk().await {
        all.extend_from_slice(&chunk.unwrap());
    }
    all
}

/// A healthy stream passes through as the provider's bytes, to its `[DONE]`, with usage counted and priced.
#[tokio::test(start_paused = true)]
async fn a_healthy_stream_passes_through_whole() {
    let harbour = harbour();
    let mut stream = harbour.open_stream().await;
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await {
        all.extend_from_slice(&chunk.unwrap());
    }
    assert!(all.ends_with(b"data: [DONE]\n\n"));
    let summary = stream.summary();
    assert!(summary.usage.unwrap().output > 0);
    assert!(summary.cost_usd.unwrap() > 0.0);
    drop(stream);
    harbour.assert_idle();
    let region = REGIONS.into_iter().find(|region| harbour.count(region) == 1).unwrap();
    let body = harbour.received(region).first().unwrap().body.clone();
    let sent = sent_by(&World::article(7), region, body).await;
    assert_eq!(String::from_utf8(all), String::from_utf8(sent), "not a byte is changed");
}

/// **A cut stream never looks whole.** Cut, stalled or malformed after content, and so wherever the rest is sought: the caller
/// gets what came, whole frames only, and then an error that tells of the first break and lists all that was tried.
#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_ends_with_an_error() {
    for (fault, class) in [
        (Fault::Cut { after: 5 }, Class::Cut),
        (Fault::Stall { after: 5 }, Class::Stalled),
        (Fault::Malformed { after: 6 }, Class::Malformed),
    ] {
        let harbour = harbour();
        harbour.inject_everywhere(&fault);
        let (given, error) = harbour.read_stream().await;
        assert!(given.ends_with(b"\n\n"), "{fault:?}: a frame was given in part");
        assert!(!String::from_utf8_lossy(&given).contains("[DONE]"));
        let Some(CallError::Truncated { class: told, attempts, .. }) = error else {
            panic!("{fault:?}: {error:?}")
        };
        assert_eq!(told, class);
        assert!(attempts.iter().all(|attempt| attempt.class == Some(class)), "{fault:?}: {attempts:?}");
        assert_eq!(attempts.len() as u64, harbour.total());
        harbour.assert_idle();
    }
}

/// A stream that gave its finish reason is whole; the `[DONE]` that the provider forgot is supplied.
#[tokio::test(start_paused = true)]
async fn a_missing_done_is_supplied() {
    let harbour = harbour();
    harbour.inject_everywhere(&Fault::NoDone);
    let (given, error) = harbour.read_stream().await;
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
