//! Rules of chat requests that are translated into Anthropic's form: what is accepted keeps Anthropic's rules, and loses nothing.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;

use outrigger_wire::{Untranslatable, chat_is_translatable, chat_to_messages};
use proptest::{collection::vec, prelude::*, sample::Index, test_runner::FileFailurePersistence};
use serde_json::{Value, json};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 512,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

/// Texts with and without anything to see.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![6 => "[a-z]{1,5}( [a-z\"\\\\é🚣]{1,4})?", 1 => "[ \\n\\t\u{a0}]{0,3}", 1 => "[a-z]{1,3}\\n"]
}

fn content() -> impl Strategy<Value = Value> {
    let part = prop_oneof![
        4 => text().prop_map(|text| json!({"type":"text","text":text})),
        1 => Just(json!({"type":"image_url","image_url":{"url":"https://x/y.png"}})),
        1 => Just(json!({"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}})),
    ];
    prop_oneof![3 => text().prop_map(Value::from), 2 => vec(part, 0..4).prop_map(Value::from), 1 => Just(Value::Null)]
}

/// Messages as callers send them, with ids of every provider's making, some used twice. Most conversations are sound; with
/// `edits` messages are struck or come twice, so that some are not.
fn messages() -> impl Strategy<Value = Vec<Value>> {
    let ids = || prop::sample::select(vec!["call_a", "toolu_1", "functions.f:0", "", "b"]);
    let turn = prop_oneof![
        3 => content().prop_map(|content| vec![json!({"role":"user","content":content})]),
        2 => content().prop_map(|content| vec![json!({"role":"assistant","content":content})]),
        1 => text().prop_map(|text| vec![json!({"role":"system","content":text})]),
        1 => text().prop_map(|text| vec![json!({"role":"developer","content":[{"type":"text","text":text}]})]),
        3 => (vec((ids(), content()), 1..4), text()).prop_map(|(results, text)| {
            let calls: Vec<Value> = results
                .iter()
                .map(|(id, _)| json!({"id":id,"type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}))
                .collect();
            let mut turn = vec![json!({"role":"assistant","content":text,"tool_calls":calls})];
            turn.extend(results.into_iter().rev().map(|(id, content)| {
                json!({"role":"tool","tool_call_id":id,"content":content})
            }));
            turn
        }),
    ];
    (vec(turn, 0..6), vec((any::<Index>(), any::<bool>()), 0..3), any::<bool>()).prop_map(
        |(turns, edits, opened)| {
            let mut messages = turns.concat();
            if opened {
                messages.insert(0, json!({"role":"user","content":"hi"}));
            }
            for (place, twice) in edits {
                if messages.is_empty() {
                    break;
                }
                let at = place.index(messages.len());
                let message = messages.remove(at);
                if twice {
                    messages.insert(at, message.clone());
                    messages.insert(at, message);
                }
            }
            messages
        },
    )
}

fn translate(request: &Value) -> Result<Value, Untranslatable> {
    let body = chat_to_messages(request.to_string().as_bytes(), "claude")?;
    Ok(serde_json::from_slice(&body).unwrap())
}

/// Anthropic's rules for the messages of a request, as its API's errors state them; the first that is broken.
fn broken_rule(body: &Value) -> Option<String> {
    let messages = body["messages"].as_array()?;
    if body["max_tokens"].as_u64().is_none_or(|most| most == 0) {
        return Some("max_tokens must be at least 1".to_owned());
    }
    if messages.first().is_none_or(|message| message["role"] != "user") {
        return Some("the first message must be a user's".to_owned());
    }
    let mut open: BTreeSet<&str> = BTreeSet::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut last_role = "";
    for message in messages {
        let role = message["role"].as_str()?;
        if role == last_role {
            return Some("roles must alternate".to_owned());
        }
        last_role = role;
        let blocks = message["content"].as_array()?;
        if blocks.is_empty() {
            return Some("a message must have content".to_owned());
        }
        let mut results_over = false;
        for block in blocks {
            let kind = block["type"].as_str()?;
            if kind == "text" && block["text"].as_str()?.trim().is_empty() {
                return Some("text must be visible".to_owned());
            }
            let fits = match (role, kind) {
                ("assistant", "tool_use") => {
                    let id = block["id"].as_str()?;
                    let named = !id.is_empty()
                        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
                    named && seen.insert(id) && open.insert(id) && block["input"].is_object()
                }
                ("user", "tool_result") => !results_over && open.remove(block["tool_use_id"].as_str()?),
                ("assistant", "text") => open.is_empty(),
                ("user", "text" | "image") => open.is_empty(),
                _ => false,
            };
            results_over |= kind != "tool_result";
            if !fits {
                return Some(format!("a {role}'s message cannot hold this: {block}"));
            }
        }
        if role == "user" && !open.is_empty() {
            return Some("every call must have its result".to_owned());
        }
    }
    if !open.is_empty() {
        return Some("a call must not come last".to_owned());
    }
    let last = &messages[messages.len() - 1];
    let end = last["content"].as_array()?.last()?;
    if last["role"] == "assistant" && end["text"].as_str()?.ends_with(char::is_whitespace) {
        return Some("what is continued must not end in white space".to_owned());
    }
    None
}

/// Every visible text and every image of a content, in order.
fn told(content: &Value, into: &mut Vec<String>) {
    match content {
        Value::String(text) if !text.trim().is_empty() => into.push(text.clone()),
        Value::Array(parts) => {
            for part in parts {
                match part["type"].as_str() {
                    Some("text") => told(&part["text"], into),
                    Some("tool_result") => told(&part["content"], into),
                    Some("image" | "image_url") => into.push("an image".to_owned()),
                    Some("tool_use") => into.push(part["input"].to_string()),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// What a request's system messages tell, and what the others do.
fn told_by_caller(messages: &[Value]) -> (Vec<String>, Vec<String>) {
    let (mut system, mut rest) = (Vec::new(), Vec::new());
    for message in messages {
        let instructs = message["role"] == "system" || message["role"] == "developer";
        told(&message["content"], if instructs { &mut system } else { &mut rest });
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            rest.push(call["function"]["arguments"].as_str().unwrap().to_owned());
        }
    }
    (system, rest)
}

proptest! {
    #![proptest_config(config())]

    /// **What is accepted keeps Anthropic's rules.** Roles alternate, the user is first, every call has its result in the next
    /// turn, before anything else, and under an id of its own; texts are visible; a bound is set. Fails if turns are not merged,
    /// ids are taken over, results may be missing, or an empty text is kept.
    #[test]
    fn what_is_accepted_keeps_anthropics_rules(messages in messages(), most in prop::option::of(0_u64..3)) {
        if let Ok(body) = translate(&json!({"model":"m","messages":messages,"max_tokens":most})) {
            prop_assert_eq!(broken_rule(&body), None, "{}", body);
        }
    }

    /// **What is accepted is told.** Every visible text, image and call of the conversation is in the translated one, in its
    /// order, instructions apart. Fails if a merge drops a block, or a message that was not understood is skipped.
    #[test]
    fn what_is_accepted_is_told(messages in messages()) {
        if let Ok(body) = translate(&json!({"model":"m","messages":messages})) {
            let (mut system, mut rest) = (Vec::new(), Vec::new());
            told(&body["system"], &mut system);
            for message in body["messages"].as_array().unwrap() {
                told(&message["content"], &mut rest);
            }
            prop_assert_eq!((system, rest), told_by_caller(&messages));
        }
    }

    /// **A sound conversation is accepted.** Users and assistants with something to say, calls with all their results: nothing in
    /// it is refused. Fails if a rule is stricter than it says.
    #[test]
    fn a_sound_conversation_is_accepted(turns in vec((0_u8..4, "[a-z]{1,8}"), 0..8)) {
        let mut messages = vec![json!({"role":"user","content":"hi"})];
        for (kind, text) in turns {
            match kind {
                0 => messages.push(json!({"role":"user","content":text})),
                1 => messages.push(json!({"role":"assistant","content":text})),
                2 => messages.push(json!({"role":"system","content":text})),
                _ => messages.extend([
                    json!({"role":"assistant","content":null,"tool_calls":[
                        {"id":text,"type":"function","function":{"name":"f","arguments":"{}"}}]}),
                    json!({"role":"tool","tool_call_id":text,"content":""}),
                ]),
            }
        }
        let body = translate(&json!({"model":"m","messages":messages})).unwrap();
        prop_assert_eq!(broken_rule(&body), None, "{}", body);
    }

    /// **The question and the deed agree**, and a refusal repeats nothing of the request. Fails if one of the two reads a field that
    /// the other does not, or an error shows a value.
    #[test]
    fn the_question_and_the_deed_agree(
        messages in messages(),
        field in prop::sample::select(vec!["n", "logprobs", "stop", "user", "tools", "tool_choice", "response_format", "seed", "later"]),
        value in prop::sample::select(vec!["7", "1", "true", "\"qqqq\"", "[\"qqqq\"]", "{\"qqqq\":\"qqqq\"}", "null", "[]"]),
    ) {
        let mut request = json!({"model":"m","messages":messages});
        request[field] = serde_json::from_str(value).unwrap();
        let body = request.to_string();
        let asked = chat_is_translatable(body.as_bytes());
        let done = chat_to_messages(body.as_bytes(), "claude").map(|_| ());
        prop_assert_eq!(asked, done);
        if let Err(error) = asked {
            prop_assert!(!error.to_string().contains("qqqq"));
            prop_assert_ne!(error.why, "");
        }
    }
}
