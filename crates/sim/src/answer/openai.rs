//! OpenAI's forms: chat and text completions, embeddings, models.
//!
//! Frames are written with `format!` rather than through a JSON tree: a stream has one per token, and their fields come in
//! the order in which the real provider sends them.

use bytes::Bytes;
use serde_json::json;

use super::{Answer, CREATED, Content, Said, quoted};
use crate::{
    latency::{Draws, hash},
    request::token_count,
};

fn document(body: serde_json::Value, tokens: u32) -> Answer {
    Answer::Whole { body: body.to_string().into(), tokens }
}

fn finish_reason(said: &Said<'_>) -> &'static str {
    match said.content {
        Content::Text { short: false, .. } => "stop",
        Content::Text { short: true, .. } => "length",
        Content::Tool { .. } => "tool_calls",
    }
}

fn usage(said: &Said<'_>) -> serde_json::Value {
    let (prompt, completion) = (said.prompt_tokens, said.completion_tokens());
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt.saturating_add(completion),
        "prompt_tokens_details": {"cached_tokens": 0},
    })
}

pub(super) fn chat(said: &Said<'_>) -> Answer {
    let message = match &said.content {
        Content::Text { .. } => json!({"role": "assistant", "content": said.text(), "refusal": null}),
        Content::Tool { name, .. } => json!({
            "role": "assistant",
            "content": null,
            "refusal": null,
            "tool_calls": [{
                "id": format!("call_{}", said.id),
                "type": "function",
                "function": {"name": name, "arguments": said.text()},
            }],
        }),
    };
    let choices: Vec<_> = (0..said.choices)
        .map(|index| {
            json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish_reason(said)})
        })
        .collect();
    let body = json!({
        "id": format!("chatcmpl-{}", said.id),
        "object": "chat.completion",
        "created": CREATED,
        "model": said.model,
        "choices": choices,
        "usage": usage(said),
        "system_fingerprint": "fp_sim",
    });
    document(body, said.completion_tokens())
}

pub(super) fn completion(said: &Said<'_>) -> Answer {
    let choices: Vec<_> = (0..said.choices)
        .map(
            |index| json!({"index": index, "text": said.text(), "logprobs": null, "finish_reason": finish_reason(said)}),
        )
        .collect();
    let body = json!({
        "id": format!("cmpl-{}", said.id),
        "object": "text_completion",
        "created": CREATED,
        "model": said.model,
        "choices": choices,
        "usage": usage(said),
    });
    document(body, said.completion_tokens())
}

/// The frames of one stream differ in their choices only; the rest of each is written once.
struct Envelope {
    head: String,
    tail: &'static str,
    usage: Option<String>,
}

impl Envelope {
    fn new(said: &Said<'_>, prefix: &str, object: &str) -> Self {
        let model = quoted(said.model);
        let head = format!(
            r#"data: {{"id":"{prefix}-{}","object":"{object}","created":{CREATED},"model":{model},"system_fingerprint":"fp_sim","choices":["#,
            said.id
        );
        let usage = said.usage_in_stream.then(|| format!("{head}],\"usage\":{}}}\n\n", usage(said)));
        let tail = if said.usage_in_stream { "],\"usage\":null}\n\n" } else { "]}\n\n" };
        Self { head, tail, usage }
    }

    /// A frame for each choice.
    fn frames(&self, said: &Said<'_>, choice: impl Fn(u32) -> String) -> Vec<Bytes> {
        (0..said.choices)
            .map(|index| [&self.head, choice(index).as_str(), self.tail].concat().into())
            .collect()
    }

    fn close(self, mut closing: Vec<Bytes>, opening: Vec<Bytes>, tokens: Vec<Bytes>) -> Answer {
        closing.extend(self.usage.map(Bytes::from));
        Answer::Stream { opening, tokens, closing, done: Bytes::from_static(b"data: [DONE]\n\n") }
    }
}

pub(super) fn chat_stream(said: &Said<'_>) -> Answer {
    let envelope = Envelope::new(said, "chatcmpl", "chat.completion.chunk");
    let delta = |delta: &str, finish: &str| {
        let (delta, finish) = (delta.to_owned(), finish.to_owned());
        move |index| {
            format!(r#"{{"index":{index},"delta":{delta},"logprobs":null,"finish_reason":{finish}}}"#)
        }
    };
    let mut opening = Vec::new();
    let piece: fn(&str) -> String = match &said.content {
        Content::Text { .. } => {
            opening.extend(
                envelope.frames(said, delta(r#"{"role":"assistant","content":"","refusal":null}"#, "null")),
            );
            |text| format!(r#"{{"content":{}}}"#, quoted(text))
        }
        Content::Tool { name, .. } => {
            let call = format!(
                r#"{{"role":"assistant","content":null,"tool_calls":[{{"index":0,"id":"call_{}","type":"function","function":{{"name":{},"arguments":""}}}}]}}"#,
                said.id,
                quoted(name)
            );
            opening.extend(envelope.frames(said, delta(&call, "null")));
            |text| format!(r#"{{"tool_calls":[{{"index":0,"function":{{"arguments":{}}}}}]}}"#, quoted(text))
        }
    };
    let tokens =
        said.pieces().iter().flat_map(|text| envelope.frames(said, delta(&piece(text), "null"))).collect();
    let closing = envelope.frames(said, delta("{}", &quoted(finish_reason(said))));
    envelope.close(closing, opening, tokens)
}

pub(super) fn completion_stream(said: &Said<'_>) -> Answer {
    let envelope = Envelope::new(said, "cmpl", "text_completion");
    let frame = |text: &str, finish: &str| {
        let (text, finish) = (quoted(text), finish.to_owned());
        move |index| format!(r#"{{"index":{index},"text":{text},"logprobs":null,"finish_reason":{finish}}}"#)
    };
    let tokens = said.pieces().iter().flat_map(|text| envelope.frames(said, frame(text, "null"))).collect();
    let closing = envelope.frames(said, frame("", &quoted(finish_reason(said))));
    envelope.close(closing, Vec::new(), tokens)
}

/// Vectors of eight numbers in `[-1, 1)`, made from the text.
pub(super) fn embeddings(model: &str, inputs: &[String], base64: bool) -> Answer {
    let data: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let mut draws = Draws::new(hash(input));
            #[expect(clippy::cast_possible_truncation, reason = "embeddings are single precision")]
            let vector: Vec<f32> = (0..8).map(|_| (draws.unit() * 2.0 - 1.0) as f32).collect();
            let embedding = if base64 {
                json!(in_base64(&vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>()))
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let tokens = inputs.iter().map(|input| token_count(input)).fold(0, u32::saturating_add);
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    document(json!({"object": "list", "data": data, "model": model, "usage": usage}), 0)
}

/// RFC 4648, section 4.
fn in_base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().chain([&0, &0]).take(3).fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte));
        for digit in 0..4 {
            let sextet = usize::try_from(bits >> (18 - 6 * digit) & 63).unwrap_or(0);
            let symbol = ALPHABET.get(sextet).filter(|_| digit <= group.len());
            text.push(symbol.map_or('=', |&symbol| char::from(symbol)));
        }
    }
    text
}

fn model_card(id: &str) -> serde_json::Value {
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": "sim"})
}

pub(super) fn models(ids: &[impl AsRef<str>]) -> Answer {
    let data: Vec<_> = ids.iter().map(|id| model_card(id.as_ref())).collect();
    document(json!({"object": "list", "data": data}), 0)
}

pub(super) fn model(id: &str) -> Answer {
    document(model_card(id), 0)
}

#[cfg(test)]
mod tests {
    use super::in_base64;

    #[test]
    fn base64_is_that_of_the_rfc() {
        // RFC 4648, section 10.
        let pairs = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, encoded) in pairs {
            assert_eq!(in_base64(plain.as_bytes()), encoded);
        }
    }
}
