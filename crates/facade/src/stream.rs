//! A streamed answer after its commit point: the caller has content, so nothing is done over that it could see twice.
//!
//! # How it ends
//! A stream that gives a finish reason is whole, whatever becomes of the connection afterwards; one that ends without is cut,
//! however politely it ended. It is never given a clean end: every SDK takes that for success.
//!
//! # What becomes of one that breaks
//! Cut, stalled, malformed or told of an error, it is rescued where that is allowed and can be done without a guess: its text
//! is remembered as it passes ([`given`](crate::given)), the engine finds somebody to go on ([`rescue`](crate::rescue)), and what
//! that one says is joined to it ([`splice`](crate::splice)) as if nothing had happened, save for `"rescued": true` in the first chunk
//! of the new one's. Otherwise the caller gets [`CallError::Truncated`].
//!
//! # Why only text?
//! A text can be gone on from, or compared character by character with a second one. Half a tool call, or two choices, or
//! reasoning that ends amid a thought cannot. The bytes of a stream that is not broken are not touched, and what its rescue would
//! cost is paid only by one that breaks.

mod mending;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use tokio::time::Sleep;
use wire::Class;

use crate::{
    answer::{AttemptRecord, Summary},
    attempts::Attempts,
    engine::{CallId, Event, Heard},
    error::CallError,
    outgoing::Outgoing,
    reader::{Progress, Reader},
    rescue::Spent,
    shared::{InProgress, now},
};
use mending::Mending;

/// How long a stream that has given its finish reason may take for usage and its last frame, which we then supply.
const AFTERWORD: Duration = Duration::from_secs(2);

/// What a stream needs to know of its call.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The attempt that gives the answer.
    pub attempt: u8,
    pub model: Arc<str>,
    pub attempts: Attempts,
    /// The request, while it may be made again.
    pub outgoing: Option<Arc<Outgoing>>,
    pub began: Instant,
    pub first_token: Duration,
    pub idle: Duration,
    pub longest: Duration,
    /// How many choices must give a finish reason.
    pub choices: u64,
}

/// A streamed answer whose first content has arrived: the provider's bytes, whole frames at a time.
///
/// It is a [`Stream`] of `Result<Bytes, CallError>`. It ends with `None` only when the answer is whole; one that is cut,
/// stalls or breaks is rescued where that can be done, and ends with [`CallError::Truncated`] else. After a rescue the frames
/// are another attempt's under the first one's `id`, `created` and `model`; the first of them says `"rescued": true`.
///
/// # Drop
/// Dropping it before its finish reason cancels the upstream request at once, and a rescue in progress with it; after it, the
/// answer counts as given.
///
/// # Cancel safety
/// [`next`](Self::next) loses nothing when its future is dropped.
#[derive(Debug)]
pub struct AnswerStream {
    reader: Reader,
    origin: Origin,
    in_progress: Option<InProgress>,
    /// The engine knows that the answer is whole.
    settled: bool,
    last_content: Instant,
    /// When the answer became whole.
    whole_since: Option<Instant>,
    /// When the caller was last given something: until it asks again, the silence is its own.
    handed: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// How it ended: what is still to be given before the end.
    ending: Option<Result<bool, Class>>,
    summary: Summary,
    /// What other attempts than the present one used.
    spent: Spent,
    /// Present once it has broken.
    mending: Option<Box<Mending>>,
}

impl AnswerStream {
    pub(crate) fn new(reader: Reader, origin: Origin, in_progress: InProgress) -> Self {
        let last_content = now();
        let timer = Box::pin(tokio::time::sleep_until((last_content + origin.idle).into()));
        let summary = Summary { first_token: origin.first_token, ..Summary::default() };
        // A short answer may be here already, to its end.
        let whole = reader.is_events() && reader.is_whole(origin.choices);
        Self {
            reader,
            origin,
            in_progress: Some(in_progress),
            settled: false,
            last_content,
            whole_since: whole.then_some(last_content),
            handed: None,
            timer,
            ending: None,
            summary,
            spent: Spent::default(),
            mending: None,
        }
    }

    /// The next bytes, or `None` after a whole answer.
    ///
    /// # Errors
    /// [`CallError::Truncated`] when the answer breaks off; it is the last item.
    pub async fn next(&mut self) -> Option<Result<Bytes, CallError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// What the stream was: usage and cost as far as they are known, times. Complete once the stream has ended.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// What was tried, so far; the last one gives the answer.
    pub fn attempts(&self) -> &[AttemptRecord] {
        &self.origin.attempts.records
    }

    /// Whether it holds its request, to make it again should the answer break off.
    pub fn holds_request(&self) -> bool {
        self.origin.outgoing.is_some()
    }

    /// All that is left, in one piece.
    ///
    /// # Errors
    /// [`CallError::Truncated`] when the answer breaks off.
    pub async fn collect(mut self) -> Result<Bytes, CallError> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.next().await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all.freeze())
    }

    /// Ends it though its caller is there still, as a server does whose time is over. Nothing more is given, the upstream request is
    /// cancelled, and the call counts as truncated, not as cancelled; where the finish reason was given, as answered.
    pub fn cut_off(&mut self) {
        self.give_up(|call, reading| Event::CutOff { call, reading });
        self.ending = Some(Err(Class::Cancelled));
    }

    fn give_up(&mut self, event: fn(CallId, Option<(u8, Heard)>) -> Event) {
        // A caller that stops reading behind the finish reason has had a whole answer.
        if self.whole_since.is_some() && !matches!(self.ending, Some(Err(_))) {
            self.succeed();
        }
        self.reader.close();
        self.origin.attempts.stop(None);
        if self.in_progress.take().is_some() && !self.settled {
            let given_up = event(self.origin.attempts.call, self.reading());
            self.origin.attempts.tell(given_up, &mut Vec::new());
        }
    }

    /// The instant at which its silence is too long.
    fn patience(&self) -> Instant {
        let limit = match self.whole_since {
            Some(since) => since + AFTERWORD,
            None => self.last_content + self.origin.idle,
        };
        limit.min(self.origin.began + self.origin.longest)
    }

    fn is_whole(&self) -> bool {
        self.reader.is_events() && self.reader.is_whole(self.origin.choices)
    }

    /// Reads on until there is something to give or the end is known.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let was_whole = self.whole_since.is_some();
            match self.reader.poll_read(cx) {
                Poll::Ready(Progress::Read { content }) => {
                    if content {
                        self.last_content = now();
                    }
                    if !was_whole && self.is_whole() {
                        self.whole_since = Some(now());
                    }
                    if self.reader.has_ready() {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(Progress::End) => {
                    let proper = !self.reader.is_events() || self.is_whole();
                    self.ending = Some(if proper { Ok(self.owes_done()) } else { Err(Class::Cut) });
                    return Poll::Ready(());
                }
                Poll::Ready(Progress::Broken(class)) => {
                    // What broke may have come in one chunk with the finish reason, which then was never given.
                    self.ending = Some(if was_whole { Ok(self.owes_done()) } else { Err(class) });
                    return Poll::Ready(());
                }
                // Said to be done: its connection goes back to the pool if its end is here already, and is not waited for.
                Poll::Pending if self.reader.done && self.is_whole() => {
                    self.ending = Some(Ok(false));
                    return Poll::Ready(());
                }
                Poll::Pending => return self.poll_silence(cx),
            }
        }
    }

    /// Nothing to read: how long that may last. The timer is moved only when it strikes, not with every chunk.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let patience = self.patience();
            if self.timer.deadline().into_std() > patience {
                self.timer.as_mut().reset(patience.into());
            }
            std::task::ready!(self.timer.as_mut().poll(cx));
            if now() >= patience {
                self.ending = Some(if self.is_whole() { Ok(self.owes_done()) } else { Err(Class::Stalled) });
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(patience.into());
        }
    }

    fn owes_done(&self) -> bool {
        self.reader.is_events() && !self.reader.done
    }

    /// It is over, and the engine knows.
    fn conclude(&mut self) {
        self.reader.close();
        self.origin.attempts.stop(None);
        self.origin.outgoing = None;
        self.in_progress = None;
        self.summary.took = now().saturating_duration_since(self.origin.began);
        self.summary.usage = self.spent.usage;
        let bill = self.origin.attempts.bill.unwrap_or_default();
        (self.summary.cost_usd, self.summary.estimated_usd) = (bill.cost_usd, bill.estimated_usd);
    }

    /// It is whole, and the engine is told so: before the last of it is given, so that whoever has the whole answer has it booked.
    fn settle(&mut self) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let Origin { attempt, attempts, .. } = &mut self.origin;
        let heard = self.reader.heard();
        self.spent.add(heard.usage);
        let answered = Event::Answered { call: attempts.call, attempt: *attempt, heard };
        attempts.tell(answered, &mut Vec::new());
    }

    /// It is over, and whole.
    fn succeed(&mut self) {
        if self.in_progress.is_some() {
            self.settle();
            self.conclude();
        }
    }

    /// What may be given now. A long plain answer says only by its end which of its bytes was the last, so one chunk of it stays
    /// back until more is known.
    fn take_next(&mut self) -> Option<Bytes> {
        if !self.reader.is_events() && self.ending.is_none() && self.reader.ready() < 2 {
            return None;
        }
        let chunk = self.take_ready()?;
        let said_all = match self.ending {
            Some(ending) => ending.is_ok_and(|owes_done| !owes_done),
            None => self.reader.done && self.is_whole(),
        };
        if said_all && self.reader.ready() == 0 {
            self.settle();
        }
        Some(chunk)
    }
}

impl Stream for AnswerStream {
    type Item = Result<Bytes, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(handed) = this.handed.take() {
            this.last_content += now().saturating_duration_since(handed);
        }
        loop {
            if let Some(chunk) = this.take_next() {
                this.handed = Some(now());
                return Poll::Ready(Some(Ok(chunk)));
            }
            match this.ending {
                Some(Ok(owes_done)) => {
                    this.succeed();
                    this.ending = Some(Ok(false));
                    let closing = owes_done.then(|| this.reader.closing()).flatten();
                    let closing = closing.and_then(|frames| this.joined(frames));
                    return Poll::Ready(closing.map(Ok));
                }
                Some(Err(_)) if this.in_progress.is_none() => return Poll::Ready(None),
                Some(Err(class)) => {
                    if !this.is_searching() {
                        this.break_off(class);
                    }
                    if let Err(error) = std::task::ready!(this.poll_rescue(cx)) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                None => std::task::ready!(this.poll_more(cx)),
            }
        }
    }
}

impl Drop for AnswerStream {
    fn drop(&mut self) {
        self.give_up(|call, reading| Event::Cancelled { call, reading });
    }
}
