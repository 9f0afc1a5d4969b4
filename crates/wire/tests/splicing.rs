//! Rules of mending: a chunk written anew says the same, and a request that goes on is the same but for its last message.

#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails, as it should")]

use std::hint::black_box;

use outrigger_wire::{Api, GoOn, Identity, Rewrite, Usage, continue_chat, read_delta, read_frame};
use proptest::{collection::vec, prelude::*, sample::Index, test_runner::FileFailurePersistence};
use serde_json::{Value, json};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 512,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

/// Texts with what JSON escapes and what takes several bytes.
fn text() -> impl Strategy<Value = String> {
    vec(prop_oneof![4 => "[a-c ]{0,4}", 1 => "[\n\"\\\\\u{0}é😀\u{2028}]{1,2}"], 0..12)
        .prop_map(|pieces| pieces.concat())
}

/// JSON of any form, with numbers that a tree of floats would spoil.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn written(value: &Value, pretty: bool) -> Vec<u8> {
    let text = if pretty { format!("{value:#}") } else { value.to_string() };
    text.into_bytes()
}

/// Cuts a text between any two of its characters.
fn pieces(text: &str, cuts: &[Index]) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(chars.len() + 1)).collect();
    ends.push(chars.len());
    ends.sort_unstable();
    let mut from = 0;
    ends.into_iter().map(|end| chars[std::mem::replace(&mut from, end)..end].iter().collect()).collect()
}

proptest! {
    #![proptest_config(config())]

    /// **A chunk written anew says the same.** Whatever stands in it beside its identity, its role and the text that was given
    /// is there afterwards, in one frame, with the text cut where it was asked for. Fails if a field is lost or changed, or if
    /// a line's end within the JSON ends the frame.
    #[test]
    fn a_rewritten_chunk_keeps_all_that_is_not_replaced(
        text in text(), given in any::<Index>(), extra in json(), beside in json(), pretty in any::<bool>(),
    ) {
        let chars: Vec<char> = text.chars().collect();
        let given: usize = chars.iter().take(given.index(chars.len() + 1)).map(|char| char.len_utf8()).sum();
        let chunk = json!({
            "id": "second", "model": extra, "system_fingerprint": extra,
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": text, "x": beside}, "finish_reason": null, "y": extra}],
        });
        let identity = Identity::of(br#"{"id":"first","created":7,"model":"m","choices":[]}"#).unwrap();
        let rewrite = Rewrite { identity: &identity, given, rescued: true, spent: Usage::default() };
        let frame = String::from_utf8(rewrite.frame(&written(&chunk, pretty)).unwrap()).unwrap();
        let data = frame.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap();
        prop_assert!(!data.contains(['\n', '\r']), "{data}");
        let expected = json!({
            "id": "first", "created": 7, "model": "m", "rescued": true, "system_fingerprint": extra,
            "choices": [{"index": 0, "delta": {"content": &text[given..], "x": beside}, "finish_reason": null, "y": extra}],
        });
        prop_assert_eq!(serde_json::from_str::<Value>(data).unwrap(), expected);
    }

    /// **A text is the same in any chunks.** The deltas of a text, cut anywhere, put together are the text. Fails if an escape is
    /// read wrongly or an empty delta is taken for something else.
    #[test]
    fn deltas_put_together_are_the_text(text in text(), cuts in vec(any::<Index>(), 0..12)) {
        let mut heard = String::new();
        for piece in pieces(&text, &cuts) {
            let data = json!({"choices": [{"index": 0, "delta": {"content": piece}}]}).to_string();
            let delta = read_delta(data.as_bytes());
            prop_assert!(delta.plain);
            heard.push_str(&delta.text);
        }
        prop_assert_eq!(heard, text);
    }

    /// **The short way says what the long way says.** Of chunks of the usual shape and of its neighbours, whatever stands beside the
    /// choice, the text is serde's, and what is plain holds nothing else. Fails if another `choices`, a field beside the text or
    /// an escape is overlooked.
    #[test]
    fn the_usual_shape_is_read_as_any_other(
        text in text(), extra in json(), name in prop::sample::select(vec!["id", "x", r#"a,"choices"#, "choices"]), other in prop::option::of("(refusal|x|content)"),
        finish in prop::option::of("stop"), with_logprobs in any::<bool>(), more in any::<bool>(), nested in any::<bool>(),
    ) {
        let mut delta = format!(r#""content":{}"#, Value::from(text));
        if let Some(other) = &other {
            delta.push_str(&format!(r#","{other}":{extra}"#));
        }
        let logprobs = if with_logprobs { r#""logprobs":null,"# } else { "" };
        let choice = format!(r#"{{"index":0,"delta":{{{delta}}},{logprobs}"finish_reason":{}}}"#, json!(finish));
        let choices = if more { format!("{choice},{choice}") } else { choice };
        let chunk = format!(r#"{{{}:{extra},"choices":[{choices}],"z":{extra}}}"#, Value::from(name));
        let data = if nested { format!(r#"{{"y":{chunk},"choices":[]}}"#) } else { chunk };
        let facts = read_frame(Api::Chat, None, data.as_bytes());
        // What names its choices or its text twice is no chunk.
        if facts.malformed {
            return Ok(());
        }
        let delta = read_delta(data.as_bytes());
        let judged: Value = serde_json::from_str(&data).unwrap();
        let said = judged["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
        prop_assert_eq!(&*delta.text, said, "{}", data);
        let filled = |value: &Value| !matches!(value, Value::Null) && *value != json!("") && *value != json!([]) && *value != json!({});
        let beside = other.is_some() && !nested && filled(&extra);
        prop_assert_eq!(delta.plain, nested || !(more || beside), "{}", data);
    }

    /// **A request that goes on is the same request.** It parses, ends with an assistant's message that begins with what was
    /// said, and is otherwise byte for byte what the caller sent. Fails if the bracket is sought in the text instead of in the
    /// JSON, or if what the caller began is overwritten.
    #[test]
    fn a_continued_request_equals_the_original_save_for_its_last_message(
        turns in vec((prop::sample::select(vec!["user", "assistant", "system"]), text()), 0..5),
        said in text(), words in any::<bool>(), extra in json(), pretty in any::<bool>(), limit in prop::option::of(0_u64..100), used in 0_u64..100,
    ) {
        let messages: Vec<Value> =
            turns.iter().map(|(role, content)| json!({"role": role, "content": content, "name": extra})).collect();
        let mut body = json!({"model": "m", "a": extra, "messages": messages, "z": extra});
        if let Some(limit) = limit {
            body["max_tokens"] = limit.into();
        }
        let go_on = if words { GoOn::Words } else { GoOn::Message };
        let said = said + "!";
        let continued = continue_chat(&written(&body, pretty), &format!("{said}\n "), used, go_on).unwrap();
        let mut expected = body;
        let messages = expected["messages"].as_array_mut().unwrap();
        match messages.last_mut().filter(|last| last["role"] == "assistant") {
            Some(last) => last["content"] = format!("{}{said}", last["content"].as_str().unwrap()).into(),
            None if words => messages.push(json!({"role": "assistant", "content": said, "prefix": true})),
            None => messages.push(json!({"role": "assistant", "content": said})),
        }
        if let Some(limit) = limit {
            expected["max_tokens"] = limit.saturating_sub(used).max(1).into();
        }
        if words {
            expected["continue_final_message"] = true.into();
            expected["add_generation_prompt"] = false.into();
        }
        prop_assert_eq!(serde_json::from_slice::<Value>(&continued).unwrap(), expected);
    }

    /// **Nothing panics.** Chunks and bodies of any bytes, and of nearly the right ones, are read, rewritten or refused; what is
    /// rewritten is one frame that reads as a chunk again. Fails at the first index or slice that trusts its input.
    #[test]
    fn no_bytes_panic(
        bytes in vec(any::<u8>(), 0..128), edits in vec((any::<Index>(), any::<u8>()), 0..4), given in 0_usize..8,
    ) {
        const CHUNK: &[u8] = br#"{"id":"a","choices":[{"index":0,"delta":{"role":"assistant","content":"a\u00e9\n"},"logprobs":null}],"usage":{"prompt_tokens":3}}"#;
        const BODY: &[u8] = br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b\""}]}"#;
        for sound in [CHUNK, BODY] {
            let mut spoilt = sound.to_vec();
            for (at, byte) in &edits {
                let at = at.index(spoilt.len());
                spoilt[at] = *byte;
            }
            for data in [&spoilt, &bytes] {
                let identity = Identity::of(data).unwrap_or_default();
                let spent = Usage::new(u64::MAX, 1);
                if let Some(frame) = (Rewrite { identity: &identity, given, rescued: true, spent }).frame(data) {
                    let again = frame.strip_prefix(b"data: ").unwrap().strip_suffix(b"\n\n").unwrap();
                    prop_assert!(serde_json::from_slice::<Value>(again).is_ok());
                    prop_assert_eq!(read_frame(Api::Chat, None, again).malformed, read_frame(Api::Chat, None, data).malformed);
                }
                let delta = black_box(read_delta(data));
                let facts = read_frame(Api::Chat, None, data);
                // Of a chunk that is one, text is content, and plain content is text.
                prop_assert!(facts.malformed || delta.text.is_empty() || facts.content);
                prop_assert!(facts.malformed || !delta.plain || facts.content != delta.text.is_empty());
                if let Some(body) = continue_chat(data, "so far", 2, GoOn::Words) {
                    prop_assert!(serde_json::from_slice::<Value>(&body).is_ok());
                }
            }
        }
    }
}
