//! OpenAI's responses: events named by what they are about, and an answer made of items.
//!
//! The last event (`response.completed`, `.incomplete`, `.failed`) holds the whole answer, with its usage and with the reason why
//! it ended. A message and a reasoning begin empty and are content by what they hold; every other item is a call, and content
//! from its beginning. While a provider carries a call out, its progress (`response.web_search_call.searching`) is content
//! too: the caller sees that work goes on, and so the stream is not silent.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{FinishReason, FrameFacts, holds::Holds, object};
use crate::{
    loose::{Filled, Text, Written},
    usage::{RawUsage, Usage},
};

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(default)]
    delta: Written,
    // What the `.done` of a piece repeats: all that comes of a provider that sends no deltas.
    #[serde(default)]
    text: Filled,
    #[serde(default)]
    refusal: Filled,
    #[serde(default)]
    arguments: Filled,
    #[serde(default)]
    input: Filled,
    #[serde(default)]
    partial_image_b64: Filled,
    #[serde(default)]
    part: Holds,
    #[serde(borrow, default)]
    item: Option<Item<'a>>,
    #[serde(borrow, default)]
    response: Option<Answer<'a>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(default)]
    content: Holds,
    #[serde(default)]
    summary: Holds,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    status: Option<Text<'a>>,
    #[serde(borrow, default)]
    output: Option<Vec<Item<'a>>>,
    #[serde(borrow, default)]
    incomplete_details: Option<Incomplete<'a>>,
    #[serde(default)]
    usage: Option<RawUsage>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Incomplete<'a> {
    #[serde(borrow, default)]
    reason: Option<Text<'a>>,
}

impl Item<'_> {
    fn is_content(&self) -> bool {
        match self.kind.as_ref().map(|kind| &*kind.0) {
            None => false,
            Some("message" | "reasoning") => self.content.0 || self.summary.0,
            Some(_) => true,
        }
    }

    /// A call that the caller shall carry out.
    fn is_callers(&self) -> bool {
        self.kind.as_ref().is_some_and(|kind| {
            matches!(&*kind.0, "function_call" | "custom_tool_call" | "computer_call" | "local_shell_call")
        })
    }
}

impl Answer<'_> {
    /// What the answer says, `status` being what its event says of it where it does not say so itself.
    fn facts(&self, status: Option<&str>) -> FrameFacts {
        if let Some(error) = self.error {
            return FrameFacts::error(error.get());
        }
        let items = self.output.as_deref().unwrap_or_default();
        let ended = match self.status.as_ref().map(|status| &*status.0).or(status) {
            None => FrameFacts::default(),
            Some("failed") => FrameFacts::failed(),
            Some("completed") if items.iter().any(Item::is_callers) => {
                FrameFacts::finished(FinishReason::ToolCalls)
            }
            Some("completed") => FrameFacts::finished(FinishReason::Stop),
            Some("incomplete") => FrameFacts::finished(self.shortfall()),
            // Cancelled, or (where the provider works on in the background) queued: told as asked for.
            Some(_) => FrameFacts::finished(FinishReason::Other),
        };
        let content = items.iter().any(Item::is_content);
        FrameFacts { content, usage: self.usage.clone().map(Usage::from), ..ended }
    }

    fn shortfall(&self) -> FinishReason {
        let reason = self.incomplete_details.as_ref().and_then(|details| details.reason.as_ref());
        match reason.map(|reason| &*reason.0) {
            Some("max_output_tokens" | "max_tokens") => FinishReason::Length,
            Some("content_filter") => FinishReason::ContentFilter,
            _ => FinishReason::Other,
        }
    }
}

/// The whole body of an answer.
pub(super) fn whole(json: &[u8]) -> FrameFacts {
    object::<Answer<'_>>(json).map_or_else(FrameFacts::malformed, |answer| answer.facts(None))
}

/// One event. Its data names it too, and is believed.
pub(super) fn frame(name: Option<&str>, json: &[u8]) -> FrameFacts {
    let Some(event) = object::<Event<'_>>(json) else { return FrameFacts::malformed() };
    if let Some(error) = event.error {
        return FrameFacts::error(error.get());
    }
    let Some(kind) = event.kind.as_ref().map(|kind| &*kind.0).or(name) else {
        return FrameFacts::malformed();
    };
    let Some(about) = kind.strip_prefix("response.") else {
        // The flat form of an error is the event itself.
        let flat = (kind == "error").then(|| std::str::from_utf8(json).map(FrameFacts::error));
        return flat.and_then(Result::ok).unwrap_or_default();
    };
    if let "completed" | "incomplete" | "failed" | "cancelled" = about {
        let facts = event.response.as_ref().map(|answer| answer.facts(Some(about)));
        let unsaid = || match about {
            "completed" => FrameFacts::finished(FinishReason::Stop),
            "failed" => FrameFacts::failed(),
            _ => FrameFacts::finished(FinishReason::Other),
        };
        return FrameFacts { done: true, ..facts.unwrap_or_else(unsaid) };
    }
    // The `.done` of a piece repeats it; sound is no text.
    let is_sound = about == "audio.delta" || about.starts_with("output_audio.");
    let text = if is_sound { 0 } else { event.delta.text };
    FrameFacts { content: event.is_content(about), text, ..FrameFacts::default() }
}

impl Event<'_> {
    fn is_content(&self, about: &str) -> bool {
        self.delta.filled
            || self.text.0
            || self.refusal.0
            || self.arguments.0
            || self.input.0
            || self.partial_image_b64.0
            || self.part.0
            || self.item.as_ref().is_some_and(Item::is_content)
            || about.split_once('.').is_some_and(|(what, _)| what.ends_with("_call"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnswerFacts, Api, Class, read_answer, read_frame};

    fn event(data: &str) -> FrameFacts {
        read_frame(Api::Responses, None, data.as_bytes())
    }

    #[test]
    fn what_begins_a_stream_is_no_content() {
        for data in [
            r#"{"type":"response.created","response":{"status":"in_progress","output":[],"usage":null,"error":null}}"#,
            r#"{"type":"response.in_progress","response":{"status":"in_progress","output":[]}}"#,
            r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message","role":"assistant","content":[]}}"#,
            r#"{"type":"response.output_item.added","item":{"type":"reasoning","summary":[],"encrypted_content":"x"}}"#,
            r#"{"type":"response.content_part.added","part":{"type":"output_text","text":"","annotations":[]}}"#,
            r#"{"type":"response.output_text.delta","delta":""}"#,
            r#"{"type":"keepalive","sequence_number":3}"#,
        ] {
            assert_eq!(event(data), FrameFacts::default(), "{data}");
        }
    }

    #[test]
    fn whatever_a_caller_would_see_is_content() {
        for data in [
            r#"{"type":"response.output_text.delta","delta":"a"}"#,
            r#"{"type":"response.refusal.delta","delta":"no"}"#,
            r#"{"type":"response.function_call_arguments.delta","delta":"{"}"#,
            r#"{"type":"response.reasoning_summary_text.delta","delta":"hm"}"#,
            r#"{"type":"response.audio.delta","delta":"AA=="}"#,
            r#"{"type":"response.output_text.done","text":"a"}"#,
            r#"{"type":"response.function_call_arguments.done","arguments":"{}"}"#,
            r#"{"type":"response.content_part.done","part":{"type":"output_text","text":"a"}}"#,
            r#"{"type":"response.output_item.added","item":{"type":"function_call","name":"f","arguments":""}}"#,
            r#"{"type":"response.output_item.added","item":{"type":"mcp_call","name":"f"}}"#,
            r#"{"type":"response.web_search_call.searching","item_id":"w"}"#,
            r#"{"type":"response.image_generation_call.partial_image","partial_image_b64":"AA=="}"#,
        ] {
            assert!(event(data).content, "{data}");
        }
    }

    #[test]
    fn text_is_what_the_model_wrote_and_counts_once() {
        for (data, text) in [
            (r#"{"type":"response.output_text.delta","delta":"ahoy"}"#, 4),
            (r#"{"type":"response.output_text.done","text":"ahoy"}"#, 0),
            (r#"{"type":"response.function_call_arguments.delta","delta":"{"}"#, 1),
            (r#"{"type":"response.audio.delta","delta":"AAAA"}"#, 0),
            (r#"{"type":"response.audio.transcript.delta","delta":"aye"}"#, 3),
        ] {
            let facts = event(data);
            assert_eq!((facts.content, facts.text), (true, text), "{data}");
        }
    }

    #[test]
    fn the_last_event_says_how_it_ended() {
        let usage =
            r#""usage":{"input_tokens":9,"output_tokens":4,"output_tokens_details":{"reasoning_tokens":3}}"#;
        let completed = format!(
            r#"{{"type":"response.completed","response":{{"status":"completed","error":null,"output":[{{"type":"message","content":[{{"type":"output_text","text":"a"}}]}}],{usage}}}}}"#
        );
        let facts = event(&completed);
        assert!(facts.done && facts.content);
        assert_eq!((facts.finish, facts.finished), (Some(FinishReason::Stop), 1));
        assert_eq!(facts.usage, Some(Usage::new(9, 4).with_reasoning(3)));
        for (reason, finish) in [
            ("max_output_tokens", FinishReason::Length),
            ("content_filter", FinishReason::ContentFilter),
            ("later", FinishReason::Other),
        ] {
            let data = format!(
                r#"{{"type":"response.incomplete","response":{{"status":"incomplete","incomplete_details":{{"reason":"{reason}"}}}}}}"#
            );
            let facts = event(&data);
            assert_eq!((facts.done, facts.finish), (true, Some(finish)), "{reason}");
        }
        let call =
            r#"{"type":"response.completed","response":{"output":[{"type":"function_call","name":"f"}]}}"#;
        assert_eq!(event(call).finish, Some(FinishReason::ToolCalls));
    }

    #[test]
    fn a_failure_is_an_error_in_each_of_its_forms() {
        let class = |data: &str| event(data).error.map(|failure| failure.class);
        let failed = r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"rate_limit_exceeded","message":"m"}}}"#;
        assert_eq!(class(failed), Some(Class::RateLimited));
        assert_eq!(
            class(r#"{"type":"response.failed","response":{"status":"failed"}}"#),
            Some(Class::Transient)
        );
        assert_eq!(class(r#"{"type":"response.failed"}"#), Some(Class::Transient));
        let flat = r#"{"type":"error","code":"server_is_overloaded","message":"m","param":null,"sequence_number":1}"#;
        assert_eq!(class(flat), Some(Class::Overloaded));
        let nested = r#"{"type":"error","error":{"type":"insufficient_quota","code":"insufficient_quota"}}"#;
        assert_eq!(class(nested), Some(Class::QuotaSpent));
    }

    #[test]
    fn an_event_without_a_name_is_not_of_this_stream() {
        for data in ["{}", "[]", "7", r#"{"choices":[]}"#, r#"{"type":"response.created","response":7}"#] {
            assert!(event(data).malformed, "{data}");
        }
        assert!(read_frame(Api::Responses, Some("response.completed"), b"{}").done);
    }

    #[test]
    fn a_whole_answer_is_judged_by_its_status_and_its_items() {
        let class =
            |body: &str| read_answer(Api::Responses, body.as_bytes()).failure().map(|failure| failure.class);
        let item =
            r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"ahoy"}]}"#;
        let empty = r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":""}]}"#;
        assert_eq!(class(&format!(r#"{{"status":"completed","output":[{item}]}}"#)), None);
        assert_eq!(class(&format!(r#"{{"status":"completed","output":[{empty}]}}"#)), Some(Class::Empty));
        assert_eq!(class(r#"{"status":"completed","output":[]}"#), Some(Class::Empty));
        assert_eq!(class("{}"), Some(Class::Empty));
        let short =
            r#"{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]}"#;
        assert_eq!(class(short), None);
        assert_eq!(class(r#"{"status":"queued","output":[]}"#), None);
        assert_eq!(class(r#"{"status":"failed","error":null}"#), Some(Class::Transient));
        assert_eq!(class(r#"{"error":{"code":"server_error"}}"#), Some(Class::Transient));
        assert_eq!(class(r#"{"output":7}"#), Some(Class::Malformed));
    }

    #[test]
    fn a_stream_that_breaks_off_has_no_finish() {
        let mut facts = AnswerFacts::of_stream();
        facts
            .absorb(&event(r#"{"type":"response.created","response":{"status":"in_progress","output":[]}}"#));
        facts.absorb(&event(r#"{"type":"response.output_text.delta","delta":"a"}"#));
        assert_eq!((facts.content, facts.finish, facts.finished), (true, None, 0));
    }
}
