//! What one frame of an OpenAI chat stream says, without building it.
//!
//! This runs for every chunk of every stream, so a frame is skimmed: serde walks the bytes once, keeps a handful of facts and
//! skips the rest. Whether a frame is *content* decides when a stream is committed to its caller: text, a tool call, a
//! refusal, audio and reasoning are content; a role alone, an empty string and a usage block are not.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    api::Api,
    class::Failure,
    error_body::classify_in_band,
    loose::Filled,
    usage::{RawUsage, Usage},
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

impl FinishReason {
    fn of(reason: &str) -> Self {
        match reason {
            "stop" => Self::Stop,
            "length" => Self::Length,
            "tool_calls" | "function_call" => Self::ToolCalls,
            "content_filter" => Self::ContentFilter,
            _ => Self::Other,
        }
    }
}

/// What one frame says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameFacts {
    /// The frame is the stream's last: `[DONE]`.
    pub done: bool,
    /// It holds content: text, a tool call, a refusal, audio or reasoning.
    pub content: bool,
    /// Why a choice stopped, where one does in this frame; the first of several.
    pub finish: Option<FinishReason>,
    /// How many choices stop in this frame. A stream of `n` choices is whole when `n` have stopped.
    pub finished: u32,
    /// The tokens it took, where the frame says so.
    pub usage: Option<Usage>,
    /// The error that came in place of an answer.
    pub error: Option<Failure>,
    /// The frame is not a chat chunk: no JSON object, or one whose fields are of the wrong type.
    pub malformed: bool,
}

#[derive(Deserialize)]
pub(crate) struct Chunk<'a> {
    #[serde(borrow, default)]
    pub(crate) choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    pub(crate) usage: Option<RawUsage>,
    #[serde(borrow, default)]
    pub(crate) error: Option<&'a RawValue>,
}

/// A choice of a chunk (`delta`) or of a whole answer (`message`).
#[derive(Deserialize)]
pub(crate) struct Choice<'a> {
    #[serde(default, alias = "message")]
    delta: Option<Delta>,
    #[serde(borrow, default)]
    finish_reason: Option<Reason<'a>>,
}

/// Borrowed where it has no escapes, as all known ones.
#[derive(Deserialize)]
struct Reason<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Filled,
    tool_calls: Filled,
    function_call: Filled,
    refusal: Filled,
    audio: Filled,
    reasoning_content: Filled,
    reasoning: Filled,
    reasoning_details: Filled,
}

impl Delta {
    const fn is_content(&self) -> bool {
        self.content.0
            || self.tool_calls.0
            || self.function_call.0
            || self.refusal.0
            || self.audio.0
            || self.reasoning_content.0
            || self.reasoning.0
            || self.reasoning_details.0
    }
}

impl<'a> Chunk<'a> {
    /// The JSON object of a frame or of a whole answer; none when it is not one.
    pub(crate) fn read(json: &'a [u8]) -> Option<Self> {
        // A list would be taken for an object's fields in order.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return None;
        }
        serde_json::from_slice(json).ok()
    }

    pub(crate) fn facts(self) -> FrameFacts {
        let choices = self.choices.unwrap_or_default();
        let mut reasons = choices.iter().filter_map(|choice| choice.finish_reason.as_ref());
        let finish = reasons.next().map(|reason| FinishReason::of(&reason.0));
        let finished = usize::from(finish.is_some()) + reasons.count();
        FrameFacts {
            done: false,
            content: choices.iter().any(|choice| choice.delta.as_ref().is_some_and(Delta::is_content)),
            finish,
            finished: u32::try_from(finished).unwrap_or(u32::MAX),
            usage: self.usage.map(Usage::from),
            error: self.error.map(|error| classify_in_band(error.get())),
            malformed: false,
        }
    }
}

/// Reads one event of a stream that answers a request of kind `api`: its name, where it has one, and its data.
///
/// Takes any bytes: what is not an event of such a stream is `malformed`. The time is linear in the frame; what is kept is
/// bounded.
#[must_use]
pub fn read_frame(_api: Api, _event: Option<&str>, data: &[u8]) -> FrameFacts {
    let data = data.trim_ascii();
    if data == b"[DONE]" {
        return FrameFacts { done: true, ..FrameFacts::default() };
    }
    match Chunk::read(data) {
        Some(chunk) => chunk.facts(),
        None => FrameFacts { malformed: true, ..FrameFacts::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Class;

    fn read(data: &[u8]) -> FrameFacts {
        read_frame(Api::Chat, None, data)
    }

    fn delta(delta: &str) -> FrameFacts {
        read(
            format!(
                r#"{{"id":"c","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}],"usage":null}}"#
            )
            .as_bytes(),
        )
    }

    #[test]
    fn a_role_alone_is_no_content() {
        for empty in
            [r#"{"role":"assistant"}"#, r#"{"role":"assistant","content":"","refusal":null}"#, "{}", "null"]
        {
            assert_eq!(delta(empty), FrameFacts::default(), "{empty}");
        }
    }

    #[test]
    fn whatever_a_caller_would_see_is_content() {
        for content in [
            r#"{"content":"a"}"#,
            r#"{"content":"\n"}"#,
            r#"{"tool_calls":[{"index":0}]}"#,
            r#"{"refusal":"no"}"#,
            r#"{"audio":{"data":"x"}}"#,
            r#"{"reasoning_content":"hm"}"#,
            r#"{"content":null,"reasoning":"hm"}"#,
        ] {
            assert!(delta(content).content, "{content}");
        }
    }

    #[test]
    fn a_finish_and_a_usage_are_read() {
        let facts = read(
            br#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"},{"finish_reason":"stop"}]}"#,
        );
        assert_eq!((facts.finish, facts.finished, facts.content), (Some(FinishReason::Length), 2, false));
        let facts = read(br#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#);
        assert_eq!(facts.usage, Some(Usage::new(3, 2)));
    }

    #[test]
    fn an_error_in_place_of_an_answer_is_classified() {
        let facts = read(br#"{"error":{"message":"m","type":"server_error","code":null}}"#);
        assert_eq!(facts.error.map(|failure| failure.class), Some(Class::Transient));
        assert_eq!(read(br#"{"error":null,"choices":[]}"#), FrameFacts::default());
    }

    #[test]
    fn what_is_no_chunk_is_malformed() {
        for wrong in [
            "",
            "[]",
            "7",
            "null",
            "[DONE",
            "{",
            r#"{"choices":7}"#,
            r#"{"choices":[7]}"#,
            "{}x",
            "[[],null,null]",
        ] {
            assert!(read(wrong.as_bytes()).malformed, "{wrong}");
        }
        assert!(read(b" [DONE] ").done);
        assert!(!read(b"{}").malformed);
    }

    #[test]
    fn depth_does_not_recurse() {
        let deep = format!(r#"{{"x":{}{},"choices":[]}}"#, "[".repeat(1 << 20), "]".repeat(1 << 20));
        assert!(!read(deep.as_bytes()).malformed);
    }
}
