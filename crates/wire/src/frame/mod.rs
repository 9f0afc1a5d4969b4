//! What one event of a stream says, without building it.
//!
//! This runs for every chunk of every stream, so a frame is skimmed: serde walks the bytes once, keeps a handful of facts and
//! skips the rest. Whether a frame is *content* decides when a stream is committed to its caller, so the question is what that
//! caller would see:
//!
//! | content | not content |
//! | --- | --- |
//! | text, reasoning, a refusal, sound | a role alone, an empty string, a ping, a block or an item that begins empty |
//! | a tool call, even without its arguments | `message_start`, `response.created`, `response.in_progress` |
//! | a call that the provider itself carries out | usage, a finish reason |
//!
//! A call that the provider carries out (a search, code, a remote tool) is content from its beginning: a repeat elsewhere would
//! act twice. Each kind of request has a module of its own for its events; what they come to is [`FrameFacts`].

mod chunk;
mod embeddings;
mod holds;
mod messages;
mod responses;

use serde::Deserialize;

use crate::{
    api::Api,
    class::{Class, Failure},
    error_body::classify_in_band,
    usage::Usage,
};

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FinishReason {
    /// It had said everything, or met a stop sequence.
    Stop,
    /// It reached the limit of tokens.
    Length,
    /// It calls tools (or a function, in the older form).
    ToolCalls,
    /// The provider's filter cut it off.
    ContentFilter,
    /// A reason this crate does not know.
    Other,
}

/// What one frame says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameFacts {
    /// The frame is the stream's last: `[DONE]`, `message_stop`, `response.completed` and its like.
    pub done: bool,
    /// It holds content: something that a caller sees of the answer.
    pub content: bool,
    /// Bytes of text in that content: words, reasoning, a call's name and arguments, without their JSON. No sound, no images.
    pub text: u64,
    /// Why a choice stopped, where one does in this frame; the first of several.
    pub finish: Option<FinishReason>,
    /// How many choices stop in this frame. A stream of `n` choices is whole when `n` have stopped.
    pub finished: u32,
    /// The tokens it took, where the frame says so.
    pub usage: Option<Usage>,
    /// The error that came in place of an answer.
    pub error: Option<Failure>,
    /// The frame is not one of the protocol's: no JSON object, one whose fields are of the wrong type, or no named event where
    /// events have names.
    pub malformed: bool,
}

/// Reads one event of a stream that answers a request of kind `api`: its name, where it has one, and its data.
///
/// Takes any bytes: what is not an event of such a stream is `malformed`. The time is linear in the frame; what is kept is
/// bounded.
#[must_use]
pub fn read_frame(api: Api, event: Option<&str>, data: &[u8]) -> FrameFacts {
    let data = data.trim_ascii();
    // Where a stream ends with an event of its own, some who stand in front add this all the same.
    if data == b"[DONE]" {
        return FrameFacts { done: true, ..FrameFacts::default() };
    }
    match api {
        Api::Chat | Api::Completions => chunk::read(api, data),
        Api::Embeddings => embeddings::frame(data),
        Api::Responses => responses::frame(event, data),
        Api::Messages => messages::frame(event, data),
    }
}

/// Reads a whole answer as if it were one frame. `json` is not empty.
pub(crate) fn read_whole(api: Api, json: &[u8]) -> FrameFacts {
    match api {
        Api::Chat | Api::Completions => chunk::read(api, json),
        Api::Embeddings => embeddings::whole(json),
        Api::Responses => responses::whole(json),
        Api::Messages => messages::whole(json),
    }
}

/// A JSON object; none when it is not one.
fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    // A list would be taken for an object's fields in order.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(json).ok()
}

impl FrameFacts {
    /// A frame that is not one of the protocol's.
    fn malformed() -> Self {
        Self { malformed: true, ..Self::default() }
    }

    /// A frame that holds an error: the value of `error`, or a whole event that is one.
    fn error(error: &str) -> Self {
        Self { error: Some(classify_in_band(error)), ..Self::default() }
    }

    /// A frame of which one choice stops for this reason.
    fn finished(reason: FinishReason) -> Self {
        Self { finish: Some(reason), finished: 1, ..Self::default() }
    }

    /// The provider says that it failed, and not why.
    fn failed() -> Self {
        Self { error: Some(Class::Transient.into()), ..Self::default() }
    }
}
