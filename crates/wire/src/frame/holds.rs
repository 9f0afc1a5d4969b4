//! Whether an object says anything beside what it is.
//!
//! Blocks, items and deltas of newer APIs are objects with a `type` and fields that depend on it, and a list of types is out of
//! date the day it is written. But all of them begin empty and are filled later, so one rule judges the unknown ones too: an
//! object holds something as soon as a field that is not its kind, its place or its state does.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::loose::{Filled, Text, is_label};

/// Whether an object has a field that is filled, its `type`, `id`, `index`, `role` and `status` aside; or whether one of a list
/// has. A value of another type holds something when it is filled: one that nobody expects must not break a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holds(pub(super) bool);

impl<'de> Deserialize<'de> for Holds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        HoldsVisitor { in_list: false }.deserialize(deserializer).map(Self)
    }
}

struct HoldsVisitor {
    in_list: bool,
}

impl<'de> Visitor<'de> for HoldsVisitor {
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

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut holds = false;
        while let Some(Text(name)) = map.next_key()? {
            if is_label(&name) {
                map.next_value::<IgnoredAny>()?;
            } else {
                holds |= map.next_value::<Filled>()?.0;
            }
        }
        Ok(holds)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        let mut holds = false;
        if self.in_list {
            // A list within a list is only asked whether it is filled, so that nothing recurses.
            while seq.next_element::<IgnoredAny>()?.is_some() {
                holds = true;
            }
        } else {
            while let Some(held) = seq.next_element_seed(Self { in_list: true })? {
                holds |= held;
            }
        }
        Ok(holds)
    }
}

impl<'de> DeserializeSeed<'de> for HoldsVisitor {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_holds_something_when_more_than_its_labels_is_filled() {
        for (json, holds) in [
            ("null", false),
            ("{}", false),
            ("[]", false),
            (r#"{"type":"text","text":""}"#, false),
            (r#"{"type":"thinking","thinking":"","signature":""}"#, false),
            (r#"{"id":"m","type":"message","role":"assistant","status":"in_progress","content":[]}"#, false),
            (r#"{"type":"text","text":"a"}"#, true),
            (r#"{"type":"tool_use","id":"t","name":"f","input":{}}"#, true),
            (r#"{"type":"later","later":{"deep":[]}}"#, true),
            (r#"[{"type":"text","text":""},{"type":"text","text":"a"}]"#, true),
            (r#"[{"type":"text","text":""}]"#, false),
            ("\"\"", false),
            ("\"a\"", true),
            ("7", true),
            ("[null,\"\",[]]", false),
            ("[[7]]", true),
        ] {
            assert_eq!(serde_json::from_str::<Holds>(json).unwrap(), Holds(holds), "{json}");
        }
    }

    #[test]
    fn depth_does_not_recurse() {
        for open in ["[", "{\"a\":"] {
            let deep = format!("{{\"x\":{}1", open.repeat(1 << 18));
            assert!(serde_json::from_str::<Holds>(&deep).is_err());
        }
    }
}
