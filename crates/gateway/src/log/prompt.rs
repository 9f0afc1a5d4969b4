//! The words of a request, for an access log whose operator asked for them (`serve --log-prompts`).
//!
//! They are a request's own fields as it wrote them, and of its body only those: no header, and so no key, is near. They stay with the
//! request's account, whose other readers (records, traces, the ledger) do not look at them.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde_json::value::RawValue;

/// Where the forms of requests have their words, in the order in which they are told.
const FIELDS: [&str; 5] = ["system", "instructions", "messages", "prompt", "input"];
/// The most of them that is told, in bytes. A line is to stay one that a collector of logs takes.
const LONGEST: usize = 16 << 10;

/// What a request says to its model, cut to [`LONGEST`]. Its `Debug` says how much it is and not what.
#[derive(Clone)]
pub(crate) struct Prompt(Box<str>);

impl Prompt {
    /// What a body says; none where it says nothing.
    pub(crate) fn of(body: &[u8]) -> Option<Self> {
        let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(body).ok()?;
        let found = FIELDS.into_iter().filter_map(|name| Some((name, fields.get(name)?.get())));
        let found: Vec<(&str, &str)> = found.collect();
        let whole: usize = found.iter().map(|(_, text)| text.len()).sum();
        let mut told = String::new();
        let mut left = LONGEST;
        for (name, text) in found {
            if left == 0 {
                break;
            }
            let part = text.get(..text.floor_char_boundary(left)).unwrap_or_default();
            left = if part.len() < text.len() { 0 } else { left - part.len() };
            told.push_str(if told.is_empty() { "" } else { " " });
            told.push_str(name);
            told.push('=');
            told.push_str(part);
        }
        if whole > LONGEST {
            told.push_str(&format!(" [cut: the first {LONGEST} of {whole} bytes]"));
        }
        (!told.is_empty()).then(|| Self(told.into()))
    }

    /// As it is told: `messages=[{"role":"user","content":"ahoy"}]`.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Prompt").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> Option<String> {
        Prompt::of(body.as_bytes()).map(|prompt| prompt.text().to_owned())
    }

    #[test]
    fn each_form_of_request_has_its_words() {
        for (body, expected) in [
            (r#"{"model":"m","messages":[{"content":"a"}],"user":"u"}"#, r#"messages=[{"content":"a"}]"#),
            (r#"{"messages":[1],"system":"s"}"#, r#"system="s" messages=[1]"#),
            (r#"{"prompt":"a"}"#, r#"prompt="a""#),
            (r#"{"input":["a","b"],"instructions":"i"}"#, r#"instructions="i" input=["a","b"]"#),
        ] {
            assert_eq!(told(body).as_deref(), Some(expected));
        }
        assert_eq!((told("{\"model\":\"m\"}"), told("no JSON")), (None, None));
    }

    /// **A long prompt makes no long line.** Fails if it is not cut, is cut amid a letter, or the cut is not told.
    #[test]
    fn what_is_long_is_cut_and_says_so() {
        let long = "\u{e9}".repeat(LONGEST);
        let told = told(&format!("{{\"system\":\"s\",\"prompt\":\"{long}\",\"input\":\"hidden\"}}")).unwrap();
        let whole = 3 + 2 * LONGEST + 2 + 8;
        assert!(told.ends_with(&format!(" [cut: the first {LONGEST} of {whole} bytes]")), "{}", told.len());
        assert!(told.starts_with("system=\"s\" prompt=\"\u{e9}") && !told.contains("hidden"));
        assert!((LONGEST..LONGEST + 100).contains(&told.len()), "{}", told.len());
    }

    #[test]
    fn it_is_not_in_the_debug_form_of_what_holds_it() {
        let prompt = Prompt::of(br#"{"prompt":"ahoy"}"#).unwrap();
        assert!(!format!("{prompt:?}").contains("ahoy"));
    }
}
