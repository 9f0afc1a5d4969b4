//! What a call gives back: the answer, where it came from, what was tried, how long it took, and what it cost.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use wire::{Class, Usage};

use crate::stream::AnswerStream;
use crate::{CallError, observe::Route};

/// One attempt of a call, finished.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptRecord {
    /// Where.
    pub route: Route,
    /// How it failed; `None` when it gave the answer.
    pub class: Option<Class>,
    /// The provider's status, where a head arrived.
    pub status: Option<u16>,
    /// From its start to its end, or to the answer's first content.
    pub took: Duration,
}

/// How long the parts of a call took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// From the request to the first content of a stream, or to the whole of a plain answer.
    pub total: Duration,
    /// The part of it spent in the attempt that gave the answer.
    pub upstream: Duration,
}

/// The answer to a call: its head is here, its body whole or flowing.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The provider's status; always a success.
    pub status: StatusCode,
    /// The provider's headers that may pass.
    pub headers: HeaderMap,
    /// Where the answer came from.
    pub route: Route,
    /// What was tried; the last one gave the answer, unless it is a fallback.
    pub attempts: Vec<AttemptRecord>,
    /// How long it took.
    pub timing: Timing,
    /// Whether the application gave it ([`ClientBuilder::on_exhausted`](crate::ClientBuilder::on_exhausted)), and no provider:
    /// then the attempts all failed, and the route is called `fallback`.
    pub fallback: bool,
    /// The body.
    pub body: AnswerBody,
}

/// The body of an answer.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "an answer is whole or it flows")]
pub enum AnswerBody {
    /// All of it, with what the provider counted and what the call cost, where known.
    Whole {
        /// The bytes as the provider sent them.
        bytes: Bytes,
        /// What the provider counted.
        usage: Option<Usage>,
        /// USD of all attempts of the call, where the price is known.
        cost_usd: Option<f64>,
        /// The part of it that no provider counted, and is estimated.
        estimated_usd: f64,
    },
    /// A stream whose first content has arrived.
    Stream(Box<AnswerStream>),
}

impl Answer {
    /// What the provider counted, of a whole answer. A stream knows it at its end: [`AnswerStream::summary`].
    pub fn usage(&self) -> Option<Usage> {
        match &self.body {
            AnswerBody::Whole { usage, .. } => *usage,
            AnswerBody::Stream(_) => None,
        }
    }

    /// What the call cost in USD, of a whole answer whose price is known: all its attempts, [`estimated`](Self::estimated_usd) where no
    /// provider counted.
    pub fn cost_usd(&self) -> Option<f64> {
        match &self.body {
            AnswerBody::Whole { cost_usd, .. } => *cost_usd,
            AnswerBody::Stream(_) => None,
        }
    }

    /// The part of [`cost_usd`](Self::cost_usd) that is an estimate.
    pub fn estimated_usd(&self) -> f64 {
        match &self.body {
            AnswerBody::Whole { estimated_usd, .. } => *estimated_usd,
            AnswerBody::Stream(_) => 0.0,
        }
    }

    /// The whole body: at once for a plain answer, after its end for a stream.
    ///
    /// # Errors
    /// [`CallError::Truncated`] when a stream breaks off.
    pub async fn bytes(self) -> Result<Bytes, CallError> {
        match self.body {
            AnswerBody::Whole { bytes, .. } => Ok(bytes),
            AnswerBody::Stream(stream) => stream.collect().await,
        }
    }
}

/// What a stream was, known at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// What the providers counted of all attempts, where they said so (`stream_options.include_usage`).
    pub usage: Option<Usage>,
    /// USD of all attempts, where the price is known.
    pub cost_usd: Option<f64>,
    /// The part of it that no provider counted, and is estimated: all of it, where the request did not ask for usage.
    pub estimated_usd: f64,
    /// From the request to the end.
    pub took: Duration,
    /// From the request to the first content.
    pub first_token: Duration,
    /// Whether it broke off, and another attempt went on with it.
    pub rescued: bool,
}
