//! An attempt that ended charged: to its circuits, its deployment's score and places, its cooldown, or its credential; and its bill
//! to its call.

use std::time::Instant;

use breaker::{Report, Verdict};
use registry::{CooldownOrigin, Kind, Sample};
use wire::{Class, Level};

use super::{
    Engine,
    attempt::{Attempt, Made},
    attribute::{self, Charge},
    bill::{Heard, Tab},
    event::{Action, AttemptFailure},
};

impl Engine {
    /// An attempt gave a whole answer.
    pub(super) fn succeed(
        &mut self,
        tab: &mut Tab,
        attempt: Attempt,
        heard: Heard,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let made = attempt.made(now);
        let Made { deployment, took, first_token, .. } = made;
        let bill = self.bill(tab, made, heard, None, now);
        if let Some(learned) = self.learned.get_mut(deployment).filter(|_| first_token.is_none()) {
            learned.record(Kind::Whole, took, now);
        }
        // A stream's duration is the length of its answer, not the state of its server; its first token tells that, and was
        // recorded when it came.
        let report = Report::new(Verdict::Success).duration(first_token.unwrap_or(took));
        let answer = if first_token.is_some() { None } else { Some(took) };
        let tokens = bill.map_or(0, |bill| bill.tokens());
        self.settle(attempt, report, Sample::Success { first_token: None, answer, tokens }, now);
        self.notice_transitions(deployment, now, actions);
        self.notice_attempt(tab.model, made, None, true, bill, actions);
    }

    /// Charges a failure to the level that it belongs to, and to no other.
    pub(super) fn charge_failure(
        &mut self,
        tab: &mut Tab,
        mut attempt: Attempt,
        failure: &AttemptFailure,
        now: Instant,
        draw: u64,
        actions: &mut Vec<Action>,
    ) {
        let Charge { endpoint, deployment: verdict, hurts_score, limits, takes_out } =
            attribute::charge(failure.class);
        let made = attempt.made(now);
        let Made { deployment, took, first_token, .. } = made;
        let bill = self.bill(tab, made, failure.heard, Some(failure), now);
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
        // One that was let go by whoever read it says nothing of its place.
        let judged = failure.class != Class::Cancelled;
        self.notice_attempt(tab.model, made, Some(failure), judged, bill, actions);
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
