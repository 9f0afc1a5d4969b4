//! Anthropic's messages: events with names, blocks that begin empty, and a usage in two parts.
//!
//! A stream is `message_start` (with what was read), for each block `content_block_start`, `_delta`s and `content_block_stop`,
//! `message_delta` (with why it stopped and what was written, a sum so far), `message_stop`; `ping` and `error` may come at
//! any time. Events and blocks of unknown types are let through, as Anthropic asks of its readers ('Versioning').

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{FinishReason, FrameFacts, holds::Holds, object};
use crate::{
    loose::{Text, Written, is_label},
    usage::{RawUsage, Usage},
};

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    message: Option<Message<'a>>,
    #[serde(default)]
    content_block: Holds,
    #[serde(default)]
    delta: Delta,
    #[serde(default)]
    usage: Option<RawUsage>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// A whole answer, or the beginning of a streamed one.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default)]
    content: Holds,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
    #[serde(default)]
    usage: Option<RawUsage>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// The `delta` of a block, or of the message.
#[derive(Default)]
struct Delta {
    holds: bool,
    /// Bytes of it that are text of the model's. A signature is none, nor is what a citation cites.
    text: u64,
    stop: Option<FinishReason>,
}

fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

impl Message<'_> {
    fn facts(self) -> FrameFacts {
        if let Some(error) = self.error {
            return FrameFacts::error(error.get());
        }
        let stopped =
            self.stop_reason.map(|reason| FrameFacts::finished(finish_reason(&reason.0))).unwrap_or_default();
        FrameFacts { content: self.content.0, usage: self.usage.map(Usage::from), ..stopped }
    }
}

/// The whole body of an answer.
pub(super) fn whole(json: &[u8]) -> FrameFacts {
    object::<Message<'_>>(json).map_or_else(FrameFacts::malformed, Message::facts)
}

/// One event. Its data names it too, and is believed.
pub(super) fn frame(name: Option<&str>, json: &[u8]) -> FrameFacts {
    let Some(event) = object::<Event<'_>>(json) else { return FrameFacts::malformed() };
    if let Some(error) = event.error {
        return FrameFacts::error(error.get());
    }
    let kind = event.kind.as_ref().map(|kind| &*kind.0).or(name);
    let usage = event.usage.map(Usage::from);
    match kind {
        None => FrameFacts::malformed(),
        Some("error") => FrameFacts::failed(),
        Some("message_start") => event.message.map(Message::facts).unwrap_or_default(),
        Some("content_block_start") => FrameFacts { content: event.content_block.0, ..FrameFacts::default() },
        Some("content_block_delta") => {
            FrameFacts { content: event.delta.holds, text: event.delta.text, ..FrameFacts::default() }
        }
        Some("message_delta") => {
            let stopped = event.delta.stop.map(FrameFacts::finished).unwrap_or_default();
            FrameFacts { usage, ..stopped }
        }
        Some("message_stop") => FrameFacts { done: true, usage, ..FrameFacts::default() },
        Some(_) => FrameFacts { usage, ..FrameFacts::default() },
    }
}

impl<'de> Deserialize<'de> for Delta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DeltaVisitor)
    }
}

struct DeltaVisitor;

impl<'de> Visitor<'de> for DeltaVisitor {
    type Value = Delta;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a delta")
    }

    fn visit_unit<E>(self) -> Result<Delta, E> {
        Ok(Delta::default())
    }

    /// No delta of a known event: whatever it is, the caller sees it.
    fn visit_str<E>(self, text: &str) -> Result<Delta, E> {
        Ok(Delta { holds: !text.is_empty(), text: text.len() as u64, stop: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Delta, A::Error> {
        let mut delta = Delta::default();
        while let Some(Text(name)) = map.next_key()? {
            if name == "stop_reason" {
                let reason: Option<Text<'_>> = map.next_value()?;
                delta.stop = reason.map(|reason| finish_reason(&reason.0));
            } else if is_label(&name) {
                map.next_value::<IgnoredAny>()?;
            } else {
                let written = map.next_value::<Written>()?;
                delta.holds |= written.filled;
                if let "text" | "thinking" | "partial_json" = &*name {
                    delta.text = delta.text.saturating_add(written.text);
                }
            }
        }
        Ok(delta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnswerFacts, Api, Class, read_answer, read_frame};

    fn event(data: &str) -> FrameFacts {
        read_frame(Api::Messages, None, data.as_bytes())
    }

    #[test]
    fn what_begins_a_stream_or_keeps_it_alive_is_no_content() {
        for data in [
            r#"{"type":"ping"}"#,
            r#"{"type":"message_start","message":{"id":"m","role":"assistant","content":[],"stop_reason":null}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"later_event","what":{"ever":1}}"#,
        ] {
            assert_eq!(event(data), FrameFacts::default(), "{data}");
        }
    }

    #[test]
    fn whatever_a_caller_would_see_is_content() {
        let delta = |delta: &str| format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#);
        let block =
            |block: &str| format!(r#"{{"type":"content_block_start","index":0,"content_block":{block}}}"#);
        for data in [
            delta(r#"{"type":"text_delta","text":"a"}"#),
            delta(r#"{"type":"input_json_delta","partial_json":"{"}"#),
            delta(r#"{"type":"thinking_delta","thinking":"hm"}"#),
            delta(r#"{"type":"later_delta","later":[1]}"#),
            delta(r#""a""#),
            block(r#"{"type":"tool_use","id":"t","name":"f","input":{}}"#),
            block(r#"{"type":"server_tool_use","id":"t","name":"web_search","input":{}}"#),
            block(r#"{"type":"redacted_thinking","data":"x"}"#),
        ] {
            assert!(event(&data).content, "{data}");
        }
    }

    #[test]
    fn text_is_what_the_model_wrote() {
        for (delta, text) in [
            (r#"{"type":"text_delta","text":"ahoy"}"#, 4),
            (r#"{"type":"thinking_delta","thinking":"hm"}"#, 2),
            (r#"{"type":"input_json_delta","partial_json":"{\"a\""}"#, 4),
            (r#"{"type":"signature_delta","signature":"EqQBCgIYAhIM"}"#, 0),
            (r#"{"type":"citations_delta","citation":{"cited_text":"long"}}"#, 0),
        ] {
            let facts = event(&format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#));
            assert_eq!((facts.content, facts.text), (true, text), "{delta}");
        }
    }

    #[test]
    fn a_stream_is_folded_with_both_halves_of_its_usage() {
        let mut facts = AnswerFacts::of_stream();
        for data in [
            r#"{"type":"message_start","message":{"content":[],"usage":{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":1}}}"#,
            r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":7}}"#,
        ] {
            facts.absorb(&event(data));
        }
        assert_eq!(facts.usage, Some(Usage::new(15, 7).with_cached_input(5)));
        assert_eq!((facts.finish, facts.finished, facts.failure()), (Some(FinishReason::Stop), 1, None));
        assert!(event(r#"{"type":"message_stop"}"#).done);
    }

    #[test]
    fn each_reason_to_stop_has_its_meaning() {
        for (reason, finish) in [
            ("end_turn", FinishReason::Stop),
            ("stop_sequence", FinishReason::Stop),
            ("max_tokens", FinishReason::Length),
            ("model_context_window_exceeded", FinishReason::Length),
            ("tool_use", FinishReason::ToolCalls),
            ("refusal", FinishReason::ContentFilter),
            ("pause_turn", FinishReason::Other),
        ] {
            let data = format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}}}}"#);
            assert_eq!(event(&data).finish, Some(finish), "{reason}");
        }
    }

    #[test]
    fn an_error_in_a_stream_is_classified() {
        let class = |name, data: &str| {
            read_frame(Api::Messages, name, data.as_bytes()).error.map(|failure| failure.class)
        };
        let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#;
        assert_eq!(class(Some("error"), overloaded), Some(Class::Overloaded));
        assert_eq!(class(None, overloaded), Some(Class::Overloaded));
        assert_eq!(class(Some("error"), "{}"), Some(Class::Transient));
        // What stands in front speaks OpenAI's.
        assert_eq!(class(None, r#"{"error":{"code":"rate_limit_exceeded"}}"#), Some(Class::RateLimited));
    }

    #[test]
    fn an_event_without_a_name_is_not_of_this_stream() {
        for data in ["{}", "[]", "7", r#"{"choices":[{"delta":{"content":"a"}}]}"#, r#"{"type":7}"#] {
            assert!(event(data).malformed, "{data}");
        }
        assert!(read_frame(Api::Messages, Some("message_stop"), b"{}").done);
    }

    #[test]
    fn a_whole_answer_is_judged_by_its_blocks() {
        let class =
            |body: &str| read_answer(Api::Messages, body.as_bytes()).failure().map(|failure| failure.class);
        let message = |content: &str, reason: &str, output: u64| {
            format!(
                r#"{{"type":"message","content":{content},"stop_reason":"{reason}","usage":{{"input_tokens":3,"output_tokens":{output}}}}}"#
            )
        };
        let said = message(r#"[{"type":"text","text":"ahoy"}]"#, "end_turn", 2);
        assert_eq!(class(&said), None);
        assert_eq!(read_answer(Api::Messages, said.as_bytes()).usage, Some(Usage::new(3, 2)));
        assert_eq!(class(&message("[]", "end_turn", 2)), None);
        assert_eq!(class(&message("[]", "refusal", 0)), None);
        assert_eq!(class(&message("[]", "end_turn", 0)), Some(Class::Empty));
        assert_eq!(class(&message(r#"[{"type":"text","text":""}]"#, "end_turn", 0)), Some(Class::Empty));
        assert_eq!(class("{}"), Some(Class::Empty));
        assert_eq!(class(r#"{"content":[],"usage":7}"#), Some(Class::Malformed));
        let error = r#"{"type":"error","error":{"type":"authentication_error","message":"m"}}"#;
        assert_eq!(class(error), Some(Class::Credential));
    }
}
