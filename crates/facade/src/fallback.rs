//! An application's own last resort: what it answers when nobody else does.
//!
//! It is asked when a call ends without an answer and that is not its caller's fault. What it gives is no provider's success: no
//! circuit, score or price hears of it, the call still counts as failed, and the answer says what it is ([`Answer::fallback`]).
//!
//! # Why not a target of the last tier?
//! A small model of one's own is one, and belongs there: it is picked, timed and watched like any other. This is for what is no
//! model: an answer of yesterday, a sentence that asks for patience, a queue that answers by mail.
//!
//! # What may it give?
//! What its caller can read. A plain request gets JSON, a stream gets all of its events at once, to the finish reason:
//! every SDK takes a stream that just ends for an answer. A text is made either of them, for a chat. What does not fit is not given,
//! its caller gets the error, and a notice says so.
//!
//! # Limits
//! It runs in its caller's task, for [`TIME`] at most, even if the call's deadline has passed; a panic of it is that task's. The call
//! is over by then, and nothing stays behind. It is not asked when the client has too much to do
//! ([`CallError::Overloaded`]): who is asked counts as in progress, and would keep the client from what it could answer.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use wire::{AnswerFacts, Api, SseEvent, SseFramer};

use crate::{
    answer::{Answer, AnswerBody, Timing},
    error::CallError,
    observe::{FallbackResult, Notice, Route},
    reader::MAX_FRAME,
    request::Request,
    shared::{Shared, now},
};

/// What an application answers by itself.
#[derive(Clone)]
pub struct Fallback(Said);

#[derive(Clone)]
enum Said {
    Json(Bytes),
    Events(Bytes),
    Chat(String),
}

/// Not what it says: that is its caller's.
impl std::fmt::Debug for Fallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fallback").finish_non_exhaustive()
    }
}

impl Fallback {
    /// A JSON body for a plain request, which the caller gets as it is; in the form of the request's kind, if the caller is to
    /// read it as one.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self(Said::Json(body.into()))
    }

    /// All events of a stream at once, in the form of the request's kind, to its finish reason at least.
    pub fn events(body: impl Into<Bytes>) -> Self {
        Self(Said::Events(body.into()))
    }

    /// A chat's answer of one text, plain or streamed as it was asked for. Its model is called `fallback`. Other kinds of request,
    /// and those for several choices, have no use for it.
    pub fn chat(text: impl Into<String>) -> Self {
        Self(Said::Chat(text.into()))
    }

    /// The body and its type, where the caller of `request` can read it.
    fn body(self, request: &Request, created: u64) -> Option<(Bytes, &'static str)> {
        match self.0 {
            Said::Json(body) => (!request.is_stream()).then_some((body, JSON)),
            Said::Events(body) => is_whole_stream(request, &body).then_some((body, EVENTS)),
            Said::Chat(_) if request.api() != Api::Chat || request.choices() != 1 => None,
            Said::Chat(text) if request.is_stream() => {
                let said = json!({ "role": "assistant", "content": text });
                let first = chunk("chat.completion.chunk", "delta", &said, &Value::Null, created);
                let last = chunk("chat.completion.chunk", "delta", &json!({}), &"stop".into(), created);
                Some((format!("data: {first}\n\ndata: {last}\n\ndata: [DONE]\n\n").into(), EVENTS))
            }
            Said::Chat(text) => {
                let said = json!({ "role": "assistant", "content": text });
                let whole = chunk("chat.completion", "message", &said, &"stop".into(), created);
                Some((whole.to_string().into(), JSON))
            }
        }
    }
}

/// Whether these are all events of a stream that its caller takes for whole.
fn is_whole_stream(request: &Request, body: &[u8]) -> bool {
    let mut facts = AnswerFacts::of_stream();
    let fed = SseFramer::new(MAX_FRAME).feed(body, |event| {
        if let SseEvent::Data { event, data } = event {
            facts.absorb(&wire::read_frame(request.api(), event, data));
        }
    });
    let is_complete = fed.is_ok_and(|fed| fed.complete == body.len());
    let is_whole = u64::from(facts.finished) >= request.choices().max(1) && facts.failure().is_none();
    request.is_stream() && is_complete && is_whole
}

/// How long the application may take: enough to read an answer from a store across the network, and little to who has waited for
/// all else in vain.
const TIME: Duration = Duration::from_secs(5);
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
/// What the answer's route and its model are called.
const NAME: &str = "fallback";

fn chunk(object: &str, field: &str, said: &Value, finish: &Value, created: u64) -> Value {
    json!({
        "id": "chatcmpl-fallback", "object": object, "created": created, "model": NAME,
        "choices": [{ "index": 0, field: said, "finish_reason": finish }],
    })
}

/// Who is asked: the closure of [`ClientBuilder::on_exhausted`](crate::ClientBuilder::on_exhausted).
pub(crate) type LastResort =
    dyn Fn(&Request, &CallError) -> BoxFuture<'static, Option<Fallback>> + Send + Sync;

/// The closure as it is kept.
pub(crate) fn kept<F, Fut>(ask: F) -> Arc<LastResort>
where
    F: Fn(&Request, &CallError) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Option<Fallback>> + Send + 'static,
{
    Arc::new(move |request, error| Box::pin(ask(request, error)))
}

/// Whether a call that ended so may be answered by the application: it was nobody's wish that it ends, and nothing was given.
fn may_answer(error: &CallError) -> bool {
    matches!(
        error,
        CallError::NoDeployment { .. }
            | CallError::RateLimited { .. }
            | CallError::Exhausted { .. }
            | CallError::DeadlineExceeded { .. }
    )
}

/// The application's answer to a call that ended without one, or the error again.
///
/// # Cancel safety
/// Dropping the future drops the application's; the engine knows of the call's end already.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    ask: &LastResort,
    request: &Request,
    error: CallError,
    began: Instant,
) -> Result<Answer, CallError> {
    if !may_answer(&error) {
        return Err(error);
    }
    let _in_progress = shared.enter();
    let asked = tokio::time::timeout(TIME, ask(request, &error)).await;
    let since = shared.wall().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    let given = match asked {
        Err(_) => Err(FallbackResult::Late),
        Ok(None) => Err(FallbackResult::Declined),
        Ok(Some(fallback)) => fallback.body(request, since.as_secs()).ok_or(FallbackResult::Unreadable),
    };
    let result = given.as_ref().err().copied().unwrap_or(FallbackResult::Given);
    let notice = Notice::Fallback { model: request.model().into(), code: error.code(), result };
    shared.observe(&notice, request.watcher.as_deref());
    let Ok((bytes, content_type)) = given else { return Err(error) };
    let total = now().saturating_duration_since(began);
    Ok(Answer {
        status: StatusCode::OK,
        headers: HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))]),
        route: Route::new(NAME, NAME, NAME),
        attempts: error.attempts().to_vec(),
        timing: Timing { total, upstream: Duration::ZERO },
        fallback: true,
        body: AnswerBody::Whole { bytes, usage: None, cost_usd: None, estimated_usd: 0.0 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(api: Api, fields: &str) -> Request {
        Request::new(api, format!(r#"{{"model":"chat"{fields}}}"#)).unwrap()
    }

    fn gives(fallback: Fallback, request: &Request) -> bool {
        fallback.body(request, 7).is_some()
    }

    /// **Nobody is given what it cannot read.** Fails if half a stream passes, JSON for a stream, or a chat for something else.
    #[test]
    fn what_its_caller_could_not_read_is_not_given() {
        let plain = request(Api::Chat, "");
        let stream = request(Api::Chat, r#","stream":true"#);
        let (events, kind) = Fallback::chat("ahoy").body(&stream, 7).unwrap();
        assert_eq!(kind, EVENTS);
        assert!(gives(Fallback::events(events.clone()), &stream), "its own words are whole");
        assert!(!gives(Fallback::events(events.clone()), &plain));
        assert!(gives(Fallback::json("{}"), &plain) && !gives(Fallback::json("{}"), &stream));
        let half = events.windows(2).position(|two| two == b"\n\n").unwrap() + 2;
        for part in [&events[..half], &events[..events.len() - 1], b"", b"data: [DONE]\n\n", b"ahoy"] {
            assert!(!gives(Fallback::events(Bytes::copy_from_slice(part)), &stream), "{part:?}");
        }
        for other in
            [request(Api::Messages, ""), request(Api::Embeddings, ""), request(Api::Chat, r#","n":2"#)]
        {
            assert!(!gives(Fallback::chat("ahoy"), &other), "{other:?}");
        }
    }

    #[test]
    fn the_page_of_defaults_tells_its_time() {
        const PAGE: &str = include_str!("../../../docs/defaults.md");
        let row = format!("| `fallback.time` | `\"{}s\"` |", TIME.as_secs());
        assert!(PAGE.contains(&row), "{row}");
    }
}
