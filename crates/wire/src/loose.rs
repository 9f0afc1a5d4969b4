//! JSON values whose type cannot be relied on.
//!
//! One provider's `code` is a string, another's a number, a third's null; a count may be absent or a float. A field that is of
//! an unexpected type must not spoil the fields beside it, so the fields here accept any value and keep what they can use.
//! Nothing recurses: what is not kept is skipped by serde_json's own loop.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// Whether a value holds anything: a string, list or object that is not empty, a number or a bool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filled(pub(crate) bool);

/// The same of a value that a model wrote, with how much of it is text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) filled: bool,
    /// Bytes of its strings: its own, or those within it as deep as a tool call's arguments lie; names and places of parts aside.
    pub(crate) text: u64,
}

/// A count of tokens: a whole number that is not negative, also when it is written as a float; else 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) u64);

/// A short word: a string or a whole number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) Option<Box<str>>);

/// A string, borrowed where it has no escapes. The one here that takes no other value.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// The longest word that is kept.
const MAX_WORD: usize = 4_096;

impl<'de> Deserialize<'de> for Filled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FilledVisitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        WrittenVisitor { below: 3 }.deserialize(deserializer)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordVisitor).map(Self)
    }
}

fn skip_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<bool, A::Error> {
    let mut any = false;
    while seq.next_element::<IgnoredAny>()?.is_some() {
        any = true;
    }
    Ok(any)
}

fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<bool, A::Error> {
    let mut any = false;
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
        any = true;
    }
    Ok(any)
}

struct FilledVisitor;

impl<'de> Visitor<'de> for FilledVisitor {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(!text.is_empty())
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<bool, A::Error> {
        skip_seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        skip_map(map)
    }
}

/// Reads lists and objects so many levels deep, and only skips what lies below.
#[derive(Clone, Copy)]
struct WrittenVisitor {
    below: u8,
}

impl WrittenVisitor {
    /// For what lies one level deeper; none where that is only skipped.
    fn within(self) -> Option<Self> {
        Some(Self { below: self.below.checked_sub(1)? })
    }
}

impl Written {
    const EMPTY: Self = Self { filled: false, text: 0 };
    const FILLED: Self = Self { filled: true, text: 0 };

    /// What holds this beside the rest.
    fn and(self, part: Self) -> Self {
        Self { filled: true, text: self.text.saturating_add(part.text) }
    }
}

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Written, E> {
        Ok(Written { filled: !text.is_empty(), text: text.len() as u64 })
    }

    fn visit_bool<E>(self, _: bool) -> Result<Written, E> {
        Ok(Written::FILLED)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Written, E> {
        Ok(Written::FILLED)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Written, E> {
        Ok(Written::FILLED)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Written, E> {
        Ok(Written::FILLED)
    }

    fn visit_unit<E>(self) -> Result<Written, E> {
        Ok(Written::EMPTY)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Written, A::Error> {
        let Some(within) = self.within() else {
            return skip_seq(seq).map(|filled| Written { filled, text: 0 });
        };
        let mut written = Written::EMPTY;
        while let Some(part) = seq.next_element_seed(within)? {
            written = written.and(part);
        }
        Ok(written)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
        let Some(within) = self.within() else {
            return skip_map(map).map(|filled| Written { filled, text: 0 });
        };
        let mut written = Written::EMPTY;
        while let Some(Text(name)) = map.next_key()? {
            written = if is_label(&name) {
                map.next_value::<IgnoredAny>()?;
                written.and(Written::EMPTY)
            } else {
                written.and(map.next_value_seed(within)?)
            };
        }
        Ok(written)
    }
}

impl<'de> DeserializeSeed<'de> for WrittenVisitor {
    type Value = Written;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Written, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Fields that say what an object is, and nothing of the answer.
pub(crate) fn is_label(name: &str) -> bool {
    matches!(name, "type" | "id" | "index" | "role" | "status")
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_u64<E>(self, count: u64) -> Result<u64, E> {
        Ok(count)
    }

    fn visit_i64<E>(self, count: i64) -> Result<u64, E> {
        Ok(u64::try_from(count).unwrap_or(0))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float's cast saturates and makes NaN 0, which is what a nonsense count shall be"
    )]
    fn visit_f64<E>(self, count: f64) -> Result<u64, E> {
        Ok(count as u64)
    }

    fn visit_str<E>(self, _: &str) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_bool<E>(self, _: bool) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<u64, A::Error> {
        skip_seq(seq).map(|_| 0)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<u64, A::Error> {
        skip_map(map).map(|_| 0)
    }
}

struct WordVisitor;

impl<'de> Visitor<'de> for WordVisitor {
    type Value = Option<Box<str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        let end = text.floor_char_boundary(MAX_WORD);
        Ok(text.get(..end).filter(|text| !text.is_empty()).map(Into::into))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string().into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string().into()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        skip_seq(seq).map(|_| None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        skip_map(map).map(|_| None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_filled_when_it_holds_something() {
        for (json, filled) in [
            ("\"\"", false),
            ("null", false),
            ("[]", false),
            ("{}", false),
            ("\"x\"", true),
            ("\"\\n\"", true),
            ("[null]", true),
            ("{\"a\":[[[]]]}", true),
            ("0", true),
            ("-1.5", true),
            ("false", true),
        ] {
            assert_eq!(serde_json::from_str::<Filled>(json).unwrap(), Filled(filled), "{json}");
        }
    }

    #[test]
    fn what_is_written_is_the_text_without_its_labels() {
        let call = r#"[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]"#;
        for (json, filled, text) in [
            ("\"\"", false, 0),
            ("null", false, 0),
            ("[]", false, 0),
            ("{}", false, 0),
            ("\"ahoy\"", true, 4),
            ("\"\\n\\u00e9\"", true, 3),
            ("0", true, 0),
            ("[\"ab\",\"c\"]", true, 3),
            ("[{\"index\":0}]", true, 0),
            (call, true, 1 + 7),
            ("[[[[\"deep\"]]]]", true, 0),
        ] {
            assert_eq!(serde_json::from_str::<Written>(json).unwrap(), Written { filled, text }, "{json}");
        }
        let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        assert!(serde_json::from_str::<Written>(&deep).unwrap().filled);
    }

    #[test]
    fn a_count_that_is_no_count_is_zero() {
        for (json, count) in [
            ("7", 7),
            ("7.0", 7),
            ("-7", 0),
            ("-7.5", 0),
            ("1e300", u64::MAX),
            ("null", 0),
            ("\"7\"", 0),
            ("[7]", 0),
            ("{\"a\":7}", 0),
            ("true", 0),
        ] {
            assert_eq!(serde_json::from_str::<Count>(json).unwrap(), Count(count), "{json}");
        }
    }

    #[test]
    fn a_word_is_a_string_or_a_whole_number() {
        for (json, word) in [
            ("\"a\"", Some("a")),
            ("429", Some("429")),
            ("-1", Some("-1")),
            ("null", None),
            ("[1]", None),
            ("\"\"", None),
        ] {
            assert_eq!(serde_json::from_str::<Word>(json).unwrap().0.as_deref(), word, "{json}");
        }
        let long = format!("\"{}\"", "é".repeat(MAX_WORD));
        assert_eq!(serde_json::from_str::<Word>(&long).unwrap().0.unwrap().len(), MAX_WORD);
    }
}
