//! Each fault by its name, as a caller sees it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod common;

use common::{End, REGION, Seen, chat, deltas, in_memory, message, prefilled, world};
use outrigger_sim::{Fault, LAST_WORD, Outcome, When, World, answer_text};
use std::time::Duration;
use tokio::time::Instant;

/// A world with this fault, and what a caller gets from it.
async fn seen(fault: &str, stream: bool) -> (World, Seen) {
    let world = world();
    world.inject(REGION, fault.parse().unwrap(), When::always()).unwrap();
    let seen = in_memory(&world, &chat(stream), 4096 * 16).await;
    (world, seen)
}

/// The fault refuses with this status and code, in OpenAI's form.
async fn check_refusal(fault: &str, status: u16, kind: &str, code: Option<&str>) {
    for stream in [false, true] {
        let (world, seen) = seen(fault, stream).await;
        let error = &seen.json()["error"];
        assert_eq!((seen.end, seen.status), (End::Whole, status), "{fault}");
        assert_eq!((error["type"].as_str(), error["code"].as_str()), (Some(kind), code), "{fault}");
        assert_eq!(error.as_object().map(serde_json::Map::len), Some(4), "OpenAI's errors have four keys");
        let line = world.received(REGION).unwrap().pop().unwrap();
        assert_eq!((line.fault, line.status, line.outcome), (Some(fault), Some(status), Outcome::Answered));
    }
}

#[tokio::test(start_paused = true)]
async fn faults_that_refuse_say_why() {
    let invalid = "invalid_request_error";
    check_refusal("status", 500, "server_error", None).await;
    check_refusal("rate_limit", 429, "requests", Some("rate_limit_exceeded")).await;
    check_refusal("quota_spent", 429, "insufficient_quota", Some("insufficient_quota")).await;
    check_refusal("overloaded", 529, "overloaded_error", None).await;
    check_refusal("context_length", 400, invalid, Some("context_length_exceeded")).await;
    check_refusal("content_filter", 400, invalid, Some("content_filter")).await;
    check_refusal("bad_key", 401, invalid, Some("invalid_api_key")).await;
}

#[tokio::test(start_paused = true)]
async fn refusals_speak_the_dialect_of_the_path() {
    for (fault, kind) in
        [("overloaded", "overloaded_error"), ("rate_limit", "rate_limit_error"), ("status", "api_error")]
    {
        let world = world();
        world.inject(REGION, fault.parse().unwrap(), When::always()).unwrap();
        let json = in_memory(&world, &message(true), usize::MAX).await.json();
        assert_eq!((json["type"].as_str(), json["error"]["type"].as_str()), (Some("error"), Some(kind)));
    }
}

#[tokio::test(start_paused = true)]
async fn faults_of_connections_end_them_as_they_are_named() {
    for (fault, end) in [("refuse", End::Refused), ("reset", End::Reset), ("silent", End::Held)] {
        for stream in [false, true] {
            assert_eq!(seen(fault, stream).await.1.end, end, "{fault}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn cut_and_stall_give_a_beginning() {
    let whole = answer_text("ahoy", 20);
    for (fault, end) in [("cut", End::Cut), ("stall", End::Held)] {
        let (_, plain) = seen(fault, false).await;
        assert_eq!((plain.end, plain.status), (end, 200));
        assert!(serde_json::from_slice::<serde_json::Value>(&plain.body).is_err(), "half a document");
        let (_, stream) = seen(fault, true).await;
        let text = deltas(&stream.text());
        assert_eq!(stream.end, end);
        assert_eq!(text.split_whitespace().count(), 5);
        assert!(whole.starts_with(&text) && !text.contains(LAST_WORD));
    }
}

#[tokio::test(start_paused = true)]
async fn a_break_behind_the_last_token_still_breaks() {
    let world = world();
    world.inject(REGION, Fault::Cut { after: 1000 }, When::always()).unwrap();
    let seen = in_memory(&world, &chat(true), usize::MAX).await;
    assert_eq!((seen.end, deltas(&seen.text())), (End::Cut, answer_text("ahoy", 20)));
    assert!(!seen.text().contains("\"stop\""), "a finish reason would make the stream whole");
}

#[tokio::test(start_paused = true)]
async fn a_malformed_frame_is_the_nth() {
    let (_, seen) = seen("malformed", true).await;
    let text = seen.text();
    let frames = text.split("\n\n").filter_map(|frame| frame.strip_prefix("data: "));
    let broken: Vec<usize> = frames
        .enumerate()
        .filter(|(_, data)| *data != "[DONE]" && serde_json::from_str::<serde_json::Value>(data).is_err())
        .map(|(index, _)| index + 1)
        .collect();
    assert_eq!((seen.end, broken), (End::Whole, vec![3]));
    let (_, plain) = self::seen("malformed", false).await;
    assert_eq!(plain.end, End::Whole);
    assert!(serde_json::from_slice::<serde_json::Value>(&plain.body).is_err());
}

#[tokio::test(start_paused = true)]
async fn no_done_is_whole_but_for_its_last_frame() {
    let healthy = in_memory(&world(), &chat(true), usize::MAX).await.text();
    let (_, seen) = seen("no_done", true).await;
    assert_eq!((seen.end, seen.text() + "data: [DONE]\n\n"), (End::Whole, healthy));
}

#[tokio::test(start_paused = true)]
async fn empty_and_keepalives_hold_nothing() {
    for stream in [false, true] {
        let (_, empty) = seen("empty", stream).await;
        assert_eq!((empty.end, empty.status, empty.body.len()), (End::Whole, 200, 0));
        let started = Instant::now();
        let world = world();
        world.inject(REGION, Fault::KeepaliveForever, When::always()).unwrap();
        let kept = in_memory(&world, &chat(stream), 40).await;
        assert!(kept.text().lines().all(|line| line.is_empty() || line.starts_with(':')), "{}", kept.text());
        assert!(started.elapsed() > Duration::from_secs(2), "keep-alives come one a second");
    }
}

/// How long the whole answer takes in virtual time.
async fn duration(fault: Option<&str>, stream: bool) -> Duration {
    let world = world();
    fault.iter().for_each(|fault| world.inject(REGION, fault.parse().unwrap(), When::always()).unwrap());
    let started = Instant::now();
    assert_eq!(in_memory(&world, &chat(stream), usize::MAX).await.end, End::Whole);
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn slow_faults_delay_by_what_they_say() {
    for stream in [false, true] {
        // 35 ms to the head, and 19 ms for the tokens after the first.
        let near =
            |took: Duration, ms: u64| took.abs_diff(Duration::from_millis(ms)) <= Duration::from_millis(2);
        assert!(near(duration(None, stream).await, 54));
        assert!(near(duration(Some("slow"), stream).await, 540));
        assert!(near(duration(Some("slow_first_token"), stream).await, 5054));
        assert!(near(duration(Some("slow_tokens"), stream).await, 35 + 19 * 250));
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_and_another_fault_add_up() {
    let world = world();
    world.inject(REGION, Fault::status(503), When::always()).unwrap();
    world.inject(REGION, Fault::Slow { factor: 100.0 }, When::always()).unwrap();
    let started = Instant::now();
    assert_eq!(in_memory(&world, &chat(false), usize::MAX).await.status, 503);
    assert!(started.elapsed() >= Duration::from_millis(3500));
}

#[tokio::test(start_paused = true)]
async fn no_prefill_refuses_only_who_ends_with_the_assistant() {
    let world = world();
    world.inject(REGION, Fault::NoPrefill, When::always().first(1)).unwrap();
    assert_eq!(in_memory(&world, &chat(false), usize::MAX).await.status, 200);
    assert_eq!(in_memory(&world, &prefilled(chat(false)), usize::MAX).await.status, 400);
    assert_eq!(
        in_memory(&world, &prefilled(chat(false)), usize::MAX).await.status,
        200,
        "only the first was due"
    );
}

#[tokio::test(start_paused = true)]
async fn a_status_carries_what_it_was_given() {
    let world = world();
    let headers =
        vec![("x-amzn-errortype".into(), "Throttling".into()), ("bad name".into(), "left out".into())];
    let retry_after = Some(Duration::from_millis(1500));
    let fault = Fault::Status { code: 503, retry_after, body: Some("<html>".into()), headers };
    world.inject(REGION, fault, When::always()).unwrap();
    let seen = in_memory(&world, &chat(true), usize::MAX).await;
    assert_eq!((seen.status, seen.text().as_str()), (503, "<html>"));
    let header = |name: &str| seen.headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!((header("retry-after"), header("retry-after-ms")), (Some("2"), Some("1500")));
    assert_eq!(header("x-amzn-errortype"), Some("Throttling"));
}
