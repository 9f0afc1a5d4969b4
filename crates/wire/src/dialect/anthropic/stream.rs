//! A stream of Anthropic's as a stream of chat chunks.
//!
//! Anthropic tells an answer as blocks that open, grow and close; OpenAI as deltas of one message. So the state is small: the
//! answer's name, which blocks are open, how many of them were tool calls, and the tokens so far. An event gives no, one or two
//! frames, at once: nothing is held back but what OpenAI says last, usage and `[DONE]`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    answer::{Block, text},
    chat::{CallDelta, Chunk, ChunkChoice, Delta, FunctionDelta, Tokens, Unreadable, finish_reason},
    error::append_error_frame,
    json,
};
use crate::loose::Text;

/// Blocks that may be open at once. Anthropic closes each before it opens the next.
const MAX_OPEN: usize = 16;

/// The longest id and model's name that are repeated in every frame, in bytes.
const MAX_NAME: usize = 256;

/// Translates a stream of Anthropic's, event by event, into OpenAI's frames.
///
/// Inputs are [`on_event`](Self::on_event) and, where the stream ends without its last event, [`finish`](Self::finish).
///
/// Invariant: what is held is bounded by a few names and one event.
#[derive(Debug)]
pub struct ChatFromMessages {
    created: u64,
    include_usage: bool,
    id: String,
    model: String,
    state: State,
    open: BTreeMap<u64, Open>,
    calls: u64,
    tokens: Option<Tokens>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No `message_start` yet.
    New,
    Running,
    /// The reason to stop is told.
    Finished,
    /// `[DONE]` is told, or an error.
    Ended,
}

/// An open block.
#[derive(Debug)]
enum Open {
    Text,
    Thinking,
    Call {
        index: u64,
        /// The arguments that the block opened with, until others come.
        input: Option<Box<str>>,
    },
    Other,
}

/// An event. Its fields stay raw until its kind is known: another kind's may be of other types.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

impl Event<'_> {
    /// The number of the block that it speaks of.
    fn block(&self) -> Option<u64> {
        serde_json::from_str(self.index?.get()).ok()
    }
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BlockDelta<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    partial_json: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct MessageDelta<'a> {
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
}

impl ChatFromMessages {
    /// A stream of which nothing has come yet. `created` is the time in seconds since 1970 that every frame bears;
    /// `include_usage` is the caller's `stream_options.include_usage`.
    #[must_use]
    pub const fn new(created: u64, include_usage: bool) -> Self {
        Self {
            created,
            include_usage,
            id: String::new(),
            model: String::new(),
            state: State::New,
            open: BTreeMap::new(),
            calls: 0,
            tokens: None,
        }
    }

    /// Takes the stream's next event, its name and its data, and appends the frames that it gives to `out`: whole ones, or none.
    ///
    /// The data says what an event is; the name only repeats it. An error of Anthropic's is a frame with OpenAI's error in it
    /// and ends the stream. Events that are not known, as later versions may bring, are skipped, and so is all that follows the end.
    ///
    /// # Errors
    /// [`Unreadable`] when the event is none of such a stream, or none that can come here. Nothing has been appended then.
    pub fn on_event(
        &mut self,
        _event: Option<&str>,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        if self.state == State::Ended {
            return Ok(());
        }
        let event: Event<'_> = object(data)?;
        match (&*event.kind.0, self.state) {
            ("ping", _) => Ok(()),
            ("error", _) => {
                self.state = State::Ended;
                append_error_frame(out, data);
                Ok(())
            }
            ("message_start", State::New) => self.on_start(&event, out),
            ("content_block_start", State::Running) => self.on_block(&event, out),
            ("content_block_delta", State::Running) => self.on_delta(&event, out),
            ("content_block_stop", State::Running) => self.on_block_end(&event, out),
            ("message_delta", State::Running | State::Finished) => self.on_message_delta(&event, out),
            ("message_stop", State::Finished) => {
                self.finish(out);
                Ok(())
            }
            (
                "message_start"
                | "content_block_start"
                | "content_block_delta"
                | "content_block_stop"
                | "message_delta"
                | "message_stop",
                _,
            ) => Err(Unreadable::new("an event came out of its order")),
            _ => Ok(()),
        }
    }

    /// What a stream that told its reason to stop still owes: usage, where it was asked for, and `[DONE]`. Nothing otherwise,
    /// and nothing the second time.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.state != State::Finished {
            return;
        }
        self.state = State::Ended;
        if self.include_usage
            && let Some(tokens) = &self.tokens
        {
            let usage = Some(tokens.usage());
            json::append_frame(out, &Chunk { usage: Some(usage), ..self.chunk(&[]) });
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn on_start(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let start: Start<'_> = nested(event.message)?;
        let name = |text: Option<Text<'_>>| {
            let mut name = text.map_or_else(String::new, |text| text.0.into_owned());
            name.truncate(name.floor_char_boundary(MAX_NAME));
            name
        };
        self.count(start.usage)?;
        self.id = name(start.id);
        self.model = name(start.model);
        self.state = State::Running;
        self.tell(out, Delta { role: Some("assistant"), content: Some(""), ..Delta::default() }, None);
        Ok(())
    }

    fn on_block(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let at = event.block().ok_or(Unreadable::new("a block has no index"))?;
        let block: Block<'_> = nested(event.content_block)?;
        if self.open.contains_key(&at) || self.open.len() == MAX_OPEN {
            return Err(Unreadable::new("a block is opened twice, or too many are open"));
        }
        let lacks = Unreadable::new("a block lacks a field");
        let open = match &*block.kind.0 {
            "text" => {
                let text = text(block.text).ok_or(lacks)?;
                self.tell_text(&text, out);
                Open::Text
            }
            "thinking" => {
                let thinking = text(block.thinking).ok_or(lacks)?;
                self.tell_thinking(&thinking, out);
                Open::Thinking
            }
            "tool_use" => {
                let (id, name) = text(block.id).zip(text(block.name)).ok_or(lacks)?;
                let input = block.input.filter(|input| input.get().starts_with('{')).ok_or(lacks)?;
                let index = self.calls;
                self.calls += 1;
                let function = FunctionDelta { name: Some(&name), arguments: "" };
                self.tell_call(CallDelta { index, id: Some(&id), kind: Some("function"), function }, out);
                Open::Call { index, input: Some(input.get().into()) }
            }
            _ => Open::Other,
        };
        self.open.insert(at, open);
        Ok(())
    }

    fn on_delta(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let delta: BlockDelta<'_> = nested(event.delta)?;
        let lacks = Unreadable::new("a delta lacks a field");
        let open = event.block().and_then(|at| self.open.get_mut(&at));
        match (&*delta.kind.0, open) {
            (_, None) => return Err(Unreadable::new("a delta belongs to no open block")),
            ("text_delta", Some(Open::Text)) => {
                self.tell_text(&text(delta.text).ok_or(lacks)?, out);
            }
            ("thinking_delta", Some(Open::Thinking)) => {
                self.tell_thinking(&text(delta.thinking).ok_or(lacks)?, out);
            }
            ("input_json_delta", Some(Open::Call { index, input })) => {
                let arguments = text(delta.partial_json).ok_or(lacks)?;
                if !arguments.is_empty() {
                    *input = None;
                    let index = *index;
                    self.tell_arguments(index, &arguments, out);
                }
            }
            ("text_delta" | "thinking_delta" | "input_json_delta", Some(Open::Other)) => {}
            ("text_delta" | "thinking_delta" | "input_json_delta", Some(_)) => {
                return Err(Unreadable::new("a delta is of another kind than its block"));
            }
            // Signatures, citations, and what later versions may bring.
            _ => {}
        }
        Ok(())
    }

    /// A call whose arguments did not come piece by piece has those that it opened with.
    fn on_block_end(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        match event.block().and_then(|at| self.open.remove(&at)) {
            None => return Err(Unreadable::new("a block ends that is not open")),
            Some(Open::Call { index, input: Some(input) }) => self.tell_arguments(index, &input, out),
            Some(Open::Call { .. } | Open::Text | Open::Thinking | Open::Other) => {}
        }
        Ok(())
    }

    fn on_message_delta(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let delta: MessageDelta<'_> = nested(event.delta)?;
        self.count(event.usage)?;
        let Some(reason) = delta.stop_reason else { return Ok(()) };
        if self.state == State::Finished {
            return Err(Unreadable::new("it stops twice"));
        }
        if !self.open.is_empty() {
            return Err(Unreadable::new("it stops within a block"));
        }
        self.state = State::Finished;
        self.tell(out, Delta::default(), Some(finish_reason(&reason.0)));
        Ok(())
    }

    fn count(&mut self, usage: Option<&RawValue>) -> Result<(), Unreadable> {
        if usage.is_some() {
            self.tokens.get_or_insert_default().update(&nested(usage)?);
        }
        Ok(())
    }

    fn tell_text(&self, text: &str, out: &mut Vec<u8>) {
        if !text.is_empty() {
            self.tell(out, Delta { content: Some(text), ..Delta::default() }, None);
        }
    }

    fn tell_thinking(&self, text: &str, out: &mut Vec<u8>) {
        if !text.is_empty() {
            self.tell(out, Delta { reasoning_content: Some(text), ..Delta::default() }, None);
        }
    }

    fn tell_arguments(&self, index: u64, arguments: &str, out: &mut Vec<u8>) {
        let function = FunctionDelta { name: None, arguments };
        self.tell_call(CallDelta { index, id: None, kind: None, function }, out);
    }

    fn tell_call(&self, call: CallDelta<'_>, out: &mut Vec<u8>) {
        self.tell(out, Delta { tool_calls: Some([call]), ..Delta::default() }, None);
    }

    fn tell(&self, out: &mut Vec<u8>, delta: Delta<'_>, finish_reason: Option<&'static str>) {
        let choice = ChunkChoice { index: 0, delta, logprobs: (), finish_reason };
        json::append_frame(out, &self.chunk(&[choice]));
    }

    fn chunk<'c>(&'c self, choices: &'c [ChunkChoice<'c>]) -> Chunk<'c> {
        Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices,
            usage: self.include_usage.then_some(None),
        }
    }
}

fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Unreadable> {
    // A list would be taken for an object's fields in order.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(Unreadable::new("an event is not a JSON object"));
    }
    serde_json::from_slice(json).map_err(|_| Unreadable::new("an event's field is of the wrong type"))
}

fn nested<'a, T: Deserialize<'a>>(json: Option<&'a RawValue>) -> Result<T, Unreadable> {
    object(json.map_or(&[][..], |json| json.get().as_bytes()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude","stop_reason":null,"usage":{"input_tokens":10,"cache_read_input_tokens":4,"output_tokens":1}}}"#;
    const END: [&str; 2] = [
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    const TEXT: [&str; 4] = [
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\nb"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
    ];

    /// The frames that events give: their data, `[DONE]` as a string.
    fn run(include_usage: bool, events: &[&str]) -> Vec<Value> {
        let mut stream = ChatFromMessages::new(7, include_usage);
        let mut out = Vec::new();
        for event in events {
            stream.on_event(None, event.as_bytes(), &mut out).unwrap();
        }
        let frames = String::from_utf8(out).unwrap();
        let frames = frames.split_terminator("\n\n").map(|frame| frame.strip_prefix("data: ").unwrap());
        frames.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data))).collect()
    }

    fn fails(events: &[&str]) -> bool {
        let mut stream = ChatFromMessages::new(7, true);
        let mut out = Vec::new();
        events.iter().any(|event| {
            let before = out.len();
            let failed = stream.on_event(None, event.as_bytes(), &mut out).is_err();
            assert!(!failed || out.len() == before, "a failure appends nothing");
            failed
        })
    }

    fn whole(events: &[&'static str]) -> Vec<&'static str> {
        [&[START], events, &END].concat()
    }

    #[test]
    fn text_comes_with_its_role_first_and_its_end_last() {
        let frames = run(false, &whole(&TEXT));
        let chunk = |delta: Value, finish: Value| {
            json!({"id":"msg_1","object":"chat.completion.chunk","created":7,"model":"claude",
                "choices":[{"index":0,"delta":delta,"logprobs":null,"finish_reason":finish}]})
        };
        assert_eq!(
            frames,
            [
                chunk(json!({"role":"assistant","content":""}), Value::Null),
                chunk(json!({"content":"a\nb"}), Value::Null),
                chunk(json!({}), json!("stop")),
                json!("[DONE]"),
            ]
        );
    }

    #[test]
    fn usage_comes_only_to_those_who_asked_and_in_a_frame_of_its_own() {
        let frames = run(true, &whole(&TEXT));
        assert!(frames[..3].iter().all(|frame| frame["usage"].is_null() && frame.get("usage").is_some()));
        assert_eq!(
            frames[3]["usage"],
            json!({"prompt_tokens":14,"completion_tokens":15,"total_tokens":29,
                "prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":0},
                "completion_tokens_details":{"reasoning_tokens":0}})
        );
        assert_eq!((&frames[3]["choices"], &frames[4]), (&json!([]), &json!("[DONE]")));
    }

    #[test]
    fn calls_are_counted_and_their_arguments_come_in_pieces_or_at_once() {
        let frames = run(
            false,
            &whole(&[
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"x"}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t1","name":"f","input":{}}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"1}"}}"#,
                r#"{"type":"content_block_stop","index":1}"#,
                r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t2","name":"g","input":{}}}"#,
                r#"{"type":"content_block_stop","index":2}"#,
            ]),
        );
        let deltas: Vec<&Value> =
            frames[1..frames.len() - 2].iter().map(|frame| &frame["choices"][0]["delta"]).collect();
        assert_eq!(deltas[0], &json!({"reasoning_content":"hm"}));
        let call = |index: u64, function: Value| json!({"tool_calls":[{"index":index,"function":function}]});
        let opens = |index: u64, id: &str, name: &str| json!({"tool_calls":[{"index":index,"id":id,"type":"function","function":{"name":name,"arguments":""}}]});
        assert_eq!(deltas[1], &opens(0, "t1", "f"));
        assert_eq!(deltas[2], &call(0, json!({"arguments":"{\"a\":"})));
        assert_eq!(deltas[3], &call(0, json!({"arguments":"1}"})));
        assert_eq!(deltas[4], &opens(1, "t2", "g"));
        assert_eq!(deltas[5], &call(1, json!({"arguments":"{}"})));
        assert_eq!(deltas.len(), 6);
    }

    #[test]
    fn an_error_is_openais_and_ends_the_stream() {
        let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
        let frames = run(true, &[START, TEXT[0], TEXT[2], error, END[1], "nonsense"]);
        assert_eq!(
            frames.last().unwrap(),
            &json!({"error":{"message":"Overloaded","type":"overloaded_error","param":null,"code":null}})
        );
        assert_eq!(frames.len(), 3);
    }

    #[test]
    fn what_is_not_known_yet_is_skipped() {
        let later = [
            r#"{"type":"weather","index":"north","usage":7}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"picture","text":7}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"stroke"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
        ];
        assert_eq!(run(false, &whole(&later)).len(), 3);
    }

    #[test]
    fn what_comes_out_of_order_is_an_error() {
        assert!(fails(&[TEXT[0]]), "a block before the start");
        assert!(fails(&[START, START]), "two starts");
        assert!(fails(&[START, TEXT[2]]), "a delta without its block");
        assert!(fails(&[START, TEXT[3]]), "an end without its block");
        assert!(fails(&[START, TEXT[0], TEXT[0]]), "a block twice");
        assert!(fails(&[START, TEXT[0], END[0]]), "an end within a block");
        assert!(fails(&[START, END[1]]), "a stop without a reason");
        assert!(fails(&[START, END[0], END[0]]), "two reasons");
        assert!(fails(&[START, END[0], TEXT[0]]), "content after the reason");
        let thinking =
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"x"}}"#;
        assert!(fails(&[START, TEXT[0], thinking]), "a delta of another kind");
        for wrong in ["", "[]", "7", "{}", r#"{"type":7}"#, r#"["ping"]"#, r#"{"type":"message_start"}"#] {
            assert!(fails(&[wrong]), "{wrong}");
        }
        assert!(!fails(&whole(&TEXT)));
    }

    #[test]
    fn a_stream_that_told_its_reason_can_be_finished_without_its_last_event() {
        let mut stream = ChatFromMessages::new(7, true);
        let mut out = Vec::new();
        stream.finish(&mut out);
        assert!(out.is_empty(), "nothing is owed before the reason");
        for event in [START, END[0]] {
            stream.on_event(None, event.as_bytes(), &mut out).unwrap();
        }
        out.clear();
        stream.finish(&mut out);
        let told = String::from_utf8(out.clone()).unwrap();
        assert!(told.contains("\"total_tokens\":29") && told.ends_with("data: [DONE]\n\n"));
        stream.finish(&mut out);
        assert_eq!(told.len(), out.len());
    }

    #[test]
    fn a_long_name_is_not_repeated_in_every_frame() {
        let start = format!(r#"{{"type":"message_start","message":{{"id":"{}"}}}}"#, "é".repeat(1 << 16));
        let frames = run(false, &[&start]);
        assert_eq!(frames[0]["id"].as_str().unwrap().len(), MAX_NAME);
    }
}
