//! Anthropic's forms: messages, whole and streamed, with all the fields that its description requires.

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
        "container": null,
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "stop_details": null,
        "usage": {
            "input_tokens": said.prompt_tokens,
            "output_tokens": output_tokens,
            "output_tokens_details": null,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "server_tool_use": null,
            "service_tier": "standard",
            "inference_geo": null,
        },
    })
}

fn text_block(text: &str) -> Value {
    json!({"type": "text", "text": text, "citations": null})
}

fn tool_block(said: &Said<'_>, name: &str, input: &Value) -> Value {
    let id = format!("toolu_{}", said.id);
    json!({"type": "tool_use", "id": id, "name": name, "input": input, "caller": {"type": "direct"}})
}

pub(super) fn message(said: &Said<'_>) -> Answer {
    let block = match &said.content {
        Content::Text { .. } => text_block(&said.text()),
        Content::Tool { name, .. } => {
            tool_block(said, name, &serde_json::from_str(&said.text()).unwrap_or_default())
        }
    };
    let tokens = said.completion_tokens();
    let body = envelope(said, &json!([block]), Some(stop_reason(said)), tokens);
    Answer::Whole { body: body.to_string().into(), tokens }
}

pub(super) fn message_stream(said: &Said<'_>) -> Answer {
    let (block, delta_of): (Value, fn(&str) -> String) = match &said.content {
        Content::Text { .. } => {
            (text_block(""), |text| format!(r#"{{"type":"text_delta","text":{}}}"#, quoted(text)))
        }
        Content::Tool { name, .. } => (tool_block(said, name, &json!({})), |text| {
            format!(r#"{{"type":"input_json_delta","partial_json":{}}}"#, quoted(text))
        }),
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
    let delta = json!({
        "container": null, "stop_reason": stop_reason(said), "stop_sequence": null, "stop_details": null,
    });
    let usage = json!({
        "input_tokens": said.prompt_tokens, "output_tokens": said.completion_tokens(), "output_tokens_details": null,
        "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "server_tool_use": null,
    });
    let end = format!(r#""delta":{delta},"usage":{usage}"#);
    let closing = vec![event("content_block_stop", r#""index":0"#), event("message_delta", &end)];
    let done = Bytes::from_static(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    Answer::Stream { opening, tokens, closing, done }
}

/// One event; its name stands twice, as the provider sends it.
fn event(name: &str, fields: &str) -> Bytes {
    format!("event: {name}\ndata: {{\"type\":\"{name}\",{fields}}}\n\n").into()
}
