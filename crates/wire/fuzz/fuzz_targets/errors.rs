//! The reader of refusals: any status, header and body become a class, and nothing of a message is kept.
#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use outrigger_wire::{Api, classify, error_to_chat, read_answer};

fuzz_target!(|input: (u16, &str, &[u8])| {
    let (status, header, body) = input;
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    let failure = classify(status, |_| Some(header), body, wall);
    assert!(failure.code.is_none_or(|code| code.len() <= 64 && code.is_ascii()));
    for api in Api::ALL {
        let _judged = read_answer(api, body).failure();
    }
    assert!(error_to_chat(body).starts_with(b"{\"error\":"));
});
