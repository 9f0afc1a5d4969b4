//! The common case, typed: a conversation in, a text or its pieces out.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use wire::Usage;

use crate::{
    answer::{Answer, AnswerBody, AttemptRecord, Summary, Timing},
    client::Client,
    error::{CallError, ChatError},
    observe::Route,
    request::Request,
    stream::AnswerStream,
};

/// A chat being put together. Ends with [`send`](Self::send) or [`stream`](Self::stream).
#[derive(Clone, Debug)]
#[must_use = "a chat is sent by `send` or `stream`"]
pub struct ChatCall<'a> {
    client: &'a Client,
    model: String,
    messages: Vec<Message>,
    extra: Map<String, Value>,
    wishes: Wishes,
}

/// One turn of a conversation.
#[derive(Clone, Debug, Serialize)]
struct Message {
    role: &'static str,
    content: String,
}

#[derive(Clone, Debug, Default)]
struct Wishes {
    region: Option<String>,
    near: Option<String>,
    residency: Option<Vec<String>>,
    deadline: Option<std::time::Instant>,
    session: Option<String>,
}

impl<'a> ChatCall<'a> {
    pub(crate) fn new(client: &'a Client, model: String) -> Self {
        Self { client, model, messages: Vec::new(), extra: Map::new(), wishes: Wishes::default() }
    }

    /// Adds a system message.
    pub fn system(self, text: impl Into<String>) -> Self {
        self.message("system", text)
    }

    /// Adds a user's message.
    pub fn user(self, text: impl Into<String>) -> Self {
        self.message("user", text)
    }

    /// Adds an assistant's message, of an earlier turn.
    pub fn assistant(self, text: impl Into<String>) -> Self {
        self.message("assistant", text)
    }

    fn message(mut self, role: &'static str, text: impl Into<String>) -> Self {
        self.messages.push(Message { role, content: text.into() });
        self
    }

    /// Sets a field of the request's JSON by its own name: `temperature`, `max_tokens`, `response_format` and the like.
    /// `model`, `messages`, `stream` and `stream_options` are the call's own and win.
    pub fn set(mut self, field: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extra.insert(field.into(), value.into());
        self
    }

    /// Prefers a region, as [`Request::region`].
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.wishes.region = Some(region.into());
        self
    }

    /// Prefers the regions near a place, as [`Request::near`].
    pub fn near(mut self, place: impl Into<String>) -> Self {
        self.wishes.near = Some(place.into());
        self
    }

    /// Allows only these regions, as [`Request::residency`].
    pub fn residency(mut self, regions: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.wishes.residency = Some(regions.into_iter().map(Into::into).collect());
        self
    }

    /// The instant by which the answer, or a stream's first content, must be there.
    pub fn deadline(mut self, at: std::time::Instant) -> Self {
        self.wishes.deadline = Some(at);
        self
    }

    /// Keeps the calls of one session together, as [`Request::session`].
    pub fn session(mut self, key: impl Into<String>) -> Self {
        self.wishes.session = Some(key.into());
        self
    }

    /// Waits for the whole answer.
    ///
    /// # Errors
    /// [`ChatError::Call`] as [`Client::send`]; [`ChatError::Form`] when the answer has no text where one belongs.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call.
    pub async fn send(self) -> Result<ChatAnswer, ChatError> {
        let answer = self.client.send(self.request(false)?).await?;
        ChatAnswer::read(answer).await
    }

    /// Waits for the first content, and hands out the rest as it comes. The provider is asked to count usage.
    ///
    /// # Errors
    /// [`ChatError::Call`] as [`Client::send`].
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call.
    pub async fn stream(self) -> Result<ChatStream, ChatError> {
        let answer = self.client.send(self.request(true)?).await?;
        Ok(ChatStream::new(answer))
    }

    fn request(&self, stream: bool) -> Result<Request, ChatError> {
        let mut body = self.extra.clone();
        body.insert("model".to_owned(), self.model.clone().into());
        body.insert("messages".to_owned(), json!(self.messages));
        body.insert("stream".to_owned(), stream.into());
        if stream {
            body.insert("stream_options".to_owned(), json!({ "include_usage": true }));
        } else {
            body.remove("stream_options");
        }
        let mut request = Request::chat(Value::Object(body).to_string())?;
        request.region.clone_from(&self.wishes.region);
        request.near.clone_from(&self.wishes.near);
        request.residency.clone_from(&self.wishes.residency);
        request.deadline = self.wishes.deadline;
        request.session.clone_from(&self.wishes.session);
        Ok(request)
    }
}

/// A whole chat answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChatAnswer {
    /// The text of the first choice; empty when it called tools instead.
    pub text: String,
    /// Why it ended: `stop`, `length`, `tool_calls` or another word of the provider's.
    pub finish_reason: Option<String>,
    /// What the provider counted.
    pub usage: Option<Usage>,
    /// What the call cost in USD, all its attempts, where the price is known.
    pub cost_usd: Option<f64>,
    /// The part of it that no provider counted, and is estimated: of attempts that broke off, or were left behind.
    pub estimated_usd: f64,
    /// Where it came from.
    pub route: Route,
    /// What was tried; the last one gave the answer.
    pub attempts: Vec<AttemptRecord>,
    /// How long it took.
    pub timing: Timing,
    /// Whether the application gave it, and no provider: [`Answer::fallback`].
    pub fallback: bool,
    /// The whole JSON as the provider sent it.
    pub json: Bytes,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

impl Completion {
    /// The text of the first choice, where it has any.
    fn into_text(self) -> Option<String> {
        let first = self.choices.into_iter().next()?;
        first.message.content.filter(|text| !text.is_empty())
    }
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default, alias = "delta")]
    message: Text,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Text {
    #[serde(default)]
    content: Option<String>,
}

impl ChatAnswer {
    async fn read(answer: Answer) -> Result<Self, ChatError> {
        let (usage, cost_usd, estimated_usd) = (answer.usage(), answer.cost_usd(), answer.estimated_usd());
        let Answer { route, attempts, timing, fallback, body, .. } = answer;
        let json = match body {
            AnswerBody::Whole { bytes, .. } => bytes,
            AnswerBody::Stream(stream) => stream.collect().await?,
        };
        let completion: Completion = serde_json::from_slice(&json).map_err(ChatError::Form)?;
        let first = completion.choices.into_iter().next();
        let (text, finish_reason) = first
            .map(|choice| (choice.message.content.unwrap_or_default(), choice.finish_reason))
            .unwrap_or_default();
        Ok(Self {
            text,
            finish_reason,
            usage,
            cost_usd,
            estimated_usd,
            route,
            attempts,
            timing,
            fallback,
            json,
        })
    }
}

/// A chat answer that flows: its text, piece by piece. One that breaks off is rescued where that can be done, and its text goes
/// on as if nothing had happened; [`Summary::rescued`] says that something did.
///
/// # Drop
/// Dropping it before its end cancels the upstream request at once.
#[derive(Debug)]
pub struct ChatStream {
    /// Where it comes from.
    route: Route,
    attempts: Vec<AttemptRecord>,
    timing: Timing,
    fallback: bool,
    stream: Option<Box<AnswerStream>>,
    summary: Summary,
    framer: wire::SseFramer,
    pieces: std::collections::VecDeque<String>,
}

/// The longest frame of a chat that is read into text.
const MAX_FRAME: usize = 8 << 20;

impl ChatStream {
    fn new(answer: Answer) -> Self {
        let Answer { route, attempts, timing, fallback, body, .. } = answer;
        let framer = wire::SseFramer::new(MAX_FRAME);
        let (summary, pieces) = (Summary::default(), std::collections::VecDeque::new());
        let mut chat = Self { route, attempts, timing, fallback, stream: None, summary, framer, pieces };
        match body {
            AnswerBody::Stream(stream) => chat.stream = Some(stream),
            // Providers stream when that was asked for; an application gives all of its events in one piece.
            AnswerBody::Whole { bytes, .. } => chat.take_in(&bytes),
        }
        chat
    }

    /// Whether the application gives it, and no provider: [`Answer::fallback`].
    pub fn is_fallback(&self) -> bool {
        self.fallback
    }

    /// Where its beginning comes from. After a rescue the rest is of the last of [`attempts`](Self::attempts).
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// What was tried, so far; the last one gives the answer. A rescue adds to it.
    pub fn attempts(&self) -> &[AttemptRecord] {
        self.stream.as_ref().map_or(&self.attempts, |stream| stream.attempts())
    }

    /// How long the first content took.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Usage, cost and times; complete once the stream has ended.
    pub fn summary(&self) -> Summary {
        self.stream.as_ref().map_or(self.summary, |stream| stream.summary())
    }

    /// The next piece of text, or `None` after a whole answer.
    ///
    /// # Errors
    /// [`CallError::Truncated`] when the answer breaks off; it is the last item.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<String, CallError>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Some(Ok(piece));
            }
            let stream = self.stream.as_mut()?;
            match stream.next().await {
                Some(Ok(chunk)) => self.take_in(&chunk),
                Some(Err(error)) => {
                    self.finish();
                    return Some(Err(error));
                }
                None => {
                    self.finish();
                    return None;
                }
            }
        }
    }

    fn take_in(&mut self, chunk: &[u8]) {
        let pieces = &mut self.pieces;
        // The stream has passed the same framer with the same bound already, so it cannot refuse here.
        let _fed = self.framer.feed(chunk, |event| {
            if let wire::SseEvent::Data { data, .. } = event
                && let Ok(completion) = serde_json::from_slice::<Completion>(data)
            {
                pieces.extend(completion.into_text());
            }
        });
    }

    fn finish(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.summary = stream.summary();
            self.attempts = stream.attempts().to_vec();
        }
    }
}
