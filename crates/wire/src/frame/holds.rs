//! Whether an object says anything beside what it is.
//!
//! Blocks, items and deltas of newer APIs are objects with a `type` and fields that depend on it, and a list of types is out of
//! date the day it is written. But all of them begin empty and are filled later, so one rule judges the unknown ones too: an
//! object holds something as soon as a field that is not its kind, its place or its state does.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::loose::{Filled, Text};

/// Whether an object has a field that is filled, its `type`, `id`, `index`, `role` and `status` aside; or whether one of a list
/// has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holds(pub(super) bool);

/// Fields that say what an object is, and nothing of the answer.
pub(super) fn is_label(name: &str) -> bool {
    matches!(name, "type" | "id" | "index" | "role" | "status")
}

impl<'de> Deserialize<'de> for Holds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HoldsVisitor).map(Self)
    }
}

struct HoldsVisitor;

impl<'de> Visitor<'de> for HoldsVisitor {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, a list of objects or null")
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

    /// Of a list's elements; not of lists within, so that nothing recurses.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        let mut holds = false;
        while let Some(Element(held)) = seq.next_element()? {
            holds |= held;
        }
        Ok(holds)
    }
}

/// An element of a list: an object.
struct Element(bool);

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HoldsVisitor).map(Self)
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
        ] {
            assert_eq!(serde_json::from_str::<Holds>(json).unwrap(), Holds(holds), "{json}");
        }
        for wrong in ["7", "\"a\"", "[7]", "[[{}]]"] {
            assert!(serde_json::from_str::<Holds>(wrong).is_err(), "{wrong}");
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
