//! The text that one chunk of a chat stream adds, and whether it adds anything that is not text.
//!
//! Whoever may have to mend a broken stream must remember what it said. A text can be remembered, compared and gone on from; a
//! tool call, a refusal, sound or reasoning cannot, and neither can a second choice or a list of log probabilities. So a chunk
//! is *plain* when text is all that it holds. Fields that are unknown here count against it as soon as they hold something:
//! what nobody knows, nobody can mend.
//!
//! This runs beside [`read_frame`](crate::read_frame) for chunks of streams that may be mended, and borrows what it can: a text
//! without escapes costs no copy. Nearly all chunks are of one shape, which is told apart without parsing ([`usual`]); a property
//! has serde for its judge.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::loose::{Count, Filled, Text};

/// What one chunk adds to a stream's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delta<'a> {
    /// The text of its only choice; empty where it has none.
    pub text: Cow<'a, str>,
    /// Text is all that it holds: one choice at most, no tool call, refusal, audio, reasoning or log probability.
    pub plain: bool,
}

/// Reads the text of one chunk's data. Takes any bytes. Of what is no chunk, as `read_frame` says, it says nothing that counts.
#[must_use]
pub fn read_delta(data: &[u8]) -> Delta<'_> {
    let data = data.trim_ascii();
    if let Some(text) = usual(data) {
        return Delta { text: Cow::Borrowed(text), plain: true };
    }
    if data == b"[DONE]" {
        return Delta { text: Cow::Borrowed(""), plain: true };
    }
    // A list would be taken for an object's fields in order.
    if data.first() != Some(&b'{') {
        return Delta::default();
    }
    let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else { return Delta::default() };
    let Choices { first, more } = chunk.choices.unwrap_or_default();
    let Some(choice) = first else { return Delta { text: Cow::Borrowed(""), plain: true } };
    let said = choice.delta.unwrap_or_default();
    let plain = !more && choice.index.0 == 0 && !choice.logprobs.0 && !choice.message.0 && !choice.text.0;
    Delta { text: said.text, plain: plain && !said.other }
}

/// The text of a chunk of the usual shape: one choice that holds a text without escapes, and nothing beside it.
///
/// In JSON the first `[` that follows `,"choices":` with no `{` before it but the object's own begins the object's choices: a quote
/// within a string would have a `\\` before it. What comes behind the choice is the object's other fields.
fn usual(data: &[u8]) -> Option<&str> {
    let list = memchr::memchr(b'[', data)?;
    let (before, choices) = data.split_at_checked(list)?;
    let fields = before.strip_prefix(b"{")?.strip_suffix(br#","choices":"#)?;
    let text = choices.strip_prefix(br#"[{"index":0,"delta":{"content":""#)?;
    let end = memchr::memchr2(b'"', b'\\', text)?;
    let (text, rest) = text.split_at_checked(end)?;
    let rest = rest.strip_prefix(br#""},"#)?;
    let ends = [&br#""logprobs":null,"finish_reason":null}]"#[..], br#""finish_reason":null}]"#];
    let is_usual = memchr::memchr(b'{', fields).is_none() && ends.iter().any(|end| rest.starts_with(end));
    is_usual.then(|| std::str::from_utf8(text).ok()).flatten()
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Option<Choices<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Count,
    #[serde(borrow, default)]
    delta: Option<Said<'a>>,
    #[serde(default)]
    logprobs: Filled,
    // The forms of a whole answer and of a text completion: not what a chat stream holds.
    #[serde(default)]
    message: Filled,
    #[serde(default)]
    text: Filled,
}

/// The first of a list of choices, and whether there are more: a list would be an allocation a chunk.
#[derive(Default)]
struct Choices<'a> {
    first: Option<Choice<'a>>,
    more: bool,
}

/// A `delta`: its text, and whether it holds anything else.
#[derive(Default)]
struct Said<'a> {
    text: Cow<'a, str>,
    other: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ChoicesVisitor)
    }
}

struct ChoicesVisitor;

impl<'de> Visitor<'de> for ChoicesVisitor {
    type Value = Choices<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of choices")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let first = seq.next_element()?;
        let mut more = false;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            more = true;
        }
        Ok(Choices { first, more })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Said<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SaidVisitor)
    }
}

struct SaidVisitor;

impl<'de> Visitor<'de> for SaidVisitor {
    type Value = Said<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a delta")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut said = Said::default();
        while let Some(Text(name)) = map.next_key()? {
            match &*name {
                "role" => drop(map.next_value::<IgnoredAny>()?),
                "content" => {
                    let Content(content) = map.next_value()?;
                    // Two texts in one delta are two readings of it.
                    said.other |= content.is_none() || !said.text.is_empty();
                    said.text = content.unwrap_or_default();
                }
                _ => said.other |= map.next_value::<Filled>()?.0,
            }
        }
        Ok(said)
    }
}

/// A `content`: its text, empty when null, none when it is of another type.
struct Content<'a>(Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor).map(Self)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed("")))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(data: &str, text: &str, plain: bool) {
        let delta = read_delta(data.as_bytes());
        assert_eq!((&*delta.text, delta.plain), (text, plain), "{data}");
    }

    fn chunk(delta: &str) -> String {
        format!(
            r#"{{"id":"c","choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":null}}],"usage":null}}"#
        )
    }

    #[test]
    fn a_text_is_read_with_its_escapes() {
        check(&chunk(r#"{"content":" swell"}"#), " swell", true);
        check(
            &chunk(r#"{"role":"assistant","content":"a\n\"\u00e9\ud83d\ude00","refusal":null}"#),
            "a\n\"é😀",
            true,
        );
        check(&chunk(r#"{"content":null,"tool_calls":[]}"#), "", true);
        check(&chunk("{}"), "", true);
        check(&chunk("null"), "", true);
    }

    #[test]
    fn a_text_without_escapes_is_not_copied() {
        let data = chunk(r#"{"content":"swell"}"#);
        assert!(matches!(read_delta(data.as_bytes()).text, Cow::Borrowed("swell")));
    }

    #[test]
    fn a_chunk_without_choices_is_plain_and_says_nothing() {
        check("[DONE]", "", true);
        check(r#"{"choices":[],"usage":{"prompt_tokens":1}}"#, "", true);
        check(r#"{"choices":null}"#, "", true);
    }

    #[test]
    fn whatever_is_not_text_is_not_plain() {
        for delta in [
            r#"{"tool_calls":[{"index":0}]}"#,
            r#"{"function_call":{"name":"f"}}"#,
            r#"{"refusal":"no"}"#,
            r#"{"audio":{"data":"x"}}"#,
            r#"{"reasoning_content":"hm"}"#,
            r#"{"content":"a","reasoning":"hm"}"#,
            r#"{"content":"a","images":[{}]}"#,
            r#"{"content":[{"type":"text","text":"a"}]}"#,
            r#"{"content":7}"#,
        ] {
            assert!(!read_delta(chunk(delta).as_bytes()).plain, "{delta}");
        }
        for choices in [
            r#"{"index":1,"delta":{"content":"a"}}"#,
            r#"{"index":0,"delta":{"content":"a"},"logprobs":{"content":[]}}"#,
            r#"{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{}}"#,
            r#"{"index":0,"text":"a"}"#,
            r#"{"index":0,"message":{"content":"a"}}"#,
        ] {
            assert!(!read_delta(format!(r#"{{"choices":[{choices}]}}"#).as_bytes()).plain, "{choices}");
        }
    }

    #[test]
    fn the_usual_shape_is_known_and_no_other() {
        let known = |data: &str| usual(data.as_bytes()).map(str::to_owned);
        let choice = r#"{"index":0,"delta":{"content":"é a"},"logprobs":null,"finish_reason":null}"#;
        assert_eq!(
            known(&format!(r#"{{"id":"c","choices":[{choice}],"usage":null}}"#)).as_deref(),
            Some("é a")
        );
        for other in [
            format!(r#"{{"x":{{"id":"c","choices":[{choice}]}},"choices":[]}}"#),
            format!(r#"{{"a,\"choices":[{choice}]}}"#),
            format!(r#"{{"id":"c","choices":[{choice},{choice}]}}"#),
            format!(r#"{{"id":"c","choices":[{}]}}"#, choice.replace("é a", r"\n")),
            format!(r#"{{"id":"c","choices":[{}]}}"#, choice.replace("}", r#","refusal":"no"}"#)),
            format!(
                r#"{{"id":"c","choices":[{}]}}"#,
                choice.replace("\"finish_reason\":null", "\"finish_reason\":\"stop\"")
            ),
        ] {
            assert_eq!(known(&other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_not_plain() {
        for wrong in
            ["", "7", "[]", "{", r#"{"choices":7}"#, r#"{"choices":[7]}"#, r#"{"choices":[{"delta":7}]}"#]
        {
            check(wrong, "", false);
        }
        check(&chunk(r#"{"content":"a","content":"b"}"#), "b", false);
    }
}
