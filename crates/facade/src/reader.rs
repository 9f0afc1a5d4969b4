//! Reads a streamed answer: bytes pass through untouched, whole frames only, while what they say is noted.
//!
//! A frame that is not yet complete is held back, so that an error can be told between frames when the upstream breaks off
//! in the middle of one. A chunk that ends on a frame's end (nearly all do) goes on as it came, without a copy. Frames of another
//! dialect are written anew before they are looked at.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use transport::{ErrorKind, Phase, ResponseBody};
use wire::{AnswerFacts, Api, ChatFromMessages, Class, SseEvent, SseFramer};

use crate::{engine::Heard, given::Given, shared::Shared};

/// The longest frame that is believed; a chat delta has some hundred bytes, an image in one some MiB at most.
pub(crate) const MAX_FRAME: usize = 8 << 20;

/// One step of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Something arrived; whether any of it was content.
    Read { content: bool },
    /// The body came to its proper end.
    End,
    /// It broke: cut off, malformed, or the provider said so in the stream.
    Broken(Class),
}

/// A body being read.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Gone once it has ended, and its connection with it.
    body: Option<ResponseBody>,
    framing: Framing,
    /// What the frames become before they are read, where they are another dialect's.
    translation: Option<Box<Translation>>,
    /// Whole frames, ready for the caller.
    ready: VecDeque<Bytes>,
    /// Bytes in them.
    held: usize,
    /// The beginning of a frame whose end has not come: in one piece, since pieces of a byte each would outweigh it many times.
    tail: BytesMut,
    /// What the stream has said so far.
    pub said: AnswerFacts,
    /// The words of the first error that it said.
    pub fault: Option<Bytes>,
    /// The last frame was there.
    pub done: bool,
    /// The most tokens that a plain answer is taken for, of which only the bytes are known.
    most: u64,
    /// The text that was passed on, where it is remembered.
    pub given: Option<Box<Given>>,
    /// Who is to remember what the stream is stored as.
    memo: Option<Memo>,
    /// How it ended, once it has: a body is not polled after its end.
    ended: Option<Progress>,
}

#[derive(Debug)]
enum Framing {
    Events { framer: SseFramer, api: Api },
    Plain,
}

/// Where a stored answer is noted, and for whom.
#[derive(Debug)]
struct Memo {
    shared: Arc<Shared>,
    deployment: usize,
}

#[derive(Debug)]
struct Translation {
    framer: SseFramer,
    chat: ChatFromMessages,
    /// What the stream said before it was translated: the caller need not want to know of its tokens.
    said: AnswerFacts,
}

impl Translation {
    /// The frames that a chunk becomes, whole ones or none; none at all when it is not what can be translated.
    fn of(&mut self, chunk: &[u8]) -> Option<Bytes> {
        let Self { framer, chat, said } = self;
        let (mut out, mut readable) = (Vec::new(), true);
        let fed = framer.feed(chunk, |event| {
            if let SseEvent::Data { event, data } = event {
                readable &= chat.on_event(event, data, &mut out).is_ok();
                said.absorb(&wire::read_frame(Api::Messages, event, data));
            }
        });
        (readable && fed.is_ok()).then(|| out.into())
    }
}

impl Reader {
    /// Reads an event stream that answers a request of this kind, and remembers its text if it is to be `mendable`.
    pub(crate) fn events(body: ResponseBody, api: Api, mendable: bool) -> Self {
        let given = mendable.then(Box::default);
        Self { given, ..Self::new(body, Framing::Events { framer: SseFramer::new(MAX_FRAME), api }) }
    }

    /// The same, of a stream in Anthropic's form that is to become OpenAI's chat.
    pub(crate) fn translated(mut self, chat: ChatFromMessages) -> Self {
        self.translation = Some(Box::new(Translation {
            framer: SseFramer::new(MAX_FRAME),
            chat,
            said: AnswerFacts::of_stream(),
        }));
        self
    }

    /// The same, of an answer that may be leant on later: a deployment gave it.
    pub(crate) fn stored(mut self, shared: Arc<Shared>, deployment: usize) -> Self {
        self.memo = Some(Memo { shared, deployment });
        self
    }

    /// Reads a plain answer, of which only the proper end is watched.
    pub(crate) fn plain(body: ResponseBody) -> Self {
        Self::new(body, Framing::Plain)
    }

    /// The same, of an answer that is not thought to take more tokens of output than this. The bytes of a plain one may be an image's.
    pub(crate) fn at_most(self, tokens: u64) -> Self {
        Self { most: tokens, ..self }
    }

    /// What its answer has used up to now.
    pub(crate) fn heard(&self) -> Heard {
        let heard = Heard::of(&self.said);
        Heard { uncounted: heard.uncounted.min(self.most), ..heard }
    }

    fn new(body: ResponseBody, framing: Framing) -> Self {
        let (ready, tail) = (VecDeque::new(), BytesMut::new());
        Self {
            body: Some(body),
            framing,
            translation: None,
            ready,
            held: 0,
            tail,
            said: AnswerFacts::of_stream(),
            fault: None,
            done: false,
            most: u64::MAX,
            given: None,
            memo: None,
            ended: None,
        }
    }

    /// The same, with bytes put back that were taken from it.
    pub(crate) fn starting_with(mut self, beginning: Bytes) -> Self {
        self.held = self.held.saturating_add(beginning.len());
        self.ready.push_front(beginning);
        self
    }

    /// Whether the answer is an event stream, which ends with a finish reason and a last frame.
    pub(crate) fn is_events(&self) -> bool {
        matches!(self.framing, Framing::Events { .. })
    }

    /// What an event stream that gave its finish reason still owes its caller: usage, where a translation has it, and the
    /// last frame. Nothing a second time.
    pub(crate) fn closing(&mut self) -> Option<Bytes> {
        let Framing::Events { api, .. } = self.framing else { return None };
        if std::mem::replace(&mut self.done, true) {
            return None;
        }
        let Some(translation) = &mut self.translation else {
            return api.closing_frame().map(|frame| Bytes::from_static(frame.as_bytes()));
        };
        let mut out = Vec::new();
        translation.chat.finish(&mut out);
        (!out.is_empty()).then(|| out.into())
    }

    /// The next whole frames for the caller.
    pub(crate) fn take_ready(&mut self) -> Option<Bytes> {
        let chunk = self.ready.pop_front()?;
        self.held = self.held.saturating_sub(chunk.len());
        Some(chunk)
    }

    fn make_ready(&mut self, chunk: Bytes) {
        self.held = self.held.saturating_add(chunk.len());
        self.ready.push_back(chunk);
    }

    /// Gives the upstream connection up. What is ready stays.
    pub(crate) fn close(&mut self) {
        self.body = None;
        self.ended.get_or_insert(Progress::Broken(Class::Cancelled));
    }

    /// Whether there are whole frames for the caller.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// How many pieces there are for the caller.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Bytes of whole frames that were read and not yet taken. The beginning of a frame is bounded by the framer.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Reads one chunk of the body. After the end it says the same again.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Progress> {
        if let Some(ended) = self.ended {
            return Poll::Ready(ended);
        }
        let Some(body) = &mut self.body else { return Poll::Ready(Progress::End) };
        let progress = match std::task::ready!(Pin::new(body).poll_next(cx)) {
            // What is left of an unfinished frame is not a frame.
            None => Progress::End,
            Some(Ok(chunk)) => self.take_in(chunk),
            Some(Err(error)) => Progress::Broken(match error.kind() {
                ErrorKind::Timeout(Phase::Body) => Class::Stalled,
                ErrorKind::Protocol => Class::Malformed,
                _ => Class::Cut,
            }),
        };
        if !matches!(progress, Progress::Read { .. }) {
            self.ended = Some(progress);
            self.body = None;
        }
        Poll::Ready(progress)
    }

    fn take_in(&mut self, mut chunk: Bytes) -> Progress {
        if let Some(translation) = &mut self.translation {
            let Some(translated) = translation.of(&chunk) else { return Progress::Broken(Class::Malformed) };
            chunk = translated;
        }
        let Framing::Events { framer, api } = &mut self.framing else {
            let text = &mut self.said.uncounted.text;
            *text = text.saturating_add(chunk.len() as u64);
            self.make_ready(chunk);
            return Progress::Read { content: true };
        };
        let (api, said, done, given) = (*api, &mut self.said, &mut self.done, &mut self.given);
        let (memo, fault) = (&self.memo, &mut self.fault);
        if let Some(given) = given {
            given.begin();
        }
        let mut content = false;
        let fed = framer.feed(&chunk, |event| {
            if let SseEvent::Data { event, data } = event {
                let frame = wire::read_frame(api, event, data);
                content |= frame.content;
                *done |= frame.done;
                said.absorb(&frame);
                if frame.error.is_some() && fault.is_none() && data.len() <= wire::MAX_ERROR_BODY {
                    *fault = Some(Bytes::copy_from_slice(data));
                }
                // The last event holds the whole answer with all its names.
                if let (true, Some(memo)) = (frame.done, memo) {
                    memo.shared.remember(data, memo.deployment);
                }
                if let Some(given) = given {
                    given.hear(data);
                }
            }
        });
        if let Some(translation) = &self.translation {
            (self.said.usage, self.said.uncounted) = (translation.said.usage, translation.said.uncounted);
        }
        let broken = match (fed, &self.said) {
            (_, AnswerFacts { error: Some(error), .. }) => error.class,
            (Ok(fed), AnswerFacts { malformed: false, .. }) => {
                self.pass_on(chunk, fed.complete);
                return Progress::Read { content };
            }
            _ => Class::Malformed,
        };
        // Of a chunk in which it broke nothing is passed on.
        if let Some(given) = &mut self.given {
            given.take_back();
        }
        Progress::Broken(broken)
    }

    /// `complete` bytes of the chunk end whole frames, the first of which may have begun in earlier chunks.
    fn pass_on(&mut self, mut chunk: Bytes, complete: usize) {
        if complete > 0 {
            if !self.tail.is_empty() {
                let begun = std::mem::take(&mut self.tail).freeze();
                self.make_ready(begun);
            }
            let whole = chunk.split_to(complete.min(chunk.len()));
            self.make_ready(whole);
        }
        self.tail.extend_from_slice(&chunk);
    }

    /// Whether the answer is whole: as many choices as were asked for have said why they ended.
    pub(crate) fn is_whole(&self, choices: u64) -> bool {
        u64::from(self.said.finished) >= choices.max(1)
    }
}
