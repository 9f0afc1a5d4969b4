//! Acts a script out, step by step, in time.
//!
//! Both players poll the same [`Playback`]; what they add is only how a break looks on their side. Times are kept against
//! the request's start, not from step to step, so that a stream of a thousand waits does not drift.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    vec,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{log::Outcome, script::Step, world::Ticket};

/// What a caller sees next.
#[derive(Debug)]
pub(crate) enum Event {
    Head { status: StatusCode, headers: HeaderMap },
    Chunk(Bytes),
    Refused,
    Reset,
    Cut,
    End,
}

/// A script being acted out.
///
/// # Drop
/// Dropped before its end, the caller has left: nothing more happens, and the region's log says so.
#[derive(Debug)]
pub(crate) struct Playback {
    steps: vec::IntoIter<Step>,
    /// When the step at hand is due.
    due: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    repeating: Option<Bytes>,
    ticket: Ticket,
}

impl Playback {
    pub(crate) fn new(steps: Vec<Step>, ticket: Ticket) -> Self {
        let steps = steps.into_iter();
        Self { steps, due: Instant::now(), sleep: None, waiting: false, repeating: None, ticket }
    }

    /// The next event.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Event {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            ready!(self.poll_wait(cx));
            if let Some(Step::Repeat { every, bytes }) = self.steps.as_slice().first() {
                if let Some(bytes) = self.repeating.take() {
                    self.sent(&bytes);
                    return Poll::Ready(Event::Chunk(bytes));
                }
                self.ticket.note(|line| line.outcome = Outcome::Held);
                self.repeating = Some(bytes.clone());
                self.wait(self.due + *every);
                continue;
            }
            match self.steps.as_slice().first() {
                Some(Step::Hold) => {
                    self.ticket.note(|line| line.outcome = Outcome::Held);
                    return Poll::Pending; // nothing will wake us: the caller has to leave
                }
                Some(Step::Wait(wait)) => self.wait(self.due + *wait),
                _ => return Poll::Ready(self.act()),
            }
            self.steps.next();
        }
    }

    /// Does a step that takes no time.
    fn act(&mut self) -> Event {
        let event = match self.steps.next() {
            Some(Step::Head { status, headers }) => {
                self.ticket.note(|line| line.status = Some(status.as_u16()));
                Event::Head { status, headers }
            }
            Some(Step::Chunk(bytes)) => {
                self.sent(&bytes);
                Event::Chunk(bytes)
            }
            Some(Step::Refuse) => {
                self.ticket.finish(Outcome::Refused);
                Event::Refused
            }
            Some(Step::Reset) => {
                self.ticket.finish(Outcome::Reset);
                Event::Reset
            }
            Some(Step::Cut) => {
                self.ticket.finish(Outcome::Cut);
                Event::Cut
            }
            // Those that take time are `poll_next`'s; a script that is over stays over.
            Some(Step::End | Step::Wait(_) | Step::Hold | Step::Repeat { .. }) | None => Event::End,
        };
        // A caller need not come back for the end once it has the last byte.
        if let Some(Step::End) | None = self.steps.as_slice().first() {
            self.ticket.finish(Outcome::Answered);
        }
        event
    }

    /// Whether the break comes next.
    pub(crate) fn is_cut(&self) -> bool {
        matches!(self.steps.as_slice().first(), Some(Step::Cut))
    }

    fn sent(&self, bytes: &Bytes) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.ticket.note(|line| line.bytes_sent += length);
    }

    fn wait(&mut self, until: Instant) {
        self.due = until;
        self.waiting = true;
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(until),
            None => self.sleep = Some(Box::pin(sleep_until(until))),
        }
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiting
            && let Some(sleep) = &mut self.sleep
        {
            ready!(sleep.as_mut().poll(cx));
            self.waiting = false;
        }
        Poll::Ready(())
    }
}
