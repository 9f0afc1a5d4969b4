//! A streamed answer after its commit point: content has been given, so nothing is retried any more.
//!
//! What remains is to be honest about the end. A stream that gives a finish reason is whole, whatever becomes of the
//! connection afterwards; one that ends without is cut, however politely it ended. The caller gets
//! [`CallError::Truncated`] for it, never a clean end.

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
    engine::{AttemptFailure, CallId, Event},
    error::CallError,
    reader::{Progress, Reader},
    shared::{InProgress, now},
};

/// How long a stream that has given its finish reason may take for usage and `[DONE]`, which we then supply.
const AFTERWORD: Duration = Duration::from_secs(2);
const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// What a stream needs to know of its call.
#[derive(Debug)]
pub(crate) struct Origin {
    pub call: CallId,
    pub attempt: u8,
    pub model: Arc<str>,
    pub deployment: usize,
    pub attempts: Vec<AttemptRecord>,
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
/// stalls or breaks ends with [`CallError::Truncated`].
///
/// # Drop
/// Dropping it before its finish reason cancels the upstream request at once; after it, the answer counts as given.
///
/// # Cancel safety
/// [`next`](Self::next) loses nothing when its future is dropped.
#[derive(Debug)]
pub struct AnswerStream {
    reader: Reader,
    origin: Origin,
    in_progress: Option<InProgress>,
    last_content: Instant,
    /// When the answer became whole.
    whole_since: Option<Instant>,
    /// When the caller was last given something: until it asks again, the silence is its own.
    given: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// How it ended: what is still to be given before the end.
    ending: Option<Result<bool, Class>>,
    summary: Summary,
}

impl AnswerStream {
    pub(crate) fn new(reader: Reader, origin: Origin, in_progress: InProgress) -> Self {
        let last_content = now();
        let timer = Box::pin(tokio::time::sleep_until((last_content + origin.idle).into()));
        let summary = Summary { first_token: origin.first_token, ..Summary::default() };
        Self {
            reader,
            origin,
            in_progress: Some(in_progress),
            last_content,
            whole_since: None,
            given: None,
            timer,
            ending: None,
            summary,
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

    /// Tells the engine how it ended, once.
    fn conclude(&mut self, result: Result<(), Class>) {
        let Some(in_progress) = self.in_progress.take() else { return };
        self.reader.close();
        let shared = in_progress.shared();
        let (call, attempt) = (self.origin.call, self.origin.attempt);
        let usage = self.reader.said.usage;
        self.summary.took = now().saturating_duration_since(self.origin.began);
        self.summary.usage = usage;
        self.summary.cost_usd =
            usage.and_then(|usage| shared.engine().cost(self.origin.deployment, &usage, now()));
        let event = match result {
            Ok(()) => Event::Answered { call, attempt, usage },
            Err(class) => {
                let failure = AttemptFailure { usage, ..AttemptFailure::new(class) };
                Event::Broke { call, attempt, failure, rescuable: false }
            }
        };
        shared.tell(event, &mut Vec::new());
    }

    fn truncated(&mut self, class: Class) -> CallError {
        self.conclude(Err(class));
        let mut attempts = std::mem::take(&mut self.origin.attempts);
        if let Some(last) = attempts.last_mut() {
            last.class = Some(class);
        }
        CallError::Truncated { model: self.origin.model.to_string(), class, attempts }
    }
}

impl Stream for AnswerStream {
    type Item = Result<Bytes, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(given) = this.given.take() {
            this.last_content += now().saturating_duration_since(given);
        }
        loop {
            if let Some(chunk) = this.reader.take_ready() {
                this.given = Some(now());
                return Poll::Ready(Some(Ok(chunk)));
            }
            match this.ending {
                Some(Ok(owes_done)) => {
                    this.conclude(Ok(()));
                    this.ending = Some(Ok(false));
                    return Poll::Ready(if owes_done { Some(Ok(DONE)) } else { None });
                }
                Some(Err(_)) if this.in_progress.is_none() => return Poll::Ready(None),
                Some(Err(class)) => return Poll::Ready(Some(Err(this.truncated(class)))),
                None => std::task::ready!(this.poll_more(cx)),
            }
        }
    }
}

impl Drop for AnswerStream {
    fn drop(&mut self) {
        // A caller that stops reading behind the finish reason has had a whole answer.
        if self.is_whole() {
            self.conclude(Ok(()));
        }
        self.reader.close();
        if let Some(in_progress) = self.in_progress.take() {
            let (call, usage) = (self.origin.call, self.reader.said.usage);
            in_progress.shared().tell(Event::Cancelled { call, usage }, &mut Vec::new());
        }
    }
}
