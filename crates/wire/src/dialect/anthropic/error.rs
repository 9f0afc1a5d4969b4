//! Anthropic's errors as OpenAI's.

use std::{borrow::Cow, time::SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json;
use crate::{
    class::Class,
    error_body::classify,
    loose::{Text, Word},
};

/// The body of Anthropic's refusal as OpenAI's error body: `message`, `type`, `param` and `code`.
///
/// The message and the type stay Anthropic's. The code is the one that programs look for, `context_length_exceeded`, or null.
/// Takes any bytes: of what is no error of Anthropic's, as a page of a proxy, it says only that there was an error.
#[must_use]
pub fn error_to_chat(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    append_error(&mut out, body, |out, error| json::append(out, error));
    out
}

/// The same as one frame of a stream.
pub(super) fn append_error_frame(out: &mut Vec<u8>, body: &[u8]) {
    append_error(out, body, |out, error| json::append_frame(out, error));
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said<'a> {
    #[serde(rename = "type")]
    kind: Word,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: ErrorFields<'a>,
}

#[derive(Serialize)]
struct ErrorFields<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: (),
    code: Option<&'static str>,
}

fn append_error(out: &mut Vec<u8>, body: &[u8], write: impl FnOnce(&mut Vec<u8>, &ErrorBody<'_>)) {
    let envelope = serde_json::from_slice::<Envelope<'_>>(body).ok().and_then(|envelope| envelope.error);
    let said = envelope
        .filter(|error| error.get().starts_with('{'))
        .and_then(|error| serde_json::from_str::<Said<'_>>(error.get()).ok())
        .unwrap_or_default();
    let message = said
        .message
        .and_then(|message| serde_json::from_str::<Text<'_>>(message.get()).ok())
        .map_or(Cow::Borrowed("the provider gave an error without a message"), |message| message.0);
    let kind = said.kind.0.as_deref().unwrap_or("api_error");
    // The words of a 400 are the only ones that can mean this.
    let too_long = kind == "invalid_request_error"
        && classify(400, |_| None, body, SystemTime::UNIX_EPOCH).class == Class::ContextTooLong;
    let code = too_long.then_some("context_length_exceeded");
    write(out, &ErrorBody { error: ErrorFields { message: &message, kind, param: (), code } });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, message: &str, kind: &str, code: Option<&str>) {
        let read: serde_json::Value = serde_json::from_slice(&error_to_chat(body.as_bytes())).unwrap();
        let expected = serde_json::json!({"error":{"message":message,"type":kind,"param":null,"code":code}});
        assert_eq!(read, expected);
    }

    #[test]
    fn an_error_keeps_its_message_and_its_type() {
        for kind in ["invalid_request_error", "authentication_error", "overloaded_error", "later_error"] {
            let body = format!(
                r#"{{"type":"error","error":{{"type":"{kind}","message":"m\n\"q\""}},"request_id":"r"}}"#
            );
            check(&body, "m\n\"q\"", kind, None);
        }
    }

    #[test]
    fn a_prompt_that_is_too_long_has_the_code_that_programs_look_for() {
        let message = "prompt is too long: 208310 tokens > 200000 maximum";
        let body =
            |kind: &str| format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}}}}"#);
        let kind = "invalid_request_error";
        check(&body(kind), message, kind, Some("context_length_exceeded"));
        check(&body("api_error"), message, "api_error", None);
    }

    #[test]
    fn what_is_no_error_of_anthropics_is_an_error_all_the_same() {
        let nothing = "the provider gave an error without a message";
        for body in ["", "<html>no</html>", "{}", "[]", r#"{"error":"x"}"#, r#"{"error":["a","b"]}"#] {
            check(body, nothing, "api_error", None);
        }
        check(r#"{"error":{"message":7,"type":"a"}}"#, nothing, "a", None);
    }
}
