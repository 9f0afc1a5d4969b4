//! How an error is written: in the words of the API that its caller speaks, as a body or as a last frame.
//!
//! # Which frame makes an SDK raise?
//! OpenAI's SDKs raise on any frame whose data holds an `error`, whatever its event's name; of a Responses stream they hand the
//! documented `error` event, which is flat, to the program as if nothing had happened. So that event bears its flat fields and
//! an `error` with the same in it: programs that look for the one find it, and SDKs raise on the other. Anthropic's SDKs raise on
//! an event named `error`.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use outrigger::{Api, AttemptRecord};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::ApiError;

/// Whose error bodies the callers of a path read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    OpenAi,
    Anthropic,
}

impl Words {
    /// The words of a path's callers, whether or not it is one that is served.
    pub(crate) fn of_path(path: &str) -> Self {
        let api = path.strip_prefix("/v1").unwrap_or(path);
        match api.strip_prefix("/messages") {
            Some("") => Self::Anthropic,
            Some(below) if below.starts_with('/') => Self::Anthropic,
            _ => Self::OpenAi,
        }
    }
}

/// Who is told, and in what words.
#[derive(Clone, Debug)]
pub(crate) struct Hearer {
    pub(crate) api: Api,
    /// The name of its request.
    pub(crate) id: HeaderValue,
}

impl Hearer {
    /// The error as one frame of an event stream, for an answer that has already begun; `last` are the last frames that were given.
    pub(crate) fn frame(&self, error: &ApiError, last: &[u8]) -> Bytes {
        self.framed(&match self.api {
            Api::Messages => json(&Anthropic::of(error, &self.id)),
            Api::Responses => json(&Flat::of(error, number_after(last))),
            _ => json(&OpenAi { error: Said::of(error) }),
        })
    }

    /// A provider's own words of its refusal as one frame; none where they are no error that an SDK would raise on.
    pub(crate) fn refusal(&self, body: &[u8]) -> Option<Bytes> {
        let mut said: Value = serde_json::from_slice(body).ok()?;
        let error = said.get("error").filter(|error| !error.is_null())?;
        if self.api == Api::Responses {
            let message = error.get("message").filter(|message| message.is_string())?;
            said = json!({
                "type": "error", "code": error.get("code"), "message": message, "param": error.get("param"),
                "sequence_number": 0, "error": error,
            });
        }
        // Written anew, so that it has no line's end in it.
        Some(self.framed(&json(&said)))
    }

    fn framed(&self, data: &[u8]) -> Bytes {
        let is_named = matches!(self.api, Api::Messages | Api::Responses);
        let event: &[u8] = if is_named { b"event: error\n" } else { b"" };
        [event, b"data: ", data, b"\n\n"].concat().into()
    }
}

/// The error as a body; `id` is the request's name.
pub(crate) fn body(error: &ApiError, words: Words, id: &HeaderValue) -> Vec<u8> {
    match words {
        Words::OpenAi => json(&OpenAi { error: Said::of(error) }),
        Words::Anthropic => json(&Anthropic::of(error, id)),
    }
}

/// The number of the event that follows these frames: events of a Responses stream are numbered, the first one is 0.
fn number_after(frames: &[u8]) -> u64 {
    #[derive(Deserialize)]
    struct Event {
        sequence_number: u64,
    }
    let mut lines = frames.rsplit(|&byte| byte == b'\n').filter_map(|line| line.strip_prefix(b"data:"));
    let number = lines.find_map(|data| serde_json::from_slice::<Event>(data).ok());
    number.map_or(0, |event| event.sequence_number.saturating_add(1))
}

fn json(body: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and lists always serialise; were one not to, an empty object is still JSON.
    serde_json::to_vec(body).unwrap_or_else(|_| b"{}".to_vec())
}

/// OpenAI's `type` of an error with this status.
fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

/// Anthropic's `type` of an error with this status.
fn anthropic_kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
        StatusCode::GATEWAY_TIMEOUT => "timeout_error",
        status => match kind(status) {
            "server_error" => "api_error",
            kind => kind,
        },
    }
}

#[derive(Serialize)]
struct OpenAi<'a> {
    error: Said<'a>,
}

/// OpenAI's four keys, and the attempts.
#[derive(Serialize)]
struct Said<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'a str>,
    code: &'a str,
    attempts: Vec<Tried<'a>>,
}

impl<'a> Said<'a> {
    fn of(error: &'a ApiError) -> Self {
        Self {
            message: error.message(),
            kind: kind(error.status()),
            param: error.param(),
            code: error.code(),
            attempts: error.attempts().iter().map(Tried::of).collect(),
        }
    }
}

/// An `error` event of the Responses API.
#[derive(Serialize)]
struct Flat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    code: &'a str,
    message: &'a str,
    param: Option<&'a str>,
    sequence_number: u64,
    error: Said<'a>,
}

impl<'a> Flat<'a> {
    fn of(error: &'a ApiError, sequence_number: u64) -> Self {
        Self {
            kind: "error",
            sequence_number,
            code: error.code(),
            message: error.message(),
            param: error.param(),
            error: Said::of(error),
        }
    }
}

/// Anthropic's body. The code and the attempts are ours; its SDKs leave what they do not know where it is.
#[derive(Serialize)]
struct Anthropic<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: AnthropicSaid<'a>,
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct AnthropicSaid<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
    code: &'a str,
    attempts: Vec<Tried<'a>>,
}

impl<'a> Anthropic<'a> {
    fn of(error: &'a ApiError, id: &'a HeaderValue) -> Self {
        let said = AnthropicSaid {
            kind: anthropic_kind(error.status()),
            message: error.message(),
            code: error.code(),
            attempts: error.attempts().iter().map(Tried::of).collect(),
        };
        Self { kind: "error", error: said, request_id: id.to_str().ok() }
    }
}

#[derive(Serialize)]
struct Tried<'a> {
    provider: &'a str,
    region: &'a str,
    model: &'a str,
    class: Option<&'static str>,
    status: Option<u16>,
    took_ms: u64,
}

impl<'a> Tried<'a> {
    fn of(record: &'a AttemptRecord) -> Self {
        Self {
            provider: &record.route.provider,
            region: &record.route.region,
            model: &record.route.model,
            class: record.class.map(|class| class.as_str()),
            status: record.status,
            took_ms: u64::try_from(record.took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: HeaderValue = HeaderValue::from_static("req_7");

    #[test]
    fn openais_body_has_the_four_keys_and_the_attempts() {
        let body: Value = serde_json::from_slice(&body(&ApiError::overloaded(), Words::OpenAi, &ID)).unwrap();
        let expected = json!({"error": {
            "message": "too many requests at once", "type": "server_error", "param": null, "code": "overloaded", "attempts": [],
        }});
        assert_eq!(body, expected);
    }

    #[test]
    fn anthropics_body_has_its_keys_and_the_requests_name() {
        let body: Value =
            serde_json::from_slice(&body(&ApiError::overloaded(), Words::Anthropic, &ID)).unwrap();
        let expected = json!({"type": "error", "request_id": "req_7", "error": {
            "type": "overloaded_error", "message": "too many requests at once", "code": "overloaded", "attempts": [],
        }});
        assert_eq!(body, expected);
    }

    #[test]
    fn every_frame_is_one_event_that_its_sdk_raises_on() {
        for (api, start) in [
            (Api::Chat, "data: {\"error\":{"),
            (Api::Completions, "data: {\"error\":{"),
            (Api::Responses, "event: error\ndata: {\"type\":\"error\",\"code\":\"draining\","),
            (
                Api::Messages,
                "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"",
            ),
        ] {
            let frame = Hearer { api, id: ID }.frame(&ApiError::draining(), b"");
            let text = std::str::from_utf8(&frame).unwrap();
            assert!(text.starts_with(start), "{text}");
            assert_eq!(text.matches("\n\n").count(), 1);
            assert!(text.ends_with("}\n\n"));
            let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            assert!(serde_json::from_str::<Value>(data).unwrap()["error"].is_object());
        }
    }

    /// **A provider's refusal is an event like ours.** Fails if a Responses stream gets it in the form of a body.
    #[test]
    fn a_providers_refusal_has_the_form_of_its_stream() {
        let body =
            br#"{"error":{"message":"too long","type":"invalid_request_error","param":null,"code":"x"}}"#;
        let frame = |api, body: &[u8]| {
            Hearer { api, id: ID }.refusal(body).map(|frame| String::from_utf8(frame.to_vec()).unwrap())
        };
        let said = frame(Api::Responses, body).unwrap();
        let data = said.strip_prefix("event: error\ndata: ").unwrap();
        let event: Value = serde_json::from_str(data).unwrap();
        assert_eq!((&event["type"], &event["code"]), (&"error".into(), &"x".into()));
        assert_eq!((&event["message"], &event["sequence_number"]), (&"too long".into(), &0.into()));
        assert_eq!(event["error"]["type"], "invalid_request_error");
        assert!(frame(Api::Chat, body).unwrap().starts_with("data: {\"error\":{"));
        assert!(frame(Api::Responses, br#"{"error":{"code":"x"}}"#).is_none(), "no event of that form");
        assert!(frame(Api::Chat, br#"{"error":null}"#).is_none());
    }

    /// **Events stay numbered.** Fails if the error's number is one that was given, whatever else came with it.
    #[test]
    fn an_error_amid_a_responses_stream_has_the_next_number() {
        let number_after = |frames: &str| {
            let frame =
                Hearer { api: Api::Responses, id: ID }.frame(&ApiError::draining(), frames.as_bytes());
            let text = std::str::from_utf8(&frame).unwrap();
            let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            serde_json::from_str::<Value>(data).unwrap()["sequence_number"].clone()
        };
        let event = |number: u64| {
            format!(
                "event: response.output_text.delta\ndata: {{\"delta\":\"\",\"sequence_number\":{number}}}\n\n"
            )
        };
        assert_eq!(number_after(""), 0);
        assert_eq!(number_after(&event(4)), 5);
        assert_eq!(number_after(&(event(4) + &event(5) + ": waiting\n\n")), 6);
        assert_eq!(number_after(&event(4).replace('\n', "\r\n")), 5);
        assert_eq!(number_after("data: {\"type\":\"unnumbered\"}\n\n"), 0);
    }

    #[test]
    fn a_path_has_the_words_of_its_callers() {
        for path in ["/v1/messages", "/messages", "/v1/messages/count_tokens"] {
            assert_eq!(Words::of_path(path), Words::Anthropic, "{path}");
        }
        for path in ["/v1/chat/completions", "/v1/messagesx", "/", "", "/v2/messages"] {
            assert_eq!(Words::of_path(path), Words::OpenAi, "{path}");
        }
    }
}
