//! The forms of OpenAI's Responses API: one output item, whole or as the events in which it comes to be.
//!
//! Every event bears its name twice, its number in the stream, and where it belongs. The response itself is sent three
//! times: created, in progress, and at the end with all that came of it; that last event is the only one with usage.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Answer, CREATED, Content, Said};
use crate::request::Memory;

/// What is said, and what the request has to do with others.
pub(super) struct Told<'a> {
    pub(super) said: &'a Said<'a>,
    pub(super) memory: &'a Memory,
}

impl Told<'_> {
    pub(super) fn whole(&self) -> Answer {
        let said = self.said;
        let tokens = said.completion_tokens();
        Answer::Whole { body: self.response(self.status()).to_string().into(), tokens }
    }

    pub(super) fn stream(&self) -> Answer {
        let mut events = Events::default();
        let begun = self.response("in_progress");
        let mut opening = vec![
            events.next("response.created", &json!({"response": begun})),
            events.next("response.in_progress", &json!({"response": begun})),
            events.next(
                "response.output_item.added",
                &json!({"output_index": 0, "item": self.item("in_progress", false)}),
            ),
        ];
        let (id, text) = (self.item_id(), self.said.text());
        let in_item = |more: Value| with(json!({"item_id": id, "output_index": 0}), more);
        let in_part = |more: Value| with(in_item(json!({"content_index": 0})), more);
        let pieces = self.said.pieces().iter();
        let (tokens, mut closing) = match &self.said.content {
            Content::Text { .. } => {
                let part = |text: &str| in_part(json!({"part": part(text)}));
                opening.push(events.next("response.content_part.added", &part("")));
                let delta = |piece: &String| {
                    events
                        .next("response.output_text.delta", &in_part(json!({"delta": piece, "logprobs": []})))
                };
                let tokens: Vec<Bytes> = pieces.map(delta).collect();
                let done = in_part(json!({"text": text, "logprobs": []}));
                let closing = vec![
                    events.next("response.output_text.done", &done),
                    events.next("response.content_part.done", &part(&text)),
                ];
                (tokens, closing)
            }
            Content::Tool { name: tool, .. } => {
                let name = "response.function_call_arguments";
                let delta =
                    |piece: &String| events.next(&format!("{name}.delta"), &in_item(json!({"delta": piece})));
                let tokens: Vec<Bytes> = pieces.map(delta).collect();
                let done = in_item(json!({"name": tool, "arguments": text}));
                (tokens, vec![events.next(&format!("{name}.done"), &done)])
            }
        };
        let item = json!({"output_index": 0, "item": self.item(self.status(), true)});
        closing.push(events.next("response.output_item.done", &item));
        let end = format!("response.{}", self.status());
        let done = events.next(&end, &json!({"response": self.response(self.status())}));
        Answer::Stream { opening, tokens, closing, done }
    }

    /// How the response ends.
    fn status(&self) -> &'static str {
        match self.said.content {
            Content::Text { short: true, .. } => "incomplete",
            Content::Text { short: false, .. } | Content::Tool { .. } => "completed",
        }
    }

    fn response(&self, status: &str) -> Value {
        let Self { said, memory } = self;
        let ended = status != "in_progress";
        let output = if ended { json!([self.item(status, true)]) } else { json!([]) };
        let incomplete = (status == "incomplete").then(|| json!({"reason": "max_output_tokens"}));
        json!({
            "id": format!("resp_{}", said.id),
            "object": "response",
            "created_at": CREATED,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": incomplete,
            "instructions": null,
            "max_output_tokens": null,
            "metadata": {},
            "model": said.model,
            "output": output,
            "parallel_tool_calls": true,
            "previous_response_id": memory.previous,
            "reasoning": {"effort": null, "summary": null},
            "store": memory.store,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": ended.then(|| self.usage()),
            "user": null,
        })
    }

    fn item_id(&self) -> String {
        let prefix = match self.said.content {
            Content::Text { .. } => "msg",
            Content::Tool { .. } => "fc",
        };
        format!("{prefix}_{}", self.said.id)
    }

    /// The output item: empty while it comes to be, `full` at its end.
    fn item(&self, status: &str, full: bool) -> Value {
        let (id, text) = (self.item_id(), if full { self.said.text() } else { String::new() });
        match &self.said.content {
            Content::Text { .. } => {
                let content = if full { json!([part(&text)]) } else { json!([]) };
                json!({"id": id, "type": "message", "status": status, "content": content, "role": "assistant"})
            }
            Content::Tool { name, .. } => json!({
                "id": id, "type": "function_call", "status": status,
                "arguments": text, "call_id": format!("call_{}", self.said.id), "name": name,
            }),
        }
    }

    fn usage(&self) -> Value {
        let (input, output) = (self.said.prompt_tokens, self.said.completion_tokens());
        json!({
            "input_tokens": input,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input.saturating_add(output),
        })
    }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
}

/// One object's fields and another's.
fn with(mut fields: Value, more: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), more) {
        fields.extend(more);
    }
    fields
}

/// Numbers the events of one stream.
#[derive(Default)]
struct Events(u32);

impl Events {
    fn next(&mut self, name: &str, fields: &Value) -> Bytes {
        let head = json!({"type": name, "sequence_number": self.0});
        self.0 += 1;
        format!("event: {name}\ndata: {}\n\n", with(head, fields.clone())).into()
    }
}
