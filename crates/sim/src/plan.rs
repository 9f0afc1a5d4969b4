//! The decision: what one request gets.
//!
//! [`State::plan`] is pure but for its state: it is handed the request, the time and a draw, and returns a [`Script`]. The
//! order is a real provider's: what never reaches it, then its door (status, key, limits), then whether the request can
//! be served, then what may go wrong while it is.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::{
    answer::{Answer, answer, refusal_body},
    fault::{Fault, Injection},
    latency::{Draws, scaled},
    quota::{Bucket, Quota},
    region::Region,
    request::{Ask, Call, Kind, Refusal, read},
    script::{Script, Step},
};

/// A quota that holds for a while.
#[derive(Clone, Debug)]
pub(crate) struct TimedQuota {
    pub(crate) quota: Quota,
    pub(crate) from: Duration,
    pub(crate) until: Duration,
}

/// A region, and all that changes in it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) region: Region,
    pub(crate) injections: Vec<Injection>,
    pub(crate) quotas: Vec<TimedQuota>,
    pub(crate) in_flight: u32,
    /// Answers of the next requests, made by hand.
    pub(crate) prepared: VecDeque<Vec<Step>>,
    bucket: Option<Bucket>,
}

/// When the parts of one answer come.
#[derive(Clone, Copy, Debug)]
struct Timing {
    head: Duration,
    /// From the head to the first token.
    first: Duration,
    pace: Duration,
}

/// What the answers of one request have in common.
struct Frame<'a> {
    call: &'a Call,
    timing: Timing,
    headers: HeaderMap,
}

impl State {
    pub(crate) fn new(region: Region) -> Self {
        Self {
            region,
            injections: Vec::new(),
            quotas: Vec::new(),
            in_flight: 0,
            prepared: VecDeque::new(),
            bucket: None,
        }
    }

    /// What `call` gets at `now`. One `draw` decides all that is chance in it.
    pub(crate) fn plan(&mut self, call: &Call, now: Duration, draw: u64) -> Script {
        let asked = read(call, &self.region);
        let (model, stream) = asked.as_ref().map_or((None, false), |ask| (ask.model.clone(), ask.stream));
        if let Some(steps) = self.prepared.pop_front() {
            return Script { steps, fault: None, model, stream };
        }
        let mut draws = Draws::new(draw);
        let head = self.region.latency.sample(&mut draws);
        let (delays, fault) = self.strikes(&asked, now, &mut draws);
        let timing = self.timing(head, &delays);
        let named = fault.as_ref().or_else(|| delays.first()).map(Fault::name);
        let steps = self.steps(call, asked, fault, timing, now, draw);
        Script { steps, fault: named, model, stream }
    }

    /// The faults that strike this request: all that only delay, and the first of the others.
    fn strikes(
        &mut self,
        asked: &Result<Ask, Refusal>,
        now: Duration,
        draws: &mut Draws,
    ) -> (Vec<Fault>, Option<Fault>) {
        self.injections.retain(|injection| !injection.is_over(now));
        let (mut delays, mut decisive) = (Vec::new(), None);
        for injection in &mut self.injections {
            let delay = injection.fault.only_delays();
            let open = delay || decisive.is_none();
            if open && applies(&injection.fault, asked) && injection.strikes(now, draws) {
                if delay {
                    delays.push(injection.fault.clone());
                } else {
                    decisive = Some(injection.fault.clone());
                }
            }
        }
        (delays, decisive)
    }

    fn timing(&self, head: Duration, delays: &[Fault]) -> Timing {
        let load = self.region.slots.map_or(1.0, |slots| {
            (f64::from(self.in_flight.saturating_add(1)) / f64::from(slots.max(1))).max(1.0)
        });
        let mut timing =
            Timing { head: scaled(head, load), first: Duration::ZERO, pace: scaled(self.region.pace, load) };
        for delay in delays {
            match delay {
                Fault::SlowFirstToken { delay } => timing.first = timing.first.saturating_add(*delay),
                Fault::SlowTokens { delay } => timing.pace = timing.pace.max(*delay),
                Fault::Slow { factor } => {
                    timing.head = scaled(timing.head, *factor);
                    timing.pace = scaled(timing.pace, *factor);
                }
                _ => {} // the others do not delay
            }
        }
        timing
    }

    fn steps(
        &mut self,
        call: &Call,
        asked: Result<Ask, Refusal>,
        fault: Option<Fault>,
        timing: Timing,
        now: Duration,
        draw: u64,
    ) -> Vec<Step> {
        let mut frame = Frame { call, timing, headers: self.headers(call, timing, draw) };
        if let Some(steps) = fault.as_ref().and_then(|fault| frame.at_the_door(fault)) {
            return steps;
        }
        let ask = match asked {
            Ok(ask) => ask,
            Err(refusal) => return frame.refusal(&refusal, None),
        };
        if !matches!(ask.kind, Kind::Models | Kind::Model(_)) {
            let admitted = self.admit(now);
            self.quota_headers(&mut frame);
            if let Err(wait) = admitted {
                return frame.refusal(&limited(), Some(wait));
            }
        }
        if let Some(steps) = fault.as_ref().and_then(|fault| frame.instead_of_an_answer(fault, &ask)) {
            return steps;
        }
        match answer(&ask, &self.region.models, self.region.tokens, draw) {
            Answer::Whole { body, tokens } => frame.whole(&body, tokens, fault.as_ref()),
            Answer::Stream { opening, tokens, closing, done } => {
                frame.stream(&opening, &tokens, &closing, done, fault.as_ref())
            }
        }
    }

    /// Takes one request out of the quota of this moment.
    fn admit(&mut self, now: Duration) -> Result<(), Duration> {
        self.quotas.retain(|timed| timed.until > now);
        let timed = self.quotas.iter().rev().find(|timed| timed.from <= now).map(|timed| timed.quota);
        let Some(quota) = timed.or(self.region.quota) else {
            self.bucket = None;
            return Ok(());
        };
        let bucket = self.bucket.take().filter(|bucket| bucket.quota() == quota);
        self.bucket.insert(bucket.unwrap_or_else(|| Bucket::new(quota, now))).take(now)
    }

    fn quota_headers(&self, frame: &mut Frame<'_>) {
        let Some(bucket) = &self.bucket else { return };
        let prefix = if frame.call.is_anthropic() { "anthropic-ratelimit-requests-" } else { "x-ratelimit-" };
        let name = |what: &str| match frame.call.is_anthropic() {
            true => format!("{prefix}{what}"),
            false => format!("{prefix}{what}-requests"),
        };
        set(&mut frame.headers, &name("limit"), &bucket.quota().requests.to_string());
        set(&mut frame.headers, &name("remaining"), &bucket.remaining().to_string());
        if !frame.call.is_anthropic() {
            // Anthropic's is a date, and a simulated world has none.
            set(&mut frame.headers, &name("reset"), &format!("{}ms", bucket.reset().as_millis()));
        }
    }

    /// The headers of every answer.
    fn headers(&self, call: &Call, timing: Timing, draw: u64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let id = if call.is_anthropic() { "request-id" } else { "x-request-id" };
        set(&mut headers, id, &format!("req_{}_{draw:016x}", self.region.name));
        if !call.is_anthropic() {
            set(&mut headers, "openai-processing-ms", &timing.head.as_millis().to_string());
        }
        headers
    }
}

/// Whether the fault can strike this request at all; one that cannot does not count it among its first n.
fn applies(fault: &Fault, asked: &Result<Ask, Refusal>) -> bool {
    let generation = asked.as_ref().ok().and_then(|ask| ask.kind.generation());
    match fault {
        Fault::NoDone => generation.is_some() && asked.as_ref().is_ok_and(|ask| ask.stream),
        Fault::ContextLength | Fault::ContentFilter => generation.is_some(),
        Fault::NoPrefill => generation.is_some_and(|generation| generation.prefill.is_some()),
        Fault::Cut { .. }
        | Fault::Stall { .. }
        | Fault::Malformed { .. }
        | Fault::Empty
        | Fault::KeepaliveForever => asked.is_ok(),
        Fault::Refuse
        | Fault::Reset
        | Fault::Silent
        | Fault::Status { .. }
        | Fault::RateLimit { .. }
        | Fault::QuotaSpent
        | Fault::Overloaded
        | Fault::SlowFirstToken { .. }
        | Fault::SlowTokens { .. }
        | Fault::Slow { .. }
        | Fault::BadKey => true,
    }
}

fn limited() -> Refusal {
    Refusal::new(
        429,
        "requests",
        Some("rate_limit_exceeded"),
        "Rate limit reached for requests. Please slow down.",
    )
}

fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
        headers.insert(name, value);
    }
}

impl Frame<'_> {
    /// Faults that strike before the request is looked at.
    fn at_the_door(&mut self, fault: &Fault) -> Option<Vec<Step>> {
        let refusal = match fault {
            Fault::Refuse => return Some(vec![Step::Refuse]),
            Fault::Reset => return Some(vec![Step::Wait(self.timing.head), Step::Reset]),
            Fault::Silent => return Some(vec![Step::Hold]),
            Fault::Status { code, retry_after, body, headers } => {
                for (name, value) in headers {
                    set(&mut self.headers, name, value);
                }
                let refusal =
                    Refusal::new(*code, kind_of(*code), None, format!("The server answered {code}."));
                let body = body.clone().map_or_else(|| refusal_body(self.call, &refusal), Bytes::from);
                return Some(self.error(*code, body, *retry_after));
            }
            Fault::RateLimit { retry_after } => return Some(self.refusal(&limited(), *retry_after)),
            Fault::QuotaSpent => {
                let message = "You exceeded your current quota, please check your plan and billing details.";
                Refusal::new(429, "insufficient_quota", Some("insufficient_quota"), message)
            }
            Fault::Overloaded => Refusal::new(529, "overloaded_error", None, "Overloaded"),
            Fault::BadKey => Refusal::bad_key(),
            _ => return None, // the others strike later
        };
        Some(self.refusal(&refusal, None))
    }

    /// Faults of a request that is understood and admitted, and gets something else than an answer.
    fn instead_of_an_answer(&mut self, fault: &Fault, ask: &Ask) -> Option<Vec<Step>> {
        let invalid = |code, message: &str| Refusal::new(400, "invalid_request_error", code, message);
        let refusal = match fault {
            Fault::ContextLength => invalid(
                Some("context_length_exceeded"),
                "This model's maximum context length is 128000 tokens. Please reduce the length of the messages.",
            ),
            Fault::ContentFilter => invalid(
                Some("content_filter"),
                "The response was filtered due to the prompt triggering our policies.",
            ),
            Fault::NoPrefill => invalid(
                None,
                "This model does not support assistant message prefill. The conversation must end with a user message.",
            ),
            Fault::Empty => {
                let head = if ask.stream { self.stream_head() } else { self.json_head(200, 0) };
                return Some(vec![Step::Wait(self.timing.head), head, Step::End]);
            }
            Fault::KeepaliveForever => {
                let bytes = Bytes::from_static(if ask.stream { b": keep-alive\n\n" } else { b"\n" });
                let head = if ask.stream { self.stream_head() } else { self.head(200, "application/json") };
                return Some(vec![
                    Step::Wait(self.timing.head),
                    head,
                    Step::Repeat { every: Duration::from_secs(1), bytes },
                ]);
            }
            _ => return None, // the others spoil the answer itself
        };
        Some(self.refusal(&refusal, None))
    }

    fn refusal(&mut self, refusal: &Refusal, retry_after: Option<Duration>) -> Vec<Step> {
        self.error(refusal.status, refusal_body(self.call, refusal), retry_after)
    }

    fn error(&mut self, status: u16, body: Bytes, retry_after: Option<Duration>) -> Vec<Step> {
        if let Some(wait) = retry_after {
            // Whole seconds, rounded up, is all that the header can say (RFC 9110, 10.2.3); the other is OpenAI's.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            set(&mut self.headers, "retry-after", &seconds.to_string());
            set(&mut self.headers, "retry-after-ms", &wait.as_micros().div_ceil(1000).to_string());
        }
        vec![Step::Wait(self.timing.head), self.json_head(status, body.len()), Step::Chunk(body), Step::End]
    }

    /// A document, and what may go wrong with it.
    fn whole(&mut self, body: &Bytes, tokens: u32, fault: Option<&Fault>) -> Vec<Step> {
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
    fn stream(
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

fn kind_of(status: u16) -> &'static str {
    if status >= 500 { "server_error" } else { "invalid_request_error" }
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
