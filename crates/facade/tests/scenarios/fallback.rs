//! The application's own last resort: asked when nobody else answers, and marked in what it gives.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use outrigger::{AnswerBody, CallError, ClientBuilder, Fallback, Notice, Outcome, Request};
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
