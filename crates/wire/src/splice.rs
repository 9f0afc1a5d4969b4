//! A chunk of one stream, written anew as a chunk of another: what mends a broken stream must look like its own.
//!
//! A reader of a stream may rely on its `id`, `created` and `model` being the same in every chunk, and some readers add up
//! every string of every delta, the role included. So a chunk that another attempt sent keeps all it says, but under the
//! first one's identity, without its role, and without the text that was given before. Everything else is copied as the bytes
//! that it was: nothing is parsed into a tree, no number loses a digit, and depth does not recurse.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{loose::Text, usage::Usage};

/// What all chunks of one stream have in common: `id`, `created` and `model`, as the JSON that they came as.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    fields: Vec<(&'static str, Box<RawValue>)>,
}

/// The fields that name a stream.
const IDENTITY: [&str; 3] = ["id", "created", "model"];

impl Identity {
    /// The identity that a chunk's data bears; none when it is no JSON object.
    #[must_use]
    pub fn of(data: &[u8]) -> Option<Self> {
        let fields = Object::read(data)?;
        let found = IDENTITY.iter().filter_map(|name| {
            let (_, value) = fields.0.iter().find(|(own, _)| own == name)?;
            Some((*name, RawValue::to_owned(value)))
        });
        Some(Self { fields: found.collect() })
    }
}

/// How a chunk is to be written anew.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "built by its user, field by field")]
pub struct Rewrite<'r> {
    /// The stream that it becomes a part of.
    pub identity: &'r Identity,
    /// How many bytes of its text were given before, and are left out. At most the whole text, and never a part of a character.
    pub given: usize,
    /// Whether it shall say that the stream was rescued: `"rescued":true`.
    pub rescued: bool,
    /// Tokens of earlier attempts, added to those that it counts.
    pub spent: Usage,
}

impl Rewrite<'_> {
    /// The chunk as a whole frame, `data: {..}` and an empty line; none when the data is not a chunk.
    #[must_use]
    pub fn frame(&self, data: &[u8]) -> Option<Vec<u8>> {
        let fields = Object::read(data)?;
        let mut out = Vec::with_capacity(data.len() + 64);
        out.extend_from_slice(b"data: ");
        let mut object = Writer::begin(&mut out);
        for (name, value) in &self.identity.fields {
            object.raw(name, value.get())?;
        }
        if self.rescued {
            object.raw("rescued", "true")?;
        }
        for (name, value) in &fields.0 {
            match &**name {
                name if IDENTITY.contains(&name) || (name == "rescued" && self.rescued) => {}
                "choices" => self.choices(object.name("choices")?, value)?,
                "usage" => self.usage(object.name("usage")?, value)?,
                name => object.raw(name, value.get())?,
            }
        }
        object.end();
        // A line's end between two values is only white space to JSON, but would end the frame here.
        for byte in &mut out {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        out.extend_from_slice(b"\n\n");
        Some(out)
    }

    fn choices(&self, out: &mut Vec<u8>, value: &RawValue) -> Option<()> {
        let choices: Option<Vec<&RawValue>> = serde_json::from_str(value.get()).ok()?;
        out.push(b'[');
        for (index, choice) in choices.unwrap_or_default().into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let fields = Object::read(choice.get().as_bytes())?;
            let mut object = Writer::begin(out);
            for (name, value) in &fields.0 {
                match (&**name, Object::read(value.get().as_bytes())) {
                    ("delta", Some(delta)) => self.delta(object.name("delta")?, &delta)?,
                    (name, _) => object.raw(name, value.get())?,
                }
            }
            object.end();
        }
        out.push(b']');
        Some(())
    }

    fn delta(&self, out: &mut Vec<u8>, delta: &Object<'_>) -> Option<()> {
        let mut object = Writer::begin(out);
        for (name, value) in &delta.0 {
            match &**name {
                "role" => {}
                "content" if self.given > 0 && value.get().starts_with('"') => {
                    let text: Cow<'_, str> = serde_json::from_str::<Text<'_>>(value.get()).ok()?.0;
                    let rest = text.get(self.given..)?;
                    object.raw("content", &serde_json::to_string(rest).ok()?)?;
                }
                name => object.raw(name, value.get())?,
            }
        }
        object.end();
        Some(())
    }

    fn usage(&self, out: &mut Vec<u8>, value: &RawValue) -> Option<()> {
        let Some(counts) = Object::read(value.get().as_bytes()).filter(|_| self.spent != Usage::default())
        else {
            out.extend_from_slice(value.get().as_bytes());
            return Some(());
        };
        let mut object = Writer::begin(out);
        for (name, value) in &counts.0 {
            let more = match &**name {
                "prompt_tokens" => self.spent.input,
                "completion_tokens" => self.spent.output,
                "total_tokens" => self.spent.input.saturating_add(self.spent.output),
                _ => 0,
            };
            match value.get().parse::<u64>() {
                Ok(count) if more > 0 => object.raw(name, &count.saturating_add(more).to_string())?,
                _ => object.raw(name, value.get())?,
            }
        }
        object.end();
        Some(())
    }
}

/// An object's fields in their order, their values as the bytes that they are.
pub(crate) struct Object<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// The fields of a JSON object; none when it is not one.
    pub(crate) fn read(json: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some((Text(name), value)) = map.next_entry()? {
            fields.push((name, value));
        }
        Ok(Object(fields))
    }
}

/// Writes an object field by field.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Writer<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Begins a field, whose value is then written to what is returned.
    fn name(&mut self, name: &str) -> Option<&mut Vec<u8>> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        serde_json::to_writer(&mut *self.out, name).ok()?;
        self.out.push(b':');
        Some(self.out)
    }

    fn raw(&mut self, name: &str, json: &str) -> Option<()> {
        self.name(name)?.extend_from_slice(json.as_bytes());
        Some(())
    }

    fn end(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] =
        br#"{"id":"chatcmpl-1","object":"x","created":1767225600,"model":"gpt-4.1","choices":[]}"#;

    #[track_caller]
    fn check(given: usize, rescued: bool, spent: Usage, data: &str, expected: &str) {
        let identity = Identity::of(FIRST).unwrap();
        let frame = Rewrite { identity: &identity, given, rescued, spent }.frame(data.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(frame).unwrap(), format!("data: {expected}\n\n"));
    }

    #[test]
    fn a_chunk_takes_the_first_ones_identity_and_keeps_all_else() {
        check(
            0,
            true,
            Usage::default(),
            "{\"id\":\"other\",\"big\":12345678901234567890.5,\n\"created\":7,\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"a\\u0062\"},\"x\":[ 1 ]}],\"usage\":null}",
            r#"{"id":"chatcmpl-1","created":1767225600,"model":"gpt-4.1","rescued":true,"big":12345678901234567890.5,"choices":[{"index":0,"delta":{"content":"a\u0062"},"x":[ 1 ]}],"usage":null}"#,
        );
    }

    #[test]
    fn what_was_given_is_left_out_of_its_text() {
        check(
            3,
            false,
            Usage::default(),
            r#"{"choices":[{"delta":{"content":"é\n\"rest\""},"finish_reason":null}]}"#,
            r#"{"id":"chatcmpl-1","created":1767225600,"model":"gpt-4.1","choices":[{"delta":{"content":"\"rest\""},"finish_reason":null}]}"#,
        );
    }

    #[test]
    fn tokens_of_earlier_attempts_are_added() {
        check(
            0,
            false,
            Usage::new(10, 5),
            r#"{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15,"x":{"y":1}}}"#,
            r#"{"id":"chatcmpl-1","created":1767225600,"model":"gpt-4.1","choices":[],"usage":{"prompt_tokens":22,"completion_tokens":8,"total_tokens":30,"x":{"y":1}}}"#,
        );
    }

    #[test]
    fn a_stream_that_names_nothing_goes_on_naming_nothing() {
        let identity = Identity::of(br#"{"choices":[]}"#).unwrap();
        let rewrite = Rewrite { identity: &identity, given: 0, rescued: false, spent: Usage::default() };
        let frame = rewrite.frame(br#"{"id":"other","model":"m","choices":[]}"#).unwrap();
        assert_eq!(frame, b"data: {\"choices\":[]}\n\n");
    }

    #[test]
    fn what_cannot_be_rewritten_is_refused() {
        let identity = Identity::default();
        for (given, data) in [
            (0, "[DONE]"),
            (0, "[]"),
            (0, "{"),
            (0, r#"{"choices":7}"#),
            (0, r#"{"choices":[7]}"#),
            (2, r#"{"choices":[{"delta":{"content":"a"}}]}"#),
            (1, r#"{"choices":[{"delta":{"content":"é"}}]}"#),
        ] {
            let rewrite = Rewrite { identity: &identity, given, rescued: true, spent: Usage::default() };
            assert_eq!(rewrite.frame(data.as_bytes()), None, "{data}");
        }
        assert!(Identity::of(b"[DONE]").is_none());
    }

    #[test]
    fn depth_does_not_recurse() {
        let data = format!(r#"{{"x":{}{},"choices":[]}}"#, "[".repeat(1 << 20), "]".repeat(1 << 20));
        let identity = Identity::default();
        let rewrite = Rewrite { identity: &identity, given: 0, rescued: true, spent: Usage::default() };
        assert!(rewrite.frame(data.as_bytes()).is_some());
    }
}
