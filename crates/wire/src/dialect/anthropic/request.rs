//! A chat request as a messages request.
//!
//! Every field of a chat request is either said in Anthropic's words, or left out because **no program that reads the answer can
//! rely on it**, or makes the request untranslatable; a field that is not known here does the last. So an Anthropic deployment
//! serves what was asked for, or is no candidate.
//!
//! | fields | what becomes of them |
//! | --- | --- |
//! | `messages`, `tools`, `tool_choice`, `parallel_tool_calls`, `stream`, `stop` | said in Anthropic's words |
//! | `max_completion_tokens`, `max_tokens` | `max_tokens`, or else [`DEFAULT_MAX_TOKENS`], since Anthropic requires a bound |
//! | `safety_identifier`, or else `user` | `metadata.user_id` |
//! | `response_format` | a JSON schema is `output_config.format`; any JSON object (`json_object`) has no counterpart |
//! | `temperature`, `top_p`, `seed`, `frequency_penalty`, `presence_penalty` | left out: scales of one model's sampling, a promise of nothing. Anthropic's API refuses the first two since its version 2026-10-21, its models since Opus 4.7 in the older one as well |
//! | `reasoning_effort`, `verbosity`, `prediction`, `service_tier` | left out: wishes for speed, price and length that models take or do not know; sent to one that does not know them they would be a 400 |
//! | `prompt_cache_key`, `prompt_cache_options`, `prompt_cache_retention`, `metadata`, `stream_options` | left out: a provider's own book-keeping; a usage frame is made by the stream's translation |
//! | `n`, `logprobs`, `top_logprobs`, `logit_bias`, `modalities`, `store`, `functions` | only in the value that asks for nothing |
//! | `audio`, `function_call`, `moderation`, `web_search_options` | untranslatable |
//!
//! Shapes: the request types of OpenAI's Python SDK 3.57 (`completion_create_params`) and Anthropic's 2.12.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    body::{Body, Metadata, OutputConfig, OutputFormat, Tool, ToolChoice},
    fields::{At, Fields, UNKNOWN, Untranslatable, WRONG_TYPE},
    json,
    tools::{Wish, read_tools},
    turns::Conversation,
};

/// The bound on an answer's tokens when the caller names none.
///
/// OpenAI's bound is then the model's own. This is the smallest maximum among Anthropic's models since Claude 4 (Opus 4 and
/// 4.1), so every one of them takes it.
pub const DEFAULT_MAX_TOKENS: u64 = 32_000;

/// Whether a chat request can be served by Anthropic: whether [`chat_to_messages`] will take it, for whatever model.
///
/// # Errors
/// [`Untranslatable`], with the field and the reason.
pub fn chat_is_translatable(body: &[u8]) -> Result<(), Untranslatable> {
    Request::read(body).map(|_| ())
}

/// A chat request in OpenAI's form as the body of a messages request to Anthropic, for the provider's `model`.
///
/// The time and the memory are linear in the body. What it takes does not depend on the model.
///
/// # Errors
/// [`Untranslatable`] when the body is no chat request, or asks for something that Anthropic does not offer.
pub fn chat_to_messages(body: &[u8], model: &str) -> Result<Vec<u8>, Untranslatable> {
    let request = Request::read(body)?;
    let mut out = Vec::with_capacity(body.len().saturating_add(256));
    json::append(&mut out, &request.body(model));
    Ok(out)
}

/// A chat request, understood.
#[derive(Debug)]
struct Request<'a> {
    conversation: Conversation<'a>,
    max_tokens: u64,
    tools: Vec<Tool<'a>>,
    tool_choice: Option<ToolChoice<'a>>,
    stop: Vec<Cow<'a, str>>,
    user: Option<Cow<'a, str>>,
    schema: Option<&'a RawValue>,
    stream: bool,
}

/// The fields that say something, before those that depend on each other are joined.
#[derive(Default)]
struct Said<'a> {
    messages: Option<&'a RawValue>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    tools: Vec<Tool<'a>>,
    wish: Wish<'a>,
    stop: Vec<Cow<'a, str>>,
    user: Option<Cow<'a, str>>,
    safety_identifier: Option<Cow<'a, str>>,
    schema: Option<&'a RawValue>,
    stream: bool,
}

impl<'a> Request<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Untranslatable> {
        let fields: Fields<'a> = serde_json::from_slice(body)
            .map_err(|_| At::new("body").error("it is not a JSON object of a chat request's fields"))?;
        let mut said = Said::default();
        for (name, value) in fields.iter() {
            if !said.on_field(name, value)? {
                refuse_wish(name, value)?;
            }
        }
        let at = At::new("messages");
        let messages = said.messages.ok_or_else(|| at.error(WRONG_TYPE))?;
        let max_tokens = said.max_completion_tokens.or(said.max_tokens).unwrap_or(DEFAULT_MAX_TOKENS);
        Ok(Self {
            conversation: Conversation::read(at, messages)?,
            max_tokens,
            tool_choice: said.wish.read(&said.tools)?,
            tools: said.tools,
            stop: said.stop,
            // Anthropic's bound on an identifier. It is a hint to find abuse by, so a longer one is left out.
            user: said.safety_identifier.or(said.user).filter(|user| (1..=256).contains(&user.len())),
            schema: said.schema,
            stream: said.stream,
        })
    }

    fn body(&'a self, model: &'a str) -> Body<'a> {
        Body {
            model,
            max_tokens: self.max_tokens,
            system: &self.conversation.system,
            messages: &self.conversation.turns,
            tools: &self.tools,
            tool_choice: self.tool_choice.as_ref(),
            stop_sequences: &self.stop,
            metadata: self.user.as_deref().map(|user_id| Metadata { user_id }),
            output_config: self
                .schema
                .map(|schema| OutputConfig { format: OutputFormat::JsonSchema { schema } }),
            stream: self.stream,
        }
    }
}

impl<'a> Said<'a> {
    /// Takes a field that has a counterpart, or none that anybody can miss. False when it is neither.
    fn on_field(&mut self, name: &str, value: &'a RawValue) -> Result<bool, Untranslatable> {
        match name {
            "messages" => self.messages = Some(value),
            "max_tokens" => self.max_tokens = Some(bound(At::new("max_tokens"), value)?),
            "max_completion_tokens" => {
                self.max_completion_tokens = Some(bound(At::new("max_completion_tokens"), value)?);
            }
            "tools" => self.tools = read_tools(At::new("tools"), value)?,
            "tool_choice" => self.wish.choice = Some(value),
            "parallel_tool_calls" => {
                self.wish.one_at_a_time = !At::new("parallel_tool_calls").read::<bool>(value)?;
            }
            "stop" => self.stop = stop(value)?,
            "user" => self.user = Some(At::new("user").text(value)?),
            "safety_identifier" => {
                self.safety_identifier = Some(At::new("safety_identifier").text(value)?);
            }
            "response_format" => self.schema = response_format(value)?,
            "stream" => self.stream = At::new("stream").read(value)?,
            // The model's name is the provider's; the rest is left out for the reasons in the table above.
            "model"
            | "temperature"
            | "top_p"
            | "seed"
            | "frequency_penalty"
            | "presence_penalty"
            | "reasoning_effort"
            | "verbosity"
            | "prediction"
            | "service_tier"
            | "prompt_cache_key"
            | "prompt_cache_options"
            | "prompt_cache_retention"
            | "metadata"
            | "stream_options" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Fields without a counterpart that a caller's program leans on: allowed only where they ask for nothing.
fn refuse_wish(name: &str, value: &RawValue) -> Result<(), Untranslatable> {
    let none = |field, why| At::new(field).only_empty(value, why);
    let only = |field, idle: &[&str], why| {
        if idle.contains(&value.get()) { Ok(()) } else { none(field, why) }
    };
    match name {
        "n" => only("n", &["1"], "Anthropic gives one answer to a request"),
        "logprobs" => only("logprobs", &["false"], "Anthropic tells no log probabilities"),
        "top_logprobs" => only("top_logprobs", &["0"], "Anthropic tells no log probabilities"),
        "logit_bias" => none("logit_bias", "Anthropic's tokens cannot be banned or favoured"),
        "modalities" => {
            let at = At::new("modalities");
            for item in at.items(value)? {
                if at.text(item)? != "text" {
                    return Err(at.error("Anthropic answers with text only"));
                }
            }
            Ok(())
        }
        "store" => only("store", &["false"], "an answer of Anthropic's cannot be stored at OpenAI"),
        "functions" => none("functions", "the older form of tool calls has no ids"),
        "function_call" => none("function_call", "the older form of tool calls has no ids"),
        "audio" => none("audio", "Anthropic's models speak no audio"),
        // Present means wished for, even when empty.
        "web_search_options" => {
            Err(At::new("web_search_options").error("its answers cannot be given back in OpenAI's form"))
        }
        "moderation" => Err(At::new("moderation").error("Anthropic moderates in its own way")),
        _ => At::new("body").only_empty(value, UNKNOWN),
    }
}

/// A bound on tokens, at least 1: at Anthropic 0 means to answer nothing.
fn bound(at: At, value: &RawValue) -> Result<u64, Untranslatable> {
    match at.read(value)? {
        0 => Err(at.error("it must be at least 1")),
        most => Ok(most),
    }
}

fn stop(value: &RawValue) -> Result<Vec<Cow<'_, str>>, Untranslatable> {
    let at = At::new("stop");
    let sequences = if value.get().starts_with('"') {
        vec![at.text(value)?]
    } else {
        at.items(value)?.into_iter().map(|item| at.text(item)).collect::<Result<_, _>>()?
    };
    if sequences.iter().any(|sequence| sequence.trim().is_empty()) {
        return Err(at.error("Anthropic stops at no sequence of white space alone"));
    }
    Ok(sequences)
}

fn response_format(value: &RawValue) -> Result<Option<&RawValue>, Untranslatable> {
    let at = At::new("response_format");
    let (mut kind, mut format) = (None, None);
    for (name, value) in at.fields(value)?.iter() {
        match name {
            "type" => kind = Some(at.text(value)?),
            "json_schema" => format = Some(at.fields(value)?),
            _ => at.only_empty(value, UNKNOWN)?,
        }
    }
    match (kind.as_deref(), format) {
        (Some("text"), None) => Ok(None),
        (Some("json_schema"), Some(format)) => {
            let mut schema = None;
            for (name, value) in format.iter() {
                match name {
                    "schema" => schema = Some(value).filter(|schema| schema.get().starts_with('{')),
                    // Names of the format for the model; Anthropic's format has none, and is always strict.
                    "name" | "description" | "strict" => {}
                    _ => at.only_empty(value, UNKNOWN)?,
                }
            }
            schema.map(Some).ok_or_else(|| at.error(WRONG_TYPE))
        }
        (Some("json_object"), None) => Err(at.error("Anthropic promises JSON only by a schema")),
        _ => Err(at.error(WRONG_TYPE)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn translate(request: &Value) -> Result<Value, Untranslatable> {
        let body = request.to_string();
        let translated = chat_to_messages(body.as_bytes(), "claude");
        assert_eq!(chat_is_translatable(body.as_bytes()), translated.as_ref().map(|_| ()).map_err(|e| *e));
        translated.map(|body| serde_json::from_slice(&body).unwrap())
    }

    /// A chat with one more field.
    fn with(field: &str, value: Value) -> Value {
        let mut request = json!({"model":"m","messages":[{"role":"user","content":"hi"}]});
        request[field] = value;
        request
    }

    fn tool(name: &str) -> Value {
        json!({"type":"function","function":{"name":name,"parameters":{"type":"object"}}})
    }

    /// What one field becomes: the fields of the body that a bare chat's has not, or has otherwise.
    #[track_caller]
    fn becomes(request: &Value, expected: &Value) {
        let bare = translate(&with("model", json!("m"))).unwrap();
        let mut body = translate(request).unwrap();
        let fields = body.as_object_mut().unwrap();
        fields.retain(|name, value| bare.get(name) != Some(value));
        assert_eq!(&body, expected, "{request}");
    }

    #[track_caller]
    fn refused(field: &str, value: Value, at: &str) {
        let error = translate(&with(field, value.clone())).expect_err(&format!("{field}: {value}"));
        assert_eq!(error.field, at, "{field}: {value}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn a_bare_chat_has_a_bound_and_the_providers_model() {
        assert_eq!(
            translate(&with("model", json!("m"))).unwrap(),
            json!({"model":"claude","max_tokens":32_000,
                "messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]})
        );
    }

    #[test]
    fn what_has_a_counterpart_is_said() {
        for (field, value, expected) in [
            ("max_tokens", json!(9), json!({"max_tokens":9})),
            ("max_completion_tokens", json!(8), json!({"max_tokens":8})),
            ("stop", json!("END"), json!({"stop_sequences":["END"]})),
            ("stop", json!(["a", "b"]), json!({"stop_sequences":["a","b"]})),
            ("stop", json!([]), json!({})),
            ("user", json!("u"), json!({"metadata":{"user_id":"u"}})),
            ("user", json!("u".repeat(257)), json!({})),
            ("stream", json!(true), json!({"stream":true})),
            ("stream", json!(false), json!({})),
            ("response_format", json!({"type":"text"}), json!({})),
            (
                "response_format",
                json!({"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object","x":[1]}}}),
                json!({"output_config":{"format":{"type":"json_schema","schema":{"type":"object","x":[1]}}}}),
            ),
        ] {
            becomes(&with(field, value), &expected);
        }
        let mut both = with("max_tokens", json!(5));
        both["max_completion_tokens"] = json!(6);
        becomes(&both, &json!({"max_tokens":6}));
        let mut both = with("user", json!("u"));
        both["safety_identifier"] = json!("s");
        becomes(&both, &json!({"metadata":{"user_id":"s"}}));
    }

    #[test]
    fn what_nobody_can_rely_on_is_left_out() {
        for (field, value) in [
            ("temperature", json!(1.7)),
            ("top_p", json!(0.1)),
            ("seed", json!(7)),
            ("frequency_penalty", json!(1)),
            ("presence_penalty", json!(-2)),
            ("reasoning_effort", json!("high")),
            ("verbosity", json!("low")),
            ("prediction", json!({"type":"content","content":"x"})),
            ("service_tier", json!("flex")),
            ("prompt_cache_key", json!("k")),
            ("prompt_cache_options", json!({"mode":"explicit"})),
            ("prompt_cache_retention", json!("24h")),
            ("metadata", json!({"a":"b"})),
            ("stream_options", json!({"include_usage":true})),
            ("n", json!(1)),
            ("logprobs", json!(false)),
            ("top_logprobs", json!(0)),
            ("logit_bias", json!({})),
            ("modalities", json!(["text"])),
            ("store", json!(false)),
            ("functions", json!([])),
            ("audio", json!(null)),
            ("later", json!(null)),
            ("later", json!([])),
        ] {
            becomes(&with(field, value), &json!({}));
        }
    }

    #[test]
    fn what_is_relied_on_and_has_no_counterpart_is_refused() {
        for (field, value) in [
            ("n", json!(2)),
            ("logprobs", json!(true)),
            ("top_logprobs", json!(3)),
            ("logit_bias", json!({"5":-100})),
            ("modalities", json!(["text", "audio"])),
            ("audio", json!({"voice":"secret"})),
            ("store", json!(true)),
            ("functions", json!([{}])),
            ("function_call", json!("secret")),
            ("web_search_options", json!({})),
            ("moderation", json!({})),
            ("response_format", json!({"type":"json_object"})),
            ("response_format", json!({"type":"json_schema"})),
            ("response_format", json!({"type":"json_schema","json_schema":{"schema":[]}})),
            ("response_format", json!({"type":"secret"})),
            ("stop", json!("\n")),
            ("stop", json!(["a", " "])),
            ("stop", json!([7])),
            ("max_tokens", json!(0)),
            ("max_tokens", json!(-1)),
            ("max_completion_tokens", json!("secret")),
            ("stream", json!("secret")),
            ("user", json!(7)),
            ("parallel_tool_calls", json!(0)),
            ("tool_choice", json!("secret")),
            ("tool_choice", json!("required")),
            ("tool_choice", json!({"type":"function","function":{"name":"secret"}})),
        ] {
            refused(field, value, field);
        }
        refused("top_k", json!(5), "body");
        refused("secret", json!({"x":1}), "body");
    }

    #[test]
    fn tools_and_the_choice_among_them_are_said() {
        let mut request = with(
            "tools",
            json!([tool("f"), {"type":"function","function":{"name":"g","description":"d",
            "strict":true,"parameters":{"properties":{"x":{"anyOf":[{}]}},"type":"object"}}},
            {"type":"function","function":{"name":"h"}}, {"type":"function","function":{"name":"i","parameters":{}}}]),
        );
        let tools = json!([
            {"name":"f","input_schema":{"type":"object"}},
            {"name":"g","description":"d","strict":true,
                "input_schema":{"properties":{"x":{"anyOf":[{}]}},"type":"object"}},
            {"name":"h","input_schema":{"type":"object"}},
            {"name":"i","input_schema":{"type":"object"}},
        ]);
        becomes(&request, &json!({"tools":tools}));
        for (choice, one, expected) in [
            (json!(null), true, json!({"type":"auto","disable_parallel_tool_use":true})),
            (json!("auto"), false, json!(null)),
            (json!("none"), true, json!({"type":"none"})),
            (json!("required"), false, json!({"type":"any"})),
            (json!("required"), true, json!({"type":"any","disable_parallel_tool_use":true})),
            (
                json!({"type":"function","function":{"name":"g"}}),
                true,
                json!({"type":"tool","name":"g","disable_parallel_tool_use":true}),
            ),
        ] {
            request["tool_choice"] = choice;
            request["parallel_tool_calls"] = json!(!one);
            let mut body = json!({"tools":tools});
            if !expected.is_null() {
                body["tool_choice"] = expected;
            }
            becomes(&request, &body);
        }
        for wrong in [
            json!({"type":"function","function":{"name":"secret"}}),
            json!({"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}),
            json!(7),
        ] {
            request["tool_choice"] = wrong;
            assert_eq!(translate(&request).unwrap_err().field, "tool_choice");
        }
    }

    #[test]
    fn a_tool_that_anthropic_does_not_take_is_refused_by_its_place() {
        for wrong in [
            json!({"type":"custom","custom":{"name":"secret"}}),
            json!({"type":"function"}),
            json!({"type":"function","function":{}}),
            json!({"type":"function","function":{"name":"no spaces"}}),
            json!({"type":"function","function":{"name":"x".repeat(129)}}),
            json!({"type":"function","function":{"name":"f","parameters":[]}}),
            json!({"type":"function","function":{"name":"f","parameters":{"type":"string"}}}),
            json!({"type":"function","function":{"name":"f","parameters":{"properties":{}}}}),
            json!({"type":"function","function":{"name":"f","parameters":{"type":"object","oneOf":[{}]}}}),
            json!({"type":"function","function":{"name":"f","later":"secret"}}),
            json!("secret"),
        ] {
            let error = translate(&with("tools", json!([tool("f"), wrong]))).unwrap_err();
            assert_eq!((error.field, error.index), ("tools", Some(1)), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_chat_request_is_refused() {
        for wrong in ["", "[]", "7", "{", r#"{"messages":[],"messages":[]}"#, "{\"a\":\"\u{1}\"}"] {
            assert_eq!(chat_is_translatable(wrong.as_bytes()).unwrap_err().field, "body", "{wrong}");
        }
        for wrong in [r#"{"model":"m"}"#, r#"{"messages":null}"#, r#"{"messages":{}}"#] {
            assert_eq!(chat_is_translatable(wrong.as_bytes()).unwrap_err().field, "messages", "{wrong}");
        }
        assert_eq!(chat_is_translatable(b"\xff").unwrap_err().field, "body");
    }

    #[test]
    fn depth_does_not_recurse() {
        let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        let body = format!(
            r#"{{"messages":[{{"role":"user","content":"hi"}}],"tools":[{{"type":"function","function":
            {{"name":"f","parameters":{{"type":"object","x":{deep}}}}}}}],"metadata":{deep}}}"#
        );
        let translated = chat_to_messages(body.as_bytes(), "m").unwrap();
        assert!(translated.windows(deep.len()).any(|part| part == deep.as_bytes()), "schemas pass unread");
        let body = format!(r#"{{"messages":{deep}}}"#);
        assert_eq!(chat_is_translatable(body.as_bytes()).unwrap_err().index, Some(0));
    }
}
