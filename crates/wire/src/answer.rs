//! What a whole answer says: plain, or gathered from a stream's frames.
//!
//! Both are folded into the same [`AnswerFacts`], so that one rule judges both: [`AnswerFacts::failure`] finds the failures that
//! come under a 200.

use crate::{
    api::Api,
    class::{Class, Failure},
    frame::{FinishReason, FrameFacts, read_whole},
    usage::Usage,
};

/// What an answer says, or a stream up to now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnswerFacts {
    /// It holds content: something that a caller sees of the answer.
    pub content: bool,
    /// Why the first choice to stop did so. Without one the answer is not whole.
    pub finish: Option<FinishReason>,
    /// How many choices have stopped: all that were asked for of a chat or a text completion, else one, when it is whole.
    pub finished: u32,
    /// The tokens it took, where the provider said so.
    pub usage: Option<Usage>,
    /// What came of it that is in no count yet: all, where the provider counts at the end or not at all.
    pub uncounted: Uncounted,
    /// The error that came in place of an answer, or within it; the first.
    pub error: Option<Failure>,
    /// Something in it is not what the protocol says.
    pub malformed: bool,
    /// The body is empty, or the stream has brought no frame yet.
    pub nothing: bool,
}

/// Output that came and that no count of its provider's holds: from it, tokens can be estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Uncounted {
    /// Frames with content.
    pub frames: u64,
    /// Bytes of text in them.
    pub text: u64,
}

impl Uncounted {
    /// How many tokens that is, about: four bytes of text each, and no fewer than one for each frame.
    ///
    /// Four bytes is OpenAI's rule of thumb for English; other languages and code come to fewer bytes a token, and there the frames
    /// make up for a part of it, since most providers send one or two tokens in each. What is not shown (reasoning that is
    /// kept back) is in neither.
    #[must_use]
    pub fn tokens(self) -> u64 {
        self.frames.max(self.text.div_ceil(4))
    }
}

impl AnswerFacts {
    /// A stream of which nothing has come yet.
    #[must_use]
    pub fn of_stream() -> Self {
        Self { nothing: true, ..Self::default() }
    }

    /// Adds what a stream's next frame says.
    ///
    /// Of several usages the larger counts stand: some providers send the sum so far with every chunk, and Anthropic what was
    /// read at the beginning and what was written at the end. A count of output holds all that came up to its frame.
    pub fn absorb(&mut self, frame: &FrameFacts) {
        self.content |= frame.content;
        self.finish = self.finish.or(frame.finish);
        self.finished = self.finished.saturating_add(frame.finished);
        if frame.usage.is_some_and(|usage| usage.output > 0) {
            self.uncounted = Uncounted::default();
        } else {
            let Uncounted { frames, text } = &mut self.uncounted;
            *frames = frames.saturating_add(u64::from(frame.content));
            *text = text.saturating_add(frame.text);
        }
        self.usage = match (self.usage, frame.usage) {
            (Some(before), Some(later)) => Some(before.or_later(later)),
            (before, later) => later.or(before),
        };
        if self.error.is_none() {
            self.error.clone_from(&frame.error);
        }
        self.malformed |= frame.malformed;
        self.nothing = false;
    }

    /// Whether it ended without having said anything.
    ///
    /// A limit of tokens, a filter or an unknown reason explains the silence, and so does a provider that counted tokens:
    /// a stop sequence at once is an answer. Otherwise a success that holds nothing is a fault.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let explained = match self.finish {
            None => false,
            Some(FinishReason::Stop) => self.usage.is_some_and(|usage| usage.output > 0),
            Some(_) => true,
        };
        !self.content && !explained
    }

    /// The failure that came as a success, if this is one: an error in the body, a body that is no answer, or an empty one.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        if let Some(error) = &self.error {
            return Some(error.clone());
        }
        if self.malformed {
            return Some(Class::Malformed.into());
        }
        self.is_empty().then(|| Class::Empty.into())
    }
}

/// Reads a whole plain answer to a request of kind `api`: the body of a 200.
///
/// Takes any bytes. The time is linear in the body; what is kept is bounded by its number of choices.
#[must_use]
pub fn read_answer(api: Api, body: &[u8]) -> AnswerFacts {
    let body = body.trim_ascii();
    let mut facts = AnswerFacts::default();
    if body.is_empty() {
        facts.nothing = true;
        return facts;
    }
    facts.absorb(&read_whole(api, body));
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::read_frame;

    fn frame(data: &[u8]) -> FrameFacts {
        read_frame(Api::Chat, None, data)
    }

    fn class(body: &str) -> Option<Class> {
        read_answer(Api::Chat, body.as_bytes()).failure().map(|failure| failure.class)
    }

    #[test]
    fn a_whole_answer_is_no_failure() {
        let body = r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",
            "content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1}}"#;
        let facts = read_answer(Api::Chat, body.as_bytes());
        assert_eq!(facts.failure(), None);
        assert_eq!(facts.usage, Some(Usage::new(5, 1)));
        assert_eq!((facts.finish, facts.finished), (Some(FinishReason::Stop), 1));
    }

    #[test]
    fn a_success_that_holds_nothing_is_empty() {
        for body in [
            "",
            "  \n\n ",
            "{}",
            r#"{"choices":[]}"#,
            r#"{"choices":[{"message":{"content":null},"finish_reason":null}]}"#,
            r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}"#,
        ] {
            assert_eq!(class(body), Some(Class::Empty), "{body:?}");
        }
    }

    #[test]
    fn a_silence_that_is_explained_is_an_answer() {
        for body in [
            r#"{"choices":[{"message":{"content":""},"finish_reason":"length"}]}"#,
            r#"{"choices":[{"message":{"content":null},"finish_reason":"content_filter"}]}"#,
            r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}],"usage":{"completion_tokens":1}}"#,
        ] {
            assert_eq!(class(body), None, "{body}");
        }
    }

    #[test]
    fn an_error_under_a_200_is_found() {
        assert_eq!(class(r#"{"error":{"code":"insufficient_quota"}}"#), Some(Class::QuotaSpent));
        assert_eq!(class("<html>"), Some(Class::Malformed));
        assert_eq!(class("[]"), Some(Class::Malformed));
    }

    /// **What was counted is not estimated again.** Fails if a count leaves what came before it uncounted, or if one without output
    /// (a prompt's alone) hides what came.
    #[test]
    fn only_what_came_since_the_last_count_is_uncounted() {
        let said = |text: &str, usage: &str| {
            frame(format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}}}}]{usage}}}"#).as_bytes())
        };
        let mut facts = AnswerFacts::of_stream();
        facts.absorb(&said("", r#","usage":{"prompt_tokens":9,"completion_tokens":0}"#));
        facts.absorb(&said("twelve bytes", ""));
        facts.absorb(&said("a", ""));
        assert_eq!((facts.uncounted, facts.uncounted.tokens()), (Uncounted { frames: 2, text: 13 }, 4));
        facts.absorb(&said("b", r#","usage":{"prompt_tokens":9,"completion_tokens":3}"#));
        assert_eq!(facts.uncounted, Uncounted::default());
        for _ in 0..3 {
            facts.absorb(&said("c", ""));
        }
        assert_eq!(facts.uncounted.tokens(), 3, "a frame is a token at least");
        assert_eq!(facts.usage, Some(Usage::new(9, 3)));
    }

    #[test]
    fn a_stream_obeys_the_rules_of_a_plain_answer() {
        let mut facts = AnswerFacts::of_stream();
        assert!(facts.nothing);
        facts.absorb(&frame(br#"{"choices":[{"delta":{"role":"assistant"}}]}"#));
        assert_eq!(facts.failure().map(|failure| failure.class), Some(Class::Empty));
        facts.absorb(&frame(br#"{"choices":[{"delta":{"content":"a"}}],"usage":{"completion_tokens":1}}"#));
        facts.absorb(&frame(br#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#));
        facts.absorb(&frame(br#"{"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":3}}"#));
        assert_eq!(facts.failure(), None);
        assert_eq!(facts.usage, Some(Usage::new(2, 3)));
        assert_eq!(facts.finished, 1);
    }
}
