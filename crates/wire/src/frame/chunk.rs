//! OpenAI's chat completions and its older text completions: chunks of a stream, and whole answers.
//!
//! A chunk and a whole answer are alike: a list of choices, a usage, or an error in their place. A stream ends with `[DONE]`,
//! and each of its choices with a finish reason of its own.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{FinishReason, FrameFacts, object};
use crate::{
    api::Api,
    error_body::classify_in_band,
    loose::{Filled, Text},
    usage::{RawUsage, Usage},
};

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<RawUsage>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// A choice of a chunk (`delta`) or of a whole answer (`message`); of a text completion, both have a `text`.
#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default, alias = "message")]
    delta: Option<Delta>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    #[serde(default)]
    text: Filled,
}

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

fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "stop" => FinishReason::Stop,
        "length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

impl Choice<'_> {
    fn is_content(&self, api: Api) -> bool {
        match api {
            Api::Completions => self.text.0,
            _ => self.delta.as_ref().is_some_and(Delta::is_content),
        }
    }
}

/// A chunk, or a whole answer.
pub(super) fn read(api: Api, json: &[u8]) -> FrameFacts {
    let Some(chunk) = object::<Chunk<'_>>(json) else { return FrameFacts::malformed() };
    let choices = chunk.choices.unwrap_or_default();
    let mut reasons = choices.iter().filter_map(|choice| choice.finish_reason.as_ref());
    let finish = reasons.next().map(|reason| finish_reason(&reason.0));
    let finished = usize::from(finish.is_some()) + reasons.count();
    FrameFacts {
        done: false,
        content: choices.iter().any(|choice| choice.is_content(api)),
        finish,
        finished: u32::try_from(finished).unwrap_or(u32::MAX),
        usage: chunk.usage.map(Usage::from),
        error: chunk.error.map(|error| classify_in_band(error.get())),
        malformed: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Class, read_frame};

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

    #[test]
    fn the_text_of_a_completion_is_content_there_and_nowhere_else() {
        let data = br#"{"object":"text_completion","choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":null}]}"#;
        assert!(read_frame(Api::Completions, None, data).content);
        assert!(!read_frame(Api::Chat, None, data).content);
        assert!(!read_frame(Api::Completions, None, br#"{"choices":[{"text":""}]}"#).content);
        let last = br#"{"choices":[{"text":"","finish_reason":"length"}]}"#;
        assert_eq!(read_frame(Api::Completions, None, last).finish, Some(FinishReason::Length));
        assert!(read_frame(Api::Completions, None, b"[DONE]").done);
    }
}
