//! The engine's words: what it is told, and what it asks to be done.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use policy::{Finish, Mode};
use wire::{Api, Class, Headroom};

use super::{bill::Heard, costs::CostBound};
use crate::{observe::Notice, trace::Trail};

/// A call's number, chosen by the driver and never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "a number, and never more")]
pub struct CallId(pub u64);

/// What a caller asks, as far as routing depends on it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ask {
    /// The public model, by its number in the plan.
    pub model: usize,
    /// The kind of request.
    pub api: Api,
    /// Whether a deployment of another dialect may serve it, because it can be translated.
    pub translates: bool,
    /// Whether its stream may be rescued, as far as the request says: plain text, one choice, nothing beside it.
    pub rescuable: bool,
    /// Whether a stream is wanted.
    pub stream: bool,
    /// The region to prefer, or the regions in order of nearness.
    pub prefer: Vec<Arc<str>>,
    /// The regions allowed, where they are fewer than the model's own.
    pub residency: Option<Vec<Arc<str>>>,
    /// A hash of the session's key.
    pub affinity: Option<u64>,
    /// The one deployment that may serve it, because it alone remembers what the request leans on.
    pub only: Option<usize>,
    /// The most that it may cost, all its attempts together.
    pub at_most: Option<CostBound>,
    /// Input and output tokens the request may use, as far as it says.
    pub tokens: u32,
    /// Input tokens of the request, estimated: what an attempt that nobody counted is taken to have read.
    pub input: u64,
    /// The caller's own deadline.
    pub deadline: Option<Instant>,
    /// Whether the caller retries by itself: then one attempt and its free failover.
    pub single: bool,
    /// The names of its attempts, where its caller traces it.
    pub trail: Option<Trail>,
}

impl Ask {
    /// A chat with a model, without further wishes.
    pub fn new(model: usize, stream: bool) -> Self {
        Self {
            model,
            api: Api::Chat,
            translates: true,
            rescuable: false,
            stream,
            prefer: Vec::new(),
            residency: None,
            affinity: None,
            only: None,
            at_most: None,
            tokens: 0,
            input: 0,
            deadline: None,
            single: false,
            trail: None,
        }
    }
}

/// A failed attempt, in the words of those who saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AttemptFailure {
    /// What it was.
    pub class: Class,
    /// The provider's status, where a head arrived.
    pub status: Option<u16>,
    /// The wait that the provider asked for.
    pub retry_after: Option<Duration>,
    /// Whether any byte of the request may have arrived.
    pub sent: bool,
    /// What it used before it failed.
    pub heard: Heard,
}

impl AttemptFailure {
    /// A failure after the request was sent, without more facts.
    pub fn new(class: Class) -> Self {
        Self { class, status: None, retry_after: None, sent: true, heard: Heard::default() }
    }
}

/// What the engine is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A caller asks.
    Asked {
        /// The new call.
        call: CallId,
        /// What it asks.
        ask: Ask,
    },
    /// The head of an attempt's answer arrived: its endpoint is reachable.
    Head {
        /// The call.
        call: CallId,
        /// The attempt's ordinal.
        attempt: u8,
        /// What is left of the provider's limits, by its own count.
        headroom: Headroom,
    },
    /// A restart ([`Mode::Restart`]) speaks: it begins to repeat what was given. It is given the time for it.
    Speaking {
        /// The call.
        call: CallId,
        /// The attempt's ordinal.
        attempt: u8,
    },
    /// A stream's first content arrived: the attempt is the call's answer. Of an attempt that goes on with a broken answer:
    /// its first content beyond what was given arrived, so that it takes over.
    Content {
        /// The call.
        call: CallId,
        /// The attempt's ordinal.
        attempt: u8,
    },
    /// The whole answer arrived, plain or at the end of a stream.
    Answered {
        /// The call.
        call: CallId,
        /// The attempt's ordinal.
        attempt: u8,
        /// What it used.
        heard: Heard,
    },
    /// An attempt failed before its first content.
    Failed {
        /// The call.
        call: CallId,
        /// The attempt's ordinal.
        attempt: u8,
        /// How.
        failure: AttemptFailure,
    },
    /// An attempt failed after its first content: part of an answer has been given.
    Broke {
        /// The call.
        call: CallId,
        /// The attempt's ordinal.
        attempt: u8,
        /// How.
        failure: AttemptFailure,
        /// Whether the rest may be had elsewhere, as far as what was given says: plain text, no reasoning, no tools.
        rescuable: bool,
    },
    /// The instant of the last [`Action::Wake`] has come.
    Tick {
        /// The call.
        call: CallId,
    },
    /// The caller went away.
    Cancelled {
        /// The call.
        call: CallId,
        /// The attempt that was being read, and what it had used by then.
        reading: Option<(u8, Heard)>,
    },
    /// Whoever runs the client broke a call off, or its answer, though its caller was there still.
    CutOff {
        /// The call.
        call: CallId,
        /// The attempt that was being read, and what it had used by then.
        reading: Option<(u8, Heard)>,
    },
}

impl Event {
    /// The call it speaks of.
    pub fn call(&self) -> CallId {
        match self {
            Self::Asked { call, .. }
            | Self::Head { call, .. }
            | Self::Speaking { call, .. }
            | Self::Content { call, .. }
            | Self::Answered { call, .. }
            | Self::Failed { call, .. }
            | Self::Broke { call, .. }
            | Self::Tick { call }
            | Self::Cancelled { call, .. }
            | Self::CutOff { call, .. } => *call,
        }
    }
}

/// What the engine asks to be done, in order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Start an attempt.
    Start {
        /// Its ordinal within the call, from 0.
        attempt: u8,
        /// The deployment, by its number in the plan.
        deployment: usize,
        /// From where.
        mode: Mode,
    },
    /// Say [`Event::Tick`] at this instant; it replaces the wake-up before it.
    Wake {
        /// When.
        at: Instant,
    },
    /// Every deployment that would do is full, and the call waits for a place: [`Action::Nudge`] may come for it from now on, out
    /// of any event's actions. A driver that was not listening yet says [`Event::Tick`] once it is.
    Queue,
    /// Say [`Event::Tick`] of that call now: a place is kept for it.
    Nudge {
        /// The call that waits.
        call: CallId,
    },
    /// Drop this attempt: it was to go on with a broken answer, and was silent for too long.
    Stop {
        /// Its ordinal.
        attempt: u8,
    },
    /// The call is decided. Attempts other than the one that answered are to be dropped. After an answer that breaks off
    /// ([`Event::Broke`]) it is decided anew: an attempt takes over ([`Finish::Answered`]), or none does
    /// ([`Finish::Truncated`]).
    Finish(Finish),
    /// Said before the end of a call that had somebody left to ask: another attempt might have cost more than the call may.
    HeldBack,
    /// Tell those who watch.
    Notice(Notice),
}
