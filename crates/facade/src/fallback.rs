//! An application's own last resort: what it answers when nobody else does.
//!
//! It is asked when a call ends without an answer and that is not its caller's fault. What it gives is no provider's success: no
//! circuit, score or price hears of it, the call still counts as failed, and the answer says what it is ([`Answer::fallback`]).
//!
//! # Why not a target of the last tier?
//! A small model of one's own is one, and belongs there: it is picked, timed and watched like any other. This is for what is no
//! model: an answer of yesterday, a sentence that asks for patience, a queue that answers by mail.

use std::{future::Future, sync::Arc, time::Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    answer::{Answer, AnswerBody, Timing},
    error::CallError,
    observe::{Notice, Route},
    request::Request,
    shared::{Shared, now},
};

/// What an application answers by itself.
#[derive(Clone)]
pub struct Fallback(Said);

#[derive(Clone)]
enum Said {
    Json(Bytes),
    Chat(String),
}

/// Not what it says: that is its caller's.
impl std::fmt::Debug for Fallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fallback").finish_non_exhaustive()
    }
}

impl Fallback {
    /// A JSON body, which the caller gets as it is; in the form of the request's kind, if the caller is to read it as one.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self(Said::Json(body.into()))
    }

    /// A chat's answer of one text, plain or streamed as it was asked for. Its model is called `fallback`.
    pub fn chat(text: impl Into<String>) -> Self {
        Self(Said::Chat(text.into()))
    }

    fn body(self, request: &Request, created: u64) -> (Bytes, &'static str) {
        match self.0 {
            Said::Json(body) => (body, JSON),
            Said::Chat(text) if request.is_stream() => {
                let said = json!({ "role": "assistant", "content": text });
                let first = chunk("chat.completion.chunk", "delta", &said, &Value::Null, created);
                let last = chunk("chat.completion.chunk", "delta", &json!({}), &"stop".into(), created);
                (format!("data: {first}\n\ndata: {last}\n\ndata: [DONE]\n\n").into(), "text/event-stream")
            }
            Said::Chat(text) => {
                let said = json!({ "role": "assistant", "content": text });
                (chunk("chat.completion", "message", &said, &"stop".into(), created).to_string().into(), JSON)
            }
        }
    }
}

const JSON: &str = "application/json";
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
            | CallError::Overloaded
    )
}

/// The application's answer to a call that ended without one, or the error again.
///
/// # Cancel safety
/// Dropping the future drops the application's.
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
    let Some(fallback) = ask(request, &error).await else { return Err(error) };
    let since = shared.wall().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (bytes, content_type) = fallback.body(request, since.as_secs());
    let total = now().saturating_duration_since(began);
    shared.observe(&Notice::Fallback { model: request.model().into(), code: error.code() });
    Ok(Answer {
        status: StatusCode::OK,
        headers: HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))]),
        route: Route::new(NAME, NAME, NAME),
        attempts: error.attempts().to_vec(),
        timing: Timing { total, upstream: std::time::Duration::ZERO },
        fallback: true,
        body: AnswerBody::Whole { bytes, usage: None, cost_usd: None },
    })
}
