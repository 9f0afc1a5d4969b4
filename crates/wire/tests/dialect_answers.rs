//! Rules of answers that are translated from Anthropic's form into OpenAI's: a stream says what the plain answer says.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use outrigger_wire::{
    ChatFromMessages, SseEvent, SseFramer, chat_to_messages, error_to_chat, messages_to_chat,
};
use proptest::{collection::vec, prelude::*, sample::Index, test_runner::FileFailurePersistence};
use serde_json::{Map, Value, json};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 512,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

/// A block of an answer, as the plain form has it.
fn block() -> impl Strategy<Value = Value> {
    let text = || "[a-z \\n\"\\\\é🚣]{0,12}";
    let input = proptest::collection::btree_map("[a-zé\"]{0,4}", leaf(), 0..4)
        .prop_map(|fields| fields.into_iter().collect::<Map<_, _>>());
    prop_oneof![
        4 => text().prop_map(|text| json!({"type":"text","text":text})),
        2 => text().prop_map(|text| json!({"type":"thinking","thinking":text,"signature":"s"})),
        3 => ("[a-z]{1,4}", "[a-z_]{1,6}", input)
            .prop_map(|(id, name, input)| json!({"type":"tool_use","id":id,"name":name,"input":input})),
        1 => Just(json!({"type":"redacted_thinking","data":"d"})),
        1 => Just(json!({"type":"server_tool_use","id":7,"text":{}})),
    ]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i32>().prop_map(Value::from),
        "[a-z\\n\"é]{0,6}".prop_map(Value::from),
        Just(Value::Null),
        Just(json!([{"deep":[1.5,true]}])),
    ]
}

/// How a stream tells an answer: where texts are cut, what comes in between, which counts are told when.
#[derive(Clone, Debug)]
struct Telling {
    cuts: Vec<Index>,
    between: Vec<u8>,
    /// Inputs of tools come with the block, not in pieces.
    at_once: bool,
    /// The last event tells only the output's tokens, as the API's documentation shows it; else all counts anew.
    short_usage: bool,
    include_usage: bool,
}

fn telling() -> impl Strategy<Value = Telling> {
    (vec(any::<Index>(), 0..4), vec(0_u8..12, 0..24), any::<[bool; 3]>()).prop_map(
        |(cuts, between, [at_once, short_usage, include_usage])| Telling {
            cuts,
            between,
            at_once,
            short_usage,
            include_usage,
        },
    )
}

impl Telling {
    /// A text in pieces, each a whole number of characters.
    fn pieces<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut places: Vec<usize> =
            self.cuts.iter().map(|cut| text.floor_char_boundary(cut.index(text.len() + 1))).collect();
        places.extend([0, text.len()]);
        places.sort_unstable();
        places.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
    }

    /// The events of an answer, with pings and events of later versions strewn in.
    fn events(&self, answer: &Value) -> Vec<Value> {
        let mut start = answer.clone();
        start["content"] = json!([]);
        start["stop_reason"] = Value::Null;
        start["usage"]["output_tokens"] = json!(1);
        let mut events = vec![json!({"type":"message_start","message":start})];
        for (index, block) in answer["content"].as_array().unwrap().iter().enumerate() {
            let mut opened = block.clone();
            let mut deltas = Vec::new();
            match block["type"].as_str().unwrap() {
                kind @ ("text" | "thinking") => {
                    opened[kind] = json!("");
                    for piece in self.pieces(block[kind].as_str().unwrap()) {
                        deltas.push(json!({"type":format!("{kind}_delta"),kind:piece}));
                    }
                    let aside = if kind == "text" { "citations_delta" } else { "signature_delta" };
                    deltas.push(json!({"type":aside,"signature":"s","citation":{}}));
                }
                "tool_use" if !self.at_once => {
                    opened["input"] = json!({});
                    let input = block["input"].to_string();
                    for piece in self.pieces(&input) {
                        deltas.push(json!({"type":"input_json_delta","partial_json":piece}));
                    }
                }
                _ => {}
            }
            events.push(json!({"type":"content_block_start","index":index,"content_block":opened}));
            events.extend(
                deltas
                    .into_iter()
                    .map(|delta| json!({"type":"content_block_delta","index":index,"delta":delta})),
            );
            events.push(json!({"type":"content_block_stop","index":index}));
        }
        let usage = if self.short_usage {
            json!({"output_tokens":answer["usage"]["output_tokens"]})
        } else {
            answer["usage"].clone()
        };
        events.push(
            json!({"type":"message_delta","usage":usage,"delta":{"stop_reason":answer["stop_reason"]}}),
        );
        events.push(json!({"type":"message_stop"}));
        for (place, what) in self.between.iter().enumerate() {
            let aside = match what {
                0 => json!({"type":"ping"}),
                1 => json!({"type":"weather","index":"north","delta":7,"usage":"x"}),
                _ => continue,
            };
            events.insert(place.min(events.len()), aside);
        }
        events
    }
}

/// The translated frames, through the framer as in life; each frame's data, and whether `[DONE]` came, last.
fn translate(events: &[Value], include_usage: bool) -> (Vec<Value>, bool) {
    let mut stream = ChatFromMessages::new(7, include_usage);
    let mut out = Vec::new();
    let sent: String = events
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
        .collect();
    let mut framer = SseFramer::new(1 << 20);
    let fed = framer.feed(sent.as_bytes(), |event| {
        if let SseEvent::Data { event, data } = event {
            stream.on_event(event, data, &mut out).unwrap();
        }
    });
    assert_eq!(fed.unwrap().complete, sent.len());
    let (mut frames, mut done) = (Vec::new(), false);
    let fed = SseFramer::new(1 << 20).feed(&out, |event| {
        if let SseEvent::Data { data, .. } = event {
            assert!(!done, "nothing follows the end");
            match data {
                b"[DONE]" => done = true,
                data => frames.push(serde_json::from_slice(data).unwrap()),
            }
        }
    });
    assert_eq!(fed.unwrap().complete, out.len(), "only whole frames");
    (frames, done)
}

/// The message that a reader of OpenAI's puts together from chunks: strings are joined, calls by their index.
fn gather(frames: &[Value]) -> Value {
    let mut whole = json!({"role":null,"content":"","reasoning_content":"","tool_calls":[],"finish_reason":null,"usage":null});
    let join = |into: &mut Value, text: &Value| {
        let joined = format!("{}{}", into.as_str().unwrap_or_default(), text.as_str().unwrap_or_default());
        *into = json!(joined);
    };
    for frame in frames {
        if !frame["usage"].is_null() {
            assert_eq!(frame["choices"], json!([]), "usage stands alone");
            whole["usage"] = frame["usage"].clone();
            continue;
        }
        let choice = &frame["choices"][0];
        assert!(whole["finish_reason"].is_null(), "nothing follows the reason");
        whole["finish_reason"] = choice["finish_reason"].clone();
        let delta = &choice["delta"];
        if !delta["role"].is_null() {
            assert!(whole["role"].is_null(), "the role comes once");
            whole["role"] = delta["role"].clone();
        }
        assert!(!whole["role"].is_null(), "the role comes first");
        join(&mut whole["content"], &delta["content"]);
        join(&mut whole["reasoning_content"], &delta["reasoning_content"]);
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            let calls = whole["tool_calls"].as_array_mut().unwrap();
            if index == calls.len() {
                calls.push(json!({"id":call["id"],"type":call["type"],
                    "function":{"name":call["function"]["name"],"arguments":""}}));
            }
            join(&mut calls[index]["function"]["arguments"], &call["function"]["arguments"]);
        }
    }
    whole
}

/// The same of a plain completion.
fn plain(answer: &Value) -> Value {
    let completion: Value =
        serde_json::from_slice(&messages_to_chat(answer.to_string().as_bytes(), 7).unwrap()).unwrap();
    let choice = &completion["choices"][0];
    let message = &choice["message"];
    let text = |field: &str| json!(message[field].as_str().unwrap_or_default());
    json!({"role":message["role"],"content":text("content"),"reasoning_content":text("reasoning_content"),
        "tool_calls":message.get("tool_calls").unwrap_or(&json!([])),
        "finish_reason":choice["finish_reason"],"usage":completion["usage"]})
}

fn answer() -> impl Strategy<Value = Value> {
    let reasons = ["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal", "pause_turn", "later"];
    (vec(block(), 0..5), prop::sample::select(reasons.to_vec()), any::<[u16; 5]>()).prop_map(
        |(content, reason, [input, read, written, output, thought])| {
            json!({"id":"msg_1","type":"message","role":"assistant","model":"claude","content":content,
                "stop_reason":reason,"stop_sequence":null,"usage":{"input_tokens":input,
                "cache_read_input_tokens":read,"cache_creation_input_tokens":written,"output_tokens":output,
                "output_tokens_details":{"thinking_tokens":thought}}})
        },
    )
}

proptest! {
    #![proptest_config(config())]

    /// **A stream says what the plain answer says**: texts, thoughts, calls, reason and usage, however it is cut and whatever
    /// comes in between. Fails if calls share an index, a call's input that came at once is lost or comes twice, a
    /// `message_delta` forgets the counts that it does not repeat, or a thought is told as text.
    #[test]
    fn a_stream_says_what_the_plain_answer_says(answer in answer(), telling in telling()) {
        let (frames, done) = translate(&telling.events(&answer), telling.include_usage);
        prop_assert!(done);
        prop_assert!(frames.iter().all(|frame| frame["id"] == "msg_1" && frame["model"] == "claude" && frame["created"] == 7));
        let (mut told, mut said) = (gather(&frames), plain(&answer));
        if !telling.include_usage {
            prop_assert!(frames.iter().all(|frame| frame.get("usage").is_none()));
            told["usage"] = Value::Null;
            said["usage"] = Value::Null;
        }
        prop_assert_eq!(told, said);
    }

    /// **A cut stream is never whole.** Up to its reason to stop, no beginning of a stream gives a reason, and none gives
    /// `[DONE]`, `finish` or not. Fails if `finish` does not ask whether the reason was told.
    #[test]
    fn a_cut_stream_is_never_whole(answer in answer(), telling in telling(), cut in any::<Index>()) {
        let events = telling.events(&answer);
        let reason = events.iter().position(|event| event["type"] == "message_delta").unwrap();
        let mut stream = ChatFromMessages::new(7, true);
        let mut out = Vec::new();
        for event in &events[..cut.index(reason + 1)] {
            stream.on_event(None, event.to_string().as_bytes(), &mut out).unwrap();
        }
        stream.finish(&mut out);
        let told = String::from_utf8(out).unwrap();
        prop_assert!(!told.contains("[DONE]"));
        prop_assert!(!told.contains("\"finish_reason\":\""));
    }

    /// **Whatever comes, what leaves is JSON.** Events struck, doubled, changed or made of garbage give whole frames of JSON or an
    /// error, and an error leaves nothing behind. Fails if a frame is written before the event is understood.
    #[test]
    fn whatever_comes_what_leaves_is_json(
        answer in answer(),
        telling in telling(),
        edits in vec((any::<Index>(), any::<Index>(), any::<u8>(), 0_u8..5), 0..6),
    ) {
        let mut events: Vec<Vec<u8>> =
            telling.events(&answer).iter().map(|event| event.to_string().into_bytes()).collect();
        for (event, place, byte, kind) in edits {
            if events.is_empty() {
                break;
            }
            let at = event.index(events.len());
            let mut event = events.remove(at);
            let place = place.index(event.len().max(1)).min(event.len());
            match kind {
                0 => continue,
                1 => events.insert(at, event.clone()),
                2 => event.truncate(place),
                3 => event.insert(place, byte),
                _ => event.splice(place..(place + 1).min(event.len()), [byte]).for_each(drop),
            }
            events.insert(at, event);
        }
        let mut stream = ChatFromMessages::new(7, telling.include_usage);
        let mut out = Vec::new();
        for event in &events {
            let before = out.len();
            if stream.on_event(Some("x"), event, &mut out).is_err() {
                prop_assert_eq!(out.len(), before);
            }
            check_json(messages_to_chat(event, 7).ok())?;
            check_json(Some(error_to_chat(event)))?;
            check_json(chat_to_messages(event, "m").ok())?;
        }
        stream.finish(&mut out);
        let told = std::str::from_utf8(&out).unwrap();
        for frame in told.split_terminator("\n\n") {
            let data = frame.strip_prefix("data: ").unwrap();
            prop_assert!(data == "[DONE]" || serde_json::from_str::<Value>(data).is_ok(), "{}", data);
        }
    }

    /// **Garbage is refused, and nothing more.** Fails on an index or a slice taken on trust.
    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..256)) {
        let mut out = Vec::new();
        let mut stream = ChatFromMessages::new(7, true);
        prop_assert!(stream.on_event(None, &bytes, &mut out).is_err());
        prop_assert!(messages_to_chat(&bytes, 7).is_err());
        prop_assert!(chat_to_messages(&bytes, "m").is_err());
        check_json(Some(error_to_chat(&bytes)))?;
    }
}

fn check_json(written: Option<Vec<u8>>) -> Result<(), TestCaseError> {
    let Some(written) = written else { return Ok(()) };
    prop_assert!(serde_json::from_slice::<Value>(&written).is_ok());
    Ok(())
}
