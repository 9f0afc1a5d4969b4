//! A chat request that goes on from what an assistant has said so far.
//!
//! The caller's bytes stay as they are: one assistant's message is put in before the bracket that closes `messages`, or, where
//! the conversation ends with an assistant's message already, the text is added to that one. A limit of tokens is lowered by
//! what has been used of it, so that the whole answer stays within what was asked for.
//!
//! # Why say it three times?
//! OpenAI's form has no word for 'go on'. Of the servers that speak it, some continue any assistant's message at the end
//! (llama.cpp, Ollama), some one with `prefix` (DeepSeek, Mistral), some where `continue_final_message` asks for it (vLLM,
//! SGLang), and the rest take it for an earlier turn and answer anew. That would look like a continuation and be none. So all
//! of it is said: who understands a part of it goes on, and who understands none of it mostly refuses fields it does not know. At
//! Anthropic the message alone says it.
//!
//! # White space at the end
//! is left out: Anthropic refuses it, and a tokenizer that is given half of a word's blank goes on oddly. The deployment says it
//! again, as it would have done.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    loose::{Filled, Text},
    request::range_in,
};

/// How a request to go on is put, by the form that the deployment speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "complete by nature: it is said by the message alone, or in words as well"
)]
pub enum GoOn {
    /// By the message alone.
    Message,
    /// And in all words that servers of OpenAI's form have for it.
    Words,
}

/// The body of a chat request with `said` as the beginning of the assistant's answer, white space at its end aside; `tokens` of the
/// answer's limit, where the request sets one, are used up.
///
/// None where nothing but white space was said, where the body has no list of messages or ends with an assistant's message that
/// holds something else than text, and where the answer is bound to a form (a schema, a grammar): it would begin again at
/// the form's beginning.
#[must_use]
pub fn continue_chat(body: &[u8], said: &str, tokens: u64, go_on: GoOn) -> Option<Vec<u8>> {
    let skim: Skim<'_> = serde_json::from_str(std::str::from_utf8(body).ok()?).ok()?;
    let said = said.trim_end();
    if said.is_empty() || skim.is_bound_to_a_form() {
        return None;
    }
    let said = serde_json::to_string(said).ok()?;
    let mut edits = vec![message(body, skim.messages, &said, go_on)?];
    if go_on == GoOn::Words && skim.continue_final_message.is_none() && skim.add_generation_prompt.is_none() {
        let brace = body.len() - body.trim_ascii_start().len() + 1;
        edits.push((
            brace..brace,
            r#""add_generation_prompt":false,"continue_final_message":true,"#.to_owned(),
        ));
    }
    for limit in [skim.max_tokens, skim.max_completion_tokens].into_iter().flatten() {
        if let Ok(most) = limit.get().parse::<u64>() {
            edits.push((range_in(body, limit), most.saturating_sub(tokens).max(1).to_string()));
        }
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut out = Vec::with_capacity(body.len() + said.len() + 64);
    let mut from = 0;
    for (range, text) in edits {
        out.extend_from_slice(body.get(from..range.start)?);
        out.extend_from_slice(text.as_bytes());
        from = range.end;
    }
    out.extend_from_slice(body.get(from..)?);
    Some(out)
}

/// What is put in place of which bytes, so that the messages end with what was said (a JSON string).
fn message(body: &[u8], messages: &RawValue, said: &str, go_on: GoOn) -> Option<(Range<usize>, String)> {
    let List { last } = serde_json::from_str(messages.get()).ok()?;
    let at = |end: usize| end..end;
    let close = range_in(body, messages).end.checked_sub(1)?;
    let prefix = if go_on == GoOn::Words { r#","prefix":true"# } else { "" };
    let new = || format!(r#"{{"role":"assistant","content":{said}{prefix}}}"#);
    let Some(last) = last else { return Some((at(close), new())) };
    let turn: Turn<'_> = serde_json::from_str(last.get()).ok()?;
    if turn.role.is_none_or(|role| role.0 != "assistant") {
        return Some((at(close), format!(",{}", new())));
    }
    // What the caller began is the beginning of the same answer.
    let content =
        turn.content.filter(|content| content.get().starts_with('"') && turn.tool_calls.is_none())?;
    let within = said.get(1..said.len().checked_sub(1)?)?;
    Some((at(range_in(body, content).end.checked_sub(1)?), within.to_owned()))
}

#[derive(Deserialize)]
struct Skim<'a> {
    #[serde(borrow)]
    messages: &'a RawValue,
    #[serde(borrow, default)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    continue_final_message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    add_generation_prompt: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response_format: Option<Form<'a>>,
    // vLLM's, and SGLang's.
    #[serde(default)]
    structured_outputs: Filled,
    #[serde(default)]
    guided_json: Filled,
    #[serde(default)]
    guided_regex: Filled,
    #[serde(default)]
    guided_choice: Filled,
    #[serde(default)]
    guided_grammar: Filled,
    #[serde(default)]
    regex: Filled,
    #[serde(default)]
    ebnf: Filled,
    // llama.cpp's.
    #[serde(default)]
    grammar: Filled,
    #[serde(default)]
    json_schema: Filled,
}

#[derive(Deserialize)]
struct Form<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

impl Skim<'_> {
    fn is_bound_to_a_form(&self) -> bool {
        let guided = [self.guided_json, self.guided_regex, self.guided_choice, self.guided_grammar];
        let bound = [self.structured_outputs, self.regex, self.ebnf, self.grammar, self.json_schema];
        guided.iter().chain(&bound).any(|form| form.0)
            || self.response_format.as_ref().is_some_and(|form| form.kind.0 != "text")
    }
}

#[derive(Deserialize)]
struct Turn<'a> {
    #[serde(borrow, default)]
    role: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
}

/// A list of which only the last element is kept.
struct List<'a> {
    last: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for List<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut last = None;
        while let Some(element) = seq.next_element()? {
            last = Some(element);
        }
        Ok(List { last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, tokens: u64, expected: Option<&str>) {
        let continued = continue_chat(body.as_bytes(), "so \"far\"\n ", tokens, GoOn::Message);
        assert_eq!(continued.map(|body| String::from_utf8(body).unwrap()).as_deref(), expected, "{body}");
    }

    #[test]
    fn a_message_is_appended_and_every_other_byte_stays() {
        check(
            r#" {"messages" : [ {"role":"user","content":"[]"} ] ,"x": 1.50}"#,
            0,
            Some(
                r#" {"messages" : [ {"role":"user","content":"[]"} ,{"role":"assistant","content":"so \"far\""}] ,"x": 1.50}"#,
            ),
        );
        check(r#"{"messages":[]}"#, 0, Some(r#"{"messages":[{"role":"assistant","content":"so \"far\""}]}"#));
    }

    #[test]
    fn an_answer_that_the_caller_began_is_begun_further() {
        check(
            r#"{"messages":[{"role":"user","content":"a"},{"content":"Ahoy, ","role":"assistant"}]}"#,
            0,
            Some(
                r#"{"messages":[{"role":"user","content":"a"},{"content":"Ahoy, so \"far\"","role":"assistant"}]}"#,
            ),
        );
    }

    #[test]
    fn a_limit_is_lowered_by_what_was_used_and_never_to_nothing() {
        let with = |limit: &str| format!(r#"{{"max_tokens":{limit},"messages":[]}}"#);
        let continued = |limit: &str| {
            format!(r#"{{"max_tokens":{limit},"messages":[{{"role":"assistant","content":"so \"far\""}}]}}"#)
        };
        for (limit, left) in [("100", "60"), ("40", "1"), ("7", "1"), ("null", "null"), ("1e3", "1e3")] {
            check(&with(limit), 40, Some(&continued(left)));
        }
        check(
            r#"{"messages":[],"max_completion_tokens":41}"#,
            40,
            Some(r#"{"messages":[{"role":"assistant","content":"so \"far\""}],"max_completion_tokens":1}"#),
        );
    }

    #[test]
    fn it_is_said_in_words_where_the_caller_has_not_said_it() {
        let said = |body: &str| continue_chat(body.as_bytes(), "a", 0, GoOn::Words).unwrap();
        assert_eq!(
            said(r#" {"messages":[]}"#),
            br#" {"add_generation_prompt":false,"continue_final_message":true,"messages":[{"role":"assistant","content":"a","prefix":true}]}"#
        );
        assert_eq!(
            said(r#"{"messages":[{"role":"assistant","content":"b"}],"continue_final_message":true}"#),
            br#"{"messages":[{"role":"assistant","content":"ba"}],"continue_final_message":true}"#
        );
    }

    #[test]
    fn what_is_bound_to_a_form_is_not_continued() {
        for form in [
            r#""response_format":{"type":"json_object"}"#,
            r#""response_format":{"type":"json_schema","json_schema":{}}"#,
            r#""guided_regex":"a+""#,
            r#""structured_outputs":{"json":{}}"#,
            r#""grammar":"root ::= \"a\"""#,
        ] {
            check(&format!(r#"{{"messages":[],{form}}}"#), 0, None);
        }
        let free = br#"{"messages":[],"response_format":{"type":"text"},"guided_json":null}"#;
        assert!(continue_chat(free, "a", 0, GoOn::Words).is_some());
        assert!(continue_chat(free, "\n ", 0, GoOn::Words).is_none(), "nothing was said yet");
    }

    #[test]
    fn what_cannot_be_continued_is_refused() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"messages":7}"#,
            r#"{"messages":[7]}"#,
            r#"{"messages":[{"role":"assistant","content":[{"type":"text","text":"a"}]}]}"#,
            r#"{"messages":[{"role":"assistant","content":null,"tool_calls":[{}]}]}"#,
            r#"{"messages":[{"role":"assistant","content":"a","tool_calls":[{}]}]}"#,
        ] {
            check(body, 0, None);
        }
    }
}
