//! Every kind of request keeps what chat promises: a failure before the first content is nobody's business, one after it is told.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use outrigger::{
    AnswerBody, Api, CallError, Config, Request, RequestError, Room,
    config::{Model, Provider, Target},
    wire::Class,
};
use sim::{Fault, LAST_WORD, World};

use crate::support::*;

const STREAMED: [Api; 4] = [Api::Chat, Api::Completions, Api::Responses, Api::Messages];

/// `chat` at OpenAI's dialect, `claude` at Anthropic's, both in all of the world's regions.
fn both(world: &World) -> Config {
    let at = |mut provider: Provider| {
        for region in world.regions() {
            provider = provider.region(region, world.base_url(region).unwrap().as_str()).unwrap();
        }
        provider.api_key("sk-test-not-a-secret")
    };
    let mut config = Config::new()
        .provider("holysheep", at(Provider::openai()))
        .provider("claude", at(Provider::anthropic()));
    config.routing.preferred_region = Some("us-east".to_owned());
    for (name, provider, model) in
        [("chat", "holysheep", "gpt-4.1"), ("claude", "claude", "claude-sonnet-4-5")]
    {
        let mut public = Model::new([Target::new(provider, model)]);
        public.routing = config.routing.clone();
        config = config.model(name, public);
    }
    config
}

fn seaside() -> Harbour {
    harbour_with(alike(), both, |builder| builder)
}

fn request(api: Api, stream: bool) -> Request {
    let (model, asked) = match api {
        Api::Completions => ("chat", r#""prompt":"How high is the swell?""#),
        Api::Embeddings => ("chat", r#""input":["How high is the swell?"]"#),
        Api::Responses => ("chat", r#""input":"How high is the swell?""#),
        Api::Messages => {
            ("claude", r#""max_tokens":512,"messages":[{"role":"user","content":"How high is the swell?"}]"#)
        }
        _ => ("chat", r#""messages":[{"role":"user","content":"How high is the swell?"}]"#),
    };
    Request::new(api, format!(r#"{{"model":"{model}","stream":{stream},{asked}}}"#)).unwrap()
}

/// Every kind, plain, and streamed where it streams.
fn ways() -> impl Iterator<Item = (Api, bool)> {
    let plain = Api::ALL.into_iter().map(|api| (api, false));
    plain.chain(STREAMED.into_iter().map(|api| (api, true)))
}

/// Asks, and reads the answer to its end.
async fn ask(harbour: &Harbour, api: Api, stream: bool) -> Result<Bytes, CallError> {
    harbour.client.send(request(api, stream)).await?.bytes().await
}

/// The last frame of each kind of stream.
fn end(api: Api) -> &'static str {
    match api {
        Api::Messages => "event: message_stop",
        Api::Responses => "event: response.completed",
        _ => "data: [DONE]",
    }
}

/// Whether this is all that a region would say.
fn is_all(api: Api, stream: bool, given: &[u8]) -> bool {
    let text = String::from_utf8_lossy(given);
    let content = if api == Api::Embeddings { "\"embedding\"" } else { LAST_WORD };
    text.contains(content) && (!stream || text.contains(end(api)) && text.ends_with("\n\n"))
}

#[tokio::test(start_paused = true)]
async fn every_kind_goes_to_its_own_path_and_comes_back_whole() {
    for (api, stream) in ways() {
        let harbour = seaside();
        let answer = harbour.client.send(request(api, stream)).await.unwrap();
        assert_eq!(answer.attempts.len(), 1);
        let usage = match answer.body {
            AnswerBody::Whole { bytes, usage, .. } => {
                assert!(!stream && is_all(api, stream, &bytes), "{api}: {bytes:?}");
                usage
            }
            AnswerBody::Stream(mut answer) => {
                let mut all = Vec::new();
                while let Some(chunk) = answer.next().await {
                    all.extend_from_slice(&chunk.unwrap());
                }
                assert!(stream && is_all(api, stream, &all), "{api}: {}", String::from_utf8_lossy(&all));
                answer.summary().usage
            }
        };
        // OpenAI counts a stream's tokens when it is asked to; the newer APIs always do.
        let counts = !stream || matches!(api, Api::Responses | Api::Messages);
        assert_eq!(usage.is_some_and(|usage| usage.input > 0), counts, "{api} {stream}: {usage:?}");
        let received = harbour.received("us-east");
        assert_eq!(received.first().unwrap().path, format!("POST /v1/{api}"));
        harbour.assert_idle();
    }
}

/// **Nobody notices.** Fails if a kind of request takes a failure, an error in a success, or a silence for its answer.
#[tokio::test(start_paused = true)]
async fn whatever_fails_before_the_first_content_is_had_elsewhere() {
    for fault in [
        Fault::Refuse,
        Fault::Reset,
        Fault::Silent,
        Fault::Overloaded,
        Fault::RateLimit { retry_after: Some(secs(30)) },
        Fault::status(500),
        Fault::Empty,
        Fault::Cut { after: 0 },
        Fault::Malformed { after: 0 },
        Fault::KeepaliveForever,
        Fault::BadKey,
    ] {
        for (api, stream) in ways() {
            let harbour = seaside();
            harbour.inject("us-east", fault.clone());
            let given = ask(&harbour, api, stream).await;
            let given = given.unwrap_or_else(|error| panic!("{fault:?} {api} {stream}: {error}"));
            assert!(is_all(api, stream, &given), "{fault:?} {api} {stream}: {given:?}");
            assert!(harbour.total() <= 2, "{fault:?} {api} {stream}: no storm");
        }
    }
}

/// Half a plain answer is a failure like any other.
#[tokio::test(start_paused = true)]
async fn a_plain_answer_that_comes_half_is_had_elsewhere() {
    for api in Api::ALL {
        let harbour = seaside();
        harbour.inject("us-east", Fault::Cut { after: 5 });
        let given = ask(&harbour, api, false).await.unwrap();
        assert!(is_all(api, false, &given), "{api}: {given:?}");
        assert_eq!(harbour.total(), 2);
    }
}

/// **A cut stream never looks whole**, of whatever kind: it ends with an error, between two frames, without its last frame.
#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_ends_with_an_error() {
    for (fault, class) in [
        (Fault::Cut { after: 5 }, Class::Cut),
        (Fault::Stall { after: 5 }, Class::Stalled),
        (Fault::Malformed { after: 6 }, Class::Malformed),
    ] {
        for api in STREAMED {
            let harbour = seaside();
            harbour.inject_everywhere(&fault);
            let answer = harbour.client.send(request(api, true)).await.unwrap();
            let AnswerBody::Stream(mut stream) = answer.body else { panic!("{api}: not a stream") };
            let (mut all, mut told) = (Vec::new(), None);
            while let Some(chunk) = stream.next().await {
                match chunk {
                    Ok(chunk) => all.extend_from_slice(&chunk),
                    Err(error) => told = Some(error),
                }
            }
            let text = String::from_utf8_lossy(&all);
            assert!(!text.contains(end(api)), "{fault:?} {api}: {text}");
            assert!(text.ends_with("\n\n"), "{fault:?} {api}: a frame was given in part");
            let Some(CallError::Truncated { class: seen, .. }) = told else {
                panic!("{fault:?} {api}: {told:?}")
            };
            assert_eq!(seen, class, "{api}");
            harbour.assert_idle();
        }
    }
}

/// The frame that says nothing but that it is the last is supplied; one that holds the answer cannot be.
#[tokio::test(start_paused = true)]
async fn a_missing_last_frame_is_supplied_where_it_says_nothing_else() {
    for api in [Api::Chat, Api::Completions, Api::Messages] {
        let harbour = seaside();
        harbour.inject_everywhere(&Fault::NoDone);
        let given = ask(&harbour, api, true).await.unwrap();
        let text = String::from_utf8_lossy(&given);
        assert_eq!(text.matches(end(api)).count(), 1, "{api}: {text}");
        assert!(text.ends_with("\n\n"));
    }
    let harbour = seaside();
    harbour.inject_everywhere(&Fault::NoDone);
    let error = ask(&harbour, Api::Responses, true).await.unwrap_err();
    assert_eq!(error.code(), "answer_truncated");
}

/// A caller's fault is told in the provider's words, and nobody else is asked.
#[tokio::test(start_paused = true)]
async fn a_refusal_is_the_callers_to_read() {
    for (api, stream) in ways().filter(|(api, _)| *api != Api::Embeddings) {
        let harbour = seaside();
        harbour.inject_everywhere(&Fault::ContentFilter);
        let error = harbour.client.send(request(api, stream)).await.unwrap_err();
        let CallError::Rejected { status, body, .. } = error else { panic!("{api} {stream}: {error}") };
        assert_eq!(status, 400);
        let words = if api == Api::Messages { "\"type\":\"error\"" } else { "\"code\":\"content_filter\"" };
        assert!(String::from_utf8_lossy(&body).contains(words), "{api}: {body:?}");
        assert_eq!(harbour.total(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_target_can_serve_is_refused_before_anything_is_sent() {
    let harbour = seaside();
    let claude = |api, asked: &str| Request::new(api, format!(r#"{{"model":"claude",{asked}}}"#)).unwrap();
    for request in [
        claude(Api::Completions, r#""prompt":"ahoy""#),
        claude(Api::Embeddings, r#""input":"ahoy""#),
        claude(Api::Responses, r#""input":"ahoy""#),
        Request::messages(r#"{"model":"chat","max_tokens":9,"messages":[{"role":"user","content":"a"}]}"#)
            .unwrap(),
    ] {
        let error = harbour.client.send(request).await.unwrap_err();
        assert_eq!((error.code(), error.status().as_u16()), ("unsupported_endpoint", 400));
    }
    assert_eq!(harbour.total(), 0);
}

#[test]
fn embeddings_are_never_streamed() {
    let body = r#"{"model":"chat","input":"ahoy","stream":true}"#;
    assert!(matches!(Request::embeddings(body), Err(RequestError::NeverStreams { .. })));
}

/// Room for so many bytes, and no more.
#[derive(Debug)]
struct Narrow(AtomicUsize);

impl Room for Narrow {
    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Relaxed);
    }
}

/// **What there is no room for flows**, and what was taken comes back. Fails if answers are held uncounted, or counted twice.
#[tokio::test(start_paused = true)]
async fn a_plain_answer_without_room_flows_and_one_with_room_is_held() {
    for (bytes, is_held) in [(16, false), (1 << 20, true)] {
        let room = Arc::new(Narrow(AtomicUsize::new(bytes)));
        let harbour = harbour_with(alike(), both, |builder| builder.room(Arc::clone(&room) as Arc<dyn Room>));
        let answer = harbour.client.send(request(Api::Chat, false)).await.unwrap();
        assert_eq!(matches!(answer.body, AnswerBody::Whole { .. }), is_held);
        assert!(is_all(Api::Chat, false, &answer.bytes().await.unwrap()));
        assert_eq!(room.0.load(Relaxed), bytes);
    }
}

/// An answer too long to be held flows, and is watched to its end all the same.
#[tokio::test(start_paused = true)]
async fn a_plain_answer_too_long_to_be_held_flows() {
    for api in Api::ALL {
        let harbour = harbour_with(alike(), both, |builder| builder.max_held_answer(16));
        let answer = harbour.client.send(request(api, false)).await.unwrap();
        assert!(matches!(answer.body, AnswerBody::Stream(_)), "{api}");
        let given = answer.bytes().await.unwrap();
        assert!(is_all(api, false, &given), "{api}: {given:?}");
        harbour.inject_everywhere(&Fault::Cut { after: 5 });
        let error = ask(&harbour, api, false).await.unwrap_err();
        assert_eq!(error.code(), "answer_truncated", "{api}");
    }
}
