//! Streams that break and are not rescued: what is told, and what is left alone.

use outrigger::{CallError, Notice, Outcome, RescueResult, wire::Class};
use serde_json::{Value, json};
use sim::{Fault, Region, Step, World, WorldBuilder};

use crate::{support::*, torn::*};

/// **Two answers are never made one.** A restart that says something else is dropped, and the caller told: nothing of it was
/// given, nobody is charged with it, and nobody else is asked. Fails if the join is made where the texts are only alike.
#[tokio::test(start_paused = true)]
async fn a_restart_that_differs_is_dropped_and_told() {
    let world = || {
        let regions = REGIONS.map(|name| Region::new(name).latency(ms(40)).varies_after(3));
        regions.into_iter().fold(World::builder().seed(7), WorldBuilder::region).build().unwrap()
    };
    let harbour = harbour_with(world(), config, |builder| builder);
    harbour.inject("us-east", Fault::Cut { after: 5 });
    let (given, error) = harbour.read_stream().await;
    let Some(CallError::Truncated { class: Class::Cut, attempts, .. }) = error else { panic!("{error:?}") };
    assert_eq!(
        attempts.iter().map(|attempt| attempt.class).collect::<Vec<_>>(),
        [Some(Class::Cut), Some(Class::Cancelled)]
    );
    assert_eq!(text(&given).split_whitespace().count(), 5, "nothing of the other answer is given");
    assert_eq!(harbour.total(), 2, "who does not repeat himself is not asked again");
    let elsewhere = &attempts[1].route.region;
    assert!(harbour.client.deployments().iter().all(|at| at.region != *elsewhere || at.failures == 0));
    assert_eq!(rescues(&harbour), [RescueResult::Failed]);
    let judged = |notice: &Notice| match notice {
        Notice::AttemptEnded { class, judged, .. } => Some((*class, *judged)),
        _ => None,
    };
    let judged: Vec<_> = harbour.notices().iter().filter_map(judged).collect();
    assert_eq!(judged, [(Some(Class::Cut), true), (Some(Class::Cancelled), false)]);
    harbour.assert_idle();

    // One that differs only behind the break is as good as the first.
    let harbour = harbour_with(world(), config, |builder| builder);
    harbour.inject("us-east", Fault::Cut { after: 3 });
    let text = harbour.ask_stream().await.unwrap();
    assert!(is_whole(&text), "{text}");
}

/// **An attempt has one class**, for its caller and for those who watch: what the end of a stream's time stops was silent to the end.
/// Fails if a rescue's attempt is cancelled to the one and timed out to the other.
#[tokio::test(start_paused = true)]
async fn what_the_streams_end_stops_in_a_rescue_is_a_timeout_to_all() {
    let harbour = changed(|config| {
        let timeouts = &mut config.models[0].1.timeouts;
        (timeouts.idle, timeouts.stream_max) = (secs(2), secs(3));
    });
    harbour.inject("us-east", Fault::Cut { after: 5 });
    harbour.inject("eu-west", Fault::Silent);
    harbour.inject("ap-southeast", Fault::Silent);
    let (_, error) = harbour.read_stream().await;
    let class = |notice: &Notice| match notice {
        Notice::AttemptEnded { class, .. } => Some(*class),
        _ => None,
    };
    let told: Vec<_> = harbour.notices().iter().filter_map(class).collect();
    assert_eq!(told, [Some(Class::Cut), Some(Class::Timeout)]);
    let error = error.unwrap();
    assert_eq!(told, error.attempts().iter().map(|attempt| attempt.class).collect::<Vec<_>>());
    harbour.assert_idle();
}

/// **What is not plain text is not rescued.** Tools, several choices, log probabilities, reasoning: the stream ends with the
/// error, and nobody else is asked.
#[tokio::test(start_paused = true)]
async fn what_is_not_plain_text_is_told_and_not_rescued() {
    let plain = json!({"model": "chat", "stream": true, "messages": [{"role": "user", "content": "ahoy"}]});
    let with = |name: &str, value: Value| {
        let mut body = plain.clone();
        body[name] = value;
        body
    };
    let tool = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
    for body in [with("tools", tool), with("n", json!(2)), with("logprobs", json!(true))] {
        let harbour = harbour_that(true);
        harbour.inject_everywhere(&Fault::Cut { after: 5 });
        let (given, error) = read(open(&harbour, &body).await).await;
        assert!(
            matches!(error, Some(CallError::Truncated { ref attempts, .. }) if attempts.len() == 1),
            "{error:?}"
        );
        assert!(!given.is_empty());
        assert_eq!((harbour.total(), rescues(&harbour).len()), (1, 0), "{body}");
    }
    let thought = "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n";
    let harbour = harbour_that(true);
    let begun = [thought.to_owned(), undisturbed().await[1].clone()];
    harbour.world.answer_next("us-east", spoilt(&begun, &[Step::Cut])).unwrap();
    let (_, error) = harbour.read_stream().await;
    assert!(matches!(error, Some(CallError::Truncated { .. })), "{error:?}");
    assert_eq!(harbour.total(), 1);
}

/// Who forbids rescues, or has nothing left to pay one with, is told of the break at once.
#[tokio::test(start_paused = true)]
async fn a_rescue_that_is_forbidden_or_unpaid_is_not_tried() {
    let forbidden = changed(|config| config.models[0].1.routing.rescue_streams = false);
    let unpaid = changed(|config| config.models[0].1.retry.budget = 0);
    for harbour in [forbidden, unpaid] {
        harbour.inject("us-east", Fault::Cut { after: 5 });
        let (given, error) = harbour.read_stream().await;
        let Some(CallError::Truncated { class: Class::Cut, attempts, .. }) = error else {
            panic!("{error:?}")
        };
        assert_eq!((attempts.len(), harbour.total()), (1, 1));
        assert_eq!(text(&given).split_whitespace().count(), 5);
        assert_eq!(ended(&harbour).0, Outcome::Truncated);
        harbour.assert_idle();
    }
}

/// **A region's fault everywhere is no storm.** When all streams are cut the caller is told, after at most as many attempts as
/// a request may make, and the error lists them all.
#[tokio::test(start_paused = true)]
async fn when_all_are_cut_the_caller_is_told() {
    for continues in [false, true] {
        let harbour = harbour_that(continues);
        harbour.inject_everywhere(&Fault::Cut { after: 5 });
        let (given, error) = harbour.read_stream().await;
        let Some(CallError::Truncated { class: Class::Cut, attempts, .. }) = error else {
            panic!("{error:?}")
        };
        assert_eq!(attempts.len() as u64, harbour.total());
        assert!(harbour.total() <= 4, "{}", harbour.total());
        assert!(attempts.iter().all(|attempt| attempt.class == Some(Class::Cut)), "{attempts:?}");
        assert!(!given.ends_with(b"data: [DONE]\n\n"), "a cut stream looks whole");
        assert_eq!(ended(&harbour).0, Outcome::Truncated);
        harbour.assert_idle();
    }
}

/// **A hang-up ends a rescue.** The caller leaves while the rest of its answer is sought: what runs for it is given up at once,
/// nothing is sent afterwards, and nobody is charged.
#[tokio::test(start_paused = true)]
async fn a_caller_who_hangs_up_during_a_rescue_cancels_it() {
    for (fault, continues) in
        [(Fault::Silent, false), (Fault::Silent, true), (Fault::Stall { after: 3 }, false)]
    {
        let harbour = harbour_that(continues);
        harbour.inject("us-east", Fault::Cut { after: 5 });
        for region in ["eu-west", "ap-southeast"] {
            harbour.inject(region, fault.clone());
        }
        let mut stream = harbour.open_stream().await;
        let waited = async {
            while let Some(chunk) = stream.next().await {
                drop(chunk.unwrap());
            }
        };
        assert!(tokio::time::timeout(secs(2), waited).await.is_err(), "the rest is sought");
        drop(stream);
        tokio::task::yield_now().await;
        assert_eq!(harbour.total(), 2);
        let elsewhere = REGIONS.into_iter().skip(1).find(|region| harbour.count(region) == 1).unwrap();
        assert!(harbour.received(elsewhere).iter().all(was_left), "{fault:?}");
        tokio::time::sleep(secs(120)).await;
        assert_eq!(harbour.total(), 2, "nothing is sent for a caller who has left");
        assert_eq!(ended(&harbour).0, Outcome::Cancelled);
        assert!(harbour.client.deployments().iter().all(|at| &*at.region == "us-east" || at.failures == 0));
        harbour.assert_idle();
    }
}

/// Nothing is asked on behalf of a caller that does not read: the rescue waits for it, and it gets it all.
#[tokio::test(start_paused = true)]
async fn a_rescue_waits_for_a_caller_who_does_not_read() {
    let whole = undisturbed().await;
    let harbour = harbour_that(false);
    harbour.inject("us-east", Fault::Cut { after: 5 });
    let mut stream = harbour.open_stream().await;
    let mut given = stream.next().await.unwrap().unwrap().to_vec();
    tokio::time::sleep(secs(300)).await;
    assert_eq!(harbour.total(), 1);
    given.extend_from_slice(&stream.collect().await.unwrap());
    assert_mended(&given, &whole, 6, 1);
}

/// **Every stream has an end.** Past its longest life a stream is not rescued, and a rescue that outlives it is over.
#[tokio::test(start_paused = true)]
async fn a_rescue_ends_with_the_streams_longest_life() {
    let harbour = changed(|config| {
        (config.models[0].1.timeouts.idle, config.models[0].1.timeouts.stream_max) = (secs(2), secs(5));
    });
    harbour.inject("us-east", Fault::Cut { after: 5 });
    for region in ["eu-west", "ap-southeast"] {
        harbour.inject(region, Fault::Silent);
    }
    let began = tokio::time::Instant::now();
    let (_, error) = harbour.read_stream().await;
    assert!(matches!(error, Some(CallError::Truncated { class: Class::Cut, .. })), "{error:?}");
    assert!(began.elapsed() <= ms(5_100), "{:?}", began.elapsed());
    assert_eq!(harbour.total(), 2);
    harbour.assert_idle();
}

/// **A cut that takes two hundred streams is no storm.** The budget of 500 pays for 35 rescues at 14 each: those streams are whole,
/// the others are told at once, and the regions that are well get one request for each that was paid, and no more.
#[tokio::test(start_paused = true)]
async fn two_hundred_streams_cut_at_one_instant_are_rescued_within_the_budget() {
    let harbour = harbour_that(false);
    harbour.inject("us-east", Fault::Cut { after: 5 });
    for region in ["eu-west", "ap-southeast"] {
        harbour.client.cordon("holysheep", region, None);
    }
    let streams = futures_util::future::join_all((0..200).map(|_| harbour.open_stream())).await;
    for region in ["eu-west", "ap-southeast"] {
        harbour.client.uncordon("holysheep", region, None);
    }
    let ends = futures_util::future::join_all(streams.into_iter().map(read)).await;
    for (given, error) in &ends {
        let whole = is_whole(&text(given)) && given.ends_with(b"data: [DONE]\n\n");
        assert_eq!(whole, error.is_none(), "whole or told: {error:?}");
        let told = matches!(error, Some(CallError::Truncated { attempts, .. }) if attempts.len() == 1);
        assert!(whole || told, "{error:?}");
    }
    let rescued = ends.iter().filter(|(_, error)| error.is_none()).count();
    assert_eq!((rescued, harbour.count("us-east"), harbour.total()), (35, 200, 235));
    harbour.assert_idle();
}
