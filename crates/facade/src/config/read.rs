//! From parsed TOML to Rust types, with every fault and where it is.
//!
//! serde stops at the first error and forgets where it was. Here each error keeps its place and its way, and
//! the value it came from is set aside; reading then starts again without that value, until nothing new is
//! found. A required key that was set aside takes its table along silently, since its fault is told already.
//! So one run tells all, for any type that derives `Deserialize`.
//!
//! A table may lie over another: what the upper one leaves out is read from the lower one
//! (`[models.chat.timeouts]` over `[timeouts]`). Errors of a value that came from the environment, and of
//! secrets, quote nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor, value::MapAccessDeserializer,
};
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{
    fault::{Fault, Path, Step},
    nearest, secret,
};

/// Each fault costs one more reading; a file with more of them is not being edited, but broken.
const MOST_FAULTS: usize = 100;

/// Where a value is named: the offset of its key, or of an element itself. No two values share one, so it
/// also identifies it.
pub(super) type Spot = usize;

/// What a reading must know of the file beside its tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    /// Values that are not to be read: their fault has been told.
    pub(super) aside: BTreeSet<Spot>,
    /// Values that came from elsewhere, with what is written in the file.
    pub(super) foreign: BTreeMap<Spot, String>,
}

/// A value to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'d> {
    pub(super) value: &'d Spanned<DeValue<'d>>,
    pub(super) spot: Spot,
    /// The only keys of the table that are looked at; `None` for all.
    pub(super) only: Option<Keys>,
    /// The table under this one, and which of its keys show through.
    pub(super) under: Option<(&'d DeTable<'d>, Option<Keys>)>,
}

/// Names of keys.
pub(super) type Keys = &'static [&'static str];

impl<'d> Node<'d> {
    /// A value with nothing under it.
    pub(super) const fn new(value: &'d Spanned<DeValue<'d>>, spot: Spot) -> Self {
        Self { value, spot, only: None, under: None }
    }
}

fn shows(only: Option<Keys>, key: &str) -> bool {
    only.is_none_or(|only| only.contains(&key))
}

/// A fault that is not yet told: the offset in the file that it is to be shown at.
pub(super) type Placed = (usize, Fault);

/// Reads a value, telling each fault. `None`: there was one that leaves nothing to return.
pub(super) fn read<T: DeserializeOwned>(
    node: Node<'_>,
    path: &Path,
    marks: &mut Marks,
    faults: &mut Vec<Placed>,
) -> Option<T> {
    while !marks.aside.contains(&node.spot) {
        match T::deserialize(Reader { node, marks }).map_err(|error| error.at(node, marks)) {
            Ok(value) => return Some(value),
            Err(error) => {
                marks.aside.insert(error.spot.unwrap_or(node.spot));
                faults.extend(error.into_fault(path));
            }
        }
        if faults.len() >= MOST_FAULTS {
            break;
        }
    }
    None
}

/// Where a value is shown to be: a table at its name, anything else where it begins.
pub(super) fn place_of(value: &Spanned<DeValue<'_>>, spot: Spot) -> usize {
    if value.get_ref().is_table() { spot } else { value.span().start }
}

#[derive(Debug)]
pub(super) struct Error {
    what: What,
    spot: Option<Spot>,
    offset: usize,
    /// From the inside out.
    way: Vec<Step>,
    is_told: bool,
}

#[derive(Debug)]
enum What {
    Unknown { key: String, known: &'static [&'static str] },
    NoVariant { word: String, known: &'static [&'static str] },
    Unfit { expected: String, found: String },
    Missing(&'static str),
    Other(String),
}

impl Error {
    fn new(what: What) -> Self {
        Self { what, spot: None, offset: 0, way: Vec::new(), is_told: false }
    }

    /// Settles which value this is about, unless a value inside it has claimed the error already.
    fn at(mut self, node: Node<'_>, marks: &Marks) -> Self {
        if self.spot.is_none() {
            self.spot = Some(node.spot);
            self.offset = place_of(node.value, node.spot);
            if let What::Missing(key) = self.what {
                self.is_told = node.value.get_ref().get(key).is_some();
            }
            if let Some(written) = marks.foreign.get(&node.spot) {
                self = self.hide(&format!("the value of `{written}`, which is something else"));
            }
        }
        self
    }

    /// Forgets what was found, keeps what was wished.
    fn hide(mut self, instead: &str) -> Self {
        self.what = match self.what {
            What::Unfit { expected, .. } => What::Unfit { expected, found: instead.to_owned() },
            What::NoVariant { known, .. } => {
                What::Unfit { expected: format!("one of {}", known.join(", ")), found: instead.to_owned() }
            }
            What::Other(_) => What::Other(format!("not valid: {instead}")),
            what @ (What::Unknown { .. } | What::Missing(_)) => what,
        };
        self
    }

    fn under(mut self, step: Step) -> Self {
        self.way.push(step);
        self
    }

    fn into_fault(self, path: &Path) -> Option<Placed> {
        let mut path = path.clone();
        path.extend(self.way.into_iter().rev());
        let (message, help) = match self.what {
            What::Unknown { key, known } => {
                path = path.key(&key);
                ("unknown key".to_owned(), nearest::help(&key, known.iter().copied()))
            }
            What::NoVariant { word, known } => {
                (format!("unknown value `{word}`"), nearest::help(&word, known.iter().copied()))
            }
            What::Unfit { expected, found } => (format!("expected {expected}, found {found}"), None),
            What::Missing(key) => (format!("`{key}` is missing"), None),
            What::Other(message) => (message, None),
        };
        (!self.is_told).then(|| (self.offset, Fault::new(path, message).help(help)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.what)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(What::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = in_words(&expected.to_string());
        let found = match found {
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Map => "a table".to_owned(),
            // Nobody mistypes a table: it may be a key in another one's place.
            Unexpected::Str(_) if expected == "a table" => "a string".to_owned(),
            other => other.to_string(),
        };
        Self::new(What::Unfit { expected, found })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::NoVariant { word: word.to_owned(), known })
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::Unknown { key: key.to_owned(), known })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(What::Missing(key))
    }
}

/// serde names Rust's types; a file's author knows numbers and texts.
fn in_words(expected: &str) -> String {
    let words = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number of at least 0",
        "a nonzero u8" => "a whole number from 1 to 255",
        "a nonzero u16" => "a whole number from 1 to 65535",
        "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => "a whole number of at least 1",
        "i64" | "i32" => "a whole number",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a duration" => "a duration such as \"500ms\", \"30s\" or \"5m\"",
        other if other.starts_with("struct ") || other == "a map" => "a table",
        other => other,
    };
    words.to_owned()
}

/// serde's view of a node.
#[derive(Clone, Copy)]
struct Reader<'r, 'd> {
    node: Node<'d>,
    marks: &'r Marks,
}

impl<'r, 'd> Reader<'r, 'd> {
    /// The entries of a table and of the one under it, in the order of the file, without those set aside.
    fn entries(&self, table: &'d DeTable<'d>) -> Entries<'r, 'd> {
        let Node { only, under, .. } = self.node;
        let upper = table.iter().filter(|(key, _)| shows(only, key.get_ref()));
        let lower = under.into_iter().flat_map(|(lower, only)| {
            lower
                .iter()
                .filter(move |(key, _)| shows(only, key.get_ref()) && !table.contains_key(&**key.get_ref()))
        });
        let told = |(key, _): &Entry<'d>| self.marks.aside.contains(&key.span().start);
        let mut list: Vec<_> = upper.chain(lower).filter(|entry| !told(entry)).collect();
        list.sort_by_key(|(key, _)| key.span().start);
        Entries { list: list.into_iter(), next: None, marks: self.marks }
    }

    fn number<V: Visitor<'d>>(digits: &str, radix: u32, visitor: V) -> Result<V::Value, Error> {
        if let Ok(number) = i64::from_str_radix(digits, radix) {
            return visitor.visit_i64(number);
        }
        match u64::from_str_radix(digits, radix) {
            Ok(number) => visitor.visit_u64(number),
            Err(_) => Err(Error::new(What::Other("the number is too large".to_owned()))),
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.value.get_ref() {
            DeValue::String(text) => visitor.visit_str(text),
            DeValue::Integer(number) => Self::number(number.as_str(), number.radix(), visitor),
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(Error::new(What::Other("not a number".to_owned()))),
            },
            DeValue::Boolean(value) => visitor.visit_bool(*value),
            DeValue::Datetime(instant) => visitor.visit_string(instant.to_string()),
            DeValue::Array(list) => {
                visitor.visit_seq(Elements { list: list.iter().enumerate(), marks: self.marks })
            }
            DeValue::Table(table) => visitor.visit_map(self.entries(table)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = visitor.visit_newtype_struct(self);
        if name == secret::NAME {
            return result.map_err(|error| error.hide("something else (it is secret and not shown)"));
        }
        result
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if let DeValue::Table(table) = self.node.value.get_ref() {
            let is_told = |spot: Spot| self.marks.aside.contains(&spot);
            let mut keys =
                table.keys().filter(|key| shows(self.node.only, key.get_ref()) && !is_told(key.span().start));
            if let Some(key) = keys.find(|key| !known.contains(&key.get_ref().as_ref())) {
                let spot = key.span().start;
                let what = What::Unknown { key: key.get_ref().to_string(), known };
                return Err(Error { spot: Some(spot), offset: spot, ..Error::new(what) });
            }
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.node.value.get_ref() {
            DeValue::String(text) => {
                visitor.visit_enum(IntoDeserializer::<Error>::into_deserializer(&**text))
            }
            DeValue::Table(table) => visitor.visit_enum(MapAccessDeserializer::new(self.entries(table))),
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

type Entry<'d> = (&'d Spanned<DeString<'d>>, &'d Spanned<DeValue<'d>>);

struct Entries<'r, 'd> {
    list: std::vec::IntoIter<Entry<'d>>,
    next: Option<Entry<'d>>,
    marks: &'r Marks,
}

impl<'d> MapAccess<'d> for Entries<'_, 'd> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'d>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.next = self.list.next();
        let Some((key, _)) = self.next else { return Ok(None) };
        let spot = key.span().start;
        seed.deserialize(IntoDeserializer::<Error>::into_deserializer(&**key.get_ref()))
            .map(Some)
            .map_err(|error| Error { spot: Some(spot), offset: spot, ..error })
    }

    fn next_value_seed<V: DeserializeSeed<'d>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((key, value)) = self.next.take() else {
            return Err(de::Error::custom("a value without a key"));
        };
        let node = Node::new(value, key.span().start);
        seed.deserialize(Reader { node, marks: self.marks })
            .map_err(|error| error.at(node, self.marks).under(Step::Key(key.get_ref().to_string())))
    }
}

struct Elements<'r, 'd> {
    list: std::iter::Enumerate<std::slice::Iter<'d, Spanned<DeValue<'d>>>>,
    marks: &'r Marks,
}

impl<'d> SeqAccess<'d> for Elements<'_, 'd> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'d>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let marks = self.marks;
        let Some((index, value)) = self.list.find(|(_, value)| !marks.aside.contains(&value.span().start))
        else {
            return Ok(None);
        };
        let node = Node::new(value, value.span().start);
        seed.deserialize(Reader { node, marks })
            .map(Some)
            .map_err(|error| error.at(node, marks).under(Step::Index(index)))
    }
}
