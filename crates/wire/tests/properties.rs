//! Rules that hold for all input: every reader against garbage.

use std::{
    hint::black_box,
    time::{Duration, SystemTime},
};

use outrigger_wire::{
    AnswerFacts, Api, Class, Headroom, MAX_RESET, MAX_RETRY_AFTER, PriceTable, classify, read_answer,
    read_frame, retry_after, skim_request,
};
use proptest::{collection::vec, prelude::*, test_runner::FileFailurePersistence};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 512,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

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
        black_box(PriceTable::builtin().price(&header, Some(&header), wall));
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
    /// whole, and what came after the count of its tokens. Fails if `absorb` takes an early nothing over a later something.
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
        let usage_at = usage_at.index(frames.len() + 1);
        frames.insert(usage_at, format!(r#"{{"choices":[],"usage":{usage}}}"#));
        let mut stream = AnswerFacts::of_stream();
        for frame in &frames {
            stream.absorb(&read_frame(Api::Chat, None, frame.as_bytes()));
        }
        // A count of output holds what came before it; what came after it is the one thing that only a stream has.
        let counted = if tokens == 0 { 0 } else { usage_at.min(texts.len()) };
        prop_assert_eq!(stream.uncounted.text, texts[counted..].concat().len() as u64);
        let mut whole = read_answer(Api::Chat, plain.as_bytes());
        whole.uncounted = stream.uncounted;
        prop_assert_eq!(&stream, &whole);
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
