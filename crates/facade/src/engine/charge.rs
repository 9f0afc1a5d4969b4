//! A failed attempt charged: to its circuits, its deployment's score and places, its cooldown, or its credential.

use std::time::Instant;

use breaker::{Report, Verdict};
use registry::{CooldownOrigin, Sample};
use wire::Level;

use super::{
    Engine,
    attempt::Attempt,
    attribute::{self, Charge},
    event::{Action, AttemptFailure},
};

impl Engine {
    /// Charges a failure to the level that it belongs to, and to no other.
    pub(super) fn charge_failure(
        &mut self,
        model: usize,
        mut attempt: Attempt,
        failure: &AttemptFailure,
        now: Instant,
        draw: u64,
        actions: &mut Vec<Action>,
    ) {
        let Charge { endpoint, deployment: verdict, hurts_score, limits, takes_out } =
            attribute::charge(failure.class);
        let (deployment, made) = (attempt.deployment, attempt.made());
        let (took, first_token) = (now.saturating_duration_since(attempt.started), attempt.first_token);
        let counts = self.counts_rate_limits(deployment);
        let verdict = match verdict {
            Verdict::RateLimited if counts => Verdict::Failure,
            Verdict::RateLimited => Verdict::Ignored,
            other => other,
        };
        let report = |verdict| {
            // A stream's duration is its time to first token, however it ended.
            let report = Report::new(verdict).duration(first_token.unwrap_or(took)).draw(draw);
            match failure.retry_after {
                Some(wait) => report.retry_after(wait),
                None => report,
            }
        };
        self.circuits.report_endpoint(deployment, &mut attempt.leave, report(endpoint), now);
        if attribute::is_for_load(failure) {
            let in_flight = self.registry.in_flight(attempt.in_flight.id());
            self.places.on_refusal(deployment, attempt.started, in_flight, now);
        }
        let sample = if limits {
            self.cool_down(deployment, failure, now);
            Sample::RateLimited
        } else if hurts_score {
            Sample::Failure
        } else {
            Sample::Neutral
        };
        self.settle(attempt, report(verdict), sample, now);
        if takes_out {
            self.take_out(deployment, failure, now, actions);
        }
        if failure.class.level() != Level::Nobody
            && let Some(counters) = self.counters.get_mut(deployment)
        {
            counters.failures += 1;
        }
        self.notice_transitions(deployment, now, actions);
        self.notice_attempt(model, made, Some(failure), took, first_token, actions);
    }

    pub(super) fn settle(&mut self, attempt: Attempt, report: Report, sample: Sample, now: Instant) {
        if matches!(sample, Sample::Success { .. }) {
            self.places.on_success(attempt.deployment, attempt.beside_it);
        }
        self.registry.finish(attempt.in_flight, sample, now);
        self.circuits.report(attempt.deployment, attempt.leave, report, now);
        self.places.on_freed(attempt.deployment);
    }

    fn counts_rate_limits(&self, deployment: usize) -> bool {
        self.plan
            .deployments
            .get(deployment)
            .and_then(|deployment| self.plan.models.get(deployment.model))
            .is_some_and(|model| model.breaker.count_rate_limits)
    }

    fn cool_down(&mut self, deployment: usize, failure: &AttemptFailure, now: Instant) {
        let (wait, origin) = match failure.retry_after {
            Some(wait) => (wait.min(attribute::LONGEST_COOLDOWN), CooldownOrigin::Named),
            None => (attribute::INFERRED_COOLDOWN, CooldownOrigin::Inferred),
        };
        if let (Some(&id), Some(until)) = (self.ids.get(deployment), now.checked_add(wait)) {
            self.registry.cooldown(id, until, origin);
        }
    }
}
