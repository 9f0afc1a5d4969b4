//! OpenAI's chat completions and its older text completions: chunks of a stream, and whole answers.
//!
//! A chunk and a whole answer are alike: a list of choices, a usage, or an error in their place. A stream ends with `[DONE]`,
//! and each of its choices with a finish reason of its own. Some providers say there that the choice broke off: that is no end, but
//! an error.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{FinishReason, FrameFacts, object};
use crate::{
    api::Api,
    class::{Class, Failure},
    error_body::classify_in_band,
    loose::{Filled, Text, Written},
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
    text: Written,
    /// OpenRouter's, of a provider behind it that failed.
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Written,
    tool_calls: Written,
    function_call: Written,
    refusal: Written,
    audio: Filled,
    reasoning_content: Written,
    reasoning: Written,
    reasoning_details: Filled,
    images: Filled,
}

impl Delta {
    const fn is_content(&self) -> bool {
        self.content.filled
            || self.tool_calls.filled
            || self.function_call.filled
            || self.refusal.filled
            || self.audio.0
            || self.reasoning_content.filled
            || self.reasoning.filled
            || self.reasoning_details.0
            || self.images.0
    }

    /// Bytes of text. Some say their reasoning under two names; sound and images are no text.
    fn text(&self) -> u64 {
        let parts = [self.content, self.tool_calls, self.function_call, self.refusal];
        let reasoning = self.reasoning_content.text.max(self.reasoning.text);
        parts.iter().fold(reasoning, |sum, part| sum.saturating_add(part.text))
    }
}

fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        // `eos` is Together's, `model_length` Mistral's.
        "stop" | "eos" => FinishReason::Stop,
        "length" | "model_length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

/// The failure behind a reason that is no end: the server gave up amid the answer.
fn broken_off(reason: &str) -> Option<Class> {
    match reason {
        // DeepSeek.
        "insufficient_system_resource" => Some(Class::Overloaded),
        // OpenRouter, Mistral and vLLM; vLLM when it shuts down.
        "error" | "abort" => Some(Class::Transient),
        _ => None,
    }
}

impl Choice<'_> {
    fn reason(&self) -> Option<&str> {
        self.finish_reason.as_ref().map(|reason| &*reason.0)
    }

    fn failure(&self) -> Option<Failure> {
        let said = self.error.map(|error| classify_in_band(error.get()));
        said.or_else(|| Some(broken_off(self.reason()?)?.into()))
    }

    fn is_content(&self, api: Api) -> bool {
        match api {
            Api::Completions => self.text.filled,
            _ => self.delta.as_ref().is_some_and(Delta::is_content),
        }
    }

    fn text(&self, api: Api) -> u64 {
        match api {
            Api::Completions => self.text.text,
            _ => self.delta.as_ref().map_or(0, Delta::text),
        }
    }
}

/// A chunk, or a whole answer.
pub(super) fn read(api: Api, json: &[u8]) -> FrameFacts {
    let Some(chunk) = object::<Chunk<'_>>(json) else { return FrameFacts::malformed() };
    let choices = chunk.choices.unwrap_or_default();
    let said = chunk.error.map(|error| classify_in_band(error.get()));
    let error = said.or_else(|| choices.iter().find_map(Choice::failure));
    let mut reasons = choices.iter().filter_map(Choice::reason).filter(|reason| broken_off(reason).is_none());
    let finish = reasons.next().map(finish_reason);
    let finished = usize::from(finish.is_some()) + reasons.count();
    FrameFacts {
        done: false,
        content: choices.iter().any(|choice| choice.is_content(api)),
        text: choices.iter().fold(0, |sum, choice| sum.saturating_add(choice.text(api))),
        finish,
        finished: u32::try_from(finished).unwrap_or(u32::MAX),
        usage: chunk.usage.map(Usage::from),
        error,
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
            r#"{"content":"","images":[{"type":"image_url"}]}"#,
        ] {
            assert!(delta(content).content, "{content}");
        }
    }

    #[test]
    fn text_is_what_the_model_wrote() {
        for (said, text) in [
            (r#"{"content":"ahoy"}"#, 4),
            (r#"{"content":"a\nb"}"#, 3),
            (r#"{"refusal":"no"}"#, 2),
            (r#"{"reasoning":"hm","reasoning_content":"hm","reasoning_details":[{"text":"hm"}]}"#, 2),
            (r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"a"}}]}"#, 3),
            (r#"{"tool_calls":[{"index":0,"id":"call_7","type":"function","function":{"name":"f"}}]}"#, 1),
            (r#"{"audio":{"data":"AAAA"}}"#, 0),
        ] {
            let facts = delta(said);
            assert_eq!((facts.content, facts.text), (true, text), "{said}");
        }
        let completion = read_frame(Api::Completions, None, br#"{"choices":[{"text":"ab"},{"text":"c"}]}"#);
        assert_eq!(completion.text, 3);
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
    fn a_choice_that_broke_off_is_an_error_and_no_end() {
        for (choice, class) in [
            (r#""finish_reason":"insufficient_system_resource""#, Class::Overloaded),
            (r#""finish_reason":"error""#, Class::Transient),
            (r#""finish_reason":"abort""#, Class::Transient),
            (r#""finish_reason":"error","error":{"code":429,"message":"m"}"#, Class::RateLimited),
            (r#""finish_reason":null,"error":{"code":502,"message":"m"}"#, Class::Transient),
        ] {
            let said = r#""delta":{"content":"Half an ans"}"#;
            let facts = read(format!(r#"{{"choices":[{{{said},{choice}}}]}}"#).as_bytes());
            assert_eq!(facts.error.map(|failure| failure.class), Some(class), "{choice}");
            assert_eq!((facts.finish, facts.finished), (None, 0), "{choice}");
        }
        let facts = read(br#"{"choices":[{"finish_reason":"stop","error":null}]}"#);
        assert_eq!((facts.error, facts.finished), (None, 1));
    }

    #[test]
    fn each_reason_to_stop_has_its_meaning() {
        for (reason, finish) in [
            ("stop", FinishReason::Stop),
            ("eos", FinishReason::Stop),
            ("length", FinishReason::Length),
            ("model_length", FinishReason::Length),
            ("tool_calls", FinishReason::ToolCalls),
            ("function_call", FinishReason::ToolCalls),
            ("content_filter", FinishReason::ContentFilter),
            ("later", FinishReason::Other),
        ] {
            let facts = read(format!(r#"{{"choices":[{{"finish_reason":"{reason}"}}]}}"#).as_bytes());
            assert_eq!((facts.finish, facts.finished), (Some(finish), 1), "{reason}");
        }
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
