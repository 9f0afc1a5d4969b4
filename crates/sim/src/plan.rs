//! The decision: what one request gets.
//!
//! [`State::plan`] is pure but for its state: it is handed the request, the time and a draw, and returns a [`Script`]. The
//! order is a real provider's: what never reaches it, then its door (status, key, limits), then whether the request can
//! be served, then what may go wrong while it is.

use std::{collections::VecDeque, time::Duration};

use http::HeaderMap;

use crate::{
    answer::{Answer, answer},
    fault::{Fault, Injection},
    latency::{Draws, scaled},
    quota::{Bucket, Quota},
    region::Region,
    request::{Ask, Call, Kind, Refusal, read},
    script::{Script, Step},
    shape::{Shape, Timing, limited, set},
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
        let mut shape = Shape { call, timing, headers: self.headers(call, timing, draw) };
        if let Some(steps) = fault.as_ref().and_then(|fault| shape.at_the_door(fault)) {
            return steps;
        }
        let ask = match asked {
            Ok(ask) => ask,
            Err(refusal) => return shape.refusal(&refusal, None),
        };
        if !matches!(ask.kind, Kind::Models | Kind::Model(_)) {
            let admitted = self.admit(now);
            self.quota_headers(&mut shape);
            if let Err(wait) = admitted {
                return shape.refusal(&limited(), Some(wait));
            }
        }
        if let Some(steps) = fault.as_ref().and_then(|fault| shape.instead_of_an_answer(fault, &ask)) {
            return steps;
        }
        match answer(&ask, &self.region.models, self.region.tokens, draw) {
            Answer::Whole { body, tokens } => shape.whole(&body, tokens, fault.as_ref()),
            Answer::Stream { opening, tokens, closing, done } => {
                shape.stream(&opening, &tokens, &closing, done, fault.as_ref())
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

    fn quota_headers(&self, shape: &mut Shape<'_>) {
        let Some(bucket) = &self.bucket else { return };
        let prefix = if shape.call.is_anthropic() { "anthropic-ratelimit-requests-" } else { "x-ratelimit-" };
        let name = |what: &str| match shape.call.is_anthropic() {
            true => format!("{prefix}{what}"),
            false => format!("{prefix}{what}-requests"),
        };
        set(&mut shape.headers, &name("limit"), &bucket.quota().requests.to_string());
        set(&mut shape.headers, &name("remaining"), &bucket.remaining().to_string());
        if !shape.call.is_anthropic() {
            // Anthropic's is a date, and a simulated world has none.
            set(&mut shape.headers, &name("reset"), &format!("{}ms", bucket.reset().as_millis()));
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
