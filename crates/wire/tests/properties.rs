//! Rules that hold for all input: the framer against a naive parser, and every reader against garbage.

#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails, as it should")]

use std::{
    hint::black_box,
    time::{Duration, SystemTime},
};

use outrigger_wire::{
    AnswerFacts, Api, Class, FrameTooLong, Headroom, MAX_RESET, MAX_RETRY_AFTER, PriceTable, SseEvent,
    SseFramer, classify, read_answer, read_frame, retry_after, skim_request,
};
use proptest::{collection::vec, prelude::*, test_runner::FileFailurePersistence};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 512,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

/// An event, owned, to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Data(Option<String>, Vec<u8>),
    Comment,
}

impl From<SseEvent<'_>> for Event {
    fn from(event: SseEvent<'_>) -> Self {
        match event {
            SseEvent::Data { event, data } => Self::Data(event.map(str::to_owned), data.to_vec()),
            SseEvent::Comment => Self::Comment,
        }
    }
}

/// The naive parser: the whole stream as lines, each looked at once, everything copied. Beside the events it gives the length of
/// the part that holds no piece of an unfinished event.
fn model(stream: &[u8]) -> (Vec<Event>, usize) {
    let mut lines = Vec::new();
    let mut start = 0;
    while let Some(length) = stream[start..].iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        let end = start + length;
        let after = end + if stream[end..].starts_with(b"\r\n") { 2 } else { 1 };
        lines.push((&stream[start..end], after));
        start = after;
    }
    if let Some((first, _)) = lines.first_mut() {
        *first = first.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(first);
    }
    let (mut events, mut data, mut name) = (Vec::new(), Vec::<&[u8]>::new(), &[][..]);
    let (mut whole, mut begun) = (0, false);
    for (line, after) in lines {
        let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(at + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if line.is_empty() {
            if !data.is_empty() {
                let name = String::from_utf8(name.to_vec()).ok().filter(|name| !name.is_empty());
                events.push(Event::Data(name, data.join(&b'\n')));
            }
            (data, name, begun) = (Vec::new(), &[], false);
        } else if at == 0 {
            events.push(Event::Comment);
        } else {
            begun = true;
            match &line[..at] {
                b"data" => data.push(value),
                b"event" => name = value,
                _ => {}
            }
        }
        if !begun {
            whole = after;
        }
    }
    (events, whole)
}

/// Feeds a stream in the given pieces; the events, and how far it was whole after the last.
fn feed(framer: &mut SseFramer, pieces: &[&[u8]]) -> (Vec<Event>, Result<usize, FrameTooLong>) {
    let mut events = Vec::new();
    let (mut before, mut whole) = (0, 0);
    for piece in pieces {
        match framer.feed(piece, |event| events.push(event.into())) {
            Ok(fed) => {
                assert!(fed.complete <= piece.len());
                if fed.complete > 0 {
                    whole = before + fed.complete;
                }
            }
            Err(error) => return (events, Err(error)),
        }
        before += piece.len();
    }
    (events, Ok(whole))
}

fn cut<'s>(stream: &'s [u8], cuts: &[prop::sample::Index]) -> Vec<&'s [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

/// Streams made of what streams are made of, in any order.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let end = || prop::sample::select(vec!["\n", "\r", "\r\n"]);
    let line = prop::sample::select(vec![
        "data: y",
        "data:{\"x\": \"a longer value\"}",
        "data",
        "event: name",
        "event",
        "id: 7",
        "retry:1",
        ": comment",
        "",
        "",
        "\u{feff}data: marked",
    ]);
    let piece = prop_oneof![
        8 => (line, end()).prop_map(|(line, end)| [line, end].concat().into_bytes()),
        1 => prop::sample::select(vec!["data", ":", " ", "\u{feff}", "event"]).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..8),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(config())]

    /// **Chunks do not matter.** However a stream is cut, its events are those of the naive parser. Fails if the framer forgets
    /// that a `\r` ended the chunk before a `\n`, or loses a name that an earlier chunk brought.
    #[test]
    fn events_do_not_depend_on_chunks(stream in stream(), cuts in vec(any::<prop::sample::Index>(), 0..12)) {
        let (events, whole) = feed(&mut SseFramer::new(1 << 16), &cut(&stream, &cuts));
        prop_assert_eq!(events, model(&stream).0);
        prop_assert!(whole.is_ok());
    }

    /// **Whole frames are forwarded, and nothing else.** What the framer calls whole ends where the naive parser says that no event
    /// has begun. Fails if `complete` counts a line of an unfinished event, or keeps back the end of a finished one.
    #[test]
    fn complete_bytes_are_whole_frames(stream in stream(), cuts in vec(any::<prop::sample::Index>(), 0..12)) {
        let mut framer = SseFramer::new(1 << 16);
        let (_, whole) = feed(&mut framer, &cut(&stream, &cuts));
        let whole = whole.unwrap();
        prop_assert_eq!(whole, model(&stream).1);
        prop_assert_eq!(framer.is_at_boundary(), whole == stream.len());
    }

    /// **The bound does not depend on chunks either.** A frame is too long whole exactly when it is too long in pieces, and an
    /// error is final. Fails if the bound looks at the buffer and not at the frame.
    #[test]
    fn the_bound_does_not_depend_on_chunks(
        stream in stream(),
        limit in 0_usize..40,
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let (whole_events, whole) = feed(&mut SseFramer::new(limit), &[&stream]);
        let mut framer = SseFramer::new(limit);
        let (events, pieces) = feed(&mut framer, &cut(&stream, &cuts));
        prop_assert_eq!(events, whole_events);
        prop_assert_eq!(pieces.is_err(), whole.is_err());
        if pieces.is_err() {
            prop_assert!(framer.feed(b"\n\n", |_| ()).is_err());
        }
    }

    /// **Garbage is only malformed.** No bytes make a reader panic, and no error lacks a class. Fails on an index or a slice taken
    /// on trust.
    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..256), status in any::<u16>(), header in ".{0,40}") {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let lookup = |_: &str| Some(header.as_str());
        let failure = classify(status, lookup, &bytes, wall);
        prop_assert!(failure.retry_after.is_none_or(|wait| wait <= MAX_RETRY_AFTER || (failure.class == Class::QuotaSpent && wait <= MAX_RESET)));
        prop_assert!(failure.code.is_none_or(|code| code.len() <= 64));
        black_box(Headroom::read(lookup, wall));
        black_box(PriceTable::builtin().price(&header, wall));
        drop(black_box(PriceTable::parse(&header)));
        for api in Api::ALL {
            black_box(read_answer(api, &bytes).failure());
            black_box(read_frame(api, Some(&header), &bytes));
            if let Err(error) = skim_request(api, &bytes) {
                prop_assert!(error.offset <= bytes.len() && error.line >= 1 && error.column >= 1);
            }
        }
    }

    /// **Near-JSON is no worse.** The same for texts that almost are what is expected: a valid body with bytes struck out,
    /// doubled or changed. Fails where a parsed field's place in the body is computed wrongly.
    #[test]
    fn no_nearly_valid_body_panics(edits in vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 0..6), which in 0_usize..BODIES.len()) {
        let mut bytes = BODIES[which].as_bytes().to_vec();
        for (place, byte, kind) in edits {
            let place = place.index(bytes.len());
            match kind {
                0 => { bytes.remove(place); }
                1 => bytes.insert(place, byte),
                _ => bytes[place] = byte,
            }
        }
        for api in Api::ALL {
            if let Ok(facts) = skim_request(api, &bytes) {
                let name: String = serde_json::from_slice(&bytes[facts.model_range]).unwrap();
                prop_assert_eq!(name, facts.model);
                prop_assert_eq!(bytes[facts.insert_at - 1], b'{');
            }
            black_box(read_frame(api, None, &bytes));
            black_box(read_answer(api, &bytes));
        }
        black_box(classify(400, |_| None, &bytes, SystemTime::UNIX_EPOCH));
    }

    /// **A wait is within its cap.** Whatever the header and the clock say. Fails if a date far away is not capped.
    #[test]
    fn a_wait_is_within_its_cap(
        value in "[0-9.:TZGMTJanWed, +-]{0,32}|[0-9]{1,30}(ms|s|m|h)?",
        wall in 0_u64..1 << 40,
        cap in 0_u64..1_000,
    ) {
        let cap = Duration::from_secs(cap);
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(wall);
        let wait = retry_after(429, |_| Some(value.as_str()), wall, cap);
        prop_assert!(wait.is_none_or(|wait| wait <= cap));
    }

    /// **A stream and a plain answer are judged alike.** The pieces of an answer, absorbed one by one, give the facts of the
    /// whole. Fails if `absorb` takes an early nothing over a later something.
    #[test]
    fn a_stream_is_judged_as_a_plain_answer(texts in vec("[a-z]{0,3}", 0..6), finish in prop::option::of("stop|length"), tokens in 0_u64..9, usage_at in any::<prop::sample::Index>()) {
        let usage = format!(r#"{{"prompt_tokens":3,"completion_tokens":{tokens}}}"#);
        let reason = finish.as_ref().map_or_else(|| "null".to_owned(), |reason| format!("\"{reason}\""));
        let plain = format!(
            r#"{{"choices":[{{"message":{{"role":"assistant","content":"{}"}},"finish_reason":{reason}}}],"usage":{usage}}}"#,
            texts.concat()
        );
        let mut frames: Vec<String> =
            texts.iter().map(|text| format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}}}}]}}"#)).collect();
        frames.push(format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":{reason}}}]}}"#));
        frames.insert(usage_at.index(frames.len() + 1), format!(r#"{{"choices":[],"usage":{usage}}}"#));
        let mut stream = AnswerFacts::of_stream();
        for frame in &frames {
            stream.absorb(&read_frame(Api::Chat, None, frame.as_bytes()));
        }
        prop_assert_eq!(&stream, &read_answer(Api::Chat, plain.as_bytes()));
        prop_assert!(stream.failure().is_none_or(|failure| failure.class == Class::Empty));
    }
}

const BODIES: [&str; 8] = [
    r#" {"messages":[{"role":"user","content":"h\u00e9"}],"model":"gpt-4.1","stream":true,"stream_options":{"include_usage":true},"n":1}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}"#,
    r#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"37s"}]}}]"#,
    r#"{"type":"error","error":{"type":"rate_limit_error","details":{"error_code":"x"}},"request_id":"r"}"#,
    r#"{"type":"message_start","message":{"content":[{"type":"text","text":""}],"stop_reason":null,"usage":{"input_tokens":1}}}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}"#,
    r#"{"type":"response.completed","response":{"status":"completed","output":[{"type":"message","content":[{"text":"a"}]}],"usage":{}}}"#,
    r#"{"object":"list","data":[{"embedding":[0.5]}],"model":"m","prompt":["a","b"],"store":true,"response_format":{"type":"text"}}"#,
];
