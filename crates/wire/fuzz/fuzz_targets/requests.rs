//! The skim of callers' requests: the model's name is found where it stands, and a fault lies within the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_wire::{Api, continue_chat, skim_request};

fuzz_target!(|body: &[u8]| {
    for api in Api::ALL {
        match skim_request(api, body) {
            Ok(facts) => {
                let name: &[u8] = &body[facts.model_range.clone()];
                assert!(name.starts_with(b"\"") && name.ends_with(b"\""));
                assert_eq!(body[facts.insert_at - 1], b'{');
            }
            Err(error) => assert!(error.offset <= body.len() && error.line >= 1 && error.column >= 1),
        }
    }
    if let Some(longer) = continue_chat(body, "said \"before\"\n", 3) {
        assert!(skim_request(Api::Chat, &longer).is_ok() || skim_request(Api::Chat, body).is_err());
    }
});
