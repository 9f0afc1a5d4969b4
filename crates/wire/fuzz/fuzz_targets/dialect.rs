//! The translations between OpenAI's chat and Anthropic's messages: what comes out is JSON of its form, or nothing comes out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_wire::{
    Api, ChatFromMessages, SseEvent, SseFramer, chat_is_translatable, chat_to_messages, messages_to_chat,
    read_answer, read_frame, skim_request,
};

fuzz_target!(|input: (bool, &[u8])| {
    let (include_usage, bytes) = input;
    let translated = chat_to_messages(bytes, "m");
    assert_eq!(translated.is_ok(), chat_is_translatable(bytes).is_ok());
    if let Ok(messages) = translated {
        assert_eq!(skim_request(Api::Messages, &messages).map(|facts| facts.model), Ok("m".to_owned()));
    }
    if let Ok(chat) = messages_to_chat(bytes, 1) {
        assert!(!read_answer(Api::Chat, &chat).malformed);
    }
    let mut stream = ChatFromMessages::new(1, include_usage);
    let (mut framer, mut out) = (SseFramer::new(4096), Vec::new());
    let mut broken = false;
    let _fed = framer.feed(bytes, |event| {
        if let (SseEvent::Data { event, data }, false) = (event, broken) {
            broken = stream.on_event(event, data, &mut out).is_err();
        }
    });
    let mut reader = SseFramer::new(1 << 20);
    let fed = reader.feed(&out, |event| {
        if let SseEvent::Data { event, data } = event {
            assert!(!read_frame(Api::Chat, event, data).malformed);
        }
    });
    assert_eq!(fed.map(|fed| fed.complete), Ok(out.len()));
});
