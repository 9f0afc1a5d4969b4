//! An error as callers see it: its status, its code, what was tried, and the headers that tell an SDK whether to retry. How it is
//! written depends on who reads it ([`words`](super::words)).
//!
//! SDKs retry by themselves, twice, on 408, 409, 429 and every 5xx. Behind a gateway that has already tried every place this
//! multiplies the load of an outage, so each error says plainly what is right: `x-should-retry: false` where another try
//! cannot help, `retry-after` where the wait is known.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use outrigger::{AttemptRecord, CallError, RequestError};

use super::{
    codes,
    words::{self, Words},
};

/// The longest wait that an SDK honours; a longer one is no use to it.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An error on its way to a caller.
#[derive(Clone, Debug)]
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
        debug_assert!(
            codes::is_known(code),
            "`{code}` belongs into the list of codes and into docs/troubleshooting.md"
        );
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

    /// Says what to do about it, where that is known.
    pub(crate) fn help(mut self, help: Option<String>) -> Self {
        self.message.extend(help.map(|help| format!("; {help}")));
        self
    }

    /// The SDK's own wait is as good as any where none is known.
    pub(crate) fn worth_another_try(mut self) -> Self {
        self.should_retry = None;
        self
    }

    /// The body is larger than is taken.
    pub(crate) fn too_large(limit: u64) -> Self {
        let message = format!("the body is larger than the {limit} bytes that are taken here");
        Self::caller(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    }

    /// Its caller is over a limit of its own. Without a wait, another try would not help.
    pub(crate) fn limited(code: &'static str, message: impl Into<String>, wait: Option<Duration>) -> Self {
        let plain = Self::caller(StatusCode::TOO_MANY_REQUESTS, code, message);
        match wait {
            Some(wait) if wait <= LONGEST_WAIT => {
                Self { should_retry: None, retry_after: Some(wait), ..plain }
            }
            Some(_) => Self { retry_after: Some(LONGEST_WAIT), ..plain },
            None => plain,
        }
    }

    /// The path and the headers are longer than is taken.
    pub(crate) fn head_too_large(limit: usize) -> Self {
        let message =
            format!("the path and the headers are longer than the {limit} bytes that are taken here");
        Self::caller(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message)
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

    /// A thing that is neither served nor forwarded, and why.
    pub(crate) fn unsupported_endpoint(why: &str) -> Self {
        Self::caller(StatusCode::BAD_REQUEST, "unsupported_endpoint", why)
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn param(&self) -> Option<&'static str> {
        self.param
    }

    /// What was tried, one by one.
    pub(crate) fn attempts(&self) -> &[AttemptRecord] {
        &self.attempts
    }

    fn write_headers(&self, headers: &mut HeaderMap) {
        if let Some(should_retry) = self.should_retry {
            headers.insert(SHOULD_RETRY, should_retry_value(should_retry));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
    }
}

impl From<CallError> for ApiError {
    /// A provider's own refusal is not among these: its status and body pass as they came ([`call`](super::call)).
    fn from(error: CallError) -> Self {
        let status = error.status();
        let plain = Self {
            attempts: error.attempts().to_vec(),
            retry_after: error.retry_in(),
            ..Self::caller(status, error.code(), error.to_string())
        };
        match error {
            CallError::ShuttingDown | CallError::CutOff { .. } => {
                Self { attempts: plain.attempts, ..Self::draining() }
            }
            CallError::Overloaded => Self::overloaded(),
            CallError::ModelNotFound { .. } => plain.at("model"),
            CallError::Stateful { field, .. } => plain.at(field),
            CallError::Untranslatable { reason, .. } => plain.at(reason.field),
            CallError::RateLimited { retry_in: Some(wait), .. } if wait > LONGEST_WAIT => {
                Self { retry_after: Some(LONGEST_WAIT), ..plain }
            }
            CallError::RateLimited { .. } => plain.worth_another_try(),
            _ => plain,
        }
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let param = match &error {
            RequestError::Body(fault) => fault.fault.field(),
            RequestError::NeverStreams { .. } => Some("stream"),
            _ => None,
        };
        let code = if param.is_some() { "invalid_value" } else { "invalid_json" };
        Self { param, ..Self::caller(StatusCode::BAD_REQUEST, code, error.to_string()) }
    }
}

/// The status and the headers. The body is [written](write) where the request's path and name are known.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        self.write_headers(response.headers_mut());
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives a response that is an error its body, in the words of its caller; `id` is the request's name.
pub(crate) fn write(response: &mut Response, words: Words, id: &HeaderValue) {
    let Some(error) = response.extensions_mut().remove::<ApiError>() else { return };
    *response.body_mut() = Body::from(words::body(&error, words, id));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    // The length of the body that was not there yet.
    headers.remove(header::CONTENT_LENGTH);
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
    fn an_sdk_waits_as_told_for_a_limit_and_not_for_one_that_it_could_not_outwait() {
        let of = |wait: Option<u64>| {
            headers(ApiError::limited("rate_limit_exceeded", "x", wait.map(Duration::from_millis)))
        };
        assert_eq!(of(Some(11_001)), (None, Some("12".into())));
        assert_eq!(of(Some(60_000)), (None, Some("60".into())));
        assert_eq!(of(Some(60_001)), (Some("false".into()), Some("60".into())));
        assert_eq!(of(None), (Some("false".into()), None));
    }

    #[test]
    fn a_wait_is_rounded_up_so_that_nobody_comes_back_early() {
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
        assert_eq!(whole_seconds(Duration::from_secs(1)), 1);
        assert_eq!(whole_seconds(Duration::ZERO), 0);
    }
}
