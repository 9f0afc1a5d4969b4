//! Reads the body of a request: what decides the answer, and what a provider would refuse.

use serde_json::Value;

use super::{Generation, Kind, Memory, Refusal, token_count};

pub(super) fn chat(json: &Value) -> Result<Kind, Refusal> {
    let mut generation = conversation(json)?;
    generation.max_tokens = count(json, "max_completion_tokens")?.or(count(json, "max_tokens")?);
    generation.choices = choices(json)?;
    generation.usage_in_stream = usage_in_stream(json);
    generation.tool = forced_tool(json, |tool| tool.get("function")?.get("name")?.as_str())?;
    Ok(Kind::Chat(generation))
}

pub(super) fn completion(json: &Value) -> Result<Kind, Refusal> {
    let prompt = json.get("prompt").map(text_of).unwrap_or_default();
    let prompt_tokens = token_count(&prompt);
    let max_tokens = count(json, "max_tokens")?;
    let (choices, usage_in_stream) = (choices(json)?, usage_in_stream(json));
    let generation =
        Generation { prompt, prompt_tokens, max_tokens, choices, usage_in_stream, ..Generation::default() };
    Ok(Kind::Completion(generation))
}

/// A request to the Responses API. What it is a continuation of is not looked up here.
pub(super) fn response(json: &Value) -> Result<Kind, Refusal> {
    let previous = match json.get("previous_response_id") {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) => Some(id.clone()),
        Some(_) => {
            return Err(Refusal::invalid("previous_response_id", "previous_response_id: expected a string"));
        }
    };
    let store = match json.get("store") {
        None | Some(Value::Null) => true,
        Some(Value::Bool(store)) => *store,
        Some(_) => return Err(Refusal::invalid("store", "store: expected a boolean")),
    };
    let mut generation = Generation { choices: 1, ..Generation::default() };
    generation.prompt_tokens = token_count(&json.get("instructions").map(text_of).unwrap_or_default());
    let items = match json.get("input") {
        Some(Value::String(text)) => &[Value::String(text.clone())][..],
        Some(Value::Array(items)) if !items.is_empty() => items,
        _ => return Err(Refusal::invalid("input", "Missing required parameter: 'input'.")),
    };
    for item in items {
        let content = ["content", "output"].iter().find_map(|name| item.get(name)).unwrap_or(item);
        let text = text_of(content);
        generation.prompt_tokens = generation.prompt_tokens.saturating_add(token_count(&text));
        // What stands there without a role is what the user said, or what a tool did.
        if matches!(item.get("role").and_then(Value::as_str), None | Some("user")) {
            generation.prompt = text;
        }
    }
    generation.max_tokens = count(json, "max_output_tokens")?;
    generation.tool = forced_tool(json, |tool| tool.get("name")?.as_str())?;
    Ok(Kind::Response(generation, Memory { previous, store }))
}

pub(super) fn embeddings(json: &Value) -> Result<Kind, Refusal> {
    let inputs = match json.get("input") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) if many.iter().all(Value::is_string) => many.iter().map(text_of).collect(),
        Some(Value::Array(tokens)) => vec![Value::from(tokens.clone()).to_string()],
        _ => Vec::new(),
    };
    if inputs.is_empty() {
        return Err(Refusal::invalid("input", "'input' is a required property"));
    }
    let base64 = json.get("encoding_format").and_then(Value::as_str) == Some("base64");
    Ok(Kind::Embeddings { inputs, base64 })
}

/// The part of a conversation that the answer is made from.
pub(super) fn conversation(json: &Value) -> Result<Generation, Refusal> {
    let messages = json.get("messages").and_then(Value::as_array).filter(|messages| !messages.is_empty());
    let messages =
        messages.ok_or_else(|| Refusal::invalid("messages", "messages: a non-empty array is required"))?;
    let mut generation = Generation { choices: 1, ..Generation::default() };
    for message in messages {
        let Some(role) = message.get("role").and_then(Value::as_str) else {
            return Err(Refusal::invalid("messages", "messages: each message needs a role"));
        };
        let text = message.get("content").map(text_of).unwrap_or_default();
        generation.prompt_tokens = generation.prompt_tokens.saturating_add(token_count(&text));
        if role == "assistant" {
            generation.prefill = Some(text);
        } else {
            generation.prefill = None;
            // A turn that only brings results of tools says nothing new.
            if role == "user" && !brings_results(message) {
                generation.prompt = text;
            }
        }
    }
    Ok(generation)
}

/// Whether a message of the user's, in Anthropic's form, holds results of tools and no text beside them.
fn brings_results(message: &Value) -> bool {
    let blocks = message.get("content").and_then(Value::as_array);
    let kinds = blocks.into_iter().flatten().map(|block| block.get("type").and_then(Value::as_str));
    let mut results = false;
    for kind in kinds {
        match kind {
            Some("tool_result") => results = true,
            _ => return false,
        }
    }
    results
}

/// The text of a content: a string, or the text parts of a list.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part.as_str().or_else(|| part.get("text")?.as_str()))
            .collect::<Vec<_>>()
            .concat(),
        _ => String::new(),
    }
}

/// The tool that the request forces to be called: by name, or the first when any will do.
pub(super) fn forced_tool(
    json: &Value,
    name_of: impl Fn(&Value) -> Option<&str>,
) -> Result<Option<String>, Refusal> {
    let tools = json.get("tools").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let names: Vec<&str> = tools.iter().filter_map(&name_of).collect();
    let Some(choice) = json.get("tool_choice") else { return Ok(None) };
    let any = matches!(choice.as_str().or_else(|| choice.get("type")?.as_str()), Some("required" | "any"));
    let wanted = if any { names.first().copied() } else { name_of(choice) };
    match wanted {
        Some(wanted) if names.contains(&wanted) => Ok(Some(wanted.to_owned())),
        Some(wanted) => {
            Err(Refusal::invalid("tool_choice", format!("Tool choice '{wanted}' not found in 'tools'.")))
        }
        None if any => {
            Err(Refusal::invalid("tool_choice", "'tool_choice' is only allowed when 'tools' are specified."))
        }
        None => Ok(None),
    }
}

fn choices(json: &Value) -> Result<u32, Refusal> {
    match count(json, "n")?.unwrap_or(1) {
        n @ 1..=8 => Ok(n),
        n => Err(Refusal::invalid("n", format!("{n} choices are asked for; 1 to 8 are served"))),
    }
}

fn usage_in_stream(json: &Value) -> bool {
    json.get("stream_options").and_then(|options| options.get("include_usage")).and_then(Value::as_bool)
        == Some(true)
}

/// A positive number, where one is given.
pub(super) fn count(json: &Value, name: &'static str) -> Result<Option<u32>, Refusal> {
    match json.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number @ 1..) => Ok(Some(u32::try_from(number).unwrap_or(u32::MAX))),
            _ => Err(Refusal::invalid(name, format!("{name}: expected an integer above 0"))),
        },
    }
}
