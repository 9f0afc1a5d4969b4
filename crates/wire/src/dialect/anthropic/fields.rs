//! Reading a caller's request field by field, so that none is overlooked.
//!
//! A translation that ignores what it does not know serves something else than what was asked for. So an object is not read into
//! a struct, which skips unknown names, but as a list of names and raw values, and every reader goes through all of them. Values
//! stay raw until they are needed; nothing here recurses, and what is kept is bounded.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::loose::{Filled, Text};

/// Why a chat request cannot be served by a provider of another dialect.
///
/// It names the field and the reason and never repeats a value: a body is its caller's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Untranslatable {
    /// The field of the request, or `body`.
    pub field: &'static str,
    /// Which item of it, from 0, where the field is a list.
    pub index: Option<usize>,
    /// The reason.
    pub why: &'static str,
}

impl fmt::Display for Untranslatable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            None => write!(f, "`{}`: {}", self.field, self.why),
            Some(index) => write!(f, "`{}[{index}]`: {}", self.field, self.why),
        }
    }
}

impl std::error::Error for Untranslatable {}

/// The reason when a value is of a type that no chat request has there.
pub(super) const WRONG_TYPE: &str = "the value is not of the type that chat requests have here";

/// The reason when a field says something that nobody here understands.
pub(super) const UNKNOWN: &str = "it has a field that this translation does not know";

/// The place that is being read, for errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub field: &'static str,
    pub index: Option<usize>,
}

impl At {
    pub(super) const fn new(field: &'static str) -> Self {
        Self { field, index: None }
    }

    pub(super) const fn item(self, index: usize) -> Self {
        Self { index: Some(index), ..self }
    }

    pub(super) const fn error(self, why: &'static str) -> Untranslatable {
        Untranslatable { field: self.field, index: self.index, why }
    }

    /// A value of a plain type.
    pub(super) fn read<'a, T: Deserialize<'a>>(self, value: &'a RawValue) -> Result<T, Untranslatable> {
        serde_json::from_str(value.get()).map_err(|_| self.error(WRONG_TYPE))
    }

    pub(super) fn text<'a>(self, value: &'a RawValue) -> Result<Cow<'a, str>, Untranslatable> {
        self.read::<Text<'a>>(value).map(|text| text.0)
    }

    pub(super) fn fields<'a>(self, value: &'a RawValue) -> Result<Fields<'a>, Untranslatable> {
        self.read(value)
    }

    pub(super) fn items<'a>(self, value: &'a RawValue) -> Result<Vec<&'a RawValue>, Untranslatable> {
        self.read::<Items<'a>>(value).map(|items| items.0)
    }

    /// An error when the value says anything.
    pub(super) fn only_empty(self, value: &RawValue, why: &'static str) -> Result<(), Untranslatable> {
        if self.read::<Filled>(value)?.0 { Err(self.error(why)) } else { Ok(()) }
    }
}

/// An object's fields in their order. A null is as good as absent, so it is left out; a name that is there twice is an error.
#[derive(Debug)]
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// The most fields that an object may have: a chat request knows about forty.
const MAX_FIELDS: usize = 64;

/// The most items that a list may have: Anthropic's bound on messages (`max_tokens` and `messages` of its API reference).
const MAX_ITEMS: usize = 100_000;

impl<'a> Fields<'a> {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (&**name, *value))
    }

    pub(super) fn find(&self, name: &str) -> Option<&'a RawValue> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Self::Value::new();
                while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    if fields.len() == MAX_FIELDS || fields.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom("too many fields, or one twice"));
                    }
                    fields.push((name, value));
                }
                fields.retain(|(_, value)| value.get() != "null");
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Reader).map(Self)
    }
}

struct Items<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<&'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if items.len() == MAX_ITEMS {
                        return Err(A::Error::custom("too many items"));
                    }
                    items.push(item);
                }
                Ok(items)
            }
        }
        deserializer.deserialize_seq(Reader).map(Self)
    }
}
