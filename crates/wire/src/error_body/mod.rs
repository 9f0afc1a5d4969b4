//! What a refusal means, read from its body and not from its status alone.
//!
//! The order of trust: the provider's own words (`code` before `type`, which may lag behind it), then a few phrases of its
//! message, then the status. A message may repeat the prompt, so a phrase is looked for only where the status allows its
//! meaning, and a status is never looked for in a text. The facts are data, in [`table`]; how a body is read is in [`words`].
//!
//! # What is not said
//! A 403 takes the key out and a missing model its deployment, both until the configuration changes. So both must be said, by the
//! provider:
//!
//! - An answer that explains nothing (a page of HTML, no body at all, a bare 'Forbidden') was most likely written by something that
//!   stands in front, a firewall or a proxy, about this prompt or this minute alone.
//! - A 404 may be about a path, or about a file, an answer or an item that the caller named. It is the model's where a word or the
//!   message says so, and the caller's where another field or thing is named.
//!
//! What is left is `transient`: the request goes elsewhere, the deployment's circuit counts it, and should it stay so, the circuit
//! stays open, with a trial from time to time. A 401 keeps its meaning, since nothing but a key answers it.

mod table;
mod wait;
mod words;

use std::time::SystemTime;

use self::words::Words;
use crate::{
    class::{Class, Failure},
    rate_limit::MAX_RETRY_AFTER,
};

/// How much of an error's body is looked at.
pub const MAX_ERROR_BODY: usize = 64 * 1024;

/// The class of a refusal: an HTTP answer that is not a success.
///
/// `header` looks up a response header by its lower-case name. Of `body`, which may be a prefix, at most [`MAX_ERROR_BODY`] is
/// read. `wall` is the calendar time that dates are seen from.
pub fn classify<'h>(
    status: u16,
    header: impl Fn(&str) -> Option<&'h str>,
    body: &[u8],
    wall: SystemTime,
) -> Failure {
    let mut words = Words::read(body.get(..MAX_ERROR_BODY).unwrap_or(body));
    if words.code.is_none() {
        words.code = header("x-amzn-errortype").and_then(words::exception).map(Into::into);
    }
    let class = class_of(&words, Some(status));
    let named = wait::of_headers(class, status, &header, wall);
    let retry_after = named.or_else(|| wait::of_words(&words, class, Some(status), Some(wall)));
    let class = match class {
        // One provider's 402 with a wait means its own budget of requests in flight, which comes back by itself.
        Class::QuotaSpent if status == 402 && named.is_some_and(|wait| wait <= MAX_RETRY_AFTER) => {
            Class::RateLimited
        }
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
    let class = class_of(&words, status);
    // A reader of frames has no calendar, so a date in one is not seen from anywhere.
    let retry_after = wait::of_words(&words, class, status, None);
    Failure { class, status, retry_after, code: words.code_for_logs() }
}

fn class_of(words: &Words, status: Option<u16>) -> Class {
    words
        .in_order_of_trust()
        .find_map(|word| table::class_of_word(word, status))
        .or_else(|| table::class_of_field(words.param.as_deref()?, status))
        .or_else(|| table::class_of_message(words.message.as_deref()?, status))
        .or_else(|| status.map(|status| table::class_of_status(status, words.is_silent())))
        .unwrap_or(match words.kind.as_deref() {
            Some("invalid_request_error") => Class::CallerFault,
            _ => Class::Transient,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_believed_before_a_type() {
        let body = br#"{"error":{"message":"m","type":"insufficient_quota","code":"rate_limit_exceeded"}}"#;
        assert_eq!(classify(429, |_| None, body, SystemTime::UNIX_EPOCH).class, Class::RateLimited);
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
        assert_eq!(classify_in_band(r#"{"type":"invalid_request_error"}"#).class, Class::CallerFault);
        assert_eq!(classify_in_band(r#"{"message":"boom"}"#).class, Class::Transient);
        assert_eq!(classify_in_band(r#""boom""#).class, Class::Transient);
    }
}
