//! A chat served by a deployment of another dialect: the caller sees OpenAI's form, whatever happens behind it.

use outrigger::{
    CallError, ChatError, Config, Notice, Request,
    config::{Model, Provider, Target},
    wire::Class,
};
use serde_json::Value;
use sim::{Fault, World};

use crate::support::*;

/// One public model at providers of Anthropic's dialect only.
fn anthropic(world: &World) -> Config {
    let mut provider = Provider::anthropic().api_key("sk-test-not-a-secret");
    for region in world.regions() {
        provider = provider.region(region, world.base_url(region).unwrap().as_str()).unwrap();
    }
    let mut config = Config::new().provider("claude", provider);
    config.routing.preferred_region = Some("us-east".to_owned());
    let mut model = Model::new([Target::new("claude", "claude-sonnet-4-5")]);
    model.routing = config.routing.clone();
    config.model("chat", model)
}

fn translating() -> Harbour {
    harbour_with(alike(), anthropic, |builder| builder)
}

#[tokio::test(start_paused = true)]
async fn a_chat_is_answered_in_its_own_form_and_asked_in_the_others() {
    let harbour = translating();
    let answer = harbour.ask().await.unwrap();
    assert!(is_whole(&answer.text), "{}", answer.text);
    assert_eq!(answer.finish_reason.as_deref(), Some("stop"));
    assert!(answer.usage.unwrap().output > 0 && answer.cost_usd.unwrap() > 0.0);
    let json: Value = serde_json::from_slice(&answer.json).unwrap();
    assert_eq!(json["object"], "chat.completion");
    let received = harbour.received("us-east");
    let received = received.first().unwrap();
    assert!(received.path.ends_with("/v1/messages"), "{}", received.path);
    assert_eq!(received.headers["x-api-key"], "sk-test-not-a-secret");
    assert_eq!(received.headers["anthropic-version"], "2023-06-01");
    assert_eq!(received.headers.get("authorization"), None);
    let body: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(body["model"], "claude-sonnet-4-5");
    assert!(body["max_tokens"].is_u64());
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_openais_to_its_done_and_its_tokens_are_counted() {
    let harbour = translating();
    let mut stream = harbour.open_stream().await;
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await {
        all.extend_from_slice(&chunk.unwrap());
    }
    let text = String::from_utf8(all).unwrap();
    assert!(text.ends_with("data: [DONE]\n\n") && !text.contains("message_stop"), "{text}");
    assert!(text.contains("chat.completion.chunk"));
    let summary = stream.summary();
    assert!(summary.usage.unwrap().output > 0 && summary.cost_usd.unwrap() > 0.0);
    assert!(is_whole(&harbour.ask_stream().await.unwrap()));
}

/// **Tokens are counted whether or not the caller wants to know.** Fails if they are read from the frames that it gets.
#[tokio::test(start_paused = true)]
async fn tokens_are_counted_though_the_caller_did_not_ask_for_them() {
    let harbour = translating();
    let body = r#"{"model":"chat","messages":[{"role":"user","content":"ahoy"}],"stream":true}"#;
    let answer = harbour.client.send(Request::chat(body).unwrap()).await.unwrap();
    let outrigger::AnswerBody::Stream(mut stream) = answer.body else { panic!("not a stream") };
    while let Some(chunk) = stream.next().await {
        assert!(!String::from_utf8_lossy(&chunk.unwrap()).contains("prompt_tokens"));
    }
    let summary = stream.summary();
    assert!(summary.usage.unwrap().output > 0);
    assert_eq!((summary.cost_usd > Some(0.0), summary.estimated_usd), (true, 0.0), "all of it is counted");
}

/// **A count that has begun is gone on from.** Anthropic tells what it read at the beginning: of a stream whose caller hangs up only the
/// words that came are an estimate. Fails if the count of one word at the beginning stands for all that came, or is thrown away.
#[tokio::test(start_paused = true)]
async fn of_a_hung_up_stream_what_was_read_is_counted_and_what_was_written_estimated() {
    let harbour = translating();
    let mut stream = harbour.open_stream().await;
    let mut heard = Vec::new();
    while heard.windows(11).filter(|window| *window == b"\"content\":\"").count() < 6 {
        heard.extend_from_slice(&stream.next().await.unwrap().unwrap());
    }
    drop(stream);
    let bill = harbour.notices().into_iter().find_map(|notice| match notice {
        Notice::CallEnded { usage, bill, .. } => Some((usage, bill)),
        _ => None,
    });
    let (Some(counted), Some(bill)) = bill.unwrap() else { panic!("{bill:?}") };
    assert_eq!(bill.usage.input, counted.input, "as it was counted");
    assert!(
        (5..=12).contains(&bill.usage.output) && bill.usage.output > counted.output,
        "{bill:?}, {counted:?}"
    );
    assert!(
        bill.estimated && bill.estimated_usd > 0.0 && Some(bill.estimated_usd) < bill.cost_usd,
        "{bill:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_before_the_first_content_is_had_elsewhere() {
    for fault in [
        Fault::Reset,
        Fault::Silent,
        Fault::Overloaded,
        Fault::status(500),
        Fault::Empty,
        Fault::Cut { after: 0 },
        Fault::Malformed { after: 0 },
        Fault::KeepaliveForever,
    ] {
        for stream in [false, true] {
            let harbour = translating();
            harbour.inject("us-east", fault.clone());
            let text =
                harbour.text(stream).await.unwrap_or_else(|error| panic!("{fault:?} {stream}: {error}"));
            assert!(is_whole(&text), "{fault:?} {stream}: {text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_says_so() {
    for (fault, class) in [(Fault::Cut { after: 5 }, Class::Cut), (Fault::Stall { after: 5 }, Class::Stalled)]
    {
        let harbour = translating();
        harbour.inject_everywhere(&fault);
        let (given, error) = harbour.read_stream().await;
        assert!(given.ends_with(b"\n\n") && !String::from_utf8_lossy(&given).contains("[DONE]"));
        let Some(CallError::Truncated { class: told, .. }) = error else { panic!("{fault:?}: {error:?}") };
        assert_eq!(told, class);
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_last_event_is_made_good_with_usage_and_done() {
    let harbour = translating();
    harbour.inject_everywhere(&Fault::NoDone);
    let (given, error) = harbour.read_stream().await;
    let text = String::from_utf8_lossy(&given).into_owned();
    assert!(error.is_none(), "{error:?}");
    assert!(text.ends_with("data: [DONE]\n\n") && text.contains("prompt_tokens"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_in_the_callers_form() {
    let harbour = translating();
    harbour.inject_everywhere(&Fault::ContextLength);
    let Err(ChatError::Call(CallError::Rejected { status, body, headers, .. })) = harbour.ask().await else {
        panic!("it was answered")
    };
    assert_eq!(status, 400);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["code"], "context_length_exceeded", "{body}");
    assert_eq!(headers["content-type"], "application/json");
}

/// **Refused, never bent.** What the other dialect cannot say is refused before anything is sent, and goes where it can be said.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_said_there_is_refused_or_goes_where_it_can() {
    let body = r#"{"model":"chat","messages":[{"role":"user","content":"ahoy"}],"n":2}"#;
    let harbour = translating();
    let error = harbour.client.send(Request::chat(body).unwrap()).await.unwrap_err();
    assert_eq!((error.code(), error.status().as_u16()), ("unsupported_endpoint", 400));
    assert!(error.to_string().contains("`n`"), "{error}");
    assert_eq!(harbour.total(), 0);
}

/// **Never in the wrong form.** An answer too long to be held cannot be translated whole, and is not passed on as it is.
#[tokio::test(start_paused = true)]
async fn an_answer_too_long_to_be_held_is_no_answer() {
    let harbour = harbour_with(alike(), anthropic, |builder| builder.max_held_answer(16));
    let error = call_error(harbour.ask().await.unwrap_err());
    assert_eq!(error.code(), "upstream_exhausted");
    assert!(error.attempts().iter().all(|attempt| attempt.class == Some(Class::Malformed)), "{error:?}");
}
