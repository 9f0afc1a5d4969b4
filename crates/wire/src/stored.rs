//! What a request leans on at its provider, and by which names an answer may be leant on later.
//!
//! OpenAI's Responses API keeps answers, conversations and their items, and lets a later request name them instead of repeating
//! them. Only who gave them knows the names. Source: OpenAI's API reference (platform.openai.com), 'Create a model response':
//! `previous_response_id`, `conversation`, input items of type `item_reference`.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::loose::Text;

/// Names that are looked at, of one request or one answer; an answer has some ten items.
const MOST: usize = 256;
/// The longest name that is kept, in bytes; theirs have some fifty.
const LONGEST: usize = 512;

/// Something that a request leans on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leaning {
    /// The field that names it.
    pub field: &'static str,
    /// Its name at its provider.
    pub name: String,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    previous_response_id: Option<&'a RawValue>,
    #[serde(borrow)]
    conversation: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// A response, or an event that brings one.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    conversation: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// All that a request to the Responses API leans on, at most 256 names.
///
/// Takes any bytes: what cannot be read leans on nothing.
#[must_use]
pub fn leans_on(body: &[u8]) -> Vec<Leaning> {
    let Ok(request) = serde_json::from_slice::<Request<'_>>(body) else { return Vec::new() };
    let previous = name(request.previous_response_id).map(|name| ("previous_response_id", name));
    let conversation = name_or_id(request.conversation).map(|name| ("conversation", name));
    let is_reference = |item: &Item<'_>| name(item.kind).is_some_and(|kind| kind == "item_reference");
    // Looked for before the list is taken apart: nearly none has any.
    let refers =
        |input: &&RawValue| memchr::memmem::find(input.get().as_bytes(), b"item_reference").is_some();
    let references =
        items(request.input.filter(refers)).filter(is_reference).filter_map(|item| name(item.id));
    let all = previous.into_iter().chain(conversation).chain(references.map(|name| ("input", name)));
    all.take(MOST).map(|(field, name)| Leaning { field, name }).collect()
}

/// The names by which a response may be leant on: its own, its conversation's, its items'; at most 256. Takes a whole plain
/// answer or the data of a stream's last event.
///
/// Takes any bytes: what cannot be read has no names.
#[must_use]
pub fn stored_names(data: &[u8]) -> Vec<String> {
    let Ok(mut answer) = serde_json::from_slice::<Answer<'_>>(data) else { return Vec::new() };
    if let Some(inner) = answer.response {
        let Ok(inner) = serde_json::from_str::<Answer<'_>>(inner.get()) else { return Vec::new() };
        answer = inner;
    }
    let own = name(answer.id).into_iter().chain(name_or_id(answer.conversation));
    own.chain(items(answer.output).filter_map(|item| name(item.id))).take(MOST).collect()
}

fn name(value: Option<&RawValue>) -> Option<String> {
    let text: Text<'_> = serde_json::from_str(value?.get()).ok()?;
    (1..=LONGEST).contains(&text.0.len()).then(|| text.0.into_owned())
}

/// A conversation is named by its id, or by an object that holds it.
fn name_or_id(value: Option<&RawValue>) -> Option<String> {
    let object = value.filter(|value| value.get().starts_with('{'));
    match object {
        Some(object) => name(serde_json::from_str::<Item<'_>>(object.get()).ok()?.id),
        None => name(value),
    }
}

fn items(list: Option<&RawValue>) -> impl Iterator<Item = Item<'_>> {
    let list = list.and_then(|list| serde_json::from_str::<Vec<&RawValue>>(list.get()).ok());
    let objects = list.unwrap_or_default().into_iter().filter(|item| item.get().starts_with('{'));
    objects.filter_map(|item| serde_json::from_str(item.get()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leanings(body: &str) -> Vec<(&'static str, String)> {
        leans_on(body.as_bytes()).into_iter().map(|leaning| (leaning.field, leaning.name)).collect()
    }

    #[test]
    fn whatever_a_request_leans_on_is_found() {
        let body = r#"{"previous_response_id":"resp_1","conversation":{"id":"conv_1"},
            "input":[{"type":"item_reference","id":"msg_1"},{"type":"message","id":"msg_2"},"x",7]}"#;
        let expected = [("previous_response_id", "resp_1"), ("conversation", "conv_1"), ("input", "msg_1")];
        assert_eq!(leanings(body), expected.map(|(field, name)| (field, name.to_owned())));
        assert_eq!(leanings(r#"{"conversation":"conv_2"}"#), [("conversation", "conv_2".to_owned())]);
    }

    #[test]
    fn what_leans_on_nothing_or_cannot_be_read_has_no_names() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"input":"item_reference"}"#,
            r#"{"previous_response_id":null,"conversation":null,"input":null}"#,
            r#"{"previous_response_id":7,"conversation":[],"input":{}}"#,
            r#"{"previous_response_id":""}"#,
        ] {
            assert_eq!(leanings(body), [], "{body}");
        }
        let long = format!(r#"{{"previous_response_id":"{}"}}"#, "x".repeat(LONGEST + 1));
        assert_eq!(leanings(&long), []);
    }

    #[test]
    fn a_response_is_known_by_its_own_names_plain_or_in_an_event() {
        let response =
            r#"{"id":"resp_1","conversation":{"id":"conv_1"},"output":[{"type":"message","id":"msg_1"},{}]}"#;
        let names = ["resp_1", "conv_1", "msg_1"];
        assert_eq!(stored_names(response.as_bytes()), names);
        let event = format!(r#"{{"type":"response.completed","response":{response}}}"#);
        assert_eq!(stored_names(event.as_bytes()), names);
        assert_eq!(stored_names(br#"{"response":7}"#), Vec::<String>::new());
    }

    /// **Bounded.** Fails if a hostile list makes as many names as it has items.
    #[test]
    fn no_more_names_than_a_few_hundred_are_kept() {
        let items = vec![r#"{"type":"item_reference","id":"a"}"#; 10_000].join(",");
        assert_eq!(leans_on(format!(r#"{{"input":[{items}]}}"#).as_bytes()).len(), MOST);
        assert_eq!(stored_names(format!(r#"{{"output":[{items}]}}"#).as_bytes()).len(), MOST);
    }
}
