//! The framer against a naive parser, however a stream is cut.

#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails, as it should")]

use outrigger_wire::{FrameTooLong, SseEvent, SseFramer};
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

/// Streams with everything in them that is easily cut wrongly.
const CORPUS: [&str; 14] = [
    "data: a\n\n",
    "data:a\r\n\r\n",
    "data: a\r\rdata: b\r\r",
    "\u{feff}data:a\n\n",
    "\u{feff}\u{feff}:\n\n",
    "data:a\n:c\r\ndata:b\r\r\n",
    "event:e\ndata:a\n\n",
    "data\ndata\n\nid:1\n\n",
    ":\r\n\r\n:\r:\n",
    "event: message_start\ndata: {\"type\":\"message_start\"}\n\nevent: ping\ndata: {}\n\n",
    "event: content_block_delta\r\ndata: {\"delta\":{}}\r\n: keep-alive\r\n\r\nevent: error\r\ndata: {}\r\n\r\n",
    "data: {\"a\":1}\n\n: OPENROUTER PROCESSING\n\ndata: [DONE]\n\n",
    "event: a\nevent: b\ndata: x\ndata: y\n\ndata: cut off",
    "data: \u{e9}\u{1f600}\r\n\r\n\r\n\ndata: z\n\n",
];

/// Compares one way to cut a stream with the naive parser, to its last byte and within a bound that just fits.
fn check(stream: &[u8], pieces: &[&[u8]]) {
    let (events, whole) = model(stream);
    let mut framer = SseFramer::new(stream.len());
    let (found, fed) = feed(&mut framer, pieces);
    assert_eq!((found, fed), (events, Ok(whole)), "{pieces:?}");
}

/// **Every chunking is the same stream.** All ways to cut a short stream, and all ways to cut a longer one twice. Fails if a `\r` at
/// a chunk's end, a mark that is cut, or a comment within a frame is read otherwise than whole.
#[test]
fn every_chunking_of_the_corpus_gives_the_same_events() {
    for stream in CORPUS.map(str::as_bytes) {
        let length = stream.len();
        if length <= 16 {
            for cuts in 0_u32..1 << (length - 1) {
                let mut places = vec![0];
                places.extend((1..length).filter(|place| cuts >> (place - 1) & 1 == 1));
                places.push(length);
                let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
                check(stream, &pieces);
            }
        }
        for first in 0..=length {
            for second in first..=length {
                check(stream, &[&stream[..first], &stream[first..second], &stream[second..]]);
            }
        }
        check(stream, &stream.chunks(1).collect::<Vec<_>>());
    }
}

#[test]
fn names_of_events_survive() {
    let pieces: Vec<&[u8]> = CORPUS[10].as_bytes().chunks(3).collect();
    let (events, _) = feed(&mut SseFramer::new(1 << 10), &pieces);
    let names: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Data(name, _) => name.as_deref(),
            Event::Comment => None,
        })
        .collect();
    assert_eq!(names, ["content_block_delta", "error"]);
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
}
