//! Embeddings: a list of vectors, whole or not at all.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{FinishReason, FrameFacts, object};
use crate::{
    loose::Filled,
    usage::{RawUsage, Usage},
};

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    data: Filled,
    #[serde(default)]
    usage: Option<RawUsage>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// A whole answer. That it holds vectors is its content, and that it holds any is its end; without one it is empty, whatever
/// was counted.
pub(super) fn whole(json: &[u8]) -> FrameFacts {
    let Some(answer) = object::<Answer<'_>>(json) else { return FrameFacts::malformed() };
    if let Some(error) = answer.error {
        return FrameFacts::error(error.get());
    }
    let usage = answer.usage.map(Usage::from);
    if answer.data.0 {
        return FrameFacts { content: true, usage, ..FrameFacts::finished(FinishReason::Stop) };
    }
    FrameFacts { usage, ..FrameFacts::default() }
}

/// Nothing streams here, so a frame is an error or it is nonsense.
pub(super) fn frame(json: &[u8]) -> FrameFacts {
    match object::<Answer<'_>>(json) {
        Some(Answer { error: Some(error), .. }) => FrameFacts::error(error.get()),
        _ => FrameFacts::malformed(),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Api, Class, read_answer, read_frame};

    #[track_caller]
    fn check(body: &str, expected: Option<Class>) {
        let facts = read_answer(Api::Embeddings, body.as_bytes());
        assert_eq!(facts.failure().map(|failure| failure.class), expected, "{body}");
    }

    #[test]
    fn vectors_are_an_answer_and_their_absence_is_empty() {
        let usage = r#""usage":{"prompt_tokens":8,"total_tokens":8}"#;
        check(&format!(r#"{{"object":"list","data":[{{"index":0,"embedding":[0.1]}}],{usage}}}"#), None);
        check(&format!(r#"{{"object":"list","data":[],{usage}}}"#), Some(Class::Empty));
        check("{}", Some(Class::Empty));
        check("", Some(Class::Empty));
        check("[]", Some(Class::Malformed));
        check(r#"{"error":{"code":"model_not_found"}}"#, Some(Class::ModelMissing));
    }

    #[test]
    fn nothing_streams() {
        assert!(read_frame(Api::Embeddings, None, br#"{"data":[{"embedding":[1]}]}"#).malformed);
        assert!(read_frame(Api::Embeddings, None, br#"{"error":{}}"#).error.is_some());
    }
}
