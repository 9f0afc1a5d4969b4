//! An error as callers see it: OpenAI's four keys, what was tried, and the headers that tell an SDK whether to retry.
//!
//! SDKs retry by themselves, twice, on 408, 409, 429 and every 5xx. Behind a gateway that has already tried every place this
//! multiplies the load of an outage, so each error says plainly what is right: `x-should-retry: false` where another try
//! cannot help, `retry-after` where the wait is known.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use outrigger::{AttemptRecord, CallError, RequestError};
use serde::Serialize;

/// The longest wait that an SDK honours; a longer one is no use to it.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An error on its way to a caller.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    param: Option<&'static str>,
    attempts: Vec<AttemptRecord>,
    should_retry: Option<bool>,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// A fault of the caller's own: trying again will not help.
    pub(crate) fn caller(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            param: None,
            attempts: Vec::new(),
            should_retry: Some(false),
            retry_after: None,
        }
    }

    /// Names the field or header at fault.
    pub(crate) fn at(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    /// The body is larger than is taken.
    pub(crate) fn too_large(limit: u64) -> Self {
        let message = format!("the body is larger than the {limit} bytes that are taken here");
        Self::caller(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    }

    /// More is asked at once than is taken.
    pub(crate) fn overloaded() -> Self {
        Self {
            should_retry: None,
            retry_after: Some(Duration::from_secs(1)),
            ..Self::caller(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many requests at once")
        }
    }

    /// The gateway is going away; another one, or the next one, will answer.
    pub(crate) fn draining() -> Self {
        Self {
            should_retry: Some(true),
            retry_after: Some(Duration::from_secs(1)),
            ..Self::caller(StatusCode::SERVICE_UNAVAILABLE, "draining", "the gateway is shutting down")
        }
    }

    /// A path of the contract that is not served by this version.
    pub(crate) fn unsupported_endpoint(path: &str) -> Self {
        Self::caller(StatusCode::BAD_REQUEST, "unsupported_endpoint", format!("{path} is not served here"))
    }

    /// What was tried, one by one.
    pub(crate) fn into_attempts(self) -> Vec<AttemptRecord> {
        self.attempts
    }

    /// The error as one frame of an event stream, for an answer that has already begun.
    pub(crate) fn frame(&self) -> Bytes {
        let mut frame = b"data: ".to_vec();
        frame.extend_from_slice(&self.json());
        frame.extend_from_slice(b"\n\n");
        frame.into()
    }

    /// The body: OpenAI's four keys and the attempts.
    pub(crate) fn json(&self) -> Bytes {
        let body = Envelope {
            error: Said {
                message: &self.message,
                kind: kind(self.status),
                param: self.param,
                code: self.code,
                attempts: self.attempts.iter().map(Tried::of).collect(),
            },
        };
        // Strings, numbers and lists always serialise; were one not to, an empty object is still JSON.
        serde_json::to_vec(&body).unwrap_or_else(|_| b"{}".to_vec()).into()
    }

    /// The error as a response of its own.
    pub(crate) fn response(&self) -> Response {
        self.response_of(self.json())
    }

    /// The error as Anthropic's SDKs read it.
    pub(crate) fn anthropic_response(&self) -> Response {
        let error = AnthropicSaid { kind: anthropic_kind(self.status), message: &self.message };
        let body = AnthropicEnvelope { kind: "error", error };
        self.response_of(serde_json::to_vec(&body).unwrap_or_else(|_| b"{}".to_vec()).into())
    }

    fn response_of(&self, body: Bytes) -> Response {
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, JSON);
        if let Some(should_retry) = self.should_retry {
            headers.insert(SHOULD_RETRY, should_retry_value(should_retry));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        response
    }
}

impl From<CallError> for ApiError {
    /// A provider's own refusal is not among these: its status and body pass as they came (`chat`).
    fn from(error: CallError) -> Self {
        let status = error.status();
        let plain = Self {
            attempts: error.attempts().to_vec(),
            retry_after: error.retry_in(),
            ..Self::caller(status, error.code(), error.to_string())
        };
        match error {
            CallError::ShuttingDown => Self::draining(),
            CallError::Overloaded => Self::overloaded(),
            CallError::ModelNotFound { .. } => plain.at("model"),
            CallError::RateLimited { retry_in: Some(wait), .. } if wait > LONGEST_WAIT => {
                Self { retry_after: Some(LONGEST_WAIT), ..plain }
            }
            // The SDK's own wait is as good as any where none is known.
            CallError::RateLimited { .. } => Self { should_retry: None, ..plain },
            _ => plain,
        }
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let param = match &error {
            RequestError::Body(fault) => fault.fault.field(),
            _ => None,
        };
        let code = if param.is_some() { "invalid_value" } else { "invalid_json" };
        Self { param, ..Self::caller(StatusCode::BAD_REQUEST, code, error.to_string()) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.response()
    }
}

/// Tells an SDK to leave a provider's refusal as it is.
pub(crate) fn refuse_retry(response: &mut Response) {
    response.headers_mut().insert(SHOULD_RETRY, should_retry_value(false));
}

fn should_retry_value(should_retry: bool) -> HeaderValue {
    HeaderValue::from_static(if should_retry { "true" } else { "false" })
}

/// Rounded up: who comes back early is refused again.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
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
        status => match kind(status) {
            "server_error" => "api_error",
            kind => kind,
        },
    }
}

#[derive(Serialize)]
struct AnthropicEnvelope<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: AnthropicSaid<'a>,
}

#[derive(Serialize)]
struct AnthropicSaid<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Said<'a>,
}

#[derive(Serialize)]
struct Said<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'a str>,
    code: &'a str,
    attempts: Vec<Tried<'a>>,
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

    fn headers(error: ApiError) -> (Option<String>, Option<String>) {
        let response = error.into_response();
        let text = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        (text("x-should-retry"), text("retry-after"))
    }

    #[test]
    fn a_callers_fault_is_not_worth_a_retry() {
        assert_eq!(headers(ApiError::too_large(7)), (Some("false".into()), None));
    }

    #[test]
    fn a_gateway_that_drains_sends_callers_elsewhere_at_once() {
        assert_eq!(headers(ApiError::draining()), (Some("true".into()), Some("1".into())));
    }

    #[test]
    fn a_wait_is_rounded_up_so_that_nobody_comes_back_early() {
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
        assert_eq!(whole_seconds(Duration::from_secs(1)), 1);
        assert_eq!(whole_seconds(Duration::ZERO), 0);
    }

    #[test]
    fn the_body_has_the_four_keys_and_the_attempts() {
        let json: serde_json::Value = serde_json::from_slice(&ApiError::overloaded().json()).unwrap();
        let expected = serde_json::json!({"error": {
            "message": "too many requests at once", "type": "server_error", "param": null, "code": "overloaded", "attempts": [],
        }});
        assert_eq!(json, expected);
    }

    #[test]
    fn a_frame_is_one_event_of_a_stream() {
        let frame = ApiError::draining().frame();
        assert!(frame.starts_with(b"data: {\"error\":{\"message\""));
        assert!(frame.ends_with(b"}}\n\n"));
    }
}
