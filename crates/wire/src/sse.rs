//! Server-sent events out of chunks of bytes, as they come from a socket.
//!
//! A pass-through needs two answers of each chunk: what do the events in it say, and up to which byte may it be forwarded so
//! that a reader is never left within a frame. [`SseFramer`] gives both and leaves the bytes alone: an event that lies within
//! one chunk is borrowed from it; only what a chunk's end cuts in two, or what several `data:` lines make up, is copied.
//!
//! The grammar is the WHATWG's ('9.2.6 Interpreting an event stream'): lines end with `\n`, `\r` or `\r\n`, a mark of byte order
//! may lead, an event ends with an empty line, one without `data` is nothing, and what a stream's end cuts off is dropped. A
//! comment is reported at the end of its line: a stream that sends nothing but comments is alive but says nothing, and
//! only whoever counts the silence can judge that.

use std::fmt;

/// The mark of byte order that may lead a stream.
const BOM: &[u8] = b"\xEF\xBB\xBF";
/// A buffer larger than this is given back when its frame is over, so that one long frame does not cost its stream memory for
/// ever. Frames of text are far below.
const KEPT: usize = 16 << 10;

/// What a stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "complete by nature: the format knows nothing else that is dispatched"
)]
pub enum SseEvent<'a> {
    /// An event with data.
    Data {
        /// The event's name, where it has one and it is UTF-8.
        event: Option<&'a str>,
        /// Its data, lines joined with `\n`. Not checked to be UTF-8.
        data: &'a [u8],
    },
    /// A comment: a line that begins with a colon.
    Comment,
}

/// What became of one chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fed {
    /// How many bytes of this chunk lie before the last boundary in it, 0 when it has none. Those bytes, after all earlier
    /// ones, are whole frames.
    pub complete: usize,
}

/// A frame is longer than the bound. The framer takes nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameTooLong {
    /// The bound, in bytes.
    pub limit: usize,
}

impl fmt::Display for FrameTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event of the stream is longer than {} bytes", self.limit)
    }
}

impl std::error::Error for FrameTooLong {}

/// Cuts a stream of server-sent events into its events.
///
/// Input is [`feed`](Self::feed), chunk after chunk; the events do not depend on how the stream was cut into chunks.
///
/// Invariant: at most `max_frame_bytes` are held, whatever comes, in buffers of at most twice that together; between frames, in
/// buffers of at most 16 KiB each.
#[derive(Debug)]
pub struct SseFramer {
    limit: usize,
    /// The line that the last chunk left without an end.
    line: Vec<u8>,
    /// Data of the current event that earlier chunks, or several lines, left behind.
    data: Vec<u8>,
    /// The name of the current event, where an earlier chunk left it behind.
    event: Vec<u8>,
    has_data: bool,
    has_event: bool,
    /// Bytes of the current frame's lines so far, each with one for its end.
    frame: usize,
    /// The last byte was a `\r`, so a `\n` that follows belongs to it.
    after_cr: bool,
    /// No line has ended yet, so a mark of byte order may lead.
    at_start: bool,
    failed: bool,
}

/// What the current chunk holds of the current event and nothing had to be copied of.
#[derive(Default)]
struct Borrowed<'c> {
    data: Option<&'c [u8]>,
    event: Option<&'c [u8]>,
}

impl SseFramer {
    /// A framer at a stream's start that takes frames of up to so many bytes.
    #[must_use]
    pub const fn new(max_frame_bytes: usize) -> Self {
        Self {
            limit: max_frame_bytes,
            line: Vec::new(),
            data: Vec::new(),
            event: Vec::new(),
            has_data: false,
            has_event: false,
            frame: 0,
            after_cr: false,
            at_start: true,
            failed: false,
        }
    }

    /// Takes the next bytes of the stream and tells `on_event` of what they complete.
    ///
    /// # Errors
    /// [`FrameTooLong`] when a frame passes the bound; events before it have been told. Every later call says the same.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        mut on_event: impl FnMut(SseEvent<'_>),
    ) -> Result<Fed, FrameTooLong> {
        if self.failed {
            return Err(FrameTooLong { limit: self.limit });
        }
        let mut fed = Fed::default();
        let mut borrowed = Borrowed::default();
        let mut rest = chunk;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            if let Some(after) = rest.strip_prefix(b"\n") {
                rest = after;
                if self.is_at_boundary() {
                    fed.complete = 1;
                }
            }
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', rest) {
            let (line, tail) = rest.split_at(end);
            rest = match tail {
                [b'\r', b'\n', after @ ..] => after,
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [_, after @ ..] => after,
                [] => &[],
            };
            self.on_line_end(line, &mut borrowed, &mut on_event)?;
            if self.is_at_boundary() {
                fed.complete = chunk.len() - rest.len();
            }
        }
        self.keep(rest, &mut borrowed)?;
        Ok(fed)
    }

    /// Whether the stream may end here without losing anything: no frame has begun.
    #[must_use]
    pub const fn is_at_boundary(&self) -> bool {
        self.frame == 0 && self.line.is_empty()
    }

    fn on_line_end<'c>(
        &mut self,
        tail: &'c [u8],
        borrowed: &mut Borrowed<'c>,
        on_event: &mut impl FnMut(SseEvent<'_>),
    ) -> Result<(), FrameTooLong> {
        self.check(self.line.len() + tail.len())?;
        if self.line.is_empty() {
            let line = self.without_mark(tail);
            self.on_line(line, Some(borrowed), on_event);
        } else {
            let mut held = std::mem::take(&mut self.line);
            append(&mut held, tail, self.limit);
            // The line is a copy, so what earlier lines of this chunk lent must be copied before it can be joined.
            self.settle(borrowed);
            let line = self.without_mark(&held);
            self.on_line(line, None, on_event);
            empty(&mut held);
            self.line = held;
        }
        Ok(())
    }

    /// A line with its end. What it says of an event is lent where `borrowed` is given, else copied.
    fn on_line<'c>(
        &mut self,
        line: &'c [u8],
        mut borrowed: Option<&mut Borrowed<'c>>,
        on_event: &mut impl FnMut(SseEvent<'_>),
    ) {
        if line.is_empty() {
            self.dispatch(borrowed.map(std::mem::take).unwrap_or_default(), on_event);
            return;
        }
        if line.first() == Some(&b':') {
            on_event(SseEvent::Comment);
            // Alone it is whole; within an event it counts towards the event's length.
            if self.frame > 0 {
                self.frame += line.len() + 1;
            }
            return;
        }
        self.frame += line.len() + 1;
        let (name, value) = match memchr::memchr(b':', line) {
            None => (line, &[][..]),
            Some(at) => {
                let (name, value) = line.split_at(at);
                let value = value.get(1..).unwrap_or_default();
                (name, value.strip_prefix(b" ").unwrap_or(value))
            }
        };
        match (name, &mut borrowed) {
            (b"data", Some(borrowed)) if !self.has_data => {
                borrowed.data = Some(value);
                self.has_data = true;
            }
            (b"data", _) => {
                if let Some(borrowed) = borrowed {
                    self.settle(borrowed);
                }
                if self.has_data {
                    append(&mut self.data, b"\n", self.limit);
                }
                append(&mut self.data, value, self.limit);
                self.has_data = true;
            }
            (b"event", Some(borrowed)) => {
                borrowed.event = Some(value);
                self.has_event = true;
            }
            (b"event", None) => {
                self.event.clear();
                append(&mut self.event, value, self.limit);
                self.has_event = true;
            }
            // `id` and `retry` are for readers that reconnect; others are ignored by the grammar.
            _ => {}
        }
    }

    fn dispatch(&mut self, borrowed: Borrowed<'_>, on_event: &mut impl FnMut(SseEvent<'_>)) {
        if self.has_data {
            let name = self.has_event.then(|| borrowed.event.unwrap_or(&self.event));
            on_event(SseEvent::Data {
                event: name.filter(|name| !name.is_empty()).and_then(|name| std::str::from_utf8(name).ok()),
                data: borrowed.data.unwrap_or(&self.data),
            });
        }
        empty(&mut self.data);
        empty(&mut self.event);
        self.has_data = false;
        self.has_event = false;
        self.frame = 0;
    }

    /// Copies what the chunk lent.
    fn settle(&mut self, borrowed: &mut Borrowed<'_>) {
        if let Some(data) = borrowed.data.take() {
            append(&mut self.data, data, self.limit);
        }
        if let Some(event) = borrowed.event.take() {
            self.event.clear();
            append(&mut self.event, event, self.limit);
        }
    }

    /// Keeps what a chunk's end cuts off.
    fn keep(&mut self, rest: &[u8], borrowed: &mut Borrowed<'_>) -> Result<(), FrameTooLong> {
        self.check(self.line.len() + rest.len())?;
        self.settle(borrowed);
        append(&mut self.line, rest, self.limit);
        Ok(())
    }

    fn without_mark<'l>(&mut self, line: &'l [u8]) -> &'l [u8] {
        if std::mem::take(&mut self.at_start) { line.strip_prefix(BOM).unwrap_or(line) } else { line }
    }

    fn check(&mut self, line: usize) -> Result<(), FrameTooLong> {
        if self.frame + line > self.limit {
            self.failed = true;
            self.line = Vec::new();
            self.data = Vec::new();
            self.event = Vec::new();
            return Err(FrameTooLong { limit: self.limit });
        }
        Ok(())
    }
}

/// Appends to a buffer that never grows above `limit`: it doubles, as a `Vec` does, but not beyond.
fn append(buffer: &mut Vec<u8>, bytes: &[u8], limit: usize) {
    let needed = buffer.len() + bytes.len();
    if needed > buffer.capacity() {
        let grown = buffer.len().saturating_mul(2).min(limit).max(needed);
        buffer.reserve_exact(grown - buffer.len());
    }
    buffer.extend_from_slice(bytes);
}

/// Empties a buffer, and gives a large one back.
fn empty(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT {
        *buffer = Vec::new();
    }
    buffer.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(framer: &SseFramer) -> (usize, usize) {
        let buffers = [&framer.line, &framer.data, &framer.event];
        (
            buffers.iter().map(|buffer| buffer.len()).sum(),
            buffers.iter().map(|buffer| buffer.capacity()).sum(),
        )
    }

    /// **Memory is bounded by the bound.** Whatever comes, and whether or not it is refused. Fails if a buffer grows as a `Vec`
    /// grows by itself, or if what a refusal leaves is kept.
    #[test]
    fn no_more_is_held_than_the_bound() {
        let long = "x".repeat(100_000);
        let lines: Vec<String> = (0..2_000).map(|line| format!("data: {line:040}\n")).collect();
        let streams = [
            format!("data: {long}"),
            format!("event: {long}\ndata: {long}\n\n"),
            format!("event: {}\ndata: {}\n", &long[..30_000], &long[..60_000]),
            format!(": {long}"),
            format!("data: a\n: {long}\n"),
            lines.concat(),
        ];
        for stream in &streams {
            for limit in [100, 50_000, 99_000, 1 << 20] {
                for size in [7, 1_000, 64_000] {
                    let mut framer = SseFramer::new(limit);
                    for chunk in stream.as_bytes().chunks(size) {
                        let fed = framer.feed(chunk, |_| ());
                        let (bytes, capacity) = held(&framer);
                        assert!(bytes <= limit && capacity <= 2 * limit, "{bytes} in {capacity} of {limit}");
                        assert!(fed.is_ok() || capacity == 0);
                    }
                }
            }
        }
    }

    /// **A long frame is forgotten.** Fails if its buffers are kept for the next.
    #[test]
    fn a_large_buffer_is_given_back_with_its_frame() {
        let mut framer = SseFramer::new(1 << 20);
        let frame = format!("event: name\ndata: {}\n\n", "x".repeat(900_000));
        for chunk in frame.as_bytes().chunks(1_000) {
            framer.feed(chunk, |_| ()).unwrap();
        }
        assert!(framer.is_at_boundary());
        assert!(held(&framer).1 <= 3 * KEPT);
    }
}
