//! Health checks within the engine: which are needed, what leave they take, what their result means.
//!
//! One check is one request, so it counts once at its endpoint, however many models are deployed there. A list of models
//! speaks for every idle deployment of the endpoint; a chat speaks for the deployment it asked, and for no other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use breaker::{Permit, Report, Verdict};
use registry::{InFlight, Sample};
use wire::Class;

use super::{Engine, Plan, attribute, circuits::Leave, event::Action};

/// A health check that runs: leave of an endpoint, and of the deployments that it speaks for. It ends by
/// [`Engine::end_check`] or [`Engine::drop_check`].
#[derive(Debug)]
#[must_use = "a check that never ends keeps its places in flight"]
pub struct Check {
    endpoint: usize,
    permit: Permit,
    parts: Vec<(usize, Leave, InFlight)>,
    /// Its numbers stay what they are for as long as it runs.
    _plan: Arc<Plan>,
}

impl Engine {
    /// Begins a check of an endpoint, by its number (they are counted in the order of the providers and their regions), unless every deployment that it would speak for carries traffic (something in flight,
    /// or a success within `every`), or a circuit refuses. Its permits last for `lease`. With `only`, it speaks for that deployment alone.
    pub fn begin_check(
        &mut self,
        endpoint: usize,
        only: Option<usize>,
        every: Duration,
        lease: Duration,
        now: Instant,
    ) -> Option<Check> {
        let lease_end = now.checked_add(lease)?;
        let permit = self.circuits.acquire_endpoint(endpoint, lease_end, now).ok()?;
        let mut parts = Vec::new();
        let plan = Arc::clone(&self.plan);
        for (number, deployment) in plan.live_deployments() {
            let is_meant = deployment.endpoint == endpoint && only.is_none_or(|only| only == number);
            let Some(&id) = self.ids.get(number).filter(|_| is_meant) else { continue };
            let is_busy = self.registry.view(id, now).is_some_and(|view| {
                view.in_flight > 0
                    || view.last_success.is_some_and(|at| now.saturating_duration_since(at) < every)
            });
            if is_busy {
                continue;
            }
            if let Ok(leave) = self.circuits.acquire_own(number, lease_end, now) {
                parts.push((number, leave, self.registry.begin(id, now)));
            }
        }
        if parts.is_empty() {
            self.circuits.release_endpoint(endpoint, permit);
            return None;
        }
        Some(Check { endpoint, permit, parts, _plan: plan })
    }

    /// A check ended: `class` says how it failed. A list of models answers in no time that an answer could be compared
    /// with, so a success counts for health and the circuit, and not for latency.
    pub fn end_check(&mut self, check: Check, class: Option<Class>, now: Instant, actions: &mut Vec<Action>) {
        let (at_endpoint, own, sample) = match class.map(attribute::charge) {
            None => (
                Verdict::Success,
                Verdict::Success,
                Sample::Success { first_token: None, answer: None, tokens: 0 },
            ),
            Some(charge) if charge.hurts_score => (charge.endpoint, charge.deployment, Sample::Failure),
            Some(charge) => (charge.endpoint, Verdict::Ignored, Sample::Neutral),
        };
        self.circuits.settle_endpoint(check.endpoint, check.permit, Report::new(at_endpoint), now);
        for (number, leave, in_flight) in check.parts {
            self.registry.finish(in_flight, sample, now);
            self.circuits.report(number, leave, Report::new(own), now);
            self.places.on_freed(number);
            self.notice_transitions(number, now, actions);
        }
        self.offer_places(now, actions);
    }

    /// A check was given up: no verdict, nothing in flight.
    pub fn drop_check(&mut self, check: Check) {
        self.circuits.release_endpoint(check.endpoint, check.permit);
        for (number, leave, in_flight) in check.parts {
            self.registry.abandon(in_flight);
            self.circuits.release(number, leave);
            self.places.on_freed(number);
        }
    }
}
