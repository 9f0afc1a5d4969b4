//! How streams end: the finish reason, what may come behind it, and who stops reading when.

use http::{HeaderMap, StatusCode};
use outrigger::{CallError, Notice, Outcome, wire::Class};
use sim::{Fault, Step};
use tokio::time::Instant;

use crate::support::*;

const CONTENT: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ahoy\"},\"finish_reason\":null}]}\n\n";
const FINISH: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1,\"total_tokens\":4}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const BROKEN: &str = "data: {\"choices\":[{\"ind\n\n";
const ERROR: &str = "data: {\"error\":{\"message\":\"gone\",\"type\":\"server_error\"}}\n\n";

fn head() -> Step {
    let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, "text/event-stream".parse().unwrap())]);
    Step::Head { status: StatusCode::OK, headers }
}

fn chunk(frames: &[&str]) -> Step {
    Step::Chunk(frames.concat().into())
}

/// How the harbour's only call ended, and the tokens that it was told of.
fn ended(harbour: &Harbour) -> (Outcome, Option<u64>) {
    let mut ends = harbour.notices().into_iter().filter_map(|notice| match notice {
        Notice::CallEnded { outcome, usage, .. } => Some((outcome, usage.map(|usage| usage.output))),
        _ => None,
    });
    let end = ends.next().unwrap();
    assert!(ends.next().is_none(), "a call ends once");
    end
}

/// **No clean end without its finish.** A finish reason and garbage in one chunk: the caller gets all the content, and then
/// either the finish reason and `[DONE]`, or the error; the garbage it never gets.
#[tokio::test(start_paused = true)]
async fn garbage_behind_the_finish_reason_hides_nothing() {
    for last in [BROKEN, ERROR] {
        for tail in [vec![chunk(&[FINISH, last])], vec![chunk(&[FINISH]), chunk(&[last])]] {
            let harbour = harbour();
            let one_by_one = tail.len() == 2;
            harbour.answer_next(&[vec![head(), chunk(&[CONTENT])], tail, vec![Step::End]].concat());
            let (given, error) = harbour.read_stream().await;
            let given = String::from_utf8(given.to_vec()).unwrap();
            assert!(given.starts_with(CONTENT), "{given}");
            assert!(!given.contains(last), "{given}");
            match error {
                None => assert_eq!(given, [CONTENT, FINISH, DONE].concat()),
                Some(CallError::Truncated { .. }) => assert!(!given.contains(DONE), "{given}"),
                Some(error) => panic!("{error}"),
            }
            assert!(!one_by_one || given.contains(FINISH), "what was whole stays whole");
            harbour.assert_idle();
        }
    }
}

/// **A polite end is no end.** A body that ends properly after content, without a finish reason, with usage or without it,
/// is a cut stream: the caller gets what came, and then the error. Fails if the end of the body is taken for the answer's.
#[tokio::test(start_paused = true)]
async fn a_polite_end_without_a_finish_reason_is_an_error() {
    for tail in [vec![], vec![chunk(&[USAGE])]] {
        let harbour = harbour();
        harbour.answer_next(&[vec![head(), chunk(&[CONTENT])], tail, vec![Step::End]].concat());
        let (given, error) = harbour.read_stream().await;
        assert!(given.starts_with(CONTENT.as_bytes()));
        assert!(!given.ends_with(DONE.as_bytes()), "a cut stream looks whole");
        assert!(matches!(error, Some(CallError::Truncated { .. })), "{error:?}");
        assert_eq!(ended(&harbour).0, Outcome::Truncated);
        harbour.assert_idle();
    }
}

/// Garbage in one chunk with content and nothing behind it is an error, never an end.
#[tokio::test(start_paused = true)]
async fn garbage_without_a_finish_reason_is_an_error() {
    let harbour = harbour();
    harbour.answer_next(&[
        head(),
        chunk(&[CONTENT]),
        chunk(&[CONTENT, BROKEN]),
        chunk(&[FINISH, DONE]),
        Step::End,
    ]);
    let (given, error) = harbour.read_stream().await;
    assert!(matches!(error, Some(CallError::Truncated { .. })), "{error:?}");
    let given = String::from_utf8(given.to_vec()).unwrap();
    assert!(given.starts_with(CONTENT) && !given.contains(BROKEN) && !given.contains("[DONE]"), "{given}");
    assert_eq!(ended(&harbour).0, Outcome::Truncated);
    harbour.assert_idle();
}

/// **The end comes.** Behind the finish reason two seconds are left for usage and `[DONE]`: silence and comments alike end
/// the stream then, well and with its `[DONE]`.
#[tokio::test(start_paused = true)]
async fn nothing_holds_a_finished_stream_open() {
    let comments = Step::Repeat { every: secs(1), bytes: ": keep-alive\n\n".into() };
    for last in [comments, Step::Hold] {
        let harbour = harbour();
        harbour.answer_next(&[
            head(),
            chunk(&[CONTENT]),
            Step::Wait(secs(1)),
            chunk(&[FINISH]),
            last.clone(),
        ]);
        let began = Instant::now();
        let (given, error) = harbour.read_stream().await;
        assert!(error.is_none(), "{last:?}: {error:?}");
        let took = began.elapsed();
        assert!(took >= secs(1) && took <= ms(3_100), "{last:?}: the end came after {took:?}");
        assert!(given.ends_with(DONE.as_bytes()));
        assert_eq!(ended(&harbour).0, Outcome::Ok);
        harbour.assert_idle();
    }
}

/// Usage that comes late, but within its two seconds, is passed on and counted.
#[tokio::test(start_paused = true)]
async fn usage_behind_the_finish_reason_is_waited_for() {
    let harbour = harbour();
    let late = [Step::Wait(ms(1_500)), chunk(&[USAGE]), chunk(&[DONE]), Step::End];
    harbour.answer_next(&[&[head(), chunk(&[CONTENT]), chunk(&[FINISH])][..], &late].concat());
    let (given, error) = harbour.read_stream().await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(given, [CONTENT, FINISH, USAGE, DONE].concat());
    assert_eq!(ended(&harbour), (Outcome::Ok, Some(1)));
}

/// **Who has read `[DONE]` has the answer.** Most clients stop there and never ask for the end: the call is a success, with
/// its usage, and charged to nobody.
#[tokio::test(start_paused = true)]
async fn a_stream_dropped_behind_its_done_is_a_success() {
    let harbour = harbour();
    let mut stream = harbour.open_stream().await;
    let mut all = Vec::new();
    while !all.ends_with(DONE.as_bytes()) {
        all.extend_from_slice(&stream.next().await.unwrap().unwrap());
    }
    drop(stream);
    let (outcome, tokens) = ended(&harbour);
    assert_eq!(outcome, Outcome::Ok);
    assert!(tokens.unwrap() > 0);
    for notice in harbour.notices() {
        assert!(!matches!(notice, Notice::AttemptEnded { class: Some(_), .. }), "{notice:?}");
    }
    assert!(harbour.client.deployments().iter().all(|deployment| deployment.failures == 0));
    harbour.assert_idle();
}

/// **Who is cut off has not gone away.** A stream that its server ends is truncated, and nothing more comes of it; no provider is charged. Fails
/// if it counts as its caller's doing.
#[tokio::test(start_paused = true)]
async fn a_stream_that_its_server_ends_is_truncated() {
    let harbour = harbour();
    let mut stream = harbour.open_stream().await;
    for _ in 0..3 {
        stream.next().await.unwrap().unwrap();
    }
    stream.cut_off();
    assert!(stream.next().await.is_none());
    drop(stream);
    assert_eq!(ended(&harbour), (Outcome::Truncated, None));
    assert!(harbour.client.deployments().iter().all(|deployment| deployment.failures == 0));
    harbour.assert_idle();
}

/// **Who has no more time says so.** A call that its server ends before its answer has failed, was not given up by its caller, and is
/// charged to nobody; its error says what was tried. Fails if it counts as its caller's doing, or as a silence of the provider's.
#[tokio::test(start_paused = true)]
async fn a_call_that_its_server_ends_has_failed() {
    let harbour = harbour();
    harbour.inject_everywhere(&Fault::Silent);
    let error = harbour.client.send_until(stream_request(), tokio::time::sleep(ms(300))).await.unwrap_err();
    assert!(matches!(error, CallError::CutOff { .. }), "{error}");
    assert_eq!(
        (error.code(), error.status(), error.retry_in()),
        ("draining", StatusCode::SERVICE_UNAVAILABLE, Some(secs(1)))
    );
    let classes: Vec<_> = error.attempts().iter().map(|attempt| attempt.class).collect();
    assert_eq!(classes, [Some(Class::Cancelled)]);
    assert_eq!(ended(&harbour), (Outcome::Error, None));
    assert!(harbour.client.deployments().iter().all(|deployment| deployment.failures == 0));
    harbour.assert_idle();
}

/// One that is dropped before its finish reason was given up by its caller, and says so.
#[tokio::test(start_paused = true)]
async fn a_stream_dropped_amid_its_content_is_cancelled() {
    let harbour = harbour();
    let mut stream = harbour.open_stream().await;
    for _ in 0..3 {
        stream.next().await.unwrap().unwrap();
    }
    drop(stream);
    assert_eq!(ended(&harbour), (Outcome::Cancelled, None));
    harbour.assert_idle();
}

/// Who reads slowly is not cut off: while nobody asks, the silence is the caller's own.
#[tokio::test(start_paused = true)]
async fn a_caller_that_reads_slowly_gets_it_all() {
    let harbour = harbour();
    let late = [Step::Wait(secs(70)), chunk(&[CONTENT]), chunk(&[FINISH, DONE]), Step::End];
    harbour.answer_next(&[&[head(), chunk(&[CONTENT])][..], &late].concat());
    let mut stream = harbour.open_stream().await;
    assert_eq!(stream.next().await.unwrap().unwrap(), CONTENT);
    tokio::time::sleep(secs(60)).await;
    let rest = stream.collect().await.unwrap();
    assert_eq!(rest, [CONTENT, FINISH, DONE].concat());
    assert_eq!(ended(&harbour).0, Outcome::Ok);
}
