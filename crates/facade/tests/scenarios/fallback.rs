//! The application's own last resort: asked when nobody else answers, and marked in what it gives.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use outrigger::{AnswerBody, CallError, ClientBuilder, Fallback, FallbackResult, Notice, Outcome, Request};
use sim::Fault;

use crate::support::*;

/// A client whose last resort says that it is sorry, and counts how often it is asked.
fn sorry(asked: &Arc<AtomicU32>) -> impl FnOnce(ClientBuilder) -> ClientBuilder + use<> {
    let asked = Arc::clone(asked);
    move |builder| {
        builder.on_exhausted(move |request: &Request, error: &CallError| {
            asked.fetch_add(1, Ordering::Relaxed);
            let text = format!("{} is out ({})", request.model(), error.code());
            async move { Some(Fallback::chat(text)) }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_answers_is_answered_by_the_application_and_says_so() {
    let asked = Arc::default();
    let harbour = harbour_with(alike(), config, sorry(&asked));
    harbour.inject_everywhere(&Fault::status(500));
    let answer = harbour.ask().await.unwrap();
    assert_eq!(answer.text, "chat is out (upstream_exhausted)");
    assert!(answer.fallback);
    assert_eq!((&*answer.route.provider, answer.cost_usd), ("fallback", None));
    assert!(!answer.attempts.is_empty() && answer.attempts.iter().all(|attempt| attempt.class.is_some()));
    // No provider's success: the regions are as ill as they were, and the call counts as failed.
    assert!(harbour.client.deployments().iter().any(|at| at.failures > 0));
    let notices = harbour.notices();
    assert!(notices.iter().any(|notice| matches!(notice, Notice::CallEnded { outcome: Outcome::Error, .. })));
    assert!(
        matches!(notices.last(), Some(Notice::Fallback { code: "upstream_exhausted", .. })),
        "{notices:?}"
    );
    harbour.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_stream_gets_it_as_a_stream() {
    let asked = Arc::default();
    let harbour = harbour_with(alike(), config, sorry(&asked));
    harbour.inject_everywhere(&Fault::Reset);
    let mut stream = harbour.client.chat("chat").user("ahoy").stream().await.unwrap();
    assert!(stream.is_fallback());
    assert_eq!(stream.next().await.unwrap().unwrap(), "chat is out (upstream_exhausted)");
    assert!(stream.next().await.is_none());
    let answer = harbour.client.send(stream_request()).await.unwrap();
    let AnswerBody::Whole { bytes, .. } = answer.body else { panic!("it is here already") };
    assert!(bytes.ends_with(b"data: [DONE]\n\n"));
    assert_eq!(answer.headers["content-type"], "text/event-stream");
}

/// **Only where it helps.** Not for an answer, not for a caller's own fault, and not after content.
#[tokio::test(start_paused = true)]
async fn it_is_not_asked_where_there_is_an_answer_or_a_fault_of_the_callers() {
    let asked = Arc::default();
    let harbour = harbour_with(alike(), config, sorry(&asked));
    assert!(!harbour.ask().await.unwrap().fallback);
    harbour.inject_everywhere(&Fault::ContextLength);
    assert_eq!(call_error(harbour.ask().await.unwrap_err()).code(), "rejected_by_provider");
    let unknown = Request::chat(r#"{"model":"gone","messages":[]}"#).unwrap();
    assert_eq!(harbour.client.send(unknown).await.unwrap_err().code(), "model_not_found");
    for region in REGIONS {
        harbour.world.clear(region).unwrap();
    }
    harbour.inject_everywhere(&Fault::Cut { after: 5 });
    assert!(matches!(harbour.read_stream().await.1, Some(CallError::Truncated { .. })));
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_declines_leaves_the_error_and_one_that_knows_json_gives_it() {
    let decline = |builder: ClientBuilder| builder.on_exhausted(|_: &Request, _: &CallError| async { None });
    let harbour = harbour_with(alike(), config, decline);
    harbour.inject_everywhere(&Fault::Reset);
    assert_eq!(call_error(harbour.ask().await.unwrap_err()).code(), "upstream_exhausted");
    let own = |builder: ClientBuilder| {
        builder.on_exhausted(|_: &Request, _: &CallError| async { Some(Fallback::json(r#"{"sorry":true}"#)) })
    };
    let harbour = harbour_with(alike(), config, own);
    harbour.inject_everywhere(&Fault::Reset);
    let body = r#"{"model":"chat","messages":[{"role":"user","content":"ahoy"}]}"#;
    let answer = harbour.client.send(Request::chat(body).unwrap()).await.unwrap();
    assert_eq!(answer.bytes().await.unwrap(), r#"{"sorry":true}"#);
}

fn results(harbour: &Harbour) -> Vec<FallbackResult> {
    let told = harbour.notices().into_iter().filter_map(|notice| match notice {
        Notice::Fallback { result, .. } => Some(result),
        _ => None,
    });
    told.collect()
}

fn broken(change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Harbour {
    let harbour = harbour_with(alike(), config, change);
    harbour.inject_everywhere(&Fault::Refuse);
    harbour
}

/// **The error is not lost.** Fails if an application that has nothing readable, or no time to say it, leaves its caller with
/// anything but the error, or keeps it waiting.
#[tokio::test(start_paused = true)]
async fn who_babbles_or_dawdles_leaves_the_error() {
    let babbles = |builder: ClientBuilder| builder.on_exhausted(|_, _| async { Some(Fallback::json("{}")) });
    let dawdles = |builder: ClientBuilder| builder.on_exhausted(|_, _| std::future::pending());
    for (harbour, result) in
        [(broken(babbles), FallbackResult::Unreadable), (broken(dawdles), FallbackResult::Late)]
    {
        let began = tokio::time::Instant::now();
        let error = harbour.client.send(stream_request()).await.unwrap_err();
        assert_eq!(error.code(), "upstream_exhausted");
        assert!(began.elapsed() < secs(7), "{result:?} took {:?}", began.elapsed());
        assert_eq!(results(&harbour), [result]);
        harbour.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn limits_a_passed_deadline_and_places_that_are_out_are_covered() {
    for (fault, code) in [
        (Fault::RateLimit { retry_after: Some(secs(30)) }, "rate_limit_exceeded"),
        (Fault::Silent, "deadline_exceeded"),
    ] {
        let harbour = harbour_with(alike(), config, sorry(&Arc::default()));
        harbour.inject_everywhere(&fault);
        let text = harbour.text_within(false, secs(20)).await.unwrap();
        assert_eq!(text, format!("chat is out ({code})"));
    }
    let harbour = harbour_with(alike(), config, sorry(&Arc::default()));
    for region in REGIONS {
        harbour.client.cordon("holysheep", region, None);
    }
    let answer = harbour.ask().await.unwrap();
    assert!(answer.fallback && answer.attempts.is_empty(), "nobody was there to be asked");
}

/// **Who cannot be served for want of room does not take more of it.** Fails if the application is asked when the client has too
/// much to do, or none at all any more.
#[tokio::test(start_paused = true)]
async fn it_is_not_asked_when_the_client_takes_no_more_calls() {
    let asked = Arc::default();
    let ask = sorry(&asked);
    let harbour = harbour_with(alike(), config, |builder| ask(builder.max_in_progress(1)));
    let first = harbour.open_stream().await;
    assert_eq!(call_error(harbour.ask().await.unwrap_err()).code(), "overloaded");
    drop(first);
    harbour.client.shutdown().await;
    assert_eq!(call_error(harbour.ask().await.unwrap_err()).code(), "draining");
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

/// It runs in its caller's task: a panic is that task's end, and the client's no more than a hang-up is.
#[tokio::test(start_paused = true)]
async fn one_that_panics_takes_nothing_along() {
    let harbour = broken(|builder| {
        builder.on_exhausted(|request: &Request, _: &CallError| {
            assert!(request.is_stream(), "no words for a plain answer");
            async { Some(Fallback::chat("ahoy")) }
        })
    });
    let client = harbour.client.clone();
    let asked = tokio::spawn(async move { client.chat("chat").user("hello").send().await.map(drop) });
    assert!(asked.await.unwrap_err().is_panic());
    assert_eq!(harbour.ask_stream().await.unwrap(), "ahoy");
    harbour.assert_idle();
    harbour.client.shutdown().await;
}

/// **A shutdown waits for it, a hang-up ends it.** Fails if a client closes over a caller's head, or goes on for one that left.
#[tokio::test(start_paused = true)]
async fn a_client_is_not_closed_while_the_application_is_asked() {
    let harbour = broken(|builder| {
        builder.on_exhausted(|_, _| async {
            tokio::time::sleep(secs(1)).await;
            Some(Fallback::chat("ahoy"))
        })
    });
    let client = harbour.client.clone();
    let mut asked = tokio::spawn(async move { client.chat("chat").user("hello").send().await });
    tokio::time::sleep(ms(900)).await;
    tokio::select! {
        biased;
        answered = &mut asked => assert!(answered.unwrap().unwrap().fallback),
        () = harbour.client.shutdown() => panic!("closed over a caller's head"),
    }
    let harbour = broken(|builder| builder.on_exhausted(|_, _| std::future::pending()));
    assert!(tokio::time::timeout(secs(1), harbour.ask()).await.is_err());
    harbour.client.shutdown().await;
    assert_eq!(results(&harbour), []);
}
