//! What a region received and what it did: the provider's side of every test.
//!
//! The log is bounded; the newest requests stay, and the count goes on.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use http::HeaderMap;

/// One request, as the region that received it tells it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Received {
    /// When, on the world's clock.
    pub at: Duration,
    /// Method, path and query, `POST /v1/chat/completions`.
    pub path: String,
    /// The request's headers, credentials included: what may cross is a thing to test.
    pub headers: HeaderMap,
    /// The request's body.
    pub body: Bytes,
    /// The model asked for, where the request could be read.
    pub model: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The fault that decided the answer, or the first that delayed it.
    pub fault: Option<&'static str>,
    /// What the region has done so far.
    pub outcome: Outcome,
    /// The status of the answer, once its head was sent.
    pub status: Option<u16>,
    /// Bytes of the answer's body sent so far.
    pub bytes_sent: u64,
    /// Whether the caller left before the region had finished.
    pub cancelled_by_caller: bool,
}

/// What a region did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is still answering, or was when the caller left.
    Answering,
    /// It answered to the end, whatever the status.
    Answered,
    /// It refused the connection. Only in memory and for a share of the requests: a closed port sees nothing.
    Refused,
    /// It reset the connection before the head of an answer.
    Reset,
    /// It broke the connection amid the answer.
    Cut,
    /// It fell silent, or sends nothing but keep-alives, until the caller leaves.
    Held,
}

/// The requests of one region, numbered from 0 in the order of their arrival.
#[derive(Debug)]
pub(crate) struct Log {
    lines: VecDeque<Received>,
    limit: usize,
    count: u64,
}

impl Log {
    pub(crate) fn new(limit: usize) -> Self {
        Self { lines: VecDeque::new(), limit, count: 0 }
    }

    pub(crate) fn push(&mut self, line: Received) {
        self.count += 1;
        self.lines.push_back(line);
        if self.lines.len() > self.limit {
            self.lines.pop_front();
        }
    }

    /// How many requests came, which is the number of the next one.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn lines(&self) -> Vec<Received> {
        self.lines.iter().cloned().collect()
    }

    /// Changes a request's line, unless the log has forgotten it.
    pub(crate) fn note(&mut self, number: u64, change: impl FnOnce(&mut Received)) {
        let kept = u64::try_from(self.lines.len()).unwrap_or(u64::MAX);
        let position =
            number.checked_sub(self.count - kept).and_then(|position| usize::try_from(position).ok());
        if let Some(line) = position.and_then(|position| self.lines.get_mut(position)) {
            change(line);
        }
    }
}
