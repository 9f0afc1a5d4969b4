//! Half an answer: what comes cut, stalled, broken or empty is no answer, and the caller never sees it.

use futures_util::future::join_all;
use outrigger::{CallError, Request};
use sim::{Fault, Outcome, Region, World, WorldBuilder};
use tokio::time::Instant;

use crate::support::*;

fn halves() -> [Fault; 4] {
    [Fault::Cut { after: 5 }, Fault::Stall { after: 5 }, Fault::Malformed { after: 1 }, Fault::Empty]
}

/// **Half an answer is none.** A region sends half of each plain answer and then breaks, falls silent, or ends as if that were
/// all. Two hundred callers at once all get the whole one, from elsewhere, and none waits longer than its patience.
#[tokio::test(start_paused = true)]
async fn half_answers_under_two_hundred_calls_become_whole_ones() {
    for fault in halves() {
        let harbour = harbour_with(alike(), config, |builder| builder);
        harbour.inject("us-east", fault.clone());
        let began = Instant::now();
        for answer in join_all((0..200).map(|_| harbour.text_within(false, secs(30)))).await {
            assert!(is_whole(&answer.unwrap()), "{fault:?}");
        }
        let limit = if matches!(fault, Fault::Stall { .. }) { secs(16) } else { secs(1) };
        assert!(began.elapsed() <= limit, "{fault:?}: took {:?}", began.elapsed());
        let at_us_east = harbour.count("us-east");
        assert!(at_us_east >= 1 && harbour.total() <= 200 + at_us_east, "{fault:?}");
        harbour.assert_idle();
    }
}

/// Nobody but that region is left: the caller is told that it failed, and is never given the half.
#[tokio::test(start_paused = true)]
async fn half_answers_everywhere_are_an_error_and_not_an_answer() {
    for fault in halves() {
        let harbour = harbour();
        harbour.inject_everywhere(&fault);
        let error = call_error(harbour.text_within(false, secs(30)).await.unwrap_err());
        let told = matches!(error, CallError::Exhausted { .. } | CallError::DeadlineExceeded { .. });
        assert!(told, "{fault:?}: {error}");
        assert!(error.attempts().iter().all(|attempt| attempt.class.is_some()), "{error:?}");
        harbour.assert_idle();
    }
}

/// A region that gives halves is as sick as one that gives errors: steady traffic leaves it after a handful.
#[tokio::test(start_paused = true)]
async fn a_region_that_gives_halves_is_left_in_peace() {
    for fault in [Fault::Cut { after: 5 }, Fault::Malformed { after: 1 }, Fault::Empty] {
        let harbour = harbour();
        harbour.inject("us-east", fault.clone());
        for _ in 0..300 {
            assert!(is_whole(&harbour.ask().await.unwrap().text));
        }
        assert!(harbour.count("us-east") <= 10, "{fault:?}: asked {} times", harbour.count("us-east"));
    }
}

/// A long answer that breaks in its last part is thrown away whole: what is given is of one piece, with one id.
#[tokio::test(start_paused = true)]
async fn a_long_answer_that_breaks_late_is_given_anew_in_one_piece() {
    let regions = REGIONS.map(|name| Region::new(name).latency(ms(40)).tokens(5_000));
    let world = regions.into_iter().fold(World::builder().seed(7), WorldBuilder::region).build().unwrap();
    let harbour = harbour_with(world, config, |builder| builder);
    harbour.inject("us-east", Fault::Cut { after: 4_000 });
    let request = r#"{"model":"chat","messages":[{"role":"user","content":"All of it, please."}]}"#;
    let answer = harbour.client.send(Request::chat(request).unwrap()).await.unwrap();
    let bytes = answer.bytes().await.unwrap();
    let whole: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(text, sim::answer_text("All of it, please.", 5_000));
    let us_east = harbour.received("us-east");
    assert_eq!(us_east.len(), 1);
    assert_eq!(us_east.first().unwrap().outcome, Outcome::Cut);
}

/// **A keep-alive is no life.** A region that sends blanks or comments every second and never a word is left for another at the
/// patience, plain or streamed, and sees its caller go.
#[tokio::test(start_paused = true)]
async fn keep_alives_alone_hold_nobody() {
    for (stream, patience) in [(true, secs(2)), (false, secs(16))] {
        let harbour = harbour_with(alike(), config, |builder| builder);
        for _ in 0..20 {
            harbour.text(stream).await.unwrap();
        }
        let before = harbour.count("us-east");
        harbour.inject("us-east", Fault::KeepaliveForever);
        let began = Instant::now();
        assert!(is_whole(&harbour.text_within(stream, secs(30)).await.unwrap()));
        assert!(began.elapsed() <= patience, "stream {stream}: took {:?}", began.elapsed());
        assert_eq!(harbour.count("us-east"), before + 1);
        assert!(harbour.received("us-east").iter().rev().take(1).all(was_left));
        harbour.assert_idle();
    }
}
