//! The decision: what one request gets.
//!
//! [`State::plan`] is pure but for its state: it is handed the request, the time and a draw, and returns a [`Script`]. The
//! order is a real provider's: what never reaches it, then its door (status, key, limits), then whether the request can
//! be served, then what may go wrong while it is.

use std::{collections::VecDeque, time::Duration};

use http::HeaderMap;

use crate::{
    answer::{Answer, answer, response_id},
    fault::{Fault, Injection},
    latency::{Draws, scaled},
    limits,
    quota::{Bucket, Quota, Short},
    refusal::Refusal,
    region::Region,
    request::{Ask, Call, Family, Kind, read},
    script::{Script, Step},
    shape::{Shape, Timing, set},
};

/// Responses that a region knows again, the newest; a test's world must not grow without end.
const REMEMBERED: usize = 4096;

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
    /// The responses that were given here and may be gone on from, oldest first.
    responses: VecDeque<String>,
    bucket: Option<Bucket>,
}

impl State {
    pub(crate) fn new(region: Region) -> Self {
        Self {
            region,
            injections: Vec::new(),
            quotas: Vec::new(),
            in_flight: 0,
            prepared: VecDeque::new(),
            responses: VecDeque::new(),
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
        let family = call.family();
        let mut shape = Shape { family, timing, headers: self.headers(family, timing, draw) };
        if let Some(steps) = fault.as_ref().and_then(|fault| shape.at_the_door(fault)) {
            return steps;
        }
        let ask = match asked {
            Ok(ask) => ask,
            Err(refusal) => return shape.refusal(&refusal, None),
        };
        if !matches!(ask.kind, Kind::Models | Kind::Model(_)) {
            let admitted = self.admit(now, ask.kind.tokens(self.region.tokens));
            if let Some(bucket) = &self.bucket {
                limits::told(&mut shape.headers, family, bucket);
            }
            if let Err(short) = admitted {
                return shape.refusal(&Refusal::limited(family, short.of_tokens), Some(short.wait));
            }
        }
        if let Some(id) = self.unknown_response(&ask) {
            return shape.refusal(&Refusal::unknown_response(id), None);
        }
        if let Some(steps) = fault.as_ref().and_then(|fault| shape.instead_of_an_answer(fault, &ask)) {
            return steps;
        }
        match answer(&ask, &self.region, draw) {
            Answer::Whole { body, tokens } => {
                self.remember(&ask, fault.as_ref(), draw);
                shape.whole(&body, tokens, fault.as_ref())
            }
            Answer::Stream { opening, tokens, closing, done } => {
                self.remember(&ask, fault.as_ref(), draw);
                shape.stream(&opening, &tokens, &closing, done, fault.as_ref())
            }
        }
    }

    /// The response that is to be gone on from, where this region does not know it.
    fn unknown_response<'a>(&self, ask: &'a Ask) -> Option<&'a str> {
        let Kind::Response(_, memory) = &ask.kind else { return None };
        memory.previous.as_deref().filter(|id| !self.responses.iter().any(|known| known == id))
    }

    /// Keeps a response that was given whole, and forgets the oldest of too many.
    fn remember(&mut self, ask: &Ask, fault: Option<&Fault>, draw: u64) {
        let Kind::Response(_, memory) = &ask.kind else { return };
        if memory.store && fault.is_none() {
            self.responses.push_back(response_id(draw));
            if self.responses.len() > REMEMBERED {
                self.responses.pop_front();
            }
        }
    }

    /// Takes one request of so many tokens out of the quota of this moment.
    fn admit(&mut self, now: Duration, tokens: u32) -> Result<(), Short> {
        self.quotas.retain(|timed| timed.until > now);
        let timed = self.quotas.iter().rev().find(|timed| timed.from <= now).map(|timed| timed.quota);
        let Some(quota) = timed.or(self.region.quota) else {
            self.bucket = None;
            return Ok(());
        };
        let bucket = self.bucket.take().filter(|bucket| bucket.quota() == quota);
        self.bucket.insert(bucket.unwrap_or_else(|| Bucket::new(quota, now))).take(now, tokens)
    }

    /// The headers of every answer.
    fn headers(&self, family: Family, timing: Timing, draw: u64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let id = match family {
            Family::OpenAi => "x-request-id",
            Family::Azure => "apim-request-id",
            Family::Anthropic => "request-id",
        };
        set(&mut headers, id, &format!("req_{}_{draw:016x}", self.region.name));
        if family == Family::Azure {
            set(&mut headers, "x-ms-region", &self.region.name);
        }
        if family == Family::OpenAi {
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
