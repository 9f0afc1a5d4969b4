//! What a stream has given to its caller so far, remembered in case that it breaks.
//!
//! Only what can be mended is remembered: the text of one choice, nothing beside it, and no more than [`MOST`] of it. The rest of
//! a stream is forgotten as it passes.

use wire::Identity;

/// The most text that is remembered: some two hundred thousand tokens, more than any model writes in one answer. A longer one
/// is beyond rescue.
const MOST: usize = 1 << 20;

/// The text given so far, and the names under which it was given.
#[derive(Debug, Default)]
pub(crate) struct Given {
    text: String,
    identity: Option<Identity>,
    /// Pieces of text, of which each is a token at least.
    pieces: u64,
    /// Something was given that is not plain text, or too much of it.
    spoilt: bool,
    /// How much of it had been given when the chunk at hand began.
    before: Before,
}

#[derive(Clone, Copy, Debug, Default)]
struct Before {
    text: usize,
    pieces: u64,
    spoilt: bool,
}

impl Given {
    /// A chunk of the body begins: what is heard from here on may be taken back.
    pub(crate) fn begin(&mut self) {
        self.before = Before { text: self.text.len(), pieces: self.pieces, spoilt: self.spoilt };
    }

    /// The chunk at hand is not passed on after all.
    pub(crate) fn take_back(&mut self) {
        // A text that grew too long is gone for good.
        if self.text.len() >= self.before.text {
            self.text.truncate(self.before.text);
            self.spoilt = self.before.spoilt;
            self.pieces = self.before.pieces;
        }
    }

    /// Hears one event's data.
    pub(crate) fn hear(&mut self, data: &[u8]) {
        if self.spoilt {
            return;
        }
        let delta = wire::read_delta(data);
        if !delta.plain {
            self.spoilt = true;
            return;
        }
        // The names that count are those that come with content: some providers send a nameless chunk first.
        if self.identity.is_none() && !delta.text.is_empty() {
            self.identity = Identity::of(data);
        }
        self.add(&delta.text);
    }

    /// Text was given.
    pub(crate) fn add(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.pieces = self.pieces.saturating_add(1);
        if text.len() > MOST.saturating_sub(self.text.len()) {
            self.spoil();
        } else {
            self.text.push_str(text);
        }
    }

    /// Something was given that cannot be mended.
    pub(crate) fn spoil(&mut self) {
        self.spoilt = true;
        self.text = String::new();
    }

    /// The text and its identity, where all that was given can be mended.
    pub(crate) fn mendable(&self) -> Option<(&str, &Identity)> {
        let identity = self.identity.as_ref().filter(|_| !self.spoilt)?;
        Some((&self.text, identity))
    }

    /// Tokens that it took, at least: a piece is one or more.
    pub(crate) fn tokens(&self) -> u64 {
        self.pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Vec<u8> {
        serde_json::json!({"id": "a", "choices": [{"index": 0, "delta": {"content": text}}]})
            .to_string()
            .into()
    }

    fn text(given: &Given) -> Option<&str> {
        given.mendable().map(|(text, _)| text)
    }

    #[test]
    fn what_is_taken_back_was_not_given() {
        let mut given = Given::default();
        given.begin();
        given.hear(&frame("ahoy "));
        given.begin();
        given.hear(&frame("gone"));
        given.hear(br#"{"choices":[{"delta":{"tool_calls":[{}]}}]}"#);
        given.take_back();
        assert_eq!((text(&given), given.tokens()), (Some("ahoy "), 1));
    }

    /// **Memory is bounded.** Fails if a text that is too long is kept, or comes back by being taken back in part.
    #[test]
    fn a_text_beyond_the_bound_is_forgotten_for_good() {
        let mut given = Given::default();
        given.hear(&frame(&"a".repeat(MOST)));
        assert_eq!(text(&given).map(str::len), Some(MOST));
        given.begin();
        given.hear(&frame("b"));
        assert_eq!((text(&given), given.text.capacity()), (None, 0));
        given.take_back();
        given.hear(&frame("c"));
        assert_eq!(text(&given), None);
    }

    #[test]
    fn the_names_are_those_of_the_first_content() {
        let mut given = Given::default();
        given.hear(br#"{"id":"","choices":[]}"#);
        assert!(given.mendable().is_none(), "nothing was given yet");
        given.hear(&frame("a"));
        given.hear(br#"{"id":"b","choices":[{"delta":{"content":"c"}}]}"#);
        let (_, identity) = given.mendable().unwrap();
        let rewrite = wire::Rewrite { identity, given: 0, rescued: false, spent: wire::Usage::default() };
        assert_eq!(rewrite.frame(b"{}").unwrap(), b"data: {\"id\":\"a\"}\n\n");
    }
}
