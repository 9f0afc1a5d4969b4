//! Reads a request as a provider would, and refuses with a 4xx what a provider would refuse.
//!
//! Only what changes the answer is read: the model, whether to stream, the last thing that the user said, the assistant's
//! message to continue, the tool that must be called, how many tokens at most. Everything else passes unseen.

mod anthropic;
mod body;
mod path;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

pub(crate) use self::path::{Door, Family};
use crate::{answer::tokens_of, refusal::Refusal, region::Region};

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
    pub(crate) fn door(&self) -> Door<'_> {
        Door::of(&self.target)
    }

    pub(crate) fn family(&self) -> Family {
        self.door().family
    }

    /// A header's text, by its lower-case name.
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
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
    Response(Generation, Memory),
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
            Self::Chat(generation)
            | Self::Completion(generation)
            | Self::Messages(generation)
            | Self::Response(generation, _) => Some(generation),
            Self::Embeddings { .. } | Self::Models | Self::Model(_) => None,
        }
    }

    /// How many tokens the request may cost at most, as a quota reckons it beforehand; `usual` is a region's own length.
    pub(crate) fn tokens(&self, usual: u32) -> u32 {
        match self {
            Self::Embeddings { inputs, .. } => {
                inputs.iter().map(|input| token_count(input)).fold(0, u32::saturating_add)
            }
            _ => self.generation().map_or(0, |generation| {
                generation
                    .prompt_tokens
                    .saturating_add(generation.max_tokens.map_or(usual, |max| max.min(usual)))
            }),
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

/// What a request to the Responses API has to do with others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// The response that it goes on from.
    pub(crate) previous: Option<String>,
    /// Whether its own is to be remembered.
    pub(crate) store: bool,
}

/// What is asked of `region`.
///
/// # Errors
/// The [`Refusal`] that the caller gets instead of an answer.
pub(crate) fn read(call: &Call, region: &Region) -> Result<Ask, Refusal> {
    let door = call.door();
    if door.lacks_version {
        return Err(Refusal::new(404, "invalid_request_error", Some("404"), "Resource not found"));
    }
    check_key(call, door.family, region)?;
    let reader: fn(&Value, &Call) -> Result<Kind, Refusal> = match door.path {
        "/models" => return get(call, Kind::Models),
        "/chat/completions" => |json, _| body::chat(json),
        "/completions" => |json, _| body::completion(json),
        "/messages" => |json, call| anthropic::messages(json, call.header("anthropic-version")),
        "/responses" => |json, _| body::response(json),
        "/embeddings" => |json, _| body::embeddings(json),
        _ => match door.path.strip_prefix("/models/") {
            Some(id) => {
                check_model(id, door.family, region)?;
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
    let named = json.get("model").and_then(Value::as_str).filter(|model| !model.is_empty());
    let model = door.deployment.as_deref().or(named);
    let model = model.ok_or_else(|| Refusal::invalid("model", "you must provide a model parameter"))?;
    check_model(model, door.family, region)?;
    let stream = match json.get("stream") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(stream)) => *stream,
        Some(_) => return Err(Refusal::invalid("stream", "stream: expected a boolean")),
    };
    Ok(Ask { model: Some(model.to_owned()), stream, kind: reader(&json, call)? })
}

fn check_key(call: &Call, family: Family, region: &Region) -> Result<(), Refusal> {
    let Some(key) = &region.key else { return Ok(()) };
    let bearer = call.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let own = match family {
        Family::OpenAi => None,
        Family::Azure => call.header("api-key"),
        Family::Anthropic => call.header("x-api-key"),
    };
    let known = [bearer, own].into_iter().flatten().any(|given| given == key);
    if known { Ok(()) } else { Err(Refusal::bad_key(family)) }
}

/// Refuses a model that is not served.
fn check_model(model: &str, family: Family, region: &Region) -> Result<(), Refusal> {
    if region.serves(model) { Ok(()) } else { Err(Refusal::model_missing(family, model)) }
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

/// How many tokens `text` counts as.
pub(crate) fn token_count(text: &str) -> u32 {
    u32::try_from(tokens_of(text).count()).unwrap_or(u32::MAX)
}
