//! What can go wrong before or within an answer, told by phase.

use std::fmt;

/// Why there is no answer, or only part of one.
#[derive(Debug)]
pub struct TransportError {
    kind: ErrorKind,
    sent: Sent,
    answered: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl TransportError {
    /// An error of `kind`. What the kind implies of [`sent`](Self::sent) and [`answered`](Self::answered) is filled in:
    /// what fails before a connection is made sent nothing; a cut body was answered, and so was what was answered by noise.
    pub fn new(kind: ErrorKind) -> Self {
        let sent = match kind {
            ErrorKind::Refused
            | ErrorKind::Dns
            | ErrorKind::Tls
            | ErrorKind::Timeout(Phase::Connect)
            | ErrorKind::InvalidRequest => Sent::No,
            ErrorKind::Reset
            | ErrorKind::Timeout(Phase::Head | Phase::Body)
            | ErrorKind::Cut
            | ErrorKind::Protocol => Sent::Maybe,
        };
        let answered = matches!(kind, ErrorKind::Cut | ErrorKind::Protocol | ErrorKind::Timeout(Phase::Body));
        Self { kind, sent, answered, source: None }
    }

    /// The same, with the error below it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same, with another word on whether anything was sent.
    #[must_use]
    pub fn with_sent(mut self, sent: Sent) -> Self {
        self.sent = sent;
        self
    }

    /// What happened.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the provider may have seen (and billed) the request.
    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// Whether any byte of an answer came.
    pub fn answered(&self) -> bool {
        self.answered
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// What happened, by phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The host answered the connection with a refusal, or could not be routed to.
    #[error("connection refused")]
    Refused,
    /// The host's name has no address.
    #[error("name look-up failed")]
    Dns,
    /// The TLS handshake failed.
    #[error("tls handshake failed")]
    Tls,
    /// The connection ended before the head of an answer.
    #[error("connection reset before an answer")]
    Reset,
    /// The body ended before its proper end.
    #[error("answer cut off")]
    Cut,
    /// A limit of [`Timeouts`](crate::Timeouts) or [`Pool::connect_timeout`](crate::Pool::connect_timeout) passed.
    #[error("timed out: {0}")]
    Timeout(Phase),
    /// The peer did not speak HTTP.
    #[error("protocol violation")]
    Protocol,
    /// The request cannot be sent: a bad header, a scheme that is not http or https, a bad CA file or proxy.
    #[error("invalid request")]
    InvalidRequest,
}

/// Where a timeout struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "an exchange has these three phases")]
pub enum Phase {
    /// While connecting: look-up, TCP, TLS.
    #[error("connect")]
    Connect,
    /// Waiting for the head of the answer.
    #[error("head")]
    Head,
    /// Between two pieces of the body.
    #[error("body")]
    Body,
}

/// Whether any byte of the request may have reached the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "nobody can know it for sure once a byte has left")]
pub enum Sent {
    /// Surely nothing: trying elsewhere cannot be billed twice.
    No,
    /// Perhaps.
    Maybe,
}
