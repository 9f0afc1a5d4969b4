//! What a healthy region says, whole or frame by frame.
//!
//! The text is made from the last thing that the user said and from nothing else, so that every region gives the same
//! answer to the same question, and a test knows it beforehand ([`answer_text`]). Its last word is always [`LAST_WORD`]:
//! an answer without it was cut. A conversation that ends with an assistant's message is continued from there.

mod anthropic;
mod openai;
mod responses;

use bytes::Bytes;

use crate::{
    latency::{Draws, hash, mix},
    region::{ARTICLE_MODELS, Region},
    request::{Ask, Generation, Kind},
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
    text(prompt, tokens, None)
}

/// Where an answer leaves the common words, and what it draws its own from.
#[derive(Clone, Copy, Debug)]
struct Words {
    common: u32,
    then: u64,
}

fn text(prompt: &str, tokens: u32, own: Option<Words>) -> String {
    let mut draws = Draws::new(hash(prompt));
    let mut text = String::new();
    for token in 1..tokens {
        if let Some(Words { then, .. }) = own.filter(|own| own.common + 1 == token) {
            draws = Draws::new(mix(then ^ hash(prompt)));
        }
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

/// The answer of `region` to `ask`; `draw` makes its id, and whatever else is its own.
pub(crate) fn answer(ask: &Ask, region: &Region, draw: u64) -> Answer {
    let model = ask.model.as_deref().unwrap_or_default();
    let said = |generation| say(generation, model, region, draw);
    match &ask.kind {
        Kind::Chat(generation) if ask.stream => openai::chat_stream(&said(generation)),
        Kind::Chat(generation) => openai::chat(&said(generation)),
        Kind::Completion(generation) if ask.stream => openai::completion_stream(&said(generation)),
        Kind::Completion(generation) => openai::completion(&said(generation)),
        Kind::Messages(generation) if ask.stream => anthropic::message_stream(&said(generation)),
        Kind::Messages(generation) => anthropic::message(&said(generation)),
        Kind::Response(generation, memory) => {
            let told = responses::Told { said: &said(generation), memory };
            if ask.stream { told.stream() } else { told.whole() }
        }
        Kind::Embeddings { inputs, base64 } => openai::embeddings(model, inputs, *base64),
        Kind::Models if region.models.is_empty() => openai::models(&ARTICLE_MODELS),
        Kind::Models => openai::models(&region.models),
        Kind::Model(id) => openai::model(id),
    }
}

/// The id, without its prefix, of the answer that this draw makes.
fn id_of(draw: u64) -> String {
    format!("{:016x}", mix(draw))
}

/// The id of the response that this draw makes.
pub(crate) fn response_id(draw: u64) -> String {
    format!("resp_{}", id_of(draw))
}

fn say<'a>(generation: &'a Generation, model: &'a str, region: &Region, draw: u64) -> Said<'a> {
    let content = match &generation.tool {
        Some(name) => {
            let arguments = serde_json::json!({ "echo": generation.prompt }).to_string();
            Content::Tool { name, pieces: tokens_of(&arguments).map(str::to_owned).collect() }
        }
        None => {
            let begun = generation.prefill.as_deref().unwrap_or_default();
            let rest = text_after(begun, &generation.prompt, region, draw);
            let limit = usize::try_from(generation.max_tokens.unwrap_or(u32::MAX)).unwrap_or(usize::MAX);
            let mut tokens: Vec<String> = tokens_of(&rest).map(str::to_owned).collect();
            let short = tokens.len() > limit;
            tokens.truncate(limit);
            Content::Text { tokens, short }
        }
    };
    Said {
        id: id_of(draw),
        model,
        content,
        prompt_tokens: generation.prompt_tokens,
        choices: generation.choices,
        usage_in_stream: generation.usage_in_stream,
    }
}

/// What follows a beginning that may be empty. One that is not of this region's own making is answered afresh, but by a
/// region whose answers vary: that goes on from anything.
fn text_after(begun: &str, prompt: &str, region: &Region, draw: u64) -> String {
    let Some(common) = region.varies_after else {
        let full = answer_text(prompt, region.tokens);
        return full.strip_prefix(begun).map_or_else(|| full.clone(), str::to_owned);
    };
    let own = Words { common: common.min(region.tokens.saturating_sub(1)), then: draw };
    let full = text(prompt, region.tokens, Some(own));
    if begun.is_empty() {
        return full;
    }
    let given = tokens_of(begun).count();
    let rest: String = tokens_of(&full).skip(given).collect();
    if rest.is_empty() { format!(" {LAST_WORD}") } else { rest }
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
        assert_eq!(prefill + &say(&generation, "m", &Region::new("r"), 1).text(), full);
    }
}
