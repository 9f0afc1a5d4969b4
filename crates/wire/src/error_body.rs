//! What a refusal means, read from its body and not from its status alone.
//!
//! The bodies come in a handful of shapes, all of which are read whatever the dialect, since gateways and proxies mix them:
//!
//! - `{"error": {"message", "type", "param", "code"}}`: OpenAI, Azure, Groq; `code` is a number at OpenRouter and Google, where
//!   `status` holds the word; Google's may lie in a list of one;
//! - `{"type": "error", "error": {"type", "message", "details": {"error_code"}}}`: Anthropic;
//! - `{"object": "error", "message", "type", "code"}`: Mistral, vLLM; `{"message"}` with a header `x-amzn-errortype`: Bedrock;
//! - `{"error": "text"}`, HTML, nothing: whatever stands in front.
//!
//! The order of trust: the provider's own words (`code` before `type`, which may lag behind it), then a few phrases of its
//! message, then the status. A message may repeat the prompt, so a phrase is looked for only where the status allows its
//! meaning, and a status is never looked for in a text.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    class::{Class, Failure},
    duration::go_duration,
    loose::Word,
    rate_limit::{MAX_RETRY_AFTER, retry_after},
};

/// How much of an error's body is looked at.
pub const MAX_ERROR_BODY: usize = 64 * 1024;

/// The class of a refusal: an HTTP answer that is not a success.
///
/// `header` looks up a response header by its lower-case name. Of `body`, which may be a prefix, at most [`MAX_ERROR_BODY`] is
/// read. `wall` is the calendar time that dates in headers are seen from.
pub fn classify<'h>(
    status: u16,
    header: impl Fn(&str) -> Option<&'h str>,
    body: &[u8],
    wall: SystemTime,
) -> Failure {
    let mut words = Words::read(body.get(..MAX_ERROR_BODY).unwrap_or(body));
    if words.code.is_none() {
        words.code = header("x-amzn-errortype").map(|kind| kind.split(':').next().unwrap_or(kind).into());
    }
    let retry_after =
        retry_after(status, header, wall, MAX_RETRY_AFTER).or_else(|| words.retry_delay_for(status));
    let class = match words.class(Some(status)) {
        // One provider's 402 with a wait means its own budget of requests in flight, which comes back by itself.
        Class::QuotaSpent if status == 402 && retry_after.is_some() => Class::RateLimited,
        class => class,
    };
    Failure { class, status: Some(status), retry_after, code: words.code_for_logs() }
}

/// The class of an error that came inside of a success: the value of `error`, as JSON. Without a status the words decide; a
/// numeric code stands for the status.
pub(crate) fn classify_in_band(error: &str) -> Failure {
    let words = Words::of_error(error);
    let status =
        words.code.as_deref().and_then(|code| code.parse().ok()).filter(|status| (400..600).contains(status));
    let retry_after = words.retry_delay_for(status.unwrap_or(429));
    Failure { class: words.class(status), status, retry_after, code: words.code_for_logs() }
}

/// What an error body says, whatever its shape.
#[derive(Debug, Default)]
struct Words {
    message: Option<Box<str>>,
    kind: Option<Box<str>>,
    code: Option<Box<str>>,
    status: Option<Box<str>>,
    detail_code: Option<Box<str>>,
    retry_delay: Option<Duration>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields<'a> {
    message: Word,
    #[serde(rename = "type")]
    kind: Word,
    code: Word,
    status: Word,
    #[serde(borrow)]
    details: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    error_code: Word,
    #[serde(rename = "retryDelay")]
    retry_delay: Word,
}

impl Words {
    fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        if let Some(first) = text.strip_prefix('[').and_then(|_| {
            let list: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            list.first().copied()
        }) {
            return Self::of_envelope(first.get());
        }
        if text.starts_with('{') {
            return Self::of_envelope(text);
        }
        // No JSON: a page of whatever stands in front, in which a phrase may still be found.
        Self {
            message: Some(text.get(..text.floor_char_boundary(2_048)).unwrap_or_default().into()),
            ..Self::default()
        }
    }

    fn of_envelope(text: &str) -> Self {
        match serde_json::from_str::<Envelope<'_>>(text) {
            Ok(Envelope { error: Some(error) }) => Self::of_error(error.get()),
            _ => Self::of_error(text),
        }
    }

    fn of_error(error: &str) -> Self {
        if let Ok(message) = serde_json::from_str::<String>(error) {
            return Self { message: Some(message.into()), ..Self::default() };
        }
        let fields: Fields<'_> = serde_json::from_str(error).unwrap_or_default();
        let details = fields.details.map_or_else(Vec::new, |details| details_of(details.get()));
        Self {
            message: fields.message.0,
            kind: fields.kind.0,
            code: fields.code.0,
            status: fields.status.0,
            retry_delay: details.iter().find_map(|detail| go_duration(detail.retry_delay.0.as_deref()?)),
            detail_code: details.into_iter().find_map(|detail| detail.error_code.0),
        }
    }

    /// Google says the wait in the body; it is believed where a header would be.
    fn retry_delay_for(&self, status: u16) -> Option<Duration> {
        matches!(status, 429 | 503).then_some(self.retry_delay?.min(MAX_RETRY_AFTER))
    }

    fn class(&self, status: Option<u16>) -> Class {
        [&self.detail_code, &self.code, &self.kind, &self.status]
            .into_iter()
            .flatten()
            .find_map(|word| class_of_word(word, status))
            .or_else(|| class_of_message(self.message.as_deref()?, status))
            .or_else(|| status.map(class_of_status))
            .unwrap_or(match self.kind.as_deref() {
                Some("invalid_request_error") => Class::CallerFault,
                _ => Class::Transient,
            })
    }

    fn code_for_logs(&self) -> Option<Box<str>> {
        let word = [&self.detail_code, &self.code, &self.status, &self.kind].into_iter().flatten().next()?;
        let safe = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        Some(word.chars().filter(safe).take(64).collect::<String>())
            .filter(|word| !word.is_empty())
            .map(Into::into)
    }
}

fn details_of(details: &str) -> Vec<Detail> {
    if details.starts_with('[') {
        let list: Vec<&RawValue> = serde_json::from_str(details).unwrap_or_default();
        return list.into_iter().filter_map(|detail| serde_json::from_str(detail.get()).ok()).collect();
    }
    serde_json::from_str(details).into_iter().collect()
}

/// A status that blames the request itself; there, words about limits speak of the request's size.
const fn blames_request(status: Option<u16>) -> bool {
    matches!(status, Some(400 | 413 | 415 | 422))
}

/// The class behind a provider's own word for the error.
fn class_of_word(word: &str, status: Option<u16>) -> Option<Class> {
    let word = word.to_ascii_lowercase();
    let class = match word.as_str() {
        "insufficient_quota"
        | "credit_balance_exhausted"
        | "organization_usage_limit_exceeded"
        | "enforced_spend_limit_reached"
        | "quota_exceeded"
        | "billing_error"
        | "payment_required"
        | "billing_hard_limit_reached"
        | "billing_not_active" => Class::QuotaSpent,
        word if word.ends_with("spend_limit_exceeded") => Class::QuotaSpent,
        "context_length_exceeded" => Class::ContextTooLong,
        "content_filter" | "content_policy_violation" | "responsibleaipolicyviolation" => {
            Class::ContentRefused
        }
        "model_not_found"
        | "deploymentnotfound"
        | "not_found_error"
        | "resourcenotfoundexception"
        | "ftuformnotfilled" => Class::ModelMissing,
        "invalid_api_key"
        | "authentication_error"
        | "permission_error"
        | "permission_denied"
        | "unauthenticated"
        | "account_deactivated"
        | "failed_precondition"
        | "accessdeniedexception"
        | "unsupported_country_region_territory" => Class::Credential,
        "rate_limit_exceeded"
        | "rate_limit_error"
        | "rate_limited"
        | "slow_down"
        | "too_many_requests"
        | "resource_exhausted"
        | "throttlingexception"
        | "toomanyrequests" => Class::RateLimited,
        "overloaded_error"
        | "server_is_overloaded"
        | "service_unavailable_error"
        | "capacity_exceeded"
        | "unavailable"
        | "serviceunavailableexception"
        | "modelnotreadyexception" => Class::Overloaded,
        "timeout_error" | "deadline_exceeded" | "modeltimeoutexception" => Class::Timeout,
        "server_error"
        | "api_error"
        | "internal"
        | "internal_server_error"
        | "internalserverexception"
        | "conflict_error"
        | "modelstreamerrorexception" => Class::Transient,
        "request_too_large" | "invalid_argument" | "validationexception" => Class::CallerFault,
        _ => return None,
    };
    // `rate_limit_exceeded` with a 413 says that this one request is above the limit: no wait will help it.
    let spoken_of_size = matches!(class, Class::RateLimited | Class::Overloaded) && blames_request(status);
    (!spoken_of_size).then_some(class)
}

/// Phrases that name a prompt too long for the model, in lower case.
const CONTEXT_PHRASES: [&str; 7] = [
    "this model's maximum context length is",
    "exceed context limit",
    "is longer than the model's context length",
    "exceeds the maximum number of tokens allowed",
    "exceeds the available context size",
    "prompt is too long",
    "input is too long for requested model",
];
/// Phrases that name an account without money, where the status is the caller's.
const SPENT_PHRASES: [&str; 3] =
    ["credit balance is too low", "reached your specified api usage limits", "insufficient balance"];

/// The class behind a phrase of the message, where the status leaves it open.
fn class_of_message(message: &str, status: Option<u16>) -> Option<Class> {
    let message = message.to_lowercase();
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| message.contains(phrase));
    let open = matches!(status, None | Some(400 | 403 | 413 | 422));
    if !open {
        return None;
    }
    if has(&CONTEXT_PHRASES) || (message.contains("current length is") && message.contains("while limit is"))
    {
        return Some(Class::ContextTooLong);
    }
    if has(&SPENT_PHRASES) {
        return Some(Class::QuotaSpent);
    }
    // OpenRouter's moderation answers 403, which elsewhere is the key's fault.
    (status == Some(403) && has(&["requires moderation", "was flagged"])).then_some(Class::ContentRefused)
}

/// The class of a status of which nothing else is known.
const fn class_of_status(status: u16) -> Class {
    match status {
        401 | 403 => Class::Credential,
        402 => Class::QuotaSpent,
        404 | 410 => Class::ModelMissing,
        408 | 504 => Class::Timeout,
        409 | 424 | 425 => Class::Transient,
        429 => Class::RateLimited,
        498 | 503 | 529 => Class::Overloaded,
        400..=499 => Class::CallerFault,
        500..=599 => Class::Transient,
        _ => Class::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, expected: Class) {
        let failure = classify(status, |_| None, body.as_bytes(), SystemTime::UNIX_EPOCH);
        assert_eq!(failure.class, expected, "{status} {body}");
        assert_eq!(failure.status, Some(status));
    }

    #[test]
    fn a_status_alone_is_read_when_there_is_nothing_else() {
        for body in
            ["", "<html>nginx</html>", "{", "[]", "[7]", "null", "{}", "{\"error\":null}", "{\"error\":7}"]
        {
            check(400, body, Class::CallerFault);
            check(401, body, Class::Credential);
            check(402, body, Class::QuotaSpent);
            check(404, body, Class::ModelMissing);
            check(408, body, Class::Timeout);
            check(429, body, Class::RateLimited);
            check(500, body, Class::Transient);
            check(502, body, Class::Transient);
            check(503, body, Class::Overloaded);
            check(504, body, Class::Timeout);
            check(529, body, Class::Overloaded);
            check(302, body, Class::Malformed);
            check(200, body, Class::Malformed);
        }
    }

    #[test]
    fn a_429_is_not_one_thing() {
        let body =
            |code: &str| format!(r#"{{"error":{{"message":"m","type":"x","param":null,"code":"{code}"}}}}"#);
        for spent in ["insufficient_quota", "credit_balance_exhausted", "project_spend_limit_exceeded"] {
            check(429, &body(spent), Class::QuotaSpent);
        }
        for limited in ["rate_limit_exceeded", "slow_down", "1300", ""] {
            check(429, &body(limited), Class::RateLimited);
        }
        let anthropic = r#"{"type":"error","error":{"type":"rate_limit_error","message":"m",
            "details":{"error_code":"enforced_spend_limit_reached"}},"request_id":"r"}"#;
        check(429, anthropic, Class::QuotaSpent);
        check(
            429,
            r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#,
            Class::RateLimited,
        );
    }

    #[test]
    fn a_code_is_believed_before_a_type() {
        let body = r#"{"error":{"message":"m","type":"insufficient_quota","code":"rate_limit_exceeded"}}"#;
        check(429, body, Class::RateLimited);
    }

    #[test]
    fn a_400_is_not_always_the_callers_fault() {
        check(400, r#"{"error":{"code":"context_length_exceeded"}}"#, Class::ContextTooLong);
        check(
            400,
            r#"{"error":{"message":"This model's maximum context length is 8192 tokens."}}"#,
            Class::ContextTooLong,
        );
        check(400, r#"{"error":{"code":"content_filter","innererror":{"code":"x"}}}"#, Class::ContentRefused);
        check(
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits."}}"#,
            Class::QuotaSpent,
        );
        check(400, r#"[{"error":{"code":400,"status":"FAILED_PRECONDITION"}}]"#, Class::Credential);
        check(
            403,
            r#"{"error":{"message":"input is longer than the model's context length"}}"#,
            Class::ContextTooLong,
        );
        check(
            400,
            r#"{"error":{"code":"string_above_max_length","message":"too long"}}"#,
            Class::CallerFault,
        );
    }

    #[test]
    fn a_request_above_a_limit_is_not_a_limit_that_is_used_up() {
        let body =
            r#"{"error":{"message":"Request too large","type":"tokens","code":"rate_limit_exceeded"}}"#;
        check(413, body, Class::CallerFault);
        check(429, body, Class::RateLimited);
    }

    #[test]
    fn every_shape_of_body_is_read() {
        check(404, r#"{"error":{"code":"DeploymentNotFound","message":"m"}}"#, Class::ModelMissing);
        check(
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            Class::Overloaded,
        );
        check(
            429,
            r#"{"object":"error","message":"m","type":"rate_limited","param":null,"code":"1300"}"#,
            Class::RateLimited,
        );
        check(503, r#"{"error":"model is loading"}"#, Class::Overloaded);
        check(
            402,
            r#"{"error":{"message":"Insufficient Balance","type":"unknown_error"}}"#,
            Class::QuotaSpent,
        );
        let bedrock = |name: &str| (name == "x-amzn-errortype").then_some("ThrottlingException:http://x");
        let failure = classify(400, bedrock, br#"{"message":"m"}"#, SystemTime::UNIX_EPOCH);
        assert_eq!(failure.class, Class::CallerFault);
        assert_eq!(classify(429, bedrock, b"{}", SystemTime::UNIX_EPOCH).class, Class::RateLimited);
    }

    #[test]
    fn a_wait_is_read_from_header_or_body() {
        let google = br#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"a"},{"retryDelay":"37s"}]}}]"#;
        let failure = classify(429, |_| None, google, SystemTime::UNIX_EPOCH);
        assert_eq!(failure.retry_after, Some(Duration::from_secs(37)));
        let header = |name: &str| (name == "retry-after").then_some("5");
        let failure = classify(429, header, google, SystemTime::UNIX_EPOCH);
        assert_eq!(failure.retry_after, Some(Duration::from_secs(5)));
        let failure = classify(402, header, b"{}", SystemTime::UNIX_EPOCH);
        assert_eq!(failure.class, Class::RateLimited);
    }

    #[test]
    fn no_message_and_no_odd_letter_is_kept() {
        let body = "{\"error\":{\"message\":\"my secret prompt\",\"code\":\"a b\\nc/d_e\u{e9}\"}}";
        let failure = classify(400, |_| None, body.as_bytes(), SystemTime::UNIX_EPOCH);
        assert_eq!(failure.code.as_deref(), Some("abcd_e"));
        assert!(!format!("{failure:?}").contains("secret"));
    }

    #[test]
    fn an_error_in_a_stream_has_its_code_for_a_status() {
        assert_eq!(classify_in_band(r#"{"code":502,"message":"m"}"#).class, Class::Transient);
        assert_eq!(classify_in_band(r#"{"code":429,"message":"m"}"#).class, Class::RateLimited);
        assert_eq!(classify_in_band(r#"{"type":"overloaded_error"}"#).class, Class::Overloaded);
        assert_eq!(classify_in_band(r#"{"type":"invalid_request_error"}"#).class, Class::CallerFault);
        assert_eq!(classify_in_band(r#"{"message":"boom"}"#).class, Class::Transient);
        assert_eq!(classify_in_band(r#""boom""#).class, Class::Transient);
    }
}
