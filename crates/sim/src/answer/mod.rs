//! What a healthy region says, whole or frame by frame.
//!
//! The text is made from the last thing that the user said and from nothing else, so that every region gives the same
//! answer to the same question, and a test knows it beforehand ([`answer_text`]). Its last word is always [`LAST_WORD`]:
//! an answer without it was cut. A conversation that ends with an assistant's message is continued from there.

mod anthropic;
mod openai;

use bytes::Bytes;

use crate::{
    latency::{Draws, hash, mix},
    request::{Ask, Call, Generation, Kind, Refusal},
};

/// The last word of every whole answer.
pub const LAST_WORD: &str = "landfall.";

/// `created` of every answer (2026-01-01T00:00:00Z): a simulated answer has the same bytes whenever it is given.
const CREATED: u64 = 1_767_225_600;

const WORDS: [&str; 32] = [
    "the",
    "outrigger",
    "keeps",
    "its",
    "hull",
    "above",
    "a",
    "rising",
    "swell",
    "while",
    "lanterns",
    "sway",
    "over",
    "quiet",
    "water",
    "and",
    "someone",
    "counts",
    "waves",
    "from",
    "stern",
    "to",
    "bow",
    "under",
    "patient",
    "stars",
    "until",
    "morning",
    "wind",
    "turns",
    "them",
    "toward",
];

/// The answer of `tokens` tokens to a user who last said `prompt`: words separated by blanks, the last is [`LAST_WORD`].
///
/// A region gives this answer when its [`Region::tokens`](crate::Region::tokens) is `tokens` and the request sets no lower limit.
pub fn answer_text(prompt: &str, tokens: u32) -> String {
    let mut draws = Draws::new(hash(prompt));
    let mut text = String::new();
    for _ in 1..tokens {
        let index = usize::try_from(draws.next() % 32).unwrap_or(0);
        text.push_str(WORDS.get(index).copied().unwrap_or("sea"));
        text.push(' ');
    }
    text.push_str(LAST_WORD);
    text
}

/// The tokens of a text: each word with the blanks before it. Put together they are the text again.
pub(crate) fn tokens_of(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let word = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        let after = rest.get(word..)?;
        let end = after.find(char::is_whitespace).map_or(rest.len(), |blank| word + blank);
        let (token, tail) = rest.split_at_checked(end)?;
        rest = tail;
        (!token.is_empty()).then_some(token)
    })
}

/// An answer, before any fault has spoiled it.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// One JSON document.
    Whole {
        body: Bytes,
        /// How many tokens it took to generate.
        tokens: u32,
    },
    /// Server-sent events, one frame an event.
    Stream {
        /// Frames before the first token: the role, the opening of a block.
        opening: Vec<Bytes>,
        /// One frame a token.
        tokens: Vec<Bytes>,
        /// Finish reason and usage.
        closing: Vec<Bytes>,
        /// The last frame, which says that the stream is whole.
        done: Bytes,
    },
}

/// What is said, in no dialect yet.
#[derive(Debug)]
struct Said<'a> {
    id: String,
    model: &'a str,
    content: Content<'a>,
    prompt_tokens: u32,
    choices: u32,
    usage_in_stream: bool,
}

#[derive(Debug)]
enum Content<'a> {
    /// The tokens, and whether the limit of the request cut them short.
    Text { tokens: Vec<String>, short: bool },
    /// A call of the tool that the request forced; the pieces of its arguments, which echo what the user said.
    Tool { name: &'a str, pieces: Vec<String> },
}

impl Said<'_> {
    /// Tokens or pieces of arguments, as they come out one by one.
    fn pieces(&self) -> &[String] {
        match &self.content {
            Content::Text { tokens: pieces, .. } | Content::Tool { pieces, .. } => pieces,
        }
    }

    /// The whole of it.
    fn text(&self) -> String {
        self.pieces().concat()
    }

    fn completion_tokens(&self) -> u32 {
        u32::try_from(self.pieces().len()).unwrap_or(u32::MAX).saturating_mul(self.choices)
    }
}

/// The answer to `ask` by a region whose answers have `tokens` tokens; `draw` makes its id.
pub(crate) fn answer(ask: &Ask, models: &[String], tokens: u32, draw: u64) -> Answer {
    let model = ask.model.as_deref().unwrap_or_default();
    let said = |generation| say(generation, model, tokens, draw);
    match &ask.kind {
        Kind::Chat(generation) if ask.stream => openai::chat_stream(&said(generation)),
        Kind::Chat(generation) => openai::chat(&said(generation)),
        Kind::Completion(generation) if ask.stream => openai::completion_stream(&said(generation)),
        Kind::Completion(generation) => openai::completion(&said(generation)),
        Kind::Messages(generation) if ask.stream => anthropic::message_stream(&said(generation)),
        Kind::Messages(generation) => anthropic::message(&said(generation)),
        Kind::Embeddings { inputs, base64 } => openai::embeddings(model, inputs, *base64),
        Kind::Models => openai::models(models),
        Kind::Model(id) => openai::model(id),
    }
}

fn say<'a>(generation: &'a Generation, model: &'a str, tokens: u32, draw: u64) -> Said<'a> {
    let content = match &generation.tool {
        Some(name) => {
            let arguments = serde_json::json!({ "echo": generation.prompt }).to_string();
            Content::Tool { name, pieces: tokens_of(&arguments).map(str::to_owned).collect() }
        }
        None => {
            let full = answer_text(&generation.prompt, tokens);
            let begun = generation.prefill.as_deref().unwrap_or_default();
            let rest = full.strip_prefix(begun).unwrap_or(&full);
            let limit = usize::try_from(generation.max_tokens.unwrap_or(u32::MAX)).unwrap_or(usize::MAX);
            let mut tokens: Vec<String> = tokens_of(rest).map(str::to_owned).collect();
            let short = tokens.len() > limit;
            tokens.truncate(limit);
            Content::Text { tokens, short }
        }
    };
    Said {
        id: format!("{:016x}", mix(draw)),
        model,
        content,
        prompt_tokens: generation.prompt_tokens,
        choices: generation.choices,
        usage_in_stream: generation.usage_in_stream,
    }
}

/// A refusal in the form of the dialect that the call speaks.
pub(crate) fn refusal_body(call: &Call, refusal: &Refusal) -> Bytes {
    if call.is_anthropic() { anthropic::error(refusal) } else { openai::error(refusal) }
}

/// A string as JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_put_together_are_the_text() {
        for text in ["", " ", "one", "  two  words ", &answer_text("ahoy", 20)] {
            assert_eq!(tokens_of(text).collect::<String>(), text);
        }
        assert_eq!(tokens_of(&answer_text("ahoy", 20)).count(), 20);
    }

    #[test]
    fn an_answer_ends_with_the_last_word_and_follows_from_the_prompt() {
        assert!(answer_text("ahoy", 20).ends_with(LAST_WORD));
        assert_eq!(answer_text("ahoy", 1), LAST_WORD);
        assert_ne!(answer_text("ahoy", 20), answer_text("avast", 20));
    }

    #[test]
    fn a_begun_answer_is_continued_to_its_end() {
        let full = answer_text("ahoy", 20);
        let prefill = full.get(..30).unwrap().to_owned();
        let generation = Generation {
            prompt: "ahoy".into(),
            prefill: Some(prefill.clone()),
            choices: 1,
            ..Generation::default()
        };
        assert_eq!(prefill + &say(&generation, "m", 20, 1).text(), full);
    }
}
