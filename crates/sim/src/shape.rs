//! The answers as steps: what is refused, what is whole, what breaks off and where.
//!
//! The plan says what happens; here it gets its bytes, its headers and its times.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::{
    fault::Fault,
    refusal::Refusal,
    request::{Ask, Family},
    script::Step,
};

/// When the parts of one answer come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) head: Duration,
    /// From the head to the first token.
    pub(crate) first: Duration,
    pub(crate) pace: Duration,
}

/// What the answers of one request have in common, and the ways to shape one.
pub(crate) struct Shape {
    pub(crate) family: Family,
    pub(crate) timing: Timing,
    pub(crate) headers: HeaderMap,
}

pub(crate) fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
        headers.insert(name, value);
    }
}

impl Shape {
    /// Faults that strike before the request is looked at.
    pub(crate) fn at_the_door(&mut self, fault: &Fault) -> Option<Vec<Step>> {
        match fault {
            Fault::Refuse => Some(vec![Step::Refuse]),
            Fault::Reset => Some(vec![Step::Wait(self.timing.head), Step::Reset]),
            Fault::Silent => Some(vec![Step::Hold]),
            Fault::Status { code, retry_after, body, headers } => {
                for (name, value) in headers {
                    set(&mut self.headers, name, value);
                }
                let said = Refusal::of_fault(fault, self.family).map(|refusal| refusal.body(self.family));
                let body = body.clone().map_or_else(|| said.unwrap_or_default(), Bytes::from);
                Some(self.error(*code, body, *retry_after))
            }
            Fault::RateLimit { retry_after } => self.said(fault, *retry_after),
            Fault::QuotaSpent | Fault::Overloaded | Fault::BadKey => self.said(fault, None),
            _ => None, // the others strike later
        }
    }

    /// Faults of a request that is understood and admitted, and gets something else than an answer.
    pub(crate) fn instead_of_an_answer(&mut self, fault: &Fault, ask: &Ask) -> Option<Vec<Step>> {
        match fault {
            Fault::ContextLength | Fault::ContentFilter | Fault::NoPrefill => self.said(fault, None),
            Fault::Empty => {
                let head = if ask.stream { self.stream_head() } else { self.json_head(200, 0) };
                Some(vec![Step::Wait(self.timing.head), head, Step::End])
            }
            Fault::KeepaliveForever => {
                let bytes = Bytes::from_static(if ask.stream { b": keep-alive\n\n" } else { b"\n" });
                let head = if ask.stream { self.stream_head() } else { self.head(200, "application/json") };
                let repeat = Step::Repeat { every: Duration::from_secs(1), bytes };
                Some(vec![Step::Wait(self.timing.head), head, repeat])
            }
            _ => None, // the others spoil the answer itself
        }
    }

    fn said(&mut self, fault: &Fault, retry_after: Option<Duration>) -> Option<Vec<Step>> {
        Refusal::of_fault(fault, self.family).map(|refusal| self.refusal(&refusal, retry_after))
    }

    pub(crate) fn refusal(&mut self, refusal: &Refusal, retry_after: Option<Duration>) -> Vec<Step> {
        self.error(refusal.status, refusal.body(self.family), retry_after)
    }

    fn error(&mut self, status: u16, body: Bytes, retry_after: Option<Duration>) -> Vec<Step> {
        if let Some(wait) = retry_after {
            // Whole seconds, rounded up, is all that the header can say (RFC 9110, 10.2.3); the other is OpenAI's.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            set(&mut self.headers, "retry-after", &seconds.to_string());
            if self.family != Family::Anthropic {
                set(&mut self.headers, "retry-after-ms", &wait.as_micros().div_ceil(1000).to_string());
            }
        }
        vec![Step::Wait(self.timing.head), self.json_head(status, body.len()), Step::Chunk(body), Step::End]
    }

    /// A document, and what may go wrong with it.
    pub(crate) fn whole(&mut self, body: &Bytes, tokens: u32, fault: Option<&Fault>) -> Vec<Step> {
        let Timing { head, first, pace } = self.timing;
        let half = body.slice(..body.len() / 2);
        let (length, sent, last) = match fault {
            Some(Fault::Cut { .. }) => (body.len(), half, Step::Cut),
            Some(Fault::Stall { .. }) => (body.len(), half, Step::Hold),
            Some(Fault::Malformed { .. }) => (half.len(), half, Step::End),
            _ => (body.len(), body.clone(), Step::End),
        };
        let wait = head.saturating_add(first).saturating_add(pace.saturating_mul(tokens.saturating_sub(1)));
        vec![Step::Wait(wait), self.json_head(200, length), Step::Chunk(sent), last]
    }

    /// A stream, and what may go wrong with it.
    pub(crate) fn stream(
        &mut self,
        opening: &[Bytes],
        tokens: &[Bytes],
        closing: &[Bytes],
        done: Bytes,
        fault: Option<&Fault>,
    ) -> Vec<Step> {
        let Timing { head, first, pace } = self.timing;
        let mut steps = vec![Step::Wait(head), self.stream_head()];
        steps.extend(opening.iter().cloned().map(Step::Chunk));
        let (limit, broken) = match fault {
            Some(Fault::Cut { after }) => (*after, Some(Step::Cut)),
            Some(Fault::Stall { after }) => (*after, Some(Step::Hold)),
            _ => (u32::MAX, None),
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        for (index, token) in tokens.iter().take(limit).enumerate() {
            let wait = if index == 0 { first } else { pace };
            if !wait.is_zero() {
                steps.push(Step::Wait(wait));
            }
            steps.push(Step::Chunk(token.clone()));
        }
        if let Some(step) = broken {
            steps.push(step);
            return steps;
        }
        steps.extend(closing.iter().cloned().map(Step::Chunk));
        if fault != Some(&Fault::NoDone) {
            steps.push(Step::Chunk(done));
        }
        if let Some(Fault::Malformed { after }) = fault {
            break_frame(&mut steps, *after);
        }
        steps.push(Step::End);
        steps
    }

    fn json_head(&mut self, status: u16, length: usize) -> Step {
        self.headers.insert(http::header::CONTENT_LENGTH, length.into());
        self.head(status, "application/json")
    }

    fn stream_head(&mut self) -> Step {
        set(&mut self.headers, "cache-control", "no-cache");
        self.head(200, "text/event-stream; charset=utf-8")
    }

    fn head(&mut self, status: u16, content_type: &str) -> Step {
        let mut headers = std::mem::take(&mut self.headers);
        if !headers.contains_key(http::header::CONTENT_TYPE) {
            set(&mut headers, "content-type", content_type);
        }
        // A 1xx is no answer, and HTTP has no status below.
        let status = StatusCode::from_u16(status).ok().filter(|status| status.as_u16() >= 200);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Step::Head { status, headers }
    }
}

/// Breaks the `nth` frame (from 1; the last when there are fewer) off in its last third, and ends it like a whole one.
fn break_frame(steps: &mut [Step], nth: u32) {
    let mut frames: Vec<&mut Bytes> = steps
        .iter_mut()
        .filter_map(|step| if let Step::Chunk(bytes) = step { Some(bytes) } else { None })
        .collect();
    let index = usize::try_from(nth.max(1) - 1).unwrap_or(usize::MAX).min(frames.len().saturating_sub(1));
    if let Some(frame) = frames.get_mut(index) {
        let kept = frame.len() - frame.len() / 3;
        **frame = [frame.get(..kept).unwrap_or_default(), b"\n\n"].concat().into();
    }
}
