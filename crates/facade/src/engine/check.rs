//! Health checks within the engine: which are needed, what leave they take, what their result means.

use std::time::{Duration, Instant};

use breaker::{Report, Verdict};
use registry::{InFlight, Sample};
use wire::Class;

use super::{Engine, attribute, circuits::Leave, event::Action};

/// A health check that runs: leave of an endpoint and all its deployments.
#[derive(Debug)]
pub(crate) struct Check {
    parts: Vec<(usize, Leave, InFlight)>,
}

impl Engine {
    /// Begins a check of an endpoint, unless it carries traffic (an attempt within `every`) or its circuits refuse.
    pub(crate) fn begin_check(
        &mut self,
        endpoint: usize,
        every: Duration,
        lease: Duration,
        now: Instant,
    ) -> Option<Check> {
        let mut parts = Vec::new();
        for number in 0..self.plan.deployments.len() {
            let at = self.plan.deployments.get(number).map(|deployment| deployment.endpoint);
            let Some(&id) = self.ids.get(number).filter(|_| at == Some(endpoint)) else { continue };
            let is_busy = self.registry.view(id, now).is_some_and(|view| {
                view.in_flight > 0
                    || view.last_success.is_some_and(|at| now.saturating_duration_since(at) < every)
            });
            if is_busy {
                continue;
            }
            if let Ok(leave) = self.circuits.acquire(number, now + lease, now) {
                parts.push((number, leave, self.registry.begin(id, now)));
            }
        }
        (!parts.is_empty()).then_some(Check { parts })
    }

    /// A check ended: `class` says how it failed. A list of models answers in no time that an answer could be compared
    /// with, so a success counts for health and the circuit, and not for latency.
    pub(crate) fn end_check(
        &mut self,
        check: Check,
        class: Option<Class>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        for (number, mut leave, in_flight) in check.parts {
            let charge = class.map(attribute::charge);
            let (endpoint, own, sample) = match charge {
                None => (
                    Verdict::Success,
                    Verdict::Success,
                    Sample::Success { first_token: None, answer: None, tokens: 0 },
                ),
                Some(charge) if charge.hurts_score => (charge.endpoint, charge.deployment, Sample::Failure),
                Some(charge) => (charge.endpoint, Verdict::Ignored, Sample::Neutral),
            };
            self.circuits.report_endpoint(number, &mut leave, Report::new(endpoint), now);
            self.registry.finish(in_flight, sample, now);
            self.circuits.report(number, leave, Report::new(own), now);
            self.notice_transitions(number, now, actions);
        }
    }
}
