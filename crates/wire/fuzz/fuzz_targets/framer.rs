//! The framer: the events of a stream do not depend on how it was cut into chunks, and what is forwarded is whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_wire::{SseEvent, SseFramer};

const LIMIT: usize = 256;

/// The events as text, and where the last whole frame ended; none when a frame was too long.
fn events<'c>(chunks: impl Iterator<Item = &'c [u8]>) -> Option<(Vec<String>, usize)> {
    let mut framer = SseFramer::new(LIMIT);
    let (mut events, mut fed, mut complete) = (Vec::new(), 0, 0);
    for chunk in chunks {
        let step = framer.feed(chunk, |event| {
            events.push(match event {
                SseEvent::Comment => ":".to_owned(),
                SseEvent::Data { event, data } => format!("{event:?} {data:?}"),
            });
        });
        let step = step.ok()?;
        assert!(step.complete <= chunk.len());
        if step.complete > 0 {
            complete = fed + step.complete;
        }
        fed += chunk.len();
        assert!(complete <= fed && (!framer.is_at_boundary() || fed - complete <= LIMIT + 3));
    }
    Some((events, complete))
}

fuzz_target!(|input: (usize, &[u8])| {
    let (size, stream) = input;
    let whole = events(std::iter::once(stream));
    let cut = events(stream.chunks(size % 16 + 1));
    assert_eq!(whole, cut);
});
