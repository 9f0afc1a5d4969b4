//! The search for the rest of a stream that broke off after its commit point.
//!
//! The engine decides whether it is sought, where, and how; here its actions are carried out, while the caller waits in the
//! middle of a sentence. A continuation takes over with its first content. A restart is read and held until it has repeated what
//! was given, and takes over with the first content behind that; one that differs is dropped, and nobody is charged with it.
//!
//! All of it is polled by the stream that it mends. So a caller who hangs up drops it, and what it has running; and nothing is
//! read on behalf of a caller who does not read.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use policy::Finish;
use tokio::time::Sleep;
use wire::{Class, Usage};

use crate::{
    attempt::Ended,
    attempts::Attempts,
    engine::{Action, AttemptFailure, Event, Heard, Mode},
    given::Given,
    outgoing::Outgoing,
    reader::{Progress, Reader},
    shared::now,
    splice::{Splice, Spliced},
};

/// What a search works with. All of it belongs to the stream that is mended.
pub(crate) struct Means<'s> {
    pub attempts: &'s mut Attempts,
    /// The request that is made again.
    pub outgoing: Option<&'s Arc<Outgoing>>,
    pub given: &'s mut Given,
    /// What earlier attempts used; attempts that fail here add to it.
    pub spent: &'s mut Spent,
    /// The longest silence between two events of a stream.
    pub idle: Duration,
}

/// Tokens of attempts that are over, as far as they were counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub usage: Option<Usage>,
}

impl Spent {
    pub(crate) fn add(&mut self, usage: Option<Usage>) {
        if let Some(usage) = usage {
            *self.usage.get_or_insert_default() += usage;
        }
    }
}

/// An attempt that goes on with the stream.
#[derive(Debug)]
pub(crate) struct Successor {
    pub ordinal: u8,
    pub reader: Reader,
    pub splice: Splice,
    /// What it has for the caller already.
    pub first: Option<Bytes>,
    /// When it spoke last.
    last_content: Instant,
}

/// A search in progress.
#[derive(Debug)]
pub(crate) struct Rescue {
    actions: Vec<Action>,
    /// How the attempts began that have not spoken yet.
    modes: Vec<(u8, Mode)>,
    /// A restart that repeats what was given.
    repeating: Option<Successor>,
    wake: Option<Instant>,
    alarm: Pin<Box<Sleep>>,
}

impl Rescue {
    /// Begins, by telling the engine that the answer's attempt broke.
    pub(crate) fn begin(broke: Event, attempts: &mut Attempts) -> Self {
        let mut actions = Vec::new();
        attempts.tell(broke, &mut actions);
        let alarm = Box::pin(tokio::time::sleep_until(now().into()));
        Self { actions, modes: Vec::new(), repeating: None, wake: None, alarm }
    }

    /// The attempt that is being read, and what it has used: one that repeats what was given.
    pub(crate) fn reading(&self) -> Option<(u8, Heard)> {
        self.repeating.as_ref().map(|repeating| (repeating.ordinal, repeating.reader.heard()))
    }

    /// Searches on: to whoever goes on with the stream, or to none when the search is over without one.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, means: &mut Means<'_>) -> Poll<Option<Successor>> {
        loop {
            if self.act(means) {
                if let Some(repeating) = self.repeating.take() {
                    means.attempts.record(repeating.ordinal, Some(Class::Timeout), None);
                }
                return Poll::Ready(None);
            }
            if let Some(mut successor) = self.repeating.take() {
                match repeat(cx, &mut successor, means) {
                    Repetition::Over => return Poll::Ready(Some(self.take_over(successor, means))),
                    Repetition::Failed(class) => {
                        self.fail(successor.ordinal, class, successor.reader.heard(), means);
                        continue;
                    }
                    Repetition::GoesOn => self.repeating = Some(successor),
                }
            }
            if let Poll::Ready((ordinal, ended)) = means.attempts.poll_ended(cx) {
                if let Some(successor) = self.hear(ordinal, ended, means) {
                    return Poll::Ready(Some(self.take_over(successor, means)));
                }
                continue;
            }
            std::task::ready!(self.poll_alarm(cx, means));
        }
    }

    /// Does what the engine asked for. Returns whether it has given the stream up.
    fn act(&mut self, means: &mut Means<'_>) -> bool {
        let mut over = false;
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::Start { attempt, deployment, mode } => {
                    let Some(outgoing) = means.outgoing else {
                        // The engine was told that there is nothing to make again, so it does not come to this.
                        let cancelled = Event::Cancelled { call: means.attempts.call, reading: None };
                        means.attempts.tell(cancelled, &mut Vec::new());
                        return true;
                    };
                    let continued = match (mode, means.given.mendable()) {
                        (Mode::Continue, Some((said, _))) => outgoing.continued(
                            &means.attempts.shared.plan(),
                            deployment,
                            said,
                            means.given.tokens(),
                        ),
                        _ => None,
                    };
                    // A conversation that cannot be continued can still be held again.
                    let mode = if continued.is_some() { Mode::Continue } else { Mode::Restart };
                    self.modes.push((attempt, mode));
                    let outgoing = continued.unwrap_or_else(|| outgoing.again());
                    means.attempts.start(attempt, deployment, Arc::new(outgoing));
                }
                Action::Stop { attempt } => {
                    means.attempts.record(attempt, Some(Class::Timeout), None);
                    means.attempts.stop(Some(attempt));
                    self.repeating.take_if(|repeating| repeating.ordinal == attempt);
                }
                Action::Wake { at } => self.wake = Some(at),
                Action::Finish(Finish::Answered { .. })
                | Action::Queue
                | Action::HeldBack
                | Action::Nudge { .. }
                | Action::Notice(_) => {}
                Action::Finish(_) => over = true,
            }
        }
        over
    }

    /// An attempt ended or spoke.
    fn hear(&mut self, ordinal: u8, ended: Ended, means: &mut Means<'_>) -> Option<Successor> {
        let (head, reader) = match ended {
            Ended::Speaking { head, reader } => (head, *reader),
            Ended::Failed { failure, .. } => {
                self.failed(ordinal, failure, means);
                return None;
            }
            // A stream was asked for.
            Ended::Whole { heard, .. } => {
                self.fail(ordinal, Class::Malformed, heard, means);
                return None;
            }
        };
        means.attempts.record(ordinal, None, Some(head.status.as_u16()));
        let (said, identity) =
            means.given.mendable().map(|(said, identity)| (said, identity.clone())).unwrap_or_default();
        let spent = means.spent.usage.unwrap_or_default();
        let mode = self.modes.iter().find(|(own, _)| *own == ordinal).map(|(_, mode)| *mode);
        let last_content = now();
        if mode == Some(Mode::Continue) {
            let splice = Splice::continuing(identity, said, spent);
            return Some(Successor { ordinal, reader, splice, first: None, last_content });
        }
        let speaking = Event::Speaking { call: means.attempts.call, attempt: ordinal };
        means.attempts.tell(speaking, &mut self.actions);
        let splice = Splice::restarting(identity, spent);
        self.repeating = Some(Successor { ordinal, reader, splice, first: None, last_content });
        None
    }

    fn take_over(&mut self, successor: Successor, means: &mut Means<'_>) -> Successor {
        let content = Event::Content { call: means.attempts.call, attempt: successor.ordinal };
        means.attempts.tell(content, &mut self.actions);
        means.attempts.stop(None);
        successor
    }

    fn fail(&mut self, ordinal: u8, class: Class, heard: Heard, means: &mut Means<'_>) {
        self.failed(ordinal, AttemptFailure { heard, ..AttemptFailure::new(class) }, means);
    }

    fn failed(&mut self, ordinal: u8, failure: AttemptFailure, means: &mut Means<'_>) {
        means.attempts.record(ordinal, Some(failure.class), failure.status);
        means.spent.add(failure.heard.usage);
        let failed = Event::Failed { call: means.attempts.call, attempt: ordinal, failure };
        means.attempts.tell(failed, &mut self.actions);
    }

    /// Waits for the engine's wake-up, or for the end of patience with who repeats.
    fn poll_alarm(&mut self, cx: &mut Context<'_>, means: &mut Means<'_>) -> Poll<()> {
        let silent = self.repeating.as_ref().map(|repeating| repeating.last_content + means.idle);
        let Some(at) = self.wake.into_iter().chain(silent).min() else { return Poll::Pending };
        if self.alarm.deadline().into_std() != at {
            self.alarm.as_mut().reset(at.into());
        }
        std::task::ready!(self.alarm.as_mut().poll(cx));
        if let Some(repeating) = self.repeating.take_if(|_| silent == Some(at)) {
            self.fail(repeating.ordinal, Class::Stalled, repeating.reader.heard(), means);
        } else {
            self.wake = None;
            means.attempts.tell(Event::Tick { call: means.attempts.call }, &mut self.actions);
        }
        Poll::Ready(())
    }
}

enum Repetition {
    /// There is something to give that was not given before.
    Over,
    Failed(Class),
    GoesOn,
}

/// Reads a restart on, as far as it has come.
fn repeat(cx: &mut Context<'_>, successor: &mut Successor, means: &mut Means<'_>) -> Repetition {
    loop {
        while let Some(chunk) = successor.reader.take_ready() {
            match successor.splice.feed(&chunk, means.given) {
                Spliced::Held => {}
                Spliced::Give(bytes) => {
                    successor.first = Some(bytes);
                    return Repetition::Over;
                }
                // Another answer is nobody's fault. The search ends with it: what was not repeated once will not be twice.
                Spliced::Differs => return Repetition::Failed(Class::Cancelled),
            }
        }
        match successor.reader.poll_read(cx) {
            Poll::Pending => return Repetition::GoesOn,
            Poll::Ready(Progress::Read { content }) => {
                if content {
                    successor.last_content = now();
                }
            }
            Poll::Ready(Progress::End) => return Repetition::Failed(Class::Cut),
            Poll::Ready(Progress::Broken(class)) => return Repetition::Failed(class),
        }
    }
}
