//! How a provider says no, in the words of its family.
//!
//! Who sits in front of providers tells one no from another by these words, so they are the real ones: a spent quota and a
//! passing limit are both a 429, and Anthropic has neither OpenAI's codes nor its four keys.

use bytes::Bytes;
use serde_json::json;

use crate::{fault::Fault, request::Family};

/// A refusal, before it is put into a family's form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// OpenAI's `type`; empty for what Azure's front says, which has a code and a message only.
    kind: &'static str,
    /// OpenAI's and Azure's `code`; Anthropic's in the details of some errors.
    code: Option<&'static str>,
    param: Option<&'static str>,
    message: String,
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

    /// The request itself is wrong, at this place.
    pub(crate) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        Self { param: Some(param), ..Self::new(400, "invalid_request_error", None, message) }
    }

    pub(crate) fn bad_key(family: Family) -> Self {
        match family {
            Family::OpenAi => {
                let message = "Incorrect API key provided.";
                Self::new(401, "invalid_request_error", Some("invalid_api_key"), message)
            }
            Family::Azure => {
                let message = "Access denied due to invalid subscription key or wrong API endpoint.";
                Self::new(401, "", Some("401"), message)
            }
            Family::Anthropic => Self::new(401, "authentication_error", None, "invalid x-api-key"),
        }
    }

    pub(crate) fn model_missing(family: Family, model: &str) -> Self {
        match family {
            Family::OpenAi => {
                let message = format!("The model `{model}` does not exist or you do not have access to it.");
                Self::new(404, "invalid_request_error", Some("model_not_found"), message)
            }
            Family::Azure => {
                let message = "The API deployment for this resource does not exist.";
                Self::new(404, "", Some("DeploymentNotFound"), message)
            }
            Family::Anthropic => Self::new(404, "not_found_error", None, format!("model: {model}")),
        }
    }

    /// A limit that passes: of requests, or of `tokens`.
    pub(crate) fn limited(family: Family, tokens: bool) -> Self {
        let what = if tokens { "tokens" } else { "requests" };
        match family {
            Family::OpenAi => {
                let message = format!("Rate limit reached for {what}. Please slow down.");
                Self::new(429, what, Some("rate_limit_exceeded"), message)
            }
            Family::Azure => {
                let limit = if tokens { "token rate limit" } else { "call rate limit" };
                let message = format!(
                    "Requests to this operation have exceeded the {limit} of your current pricing tier."
                );
                Self::new(429, "", Some("429"), message)
            }
            Family::Anthropic => {
                let message = format!("Number of {what} has exceeded your per-minute rate limit.");
                Self::new(429, "rate_limit_error", None, message)
            }
        }
    }

    /// A response that this region does not know, since another gave it, or nobody kept it.
    pub(crate) fn unknown_response(id: &str) -> Self {
        let message = format!("Previous response with id '{id}' not found.");
        let code = Some("previous_response_not_found");
        Self { code, ..Self::invalid("previous_response_id", message) }
    }

    /// What a fault says instead of an answer; `None` for faults that say nothing, or not by this.
    pub(crate) fn of_fault(fault: &Fault, family: Family) -> Option<Self> {
        let invalid = |code, message: &str| Self::new(400, "invalid_request_error", code, message);
        Some(match fault {
            Fault::Status { code, .. } => {
                let kind = if *code >= 500 { "server_error" } else { "invalid_request_error" };
                Self::new(*code, kind, None, format!("The server answered {code}."))
            }
            Fault::RateLimit { .. } => Self::limited(family, false),
            Fault::QuotaSpent if family == Family::Anthropic => Self::new(
                429,
                "rate_limit_error",
                Some("enforced_spend_limit_reached"),
                "Your organization has reached its monthly API usage limit.",
            ),
            Fault::QuotaSpent => Self::new(
                429,
                "insufficient_quota",
                Some("insufficient_quota"),
                "You exceeded your current quota, please check your plan and billing details.",
            ),
            Fault::Overloaded => Self::new(529, "overloaded_error", None, "Overloaded"),
            Fault::BadKey => Self::bad_key(family),
            Fault::ContextLength if family == Family::Anthropic => {
                invalid(None, "prompt is too long: 208310 tokens > 200000 maximum")
            }
            Fault::ContextLength => invalid(
                Some("context_length_exceeded"),
                "This model's maximum context length is 128000 tokens. Please reduce the length of the messages.",
            ),
            Fault::ContentFilter if family == Family::Anthropic => {
                invalid(None, "Output blocked by content filtering policy")
            }
            Fault::ContentFilter => invalid(
                Some("content_filter"),
                "The response was filtered due to the prompt triggering our content management policy.",
            ),
            Fault::NoPrefill => invalid(
                None,
                "This model does not support assistant message prefill. The conversation must end with a user message.",
            ),
            _ => return None, // the others have no words
        })
    }

    /// The body, in a family's form.
    pub(crate) fn body(&self, family: Family) -> Bytes {
        let Self { kind, code, param, message, .. } = self;
        let body = match family {
            Family::Anthropic => {
                let mut error = json!({"type": self.anthropic_kind(), "message": message});
                if let (Some(code), Some(error)) = (code, error.as_object_mut()) {
                    error.insert("details".to_owned(), json!({"error_code": code}));
                }
                json!({"type": "error", "error": error, "request_id": "req_sim"})
            }
            Family::Azure if kind.is_empty() => json!({"error": {"code": code, "message": message}}),
            Family::Azure if *code == Some("content_filter") => json!({"error": {
                "message": message, "type": null, "param": "prompt", "code": code, "status": self.status,
                "innererror": {"code": "ResponsibleAIPolicyViolation"},
            }}),
            Family::OpenAi | Family::Azure => {
                json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
            }
        };
        body.to_string().into()
    }

    fn anthropic_kind(&self) -> &'static str {
        match self.status {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            529 => "overloaded_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        }
    }
}
