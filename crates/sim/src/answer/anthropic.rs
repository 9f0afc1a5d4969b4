//! Anthropic's forms: messages, whole and streamed.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Answer, Content, Said, quoted};

fn stop_reason(said: &Said<'_>) -> &'static str {
    match said.content {
        Content::Text { short: false, .. } => "end_turn",
        Content::Text { short: true, .. } => "max_tokens",
        Content::Tool { .. } => "tool_use",
    }
}

fn envelope(said: &Said<'_>, content: &Value, stop_reason: Option<&str>, output_tokens: u32) -> Value {
    json!({
        "id": format!("msg_{}", said.id),
        "type": "message",
        "role": "assistant",
        "model": said.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "usage": {"input_tokens": said.prompt_tokens, "output_tokens": output_tokens},
    })
}

pub(super) fn message(said: &Said<'_>) -> Answer {
    let block = match &said.content {
        Content::Text { .. } => json!({"type": "text", "text": said.text()}),
        Content::Tool { name, .. } => {
            let input: Value = serde_json::from_str(&said.text()).unwrap_or_default();
            json!({"type": "tool_use", "id": format!("toolu_{}", said.id), "name": name, "input": input})
        }
    };
    let tokens = said.completion_tokens();
    let body = envelope(said, &json!([block]), Some(stop_reason(said)), tokens);
    Answer::Whole { body: body.to_string().into(), tokens }
}

pub(super) fn message_stream(said: &Said<'_>) -> Answer {
    let (block, delta_of): (Value, fn(&str) -> String) = match &said.content {
        Content::Text { .. } => (json!({"type": "text", "text": ""}), |text| {
            format!(r#"{{"type":"text_delta","text":{}}}"#, quoted(text))
        }),
        Content::Tool { name, .. } => {
            let id = format!("toolu_{}", said.id);
            (json!({"type": "tool_use", "id": id, "name": name, "input": {}}), |text| {
                format!(r#"{{"type":"input_json_delta","partial_json":{}}}"#, quoted(text))
            })
        }
    };
    let start = envelope(said, &json!([]), None, 1);
    let opening = vec![
        event("message_start", &format!(r#""message":{start}"#)),
        event("content_block_start", &format!(r#""index":0,"content_block":{block}"#)),
        Bytes::from_static(b"event: ping\ndata: {\"type\":\"ping\"}\n\n"),
    ];
    let delta =
        |text: &String| event("content_block_delta", &format!(r#""index":0,"delta":{}"#, delta_of(text)));
    let tokens = said.pieces().iter().map(delta).collect();
    let end = format!(
        r#""delta":{{"stop_reason":"{}","stop_sequence":null}},"usage":{{"output_tokens":{}}}"#,
        stop_reason(said),
        said.completion_tokens()
    );
    let closing = vec![event("content_block_stop", r#""index":0"#), event("message_delta", &end)];
    let done = Bytes::from_static(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    Answer::Stream { opening, tokens, closing, done }
}

/// One event; its name stands twice, as the provider sends it.
fn event(name: &str, fields: &str) -> Bytes {
    format!("event: {name}\ndata: {{\"type\":\"{name}\",{fields}}}\n\n").into()
}
