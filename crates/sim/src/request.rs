//! Reads a request as a provider would, and refuses with a 4xx what a provider would refuse.
//!
//! Only what changes the answer is read: the model, whether to stream, the last thing that the user said, the assistant's
//! message to continue, the tool that must be called, how many tokens at most. Everything else passes unseen.

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::{answer::tokens_of, region::Region};

/// One request, as far as a region can see it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Whether the answer speaks Anthropic's dialect, errors included.
    pub(crate) fn is_anthropic(&self) -> bool {
        self.path().ends_with("/messages")
    }
}

/// A request that is understood.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    pub(crate) model: Option<String>,
    pub(crate) stream: bool,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Kind {
    Chat(Generation),
    Completion(Generation),
    Messages(Generation),
    Embeddings {
        inputs: Vec<String>,
        base64: bool,
    },
    #[default]
    Models,
    Model(String),
}

impl Kind {
    /// What is to be generated, where something is.
    pub(crate) fn generation(&self) -> Option<&Generation> {
        match self {
            Self::Chat(generation) | Self::Completion(generation) | Self::Messages(generation) => {
                Some(generation)
            }
            Self::Embeddings { .. } | Self::Models | Self::Model(_) => None,
        }
    }
}

/// What decides the text of an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Generation {
    /// The last thing that the user said.
    pub(crate) prompt: String,
    /// The assistant's last message, to be continued; `None` when the user spoke last.
    pub(crate) prefill: Option<String>,
    pub(crate) prompt_tokens: u32,
    pub(crate) max_tokens: Option<u32>,
    pub(crate) choices: u32,
    pub(crate) usage_in_stream: bool,
    /// The tool that must be called.
    pub(crate) tool: Option<String>,
}

/// A refusal, before it is put into a dialect's form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) code: Option<&'static str>,
    pub(crate) param: Option<&'static str>,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(
        status: u16,
        kind: &'static str,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        Self { status, kind, code, param: None, message: message.into() }
    }

    fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        Self { param: Some(param), ..Self::new(400, "invalid_request_error", None, message) }
    }

    pub(crate) fn bad_key() -> Self {
        Self::new(401, "invalid_request_error", Some("invalid_api_key"), "Incorrect API key provided.")
    }
}

/// What is asked of `region`.
///
/// # Errors
/// The [`Refusal`] that the caller gets instead of an answer.
pub(crate) fn read(call: &Call, region: &Region) -> Result<Ask, Refusal> {
    check_key(call, region)?;
    let path = call.path().strip_prefix("/v1").unwrap_or_else(|| call.path());
    let reader: fn(&Value) -> Result<Kind, Refusal> = match path {
        "/models" => return get(call, Kind::Models),
        "/chat/completions" => chat,
        "/completions" => completion,
        "/messages" => messages,
        "/embeddings" => embeddings,
        _ => match path.strip_prefix("/models/") {
            Some(id) => {
                region.check_model(id)?;
                return get(call, Kind::Model(id.to_owned()));
            }
            None => {
                let message = format!("Invalid URL ({} {})", call.method, call.target);
                return Err(Refusal::new(404, "invalid_request_error", Some("unknown_url"), message));
            }
        },
    };
    require(call, &Method::POST)?;
    let json: Value = serde_json::from_slice(&call.body).map_err(|error| {
        let message = format!("We could not parse the JSON body of your request: {error}");
        Refusal::new(400, "invalid_request_error", None, message)
    })?;
    let model = json.get("model").and_then(Value::as_str).filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| Refusal::invalid("model", "you must provide a model parameter"))?;
    region.check_model(model)?;
    let stream = match json.get("stream") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(stream)) => *stream,
        Some(_) => return Err(Refusal::invalid("stream", "stream: expected a boolean")),
    };
    Ok(Ask { model: Some(model.to_owned()), stream, kind: reader(&json)? })
}

fn check_key(call: &Call, region: &Region) -> Result<(), Refusal> {
    let Some(key) = &region.key else { return Ok(()) };
    let given = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = given("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let known =
        [bearer, given("x-api-key"), given("api-key")].into_iter().flatten().any(|given| given == key);
    if known { Ok(()) } else { Err(Refusal::bad_key()) }
}

fn require(call: &Call, method: &Method) -> Result<(), Refusal> {
    if call.method == *method {
        return Ok(());
    }
    let message = format!("Not allowed to {} on {} (hint: use {method})", call.method, call.target);
    Err(Refusal::new(405, "invalid_request_error", Some("method_not_supported"), message))
}

fn get(call: &Call, kind: Kind) -> Result<Ask, Refusal> {
    require(call, &Method::GET)?;
    Ok(Ask { kind, ..Ask::default() })
}

fn chat(json: &Value) -> Result<Kind, Refusal> {
    let mut generation = conversation(json)?;
    generation.max_tokens = count(json, "max_completion_tokens")?.or(count(json, "max_tokens")?);
    generation.choices = choices(json)?;
    generation.usage_in_stream = usage_in_stream(json);
    generation.tool = forced_tool(json, |tool| tool.get("function")?.get("name")?.as_str())?;
    Ok(Kind::Chat(generation))
}

fn completion(json: &Value) -> Result<Kind, Refusal> {
    let prompt = json.get("prompt").map(text_of).unwrap_or_default();
    let prompt_tokens = token_count(&prompt);
    let max_tokens = count(json, "max_tokens")?;
    let (choices, usage_in_stream) = (choices(json)?, usage_in_stream(json));
    let generation =
        Generation { prompt, prompt_tokens, max_tokens, choices, usage_in_stream, ..Generation::default() };
    Ok(Kind::Completion(generation))
}

fn messages(json: &Value) -> Result<Kind, Refusal> {
    let mut generation = conversation(json)?;
    generation.max_tokens = count(json, "max_tokens")?;
    if generation.max_tokens.is_none() {
        return Err(Refusal::invalid("max_tokens", "max_tokens: Field required"));
    }
    generation.tool = forced_tool(json, |tool| tool.get("name")?.as_str())?;
    Ok(Kind::Messages(generation))
}

fn embeddings(json: &Value) -> Result<Kind, Refusal> {
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
fn conversation(json: &Value) -> Result<Generation, Refusal> {
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
            if role == "user" {
                generation.prompt = text;
            }
        }
    }
    Ok(generation)
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
fn forced_tool(json: &Value, name_of: impl Fn(&Value) -> Option<&str>) -> Result<Option<String>, Refusal> {
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
fn count(json: &Value, name: &'static str) -> Result<Option<u32>, Refusal> {
    match json.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number @ 1..) => Ok(Some(u32::try_from(number).unwrap_or(u32::MAX))),
            _ => Err(Refusal::invalid(name, format!("{name}: expected an integer above 0"))),
        },
    }
}

/// How many tokens `text` counts as.
pub(crate) fn token_count(text: &str) -> u32 {
    u32::try_from(tokens_of(text).count()).unwrap_or(u32::MAX)
}
