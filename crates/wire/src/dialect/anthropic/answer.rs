//! A whole answer of Anthropic's as a chat completion.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    chat::{Choice, Completion, Function, Message, Tokens, ToolCall, Unreadable, finish_reason},
    json,
};
use crate::loose::Text;

/// Anthropic's answer to a messages request as OpenAI's answer to a chat request.
///
/// `created` is the time of the answer in seconds since 1970. The `id` and the model's name stay the provider's own. Text blocks
/// are joined; what the model thought is `reasoning_content`; blocks of other kinds are not asked for and are left out.
///
/// # Errors
/// [`Unreadable`] when the bytes are not a whole answer.
pub fn messages_to_chat(answer: &[u8], created: u64) -> Result<Vec<u8>, Unreadable> {
    if answer.trim_ascii_start().first() != Some(&b'{') {
        return Err(Unreadable::new("it is not a JSON object"));
    }
    let read: Answer<'_> = serde_json::from_slice(answer)
        .map_err(|_| Unreadable::new("it is not JSON, or a field is of the wrong type"))?;
    if read.kind.is_some_and(|kind| kind.0 != "message") {
        return Err(Unreadable::new("it is not a message"));
    }
    let content = read.content.ok_or(Unreadable::new("it has no content"))?;
    let stop_reason = read.stop_reason.ok_or(Unreadable::new("it does not say why it stopped"))?;
    let calls: Vec<ToolCall<'_>> = content.calls.iter().map(Call::shown).collect();
    let text = (content.has_text || calls.is_empty()).then_some(&*content.text);
    let completion = Completion {
        id: read.id.as_ref().map_or("", |id| &id.0),
        object: "chat.completion",
        created,
        model: read.model.as_ref().map_or("", |model| &model.0),
        choices: [Choice {
            index: 0,
            message: Message {
                role: "assistant",
                content: text,
                refusal: (),
                reasoning_content: Some(&*content.thinking).filter(|thinking| !thinking.is_empty()),
                tool_calls: &calls,
            },
            logprobs: (),
            finish_reason: finish_reason(&stop_reason.0),
        }],
        usage: read.usage.map(|tokens| tokens.usage()),
    };
    let mut out = Vec::with_capacity(answer.len().saturating_add(256));
    json::append(&mut out, &completion);
    Ok(out)
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Content<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
    usage: Option<Tokens>,
}

/// The blocks, sorted by what they are. Read one by one, so that a list of empty blocks costs nothing.
#[derive(Default)]
struct Content<'a> {
    text: String,
    has_text: bool,
    thinking: String,
    calls: Vec<Call<'a>>,
}

struct Call<'a> {
    id: Cow<'a, str>,
    name: Cow<'a, str>,
    input: &'a RawValue,
}

impl Call<'_> {
    fn shown(&self) -> ToolCall<'_> {
        ToolCall {
            id: &self.id,
            kind: "function",
            function: Function { name: &self.name, arguments: self.input.get() },
        }
    }
}

/// A block. Its fields stay raw until its kind is known: another kind's may be of other types.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub text: Option<&'a RawValue>,
    #[serde(borrow)]
    pub thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    pub id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
}

/// A field of a block that its kind always has.
pub(super) fn text<'a>(field: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
    serde_json::from_str::<Text<'a>>(field?.get()).ok().map(|text| text.0)
}

impl<'a> Content<'a> {
    /// None when the block lacks what its kind always has.
    fn take(&mut self, block: &Block<'a>) -> Option<()> {
        match &*block.kind.0 {
            "text" => {
                self.text.push_str(&text(block.text)?);
                self.has_text = true;
            }
            "thinking" => self.thinking.push_str(&text(block.thinking)?),
            "tool_use" => self.calls.push(Call {
                id: text(block.id)?,
                name: text(block.name)?,
                input: block.input.filter(|input| input.get().starts_with('{'))?,
            }),
            _ => {}
        }
        Some(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Content<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of blocks")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut content = Content::default();
                while let Some(block) = seq.next_element::<Block<'de>>()? {
                    content.take(&block).ok_or_else(|| A::Error::custom("a block lacks a field"))?;
                }
                Ok(content)
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn translate(answer: &Value) -> Value {
        serde_json::from_slice(&messages_to_chat(answer.to_string().as_bytes(), 7).unwrap()).unwrap()
    }

    fn answer(content: Value, stop_reason: &str) -> Value {
        json!({"id":"msg_1","type":"message","role":"assistant","model":"claude","content":content,
            "stop_reason":stop_reason,"stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2}})
    }

    #[test]
    fn a_text_is_a_completion() {
        let said = json!([{"type":"text","text":"a"},{"type":"text","text":"b","citations":null}]);
        let mut given = answer(said, "end_turn");
        given["usage"] = json!({"input_tokens":10,"cache_read_input_tokens":30,"cache_creation_input_tokens":2,
            "output_tokens":5,"output_tokens_details":{"thinking_tokens":4}});
        assert_eq!(
            translate(&given),
            json!({"id":"msg_1","object":"chat.completion","created":7,"model":"claude",
                "choices":[{"index":0,"message":{"role":"assistant","content":"ab","refusal":null},
                    "logprobs":null,"finish_reason":"stop"}],
                "usage":{"prompt_tokens":42,"completion_tokens":5,"total_tokens":47,
                    "prompt_tokens_details":{"cached_tokens":30,"cache_write_tokens":2},
                    "completion_tokens_details":{"reasoning_tokens":4}}})
        );
    }

    #[test]
    fn thoughts_and_calls_have_fields_of_their_own() {
        let said = json!([{"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"d"},
            {"type":"tool_use","id":"t1","name":"f","input":{"a":[1]}},{"type":"later","text":7},
            {"type":"tool_use","id":"t2","name":"g","input":{}}]);
        assert_eq!(
            translate(&answer(said, "tool_use"))["choices"][0],
            json!({"index":0,"logprobs":null,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,
                "refusal":null,"reasoning_content":"hm","tool_calls":[
                    {"id":"t1","type":"function","function":{"name":"f","arguments":"{\"a\":[1]}"}},
                    {"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}}]}})
        );
    }

    #[test]
    fn every_reason_to_stop_has_its_word_and_none_that_is_unknown_says_whole() {
        for (reason, word) in [
            ("end_turn", "stop"),
            ("stop_sequence", "stop"),
            ("max_tokens", "length"),
            ("model_context_window_exceeded", "length"),
            ("tool_use", "tool_calls"),
            ("refusal", "content_filter"),
            ("pause_turn", "length"),
            ("later", "length"),
        ] {
            let choice = &translate(&answer(json!([]), reason))["choices"][0];
            assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!(word), &json!("")));
        }
    }

    #[test]
    fn what_is_no_whole_answer_is_an_error() {
        for (field, value) in [
            ("type", json!("error")),
            ("content", Value::Null),
            ("content", json!("a")),
            ("content", json!([{"text":"a"}])),
            ("content", json!([{"type":"text"}])),
            ("content", json!([{"type":"text","text":7}])),
            ("content", json!([{"type":"tool_use","id":"a","name":"f"}])),
            ("content", json!([{"type":"tool_use","id":"a","name":"f","input":[]}])),
            ("stop_reason", Value::Null),
            ("usage", json!("secret")),
        ] {
            let mut wrong = answer(json!([]), "end_turn");
            wrong[field] = value;
            let error = messages_to_chat(wrong.to_string().as_bytes(), 7).expect_err(&wrong.to_string());
            assert!(!error.to_string().contains("secret"));
        }
        for wrong in ["", "{", "[]", "null", "<html>", r#"["message"]"#] {
            assert!(messages_to_chat(wrong.as_bytes(), 7).is_err(), "{wrong}");
        }
    }

    #[test]
    fn depth_does_not_recurse() {
        let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        let given = format!(
            r#"{{"content":[{{"type":"x","y":{deep}}},{{"type":"tool_use","id":"a","name":"f","input":{{"a":{deep}}}}}],
            "stop_reason":"tool_use"}}"#
        );
        assert!(messages_to_chat(given.as_bytes(), 7).is_ok());
    }
}
