//! The words of an error body, whatever its shape.
//!
//! The shapes are a handful, and all are read whatever the dialect, since gateways and proxies mix them:
//!
//! - `{"error": {"message", "type", "param", "code"}}`: OpenAI, Azure, Groq; `code` is a number at OpenRouter and Google, where
//!   `status` holds the word; Google's may lie in a list of one;
//! - `{"type": "error", "error": {"type", "message", "details": {"error_code"}}}`: Anthropic;
//! - `{"object": "error", "message", "type", "code"}`: Mistral, vLLM; `{"message"}` with a header `x-amzn-errortype`: Bedrock;
//! - `{"error": "text"}`, HTML, nothing: whatever stands in front.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{duration::go_duration, loose::Word};

/// What an error body says.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) message: Option<Box<str>>,
    pub(super) kind: Option<Box<str>>,
    pub(super) code: Option<Box<str>>,
    status: Option<Box<str>>,
    /// The field of the request that is blamed.
    pub(super) param: Option<Box<str>>,
    /// Anthropic's `error_code`, Google's `reason`.
    detail_code: Option<Box<str>>,
    /// Google's `RetryInfo`.
    pub(super) retry_delay: Option<Duration>,
    /// The body is no JSON: its message is the beginning of a text by nobody knows whom.
    is_page: bool,
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
    param: Word,
    #[serde(borrow)]
    details: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    #[serde(alias = "reason")]
    error_code: Word,
    #[serde(rename = "retryDelay")]
    retry_delay: Word,
}

impl Words {
    pub(super) fn read(body: &[u8]) -> Self {
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
        // A phrase may still be found in a plain text; in HTML it stands by chance.
        let beginning = text.get(..text.floor_char_boundary(2_048)).filter(|text| !text.starts_with('<'));
        Self { message: beginning.map(Into::into), is_page: true, ..Self::default() }
    }

    fn of_envelope(text: &str) -> Self {
        match serde_json::from_str::<Envelope<'_>>(text) {
            Ok(Envelope { error: Some(error) }) => Self::of_error(error.get()),
            _ => Self::of_error(text),
        }
    }

    pub(super) fn of_error(error: &str) -> Self {
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
            param: fields.param.0,
            retry_delay: details.iter().find_map(|detail| go_duration(detail.retry_delay.0.as_deref()?)),
            detail_code: details.into_iter().find_map(|detail| detail.error_code.0),
            is_page: false,
        }
    }

    /// The words that may name the error, the most exact first.
    pub(super) fn in_order_of_trust(&self) -> impl Iterator<Item = &str> {
        [&self.detail_code, &self.code, &self.kind, &self.status].into_iter().flatten().map(|word| &**word)
    }

    /// What the provider says in prose; not what stands on a page.
    pub(super) fn prose(&self) -> Option<&str> {
        self.message.as_deref().filter(|_| !self.is_page)
    }

    /// Whether the provider explains nothing: the body is a page, or holds no message, or one that only repeats its status, as
    /// firewalls and gateways do.
    pub(super) fn is_silent(&self) -> bool {
        self.prose().is_none_or(|message| message.trim().eq_ignore_ascii_case("forbidden"))
    }

    pub(super) fn code_for_logs(&self) -> Option<Box<str>> {
        let word = [&self.detail_code, &self.code, &self.status, &self.kind].into_iter().flatten().next()?;
        let safe = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        Some(word.chars().filter(safe).take(64).collect::<String>())
            .filter(|word| !word.is_empty())
            .map(Into::into)
    }
}

/// The name of AWS's exception, which may bear its namespace before it and an address behind.
pub(super) fn exception(header: &str) -> Option<&str> {
    header.split(':').next()?.rsplit('#').next()
}

fn details_of(details: &str) -> Vec<Detail> {
    if details.starts_with('[') {
        let list: Vec<&RawValue> = serde_json::from_str(details).unwrap_or_default();
        return list.into_iter().filter_map(|detail| serde_json::from_str(detail.get()).ok()).collect();
    }
    serde_json::from_str(details).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_explains_nothing_is_silent() {
        for (body, silent) in [
            ("", true),
            ("<html>nginx</html>", true),
            ("{}", true),
            ("[]", true),
            ("{\"detail\":\"Not Found\"}", true),
            ("{\"error\":null}", true),
            ("{\"error\":{\"code\":403}}", true),
            ("{\"message\":\"Forbidden\"}", true),
            ("{\"type\":\"about:blank\",\"title\":\"Access denied\",\"status\":403}", true),
            ("{\"error\":\"no such model\"}", false),
            ("{\"message\":\"Key limit exceeded\"}", false),
        ] {
            assert_eq!(Words::read(body.as_bytes()).is_silent(), silent, "{body}");
        }
    }
}
