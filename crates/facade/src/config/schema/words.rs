//! The few forms that a configuration's schema is made of.
//!
//! A string may be a variable or another file's content (`${VAR}`, `file:/path`), so each form of string also
//! takes those: a schema judges what is written, not what it stands for.

use std::time::Duration;

use serde::{
    Deserializer,
    de::{DeserializeOwned, Visitor},
    forward_to_deserialize_any,
};
use serde_json::{Map, Value, json};

/// A table of these keys and no others.
pub fn table<'k>(about: &str, keys: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    let keys: Map<String, Value> = keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    json!({ "type": "object", "description": about, "additionalProperties": false, "properties": keys })
}

/// A table whose keys are names of the author's own, each with a value of this form.
pub fn each(about: &str, of: Value) -> Value {
    json!({ "type": "object", "description": about, "additionalProperties": of })
}

/// What is defined elsewhere in the schema.
pub fn defined(about: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}"), "description": about })
}

/// Any text.
pub fn text(about: &str) -> Value {
    json!({ "type": "string", "description": about })
}

/// A text that a pattern (ECMA 262) describes, where it is not from elsewhere.
pub fn pattern(about: &str, pattern: &str) -> Value {
    json!({ "type": "string", "description": about, "pattern": format!(r"{pattern}|\$\{{|^file:/") })
}

/// One of these words.
pub fn one_of(about: &str, words: &[&str]) -> Value {
    json!({ "description": about, "anyOf": [{ "enum": words }, { "$ref": "#/$defs/elsewhere" }] })
}

/// True or false.
pub fn flag(about: &str) -> Value {
    json!({ "type": "boolean", "description": about })
}

/// A whole number from `least` to `most`.
pub fn whole(about: &str, least: u32, most: u32) -> Value {
    json!({ "type": "integer", "description": about, "minimum": least, "maximum": most })
}

/// A list.
pub fn list(about: &str, of: Value) -> Value {
    json!({ "type": "array", "description": about, "items": of })
}

/// A duration: `"500ms"`, `"30s"`, `"1h 30m"`.
pub fn duration(about: &str) -> Value {
    defined(about, "duration")
}

/// The form with one more keyword.
#[must_use]
pub fn with(mut form: Value, keyword: &str, value: impl Into<Value>) -> Value {
    if let Some(keywords) = form.as_object_mut() {
        keywords.insert(keyword.to_owned(), value.into());
    }
    form
}

/// What the value is when it is left out.
#[must_use]
pub fn or(form: Value, default: impl Into<Value>) -> Value {
    with(form, "default", default)
}

/// A duration as a file writes it.
pub fn written(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// The keys that must be there.
#[must_use]
pub fn needs(table: Value, keys: &[&str]) -> Value {
    with(table, "required", keys)
}

/// The keys that the reader of a `T` knows, from its own word: serde names them when it asks for a struct.
/// Empty for what is read as something else.
pub fn keys_of<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Asked<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Asked<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _name: &'static str,
            keys: &'static [&'static str],
            _visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = keys;
            Err(serde::de::Error::custom("only the keys were wanted"))
        }

        fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
            Err(serde::de::Error::custom("this is no struct"))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
            unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut keys: &'static [&'static str] = &[];
    drop(T::deserialize(Asked(&mut keys)));
    keys
}
