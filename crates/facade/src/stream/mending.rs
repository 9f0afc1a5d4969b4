//! A stream that broke, until somebody goes on with it, and from then on.

use std::task::{Context, Poll};

use bytes::Bytes;
use wire::Class;

use super::{AnswerStream, Origin};
use crate::{
    engine::{AttemptFailure, Event, Heard},
    error::CallError,
    given::Given,
    rescue::{Means, Rescue, Successor},
    shared::now,
    splice::{Splice, Spliced},
};

/// What a stream that broke needs beside.
#[derive(Debug)]
pub(super) struct Mending {
    /// How it broke last.
    class: Class,
    given: Given,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Searching(Box<Rescue>),
    /// Somebody goes on: the frames pass through the splice; the first of them may be here already.
    Joined {
        splice: Box<Splice>,
        first: Option<Bytes>,
    },
}

impl AnswerStream {
    /// Whether it broke, and nobody goes on yet.
    pub(super) fn is_searching(&self) -> bool {
        self.mending.as_ref().is_some_and(|mending| matches!(mending.stage, Stage::Searching(_)))
    }

    /// The attempt that is being read, and what it has used; none while nobody speaks.
    pub(super) fn reading(&self) -> Option<(u8, Heard)> {
        match self.mending.as_deref() {
            Some(Mending { stage: Stage::Searching(rescue), .. }) => rescue.reading(),
            _ => Some((self.origin.attempt, self.reader.heard())),
        }
    }

    /// The next bytes for the caller that are here already; of an attempt that goes on with a broken stream, as a part of it.
    pub(super) fn take_ready(&mut self) -> Option<Bytes> {
        let Some(mending) = &mut self.mending else { return self.reader.take_ready() };
        let Mending { given, stage: Stage::Joined { splice, first }, .. } = &mut **mending else {
            return None;
        };
        if let Some(first) = first.take() {
            return Some(first);
        }
        while let Some(chunk) = self.reader.take_ready() {
            match splice.feed(&chunk, given) {
                Spliced::Held => {}
                Spliced::Give(bytes) => return Some(bytes),
                Spliced::Differs => {
                    self.reader.close();
                    self.ending = Some(Err(Class::Malformed));
                    return None;
                }
            }
        }
        None
    }

    /// Frames of the present attempt's, supplied at its end, as the caller may see them.
    pub(super) fn joined(&mut self, frames: Bytes) -> Option<Bytes> {
        match self.mending.as_deref_mut() {
            Some(Mending { given, stage: Stage::Joined { splice, .. }, .. }) => {
                match splice.feed(&frames, given) {
                    Spliced::Give(bytes) => Some(bytes),
                    Spliced::Held | Spliced::Differs => None,
                }
            }
            _ => Some(frames),
        }
    }

    /// It broke off. The engine is told, and whoever it finds goes on.
    pub(super) fn break_off(&mut self, class: Class) {
        self.reader.close();
        let Origin { attempt, attempts, outgoing, .. } = &mut self.origin;
        let heard = self.reader.heard();
        self.spent.add(heard.usage);
        attempts.record(*attempt, Some(class), None);
        let remembered = self.reader.given.take().map(|given| *given);
        let mended = self.mending.take().map(|mending| mending.given);
        let given = mended.or(remembered).unwrap_or_default();
        let rescuable = outgoing.is_some() && given.mendable().is_some();
        let failure = AttemptFailure { heard, ..AttemptFailure::new(class) };
        let broke = Event::Broke { call: attempts.call, attempt: *attempt, failure, rescuable };
        let stage = Stage::Searching(Box::new(Rescue::begin(broke, attempts)));
        self.mending = Some(Box::new(Mending { class, given, stage }));
    }

    /// Looks for somebody who goes on; its end is the stream's when there is none.
    pub(super) fn poll_rescue(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        let Some(mending) = &mut self.mending else { return Poll::Ready(Ok(())) };
        let Mending { class, given, stage } = &mut **mending;
        let Stage::Searching(rescue) = stage else { return Poll::Ready(Ok(())) };
        let mut means = Means {
            attempts: &mut self.origin.attempts,
            outgoing: self.origin.outgoing.as_ref(),
            given,
            spent: &mut self.spent,
            idle: self.origin.idle,
        };
        match std::task::ready!(rescue.poll(cx, &mut means)) {
            Some(Successor { ordinal, reader, splice, first, .. }) => {
                *stage = Stage::Joined { splice: Box::new(splice), first };
                self.reader = reader;
                self.origin.attempt = ordinal;
                self.summary.rescued = true;
                self.last_content = now();
                self.whole_since = self.is_whole().then(now);
                self.ending = None;
                Poll::Ready(Ok(()))
            }
            None => {
                let class = *class;
                self.origin.attempts.record_unfinished(Class::Timeout);
                self.conclude();
                Poll::Ready(Err(CallError::Truncated {
                    model: self.origin.model.to_string(),
                    class,
                    attempts: self.origin.attempts.records.clone(),
                }))
            }
        }
    }
}
