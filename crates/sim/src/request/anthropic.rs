//! The rules of Anthropic's messages that a conversation can break, and the words in which it is then refused.
//!
//! Other forms are forgiving; this one is not: whoever writes messages out of something else (another dialect, an earlier
//! answer) learns here what the provider would say.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Generation, Kind, Refusal, body};

/// The fields of a messages request, sampling apart.
const FIELDS: [&str; 17] = [
    "model",
    "max_tokens",
    "messages",
    "cache_control",
    "container",
    "diagnostics",
    "inference_geo",
    "metadata",
    "output_config",
    "service_tier",
    "speed",
    "stop_sequences",
    "stream",
    "system",
    "thinking",
    "tool_choice",
    "tools",
];

/// What the older version of the API knows beside them.
const SAMPLING: [&str; 3] = ["temperature", "top_p", "top_k"];

/// The version that knows no sampling.
const WITHOUT_SAMPLING: &str = "2026-10-21";

pub(super) fn messages(json: &Value, version: Option<&str>) -> Result<Kind, Refusal> {
    let known = |name: &str| {
        FIELDS.contains(&name) || (SAMPLING.contains(&name) && version != Some(WITHOUT_SAMPLING))
    };
    if let Some(name) = json.as_object().and_then(|fields| fields.keys().find(|name| !known(name))) {
        return Err(invalid(format!("{name}: Extra inputs are not permitted")));
    }
    let mut generation: Generation = body::conversation(json)?;
    generation.max_tokens = body::count(json, "max_tokens")?;
    if generation.max_tokens.is_none() {
        return Err(invalid("max_tokens: Field required"));
    }
    generation.tool = body::forced_tool(json, |tool| tool.get("name")?.as_str())?;
    check_turns(json.get("messages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice))?;
    Ok(Kind::Messages(generation))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::invalid("messages", message)
}

fn check_turns(messages: &[Value]) -> Result<(), Refusal> {
    let mut open = BTreeSet::new();
    for (index, message) in messages.iter().enumerate() {
        let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
        match role {
            "user" | "assistant" => {}
            other => {
                return Err(invalid(format!(
                    "messages: Unexpected role \"{other}\". Allowed roles are \"user\" or \"assistant\""
                )));
            }
        }
        if index == 0 && role != "user" {
            return Err(invalid("messages: first message must use the \"user\" role"));
        }
        let last = index + 1 == messages.len();
        let content = message.get("content").unwrap_or(&Value::Null);
        check_text(index, content, last && role == "assistant")?;
        let blocks = content.as_array().map_or(&[][..], Vec::as_slice);
        let ids = |kind: &str, name: &str| -> BTreeSet<String> {
            let of_kind =
                blocks.iter().filter(|block| block.get("type").and_then(Value::as_str) == Some(kind));
            of_kind.filter_map(|block| Some(block.get(name)?.as_str()?.to_owned())).collect()
        };
        let results = ids("tool_result", "tool_use_id");
        if let Some(id) = results.difference(&open).next() {
            return Err(invalid(format!(
                "messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            )));
        }
        let calls = ids("tool_use", "id");
        if open != results || (last && !calls.is_empty()) {
            return Err(invalid(format!(
                "messages.{}: `tool_use` ids were found without `tool_result` blocks immediately after. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
                index.saturating_sub(1)
            )));
        }
        open = calls;
    }
    Ok(())
}

/// Text must be there and visible; only the beginning of an answer may be empty, and it must not end in white space.
fn check_text(index: usize, content: &Value, begins_answer: bool) -> Result<(), Refusal> {
    let texts: Vec<&str> = match content {
        Value::String(text) => vec![text.as_str()],
        Value::Array(blocks) if !blocks.is_empty() => {
            blocks.iter().filter_map(|block| block.get("text")?.as_str()).collect()
        }
        _ => vec![""],
    };
    if begins_answer {
        let end = texts.last().copied().unwrap_or_default();
        return if end.trim_end().len() == end.len() {
            Ok(())
        } else {
            Err(invalid("messages: final assistant content cannot end with trailing whitespace"))
        };
    }
    if texts.iter().any(|text| text.trim().is_empty()) {
        let message = format!(
            "messages.{index}: text content blocks must contain non-whitespace text, and all messages must have non-empty content"
        );
        return Err(invalid(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(body: &Value, version: Option<&str>, refusal: Option<&str>) {
        let said = messages(body, version).err().map(|refusal| {
            String::from_utf8(refusal.body(crate::request::Family::Anthropic).to_vec()).unwrap()
        });
        match (refusal, &said) {
            (None, None) => {}
            (Some(word), Some(said)) => assert!(said.contains(word), "{said} lacks {word}"),
            _ => panic!("{body}: {said:?}, expected {refusal:?}"),
        }
    }

    fn with(messages: &Value) -> Value {
        json!({"model":"m","max_tokens":5,"messages":messages})
    }

    #[test]
    fn a_conversation_keeps_the_rules_or_is_refused_in_the_providers_words() {
        let user = json!({"role":"user","content":"a"});
        let call = json!({"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]});
        let result = json!({"role":"user","content":[{"type":"tool_result","tool_use_id":"t"},{"type":"text","text":"b"}]});
        for (messages, refusal) in [
            (json!([user]), None),
            (json!([user, user]), None),
            (json!([user, call, result]), None),
            (json!([user, {"role":"assistant","content":"It is"}]), None),
            (json!([user, {"role":"assistant","content":""}]), None),
            (json!([user, {"role":"assistant","content":"It is "}]), Some("trailing whitespace")),
            (json!([user, {"role":"assistant","content":""}, user]), Some("non-empty content")),
            (json!([{"role":"user","content":[{"type":"text","text":" "}]}]), Some("non-whitespace")),
            (json!([{"role":"system","content":"a"}, user]), Some("Unexpected role")),
            (json!([{"role":"assistant","content":"a"}, user]), Some("first message")),
            (json!([user, call]), Some("without `tool_result`")),
            (json!([user, call, user]), Some("without `tool_result`")),
            (json!([user, result]), Some("unexpected `tool_use_id`")),
        ] {
            check(&with(&messages), None, refusal);
        }
    }

    #[test]
    fn fields_that_the_version_does_not_know_are_refused() {
        let mut body = with(&json!([{"role":"user","content":"a"}]));
        body["temperature"] = json!(1.0);
        check(&body, Some("2023-06-01"), None);
        check(&body, Some(WITHOUT_SAMPLING), Some("temperature: Extra inputs"));
        body["n"] = json!(1);
        check(&body, None, Some("n: Extra inputs"));
        check(&json!({"messages":[{"role":"user","content":"a"}]}), None, Some("max_tokens: Field required"));
    }
}
