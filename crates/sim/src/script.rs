//! What one request gets, as a list of steps.
//!
//! A region decides once, when the request is there, and writes its decision down as a [`Script`]. Two players act it
//! out, [`SimTransport`](crate::SimTransport) in memory and [`Server`](crate::Server) on sockets. Neither decides anything,
//! so a caller gets the same bytes at the same times from both, and a test of one is a test of the other.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// One thing that a region does. An answer made of them by hand begins with a head, or breaks before it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// Lets so much time pass.
    Wait(Duration),
    /// Refuses the connection; nothing follows.
    Refuse,
    /// Resets the connection before the head; nothing follows.
    Reset,
    /// Sends the head of the answer.
    Head {
        /// The status.
        status: StatusCode,
        /// The headers.
        headers: HeaderMap,
    },
    /// Sends a piece of the body.
    Chunk(Bytes),
    /// Sends the piece again and again until the caller leaves; nothing follows.
    Repeat {
        /// The time before each.
        every: Duration,
        /// The piece.
        bytes: Bytes,
    },
    /// Is silent until the caller leaves; nothing follows.
    Hold,
    /// Breaks the connection amid the body; nothing follows.
    Cut,
    /// Ends the body properly; nothing follows.
    End,
}

/// The steps of one answer, in order, and what the log says of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    /// The steps; the last one is final by nature.
    pub(crate) steps: Vec<Step>,
    /// The fault that decided the answer, or the first that delayed it; `None` for a healthy answer.
    pub(crate) fault: Option<&'static str>,
    /// The model that was asked for, where the request could be read.
    pub(crate) model: Option<String>,
    /// Whether a stream was asked for.
    pub(crate) stream: bool,
}
