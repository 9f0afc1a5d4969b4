//! The readers of frames and answers of every kind, and what mends a stream: a chunk written anew is a chunk.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_wire::{AnswerFacts, Api, read_answer, read_delta, read_frame};

fuzz_target!(|input: (&str, &[u8])| {
    let (name, data) = input;
    for api in Api::ALL {
        let frame = read_frame(api, Some(name), data);
        let mut answer = AnswerFacts::of_stream();
        answer.absorb(&frame);
        answer.absorb(&frame);
        let _judged = answer.failure();
        let _whole = read_answer(api, data).failure();
    }
    let delta = read_delta(data);
    // What is plain text of a chat is content of a chat exactly when it holds any.
    if delta.plain && !delta.text.is_empty() {
        assert!(read_frame(Api::Chat, None, data).content);
    }
});
