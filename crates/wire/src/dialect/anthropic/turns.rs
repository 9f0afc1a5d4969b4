//! The conversation: OpenAI's list of messages as Anthropic's alternating turns.
//!
//! - What `system` and `developer` messages say goes to the top-level `system`, wherever they stand, in their order. Anthropic's
//!   own layer for OpenAI's SDKs does the same; a system message between turns is known to some of its models only.
//! - Messages of one role in a row become one turn. A `tool` message is a block of the user's turn that follows the call.
//! - A call and its result are paired by numbers of our own: other providers' ids may hold characters that Anthropic refuses, or
//!   come again in every turn. The ids are seen by nobody else, and a conversation that grows keeps those it had.
//! - An assistant's message at the end is what its answer begins with (prefill), as it is at Anthropic.
//!
//! What cannot be said so is refused: a conversation that the assistant opens, results that do not follow their calls, a
//! participant's name.

use std::{borrow::Cow, collections::HashMap};

use serde_json::value::RawValue;

use super::{
    body::{Block, CallId, Object, Role, Turn},
    fields::{At, Fields, UNKNOWN, Untranslatable, WRONG_TYPE},
    parts::{Kinds, push_text, read_content},
    tools::check_name,
};

const RESULTS_FIRST: &str = "the results of tool calls must follow them at once, each one once";

/// The conversation so far.
#[derive(Debug, Default)]
pub(super) struct Conversation<'a> {
    pub system: Vec<Block<'a>>,
    pub turns: Vec<Turn<'a>>,
    /// Calls without a result yet, by the caller's id.
    open: HashMap<Cow<'a, str>, CallId>,
    calls: usize,
}

/// The fields of one message that say something.
#[derive(Default)]
struct Message<'a> {
    content: Option<&'a RawValue>,
    refusal: Option<&'a RawValue>,
    tool_calls: Option<&'a RawValue>,
    tool_call_id: Option<&'a RawValue>,
    name: Option<&'a RawValue>,
}

impl<'a> Message<'a> {
    fn of(at: At, fields: &Fields<'a>) -> Result<Self, Untranslatable> {
        let mut message = Self::default();
        for (name, value) in fields.iter() {
            match name {
                "role" => {}
                "content" => message.content = Some(value),
                "refusal" => message.refusal = Some(value),
                "tool_calls" => message.tool_calls = Some(value),
                "tool_call_id" => message.tool_call_id = Some(value),
                "name" => message.name = Some(value),
                // What an earlier answer cited, and what its model thought: parts of an answer, never of a question.
                "annotations" | "reasoning_content" | "reasoning" | "reasoning_details" => {}
                "audio" => at.only_empty(value, "Anthropic's models speak no audio")?,
                "function_call" => at.only_empty(value, "the older form of tool calls has no ids")?,
                _ => at.only_empty(value, UNKNOWN)?,
            }
        }
        Ok(message)
    }
}

impl<'a> Conversation<'a> {
    pub(super) fn read(at: At, messages: &'a RawValue) -> Result<Self, Untranslatable> {
        let mut conversation = Self::default();
        for (index, message) in at.items(messages)?.into_iter().enumerate() {
            conversation.on_message(at.item(index), message)?;
        }
        conversation.check_end(at)?;
        Ok(conversation)
    }

    fn on_message(&mut self, at: At, message: &'a RawValue) -> Result<(), Untranslatable> {
        let fields = at.fields(message)?;
        let role = at.text(fields.find("role").ok_or_else(|| at.error(WRONG_TYPE))?)?;
        let message = Message::of(at, &fields)?;
        if role != "tool" {
            // A tool's name is known from its call; another participant's name has no place at Anthropic.
            if let Some(name) = message.name {
                at.only_empty(name, "Anthropic's messages bear no participant's name")?;
            }
            if let Some(id) = message.tool_call_id {
                at.only_empty(id, UNKNOWN)?;
            }
        }
        if role != "assistant" {
            for value in [message.tool_calls, message.refusal].into_iter().flatten() {
                at.only_empty(value, UNKNOWN)?;
            }
        }
        match &*role {
            "system" | "developer" => match message.content {
                Some(content) => read_content(at, content, Kinds::Text, &mut self.system),
                None => Err(at.error(WRONG_TYPE)),
            },
            "user" => self.on_user(at, &message),
            "assistant" => self.on_assistant(at, &message),
            "tool" => self.on_result(at, &message),
            "function" => Err(at.error("the older form of tool calls has no ids")),
            _ => Err(at.error("the role is none that chat requests have")),
        }
    }

    fn on_user(&mut self, at: At, message: &Message<'a>) -> Result<(), Untranslatable> {
        if !self.open.is_empty() {
            return Err(at.error(RESULTS_FIRST));
        }
        let mut blocks = Vec::new();
        read_content(at, message.content.ok_or_else(|| at.error(WRONG_TYPE))?, Kinds::All, &mut blocks)?;
        if blocks.is_empty() {
            // Left out, it could make the assistant's message before it the last, which would be continued.
            return Err(at.error("Anthropic takes no user's message without content"));
        }
        self.push(Role::User, blocks);
        Ok(())
    }

    /// An assistant's message without content says nothing, so it is left out.
    fn on_assistant(&mut self, at: At, message: &Message<'a>) -> Result<(), Untranslatable> {
        if !self.open.is_empty() {
            return Err(at.error(RESULTS_FIRST));
        }
        let mut blocks = Vec::new();
        if let Some(content) = message.content {
            read_content(at, content, Kinds::TextAndRefusals, &mut blocks)?;
        }
        if let Some(refusal) = message.refusal {
            push_text(at.text(refusal)?, &mut blocks);
        }
        if let Some(calls) = message.tool_calls {
            for call in at.items(calls)? {
                blocks.push(self.call(at, call)?);
            }
        }
        if blocks.is_empty() {
            return Ok(());
        }
        if self.turns.is_empty() {
            return Err(at.error("at Anthropic the first message must be a user's"));
        }
        self.push(Role::Assistant, blocks);
        Ok(())
    }

    fn call(&mut self, at: At, call: &'a RawValue) -> Result<Block<'a>, Untranslatable> {
        let (mut id, mut function) = (None, None);
        for (name, value) in at.fields(call)?.iter() {
            match name {
                "id" => id = Some(at.text(value)?),
                "type" if at.text(value)? == "function" => {}
                "type" => return Err(at.error("Anthropic knows no tools with free text as input")),
                "function" => function = Some(at.fields(value)?),
                // The place among the calls, as streams say it.
                "index" => {}
                _ => at.only_empty(value, UNKNOWN)?,
            }
        }
        let (id, function) = id.zip(function).ok_or_else(|| at.error(WRONG_TYPE))?;
        let (mut name, mut input) = (None, Object::Empty);
        for (field, value) in function.iter() {
            match field {
                "name" => name = Some(at.text(value)?),
                "arguments" => input = arguments(at, &at.text(value)?)?,
                _ => at.only_empty(value, UNKNOWN)?,
            }
        }
        let name = name.ok_or_else(|| at.error(WRONG_TYPE))?;
        check_name(at, &name)?;
        let call = CallId(self.calls);
        self.calls += 1;
        if self.open.insert(id, call).is_some() {
            return Err(at.error("two tool calls of one message bear the same id"));
        }
        Ok(Block::ToolUse { id: call, name, input })
    }

    fn on_result(&mut self, at: At, message: &Message<'a>) -> Result<(), Untranslatable> {
        let id = at.text(message.tool_call_id.ok_or_else(|| at.error(WRONG_TYPE))?)?;
        let tool_use_id = self.open.remove(&id).ok_or_else(|| at.error(RESULTS_FIRST))?;
        let mut content = Vec::new();
        if let Some(value) = message.content {
            read_content(at, value, Kinds::TextAndImages, &mut content)?;
        }
        self.push(Role::User, vec![Block::ToolResult { tool_use_id, content }]);
        Ok(())
    }

    fn push(&mut self, role: Role, mut blocks: Vec<Block<'a>>) {
        match self.turns.last_mut() {
            Some(turn) if turn.role == role => turn.content.append(&mut blocks),
            _ => self.turns.push(Turn { role, content: blocks }),
        }
    }

    fn check_end(&self, at: At) -> Result<(), Untranslatable> {
        if !self.open.is_empty() {
            return Err(at.error(RESULTS_FIRST));
        }
        let last =
            self.turns.last().ok_or_else(|| at.error("at Anthropic there must be a user's message"))?;
        match last.content.last() {
            // Cutting it off would change what follows: the continuation may begin with the same space once more.
            Some(Block::Text { text })
                if last.role == Role::Assistant && text.ends_with(char::is_whitespace) =>
            {
                Err(at.error("Anthropic continues no assistant's message that ends in white space"))
            }
            _ => Ok(()),
        }
    }
}

/// A call's arguments: JSON in a string.
fn arguments<'a>(at: At, text: &str) -> Result<Object<'a>, Untranslatable> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Object::Empty);
    }
    let raw = RawValue::from_string(text.to_owned()).ok().filter(|raw| raw.get().starts_with('{'));
    raw.map(Object::Owned).ok_or_else(|| at.error("a tool call's arguments are not a JSON object"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::dialect::{Untranslatable, chat_to_messages};

    fn translate(messages: &Value) -> Result<(Value, Value), Untranslatable> {
        let body = json!({"messages":messages}).to_string();
        let body: Value = serde_json::from_slice(&chat_to_messages(body.as_bytes(), "claude")?).unwrap();
        Ok((body["system"].clone(), body["messages"].clone()))
    }

    #[track_caller]
    fn becomes(messages: &Value, expected: &Value) {
        assert_eq!(&translate(messages).unwrap().1, expected);
    }

    /// Refused, for the message at this place.
    #[track_caller]
    fn refused(messages: &Value, index: Option<usize>) -> &'static str {
        let error = translate(messages).expect_err(&messages.to_string());
        assert_eq!((error.field, error.index), ("messages", index), "{messages} {error}");
        assert!(!error.to_string().contains("secret"));
        error.why
    }

    fn text(text: &str) -> Value {
        json!({"type":"text","text":text})
    }

    fn call(id: &str, arguments: &str) -> Value {
        json!({"id":id,"type":"function","function":{"name":"f","arguments":arguments}})
    }

    #[test]
    fn instructions_go_to_the_top_wherever_they_stand() {
        let (system, messages) = translate(&json!([
            {"role":"system","content":"a"},
            {"role":"user","content":"hi"},
            {"role":"developer","content":[text("b"), text(" ")]},
            {"role":"assistant","content":"ho"},
            {"role":"system","content":""},
            {"role":"user","content":"he"},
        ]))
        .unwrap();
        assert_eq!(system, json!([text("a"), text("b")]));
        assert_eq!(
            messages,
            json!([{"role":"user","content":[text("hi")]},{"role":"assistant","content":[text("ho")]},
                {"role":"user","content":[text("he")]}])
        );
    }

    #[test]
    fn messages_of_one_role_in_a_row_are_one_turn() {
        becomes(
            &json!([
                {"role":"user","content":"a"},
                {"role":"user","content":[text("b"), text("\n"), text("c")]},
                {"role":"assistant","content":null},
                {"role":"user","content":"d"},
                {"role":"assistant","content":"e","refusal":null,"annotations":[],"audio":null,"reasoning_content":"hm"},
                {"role":"assistant","content":[text("f"),{"type":"refusal","refusal":"g"}],"refusal":"h"},
            ]),
            &json!([
                {"role":"user","content":[text("a"), text("b"), text("c"), text("d")]},
                {"role":"assistant","content":[text("e"), text("f"), text("g"), text("h")]},
            ]),
        );
    }

    #[test]
    fn calls_and_results_are_paired_by_numbers_of_the_request() {
        let result =
            |id: &str, content: Value| json!({"role":"tool","tool_call_id":id,"name":"f","content":content});
        becomes(
            &json!([
                {"role":"user","content":"q"},
                {"role":"assistant","content":"let me see","tool_calls":[call("functions.f:0", "{\"a\": [1]}"), call("", "")]},
                result("", json!([text("two"), text("")])),
                {"role":"system","content":"between"},
                result("functions.f:0", json!("")),
                {"role":"user","content":"and?"},
                {"role":"assistant","tool_calls":[call("functions.f:0", " {} ")]},
                result("functions.f:0", json!("one")),
            ]),
            &json!([
                {"role":"user","content":[text("q")]},
                {"role":"assistant","content":[text("let me see"),
                    {"type":"tool_use","id":"call_0","name":"f","input":{"a":[1]}},
                    {"type":"tool_use","id":"call_1","name":"f","input":{}}]},
                {"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1","content":[text("two")]},
                    {"type":"tool_result","tool_use_id":"call_0"}, text("and?")]},
                {"role":"assistant","content":[{"type":"tool_use","id":"call_2","name":"f","input":{}}]},
                {"role":"user","content":[{"type":"tool_result","tool_use_id":"call_2","content":[text("one")]}]},
            ]),
        );
    }

    #[test]
    fn results_that_do_not_follow_their_calls_are_refused() {
        let user = json!({"role":"user","content":"q"});
        let calls = json!({"role":"assistant","tool_calls":[call("a", "{}"), call("b", "{}")]});
        let result = |id: &str| json!({"role":"tool","tool_call_id":id,"content":"r"});
        refused(&json!([user, result("a")]), Some(1));
        refused(&json!([user, calls]), None);
        refused(&json!([user, calls, result("a")]), None);
        refused(&json!([user, calls, result("a"), user]), Some(3));
        refused(&json!([user, calls, result("a"), calls]), Some(3));
        refused(&json!([user, calls, result("a"), result("a")]), Some(3));
        refused(&json!([user, calls, result("secret")]), Some(2));
        refused(
            &json!([user, {"role":"assistant","tool_calls":[call("a", "{}"), call("a", "{}")]}]),
            Some(1),
        );
        for arguments in ["secret", "[1]", "{", "{}{}"] {
            refused(&json!([user, {"role":"assistant","tool_calls":[call("a", arguments)]}]), Some(1));
        }
    }

    #[test]
    fn an_assistants_last_message_is_what_its_answer_begins_with() {
        let user = json!({"role":"user","content":"q"});
        becomes(
            &json!([user, {"role":"assistant","content":"It is"}]),
            &json!([{"role":"user","content":[text("q")]},{"role":"assistant","content":[text("It is")]}]),
        );
        refused(&json!([user, {"role":"assistant","content":"It is "}]), None);
        // One that says nothing begins nothing.
        becomes(
            &json!([user, {"role":"assistant","content":" "}]),
            &json!([{"role":"user","content":[text("q")]}]),
        );
    }

    #[test]
    fn images_and_files_are_said_with_their_source() {
        let image = |url: &str| json!({"type":"image_url","image_url":{"url":url,"detail":"low"}});
        let file = |file: Value| json!({"type":"file","file":file});
        let content = json!([
            image("https://x/y.png"),
            image("DATA:image/PNG;name=a;BASE64,AA=="),
            file(json!({"file_data":"data:application/pdf;base64,JVBE","filename":"a.pdf"})),
            text("what?"),
        ]);
        becomes(
            &json!([{"role":"user","content":content}]),
            &json!([{"role":"user","content":[
                {"type":"image","source":{"type":"url","url":"https://x/y.png"}},
                {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}},
                {"type":"document","title":"a.pdf","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"}},
                text("what?"),
            ]}]),
        );
        for wrong in [
            image("http://x/y.png"),
            image("secret"),
            image("data:image/png,secret"),
            image("data:image/png;base64,"),
            image("data:image/tiff;base64,AA=="),
            json!({"type":"image_url"}),
            json!({"type":"image_url","image_url":{"url":"https://x","later":"secret"}}),
            file(json!({"file_id":"secret"})),
            file(json!({"file_data":"JVBE","filename":"a.pdf"})),
            file(json!({"file_data":"data:text/plain;base64,AA=="})),
            json!({"type":"input_audio","input_audio":{"data":"secret","format":"wav"}}),
            json!({"type":"refusal","refusal":"secret"}),
            json!({"type":"later","later":"secret"}),
            json!({"type":"text","text":"a","later":"secret"}),
            json!({"text":"secret"}),
        ] {
            refused(&json!([{"role":"user","content":[wrong]}]), Some(0));
        }
    }

    #[test]
    fn a_result_may_show_images_and_other_roles_only_speak() {
        let image = json!({"type":"image_url","image_url":{"url":"https://x/y.png"}});
        let start =
            json!([{"role":"user","content":"q"},{"role":"assistant","tool_calls":[call("a", "{}")]}]);
        let with = |last: Value| json!([start[0], start[1], last]);
        becomes(
            &with(json!({"role":"tool","tool_call_id":"a","content":[image]})),
            &json!([{"role":"user","content":[text("q")]},
                {"role":"assistant","content":[{"type":"tool_use","id":"call_0","name":"f","input":{}}]},
                {"role":"user","content":[{"type":"tool_result","tool_use_id":"call_0",
                    "content":[{"type":"image","source":{"type":"url","url":"https://x/y.png"}}]}]}]),
        );
        refused(&json!([{"role":"system","content":[image]}]), Some(0));
        refused(&json!([start[0], {"role":"assistant","content":[image]}]), Some(1));
    }

    #[test]
    fn what_has_no_place_in_a_conversation_is_refused() {
        for wrong in [
            json!({"role":"assistant","content":"I open"}),
            json!({"role":"user","content":""}),
            json!({"role":"user","content":[]}),
            json!({"role":"user","content":null}),
            json!({"role":"user"}),
            json!({"role":"user","content":7}),
            json!({"role":"user","content":"a","name":"secret"}),
            json!({"role":"user","content":"a","tool_calls":[{}]}),
            json!({"role":"user","content":"a","later":"secret"}),
            json!({"role":"system"}),
            json!({"role":"function","name":"f","content":"secret"}),
            json!({"role":"secret","content":"a"}),
            json!({"content":"a"}),
            json!("secret"),
        ] {
            refused(&json!([wrong]), Some(0));
        }
        let user = json!({"role":"user","content":"q"});
        for wrong in [
            json!({"role":"assistant","audio":{"id":"secret"}}),
            json!({"role":"assistant","function_call":{"name":"secret"}}),
            json!({"role":"assistant","tool_calls":[{"id":"a","type":"custom","custom":{}}]}),
            json!({"role":"assistant","tool_calls":[{"id":"a","function":{"name":"a b"}}]}),
            json!({"role":"assistant","tool_calls":[{"type":"function"}]}),
            json!({"role":"tool","content":"secret"}),
        ] {
            refused(&json!([user, wrong]), Some(1));
        }
        refused(&json!([]), None);
        refused(&json!([{"role":"system","content":"alone"}]), None);
    }
}
