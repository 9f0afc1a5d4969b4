//! One attempt, executed: sends the request, reads the answer to its first content or its whole, and says what came of it.
//!
//! An attempt decides nothing: it has no time limit of its own and does not know of others. Dropping its future gives the
//! upstream connection up.

use std::{
    future::poll_fn,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use transport::{ErrorKind, Phase, Response, Sent, TransportError};
use wire::{Api, Class};

use crate::{
    engine::{AttemptFailure, CallId, Event, Heard, Plan},
    form::Form,
    outgoing::Outgoing,
    reader::{Progress, Reader},
    request::Request,
    room::Taken,
    shared::Shared,
};

/// How long the body of a refusal is waited for: its status has said enough to go elsewhere.
const REFUSAL_TIME: Duration = Duration::from_secs(2);
/// The most that is held of a stream before its first content: pings, comments, role-only deltas.
const MAX_PREAMBLE: usize = 1 << 20;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What came of an attempt.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The whole plain answer.
    Whole { head: Head, bytes: Bytes, heard: Heard },
    /// The first content of an answer that flows.
    Speaking { head: Head, reader: Box<Reader> },
    /// No answer; with the provider's own words, where it had any.
    Failed { failure: AttemptFailure, refusal: Option<Refusal> },
}

/// The head of an answer, as far as it goes back.
#[derive(Debug)]
pub(crate) struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
}

/// What a provider said when it refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub head: Head,
    pub body: Bytes,
}

/// Makes one attempt.
///
/// # Cancel safety
/// Dropping the future ends the attempt; the engine is told by whoever drops it.
pub(crate) async fn run(
    shared: Arc<Shared>,
    plan: Arc<Plan>,
    outgoing: Arc<Outgoing>,
    call: CallId,
    ordinal: u8,
    deployment: usize,
) -> Ended {
    let Some((sent, request)) = outgoing.to(&plan, deployment, ordinal) else {
        return failed(AttemptFailure::new(Class::CallerFault));
    };
    let response = match shared.transport.send(request).await {
        Ok(response) => response,
        Err(error) => return failed(unsent(&error)),
    };
    let Response { status, headers, body, .. } = response;
    let headroom = wire::Headroom::read(|name| headers.get(name)?.to_str().ok(), shared.wall());
    let watcher = outgoing.request.watcher.as_deref();
    shared.tell(Event::Head { call, attempt: ordinal, headroom }, watcher, &mut Vec::new());
    let head = Head { status, headers };
    let form = form(&shared, &outgoing.request, sent);
    if !status.is_success() {
        let mut reader = Reader::plain(body);
        // Of a refusal that breaks off or dawdles, what came is all that is known.
        let mut held = Held::of(Taken::of(None));
        let _ended =
            tokio::time::timeout(REFUSAL_TIME, hold(&mut reader, wire::MAX_ERROR_BODY, &mut held)).await;
        return refused(&shared, &form, head, held.into_bytes());
    }
    if outgoing.request.is_stream() && is_event_stream(&head.headers) {
        let mut reader = form.events(body, outgoing.mendable);
        if outgoing.request.is_stored() {
            reader = reader.stored(Arc::clone(&shared), deployment);
        }
        return first_content(head, reader).await;
    }
    let mut reader = Reader::plain(body).at_most(outgoing.request.estimated_usage().output);
    // What cannot flow is held whatever there is room for.
    let must_be_whole = outgoing.request.is_stream() || form.is_translated();
    let mut held = Held::of(Taken::of(shared.holding.all.as_ref().filter(|_| !must_be_whole)));
    match hold(&mut reader, shared.holding.each, &mut held).await {
        // A form can be changed only when it is all there, and nobody reads what is no stream as one.
        Progress::Read { .. } if must_be_whole => broken(status, Class::Malformed, &reader),
        Progress::Read { .. } => {
            // Larger than may be held: it flows from here, and can no longer be retried.
            Ended::Speaking { head, reader: Box::new(reader.starting_with(held.into_flowing())) }
        }
        Progress::Broken(class) => broken(status, class, &reader),
        Progress::End => {
            let ended = whole(&form, head, held.into_bytes(), outgoing.request.is_stream());
            if let (Ended::Whole { bytes, .. }, true) = (&ended, outgoing.request.is_stored()) {
                shared.remember(bytes, deployment);
            }
            ended
        }
    }
}

/// Reads on to the first content, or to the end of an answer that explains why it has none.
async fn first_content(mut head: Head, mut reader: Reader) -> Ended {
    let status = head.status;
    loop {
        let progress = poll_fn(|cx| reader.poll_read(cx)).await;
        match progress {
            Progress::Broken(class) => {
                let (Some(said), Some(body)) = (&reader.said.error, reader.fault.take()) else {
                    return broken(status, class, &reader);
                };
                head.headers.insert(header::CONTENT_TYPE, JSON);
                return in_band(head, said, body, reader.heard());
            }
            Progress::Read { content: true } => return Ended::Speaking { head, reader: Box::new(reader) },
            Progress::Read { .. } if reader.held() > MAX_PREAMBLE => {
                return broken(status, Class::Malformed, &reader);
            }
            Progress::Read { .. } if !reader.done => {}
            Progress::Read { .. } | Progress::End => {
                return match reader.said.failure() {
                    Some(failure) if reader.said.finished > 0 || reader.said.nothing => {
                        broken(status, failure.class, &reader)
                    }
                    None => Ended::Speaking { head, reader: Box::new(reader) },
                    Some(_) => broken(status, Class::Cut, &reader),
                };
            }
        }
    }
}

/// What was read of a plain body: a copy is made only when it came in several pieces.
#[derive(Debug)]
struct Held {
    first: Bytes,
    all: BytesMut,
    taken: Taken,
}

impl Held {
    fn of(taken: Taken) -> Self {
        Self { first: Bytes::new(), all: BytesMut::new(), taken }
    }

    /// Holds a chunk; `false` where there was no room for it, and it is held all the same.
    fn push(&mut self, chunk: Bytes) -> bool {
        let has_room = self.taken.take(chunk.len());
        if self.len() == 0 {
            self.first = chunk;
            return has_room;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&chunk);
        has_room
    }

    fn len(&self) -> usize {
        self.all.len().max(self.first.len())
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }

    /// The same, with the room that they take: it is given back when the last of them has gone.
    fn into_flowing(mut self) -> Bytes {
        let taken = std::mem::replace(&mut self.taken, Taken::of(None));
        taken.around(self.into_bytes())
    }
}

/// Reads a plain body to its end, or to more than `limit` bytes, or to more than there is room for.
///
/// # Cancel safety
/// What was read before its future is dropped stands in `held`.
async fn hold(reader: &mut Reader, limit: usize, held: &mut Held) -> Progress {
    loop {
        let progress = poll_fn(|cx| reader.poll_read(cx)).await;
        let mut has_room = true;
        while let Some(chunk) = reader.take_ready() {
            has_room &= held.push(chunk);
        }
        if held.len() > limit || !has_room || !matches!(progress, Progress::Read { .. }) {
            return progress;
        }
    }
}

/// A plain answer that came whole. That the bytes are all there does not make them an answer.
fn whole(form: &Form, head: Head, bytes: Bytes, stream_wanted: bool) -> Ended {
    let (bytes, facts) = form.whole(bytes);
    // A stream was asked for: an answer that does not stream is not what the caller can read.
    let malformed = || stream_wanted.then(|| wire::Failure::new(Class::Malformed));
    let mut heard = Heard::of(&facts);
    if form.asked == Api::Embeddings {
        // Vectors are no tokens.
        heard.uncounted = 0;
    }
    match facts.failure().or_else(malformed) {
        Some(said) => in_band(head, &said, bytes, heard),
        None => Ended::Whole { head, bytes, heard },
    }
}

/// A failure that came as a success. To a caller whose fault it is, it is a refusal like any other.
fn in_band(head: Head, said: &wire::Failure, body: Bytes, heard: Heard) -> Ended {
    let failure = AttemptFailure {
        status: Some(head.status.as_u16()),
        retry_after: said.retry_after,
        heard,
        ..AttemptFailure::new(said.class)
    };
    let head = Head { status: StatusCode::BAD_REQUEST, ..head };
    Ended::Failed { failure, refusal: Some(Refusal { head, body }) }
}

/// A refusal: its class is read from its body, not only from its status.
fn refused(shared: &Shared, form: &Form, mut head: Head, body: Bytes) -> Ended {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let said = wire::classify(head.status.as_u16(), header, &body, shared.wall());
    let failure = AttemptFailure {
        status: Some(head.status.as_u16()),
        retry_after: said.retry_after,
        ..AttemptFailure::new(said.class)
    };
    if form.is_translated() {
        head.headers.insert(header::CONTENT_TYPE, JSON);
    }
    Ended::Failed { failure, refusal: Some(Refusal { head, body: form.refusal(body) }) }
}

/// The form of an answer that begins now.
fn form(shared: &Shared, request: &Request, sent: Api) -> Form {
    let since = shared.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Form { asked: request.api, sent, include_usage: request.facts.include_usage, created: since.as_secs() }
}

/// No head came.
pub(crate) fn unsent(error: &TransportError) -> AttemptFailure {
    let class = match error.kind() {
        ErrorKind::Refused | ErrorKind::Dns | ErrorKind::Tls | ErrorKind::Timeout(Phase::Connect) => {
            Class::Unreachable
        }
        ErrorKind::Timeout(_) => Class::Timeout,
        ErrorKind::Cut => Class::Cut,
        ErrorKind::Protocol => Class::Malformed,
        // A header or CA file that cannot be used is the configuration's fault at this endpoint.
        ErrorKind::InvalidRequest => Class::Unreachable,
        _ => Class::Reset,
    };
    AttemptFailure { sent: error.sent() != Sent::No, ..AttemptFailure::new(class) }
}

/// An answer began well and broke.
fn broken(status: StatusCode, class: Class, reader: &Reader) -> Ended {
    failed(AttemptFailure {
        status: Some(status.as_u16()),
        heard: reader.heard(),
        ..AttemptFailure::new(class)
    })
}

fn failed(failure: AttemptFailure) -> Ended {
    Ended::Failed { failure, refusal: None }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.trim_start().to_ascii_lowercase().starts_with("text/event-stream"))
}
