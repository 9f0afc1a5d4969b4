//! The engine told of attempts that were made elsewhere: last night's, from a record.
//!
//! A call's machine is not asked: who was tried, and when, stands in the record. What an attempt taught is learned by the very
//! code that learns from calls: circuits, scores, cooldowns and estimates then stand as they stood that night, and
//! [`Engine::explain`] says who would be asked in that state, under this plan's strategy or another's.
//!
//! # Limits
//! Retry budgets, places in a queue, what attempts cost and the providers' own counts of what is left are not in a record, so they stay as they are at
//! the start. Numbers that chance decided (a jittered open time, a draw among equals) are drawn anew.

use std::time::Instant;

use breaker::{Report, Verdict};
use policy::Mode;
use registry::Kind;
use wire::Class;

use super::{
    Action, Ask, AttemptFailure, Engine, Plan,
    attempt::{Attempt, LEASE_MARGIN},
    bill::{Heard, Tab},
};
use crate::{error::CallError, observe::Route};

/// An attempt of a record that runs. It is to be ended by [`Engine::recorded_end`], in whatever way it ended.
#[derive(Debug)]
#[must_use = "an attempt that is never ended stays in flight for ever"]
pub struct Recorded {
    model: usize,
    attempt: Attempt,
}

impl Plan {
    /// The number of a deployment.
    pub fn deployment(&self, provider: &str, region: &str, model: &str) -> Option<usize> {
        let mut deployments = self.live_deployments();
        let (number, _) = deployments.find(|(_, deployment)| {
            let Route { provider: p, region: r, model: m, .. } = &deployment.route;
            **p == *provider && **r == *region && **m == *model
        })?;
        Some(number)
    }

    /// Where a deployment is.
    pub fn route(&self, deployment: usize) -> Option<&Route> {
        self.deployments.get(deployment).map(|deployment| &deployment.route)
    }

    /// A streamed chat with a public model, for a caller near `region`, which may be a name of `[near]`.
    ///
    /// # Errors
    /// [`CallError::ModelNotFound`], [`CallError::UnknownRegion`].
    pub fn ask(&self, model: &str, region: Option<&str>) -> Result<Ask, CallError> {
        crate::ask::for_explanation(self, model, region)
    }
}

impl Engine {
    /// An attempt begins at a deployment, by its number in the plan. `None` when its circuits would not have it here, or there is no
    /// such deployment: what came of it then teaches nothing.
    ///
    /// An attempt that circuits refuse though nobody else could be asked is what a call brings forward as a trial; so it is here.
    pub fn recorded_start(
        &mut self,
        deployment: usize,
        stream: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Option<Recorded> {
        let id = *self.ids.get(deployment)?;
        let model = self.plan.deployments.get(deployment)?.model;
        let timeouts = &self.plan.models.get(model)?.timeouts;
        let kind = if stream { Kind::Stream } else { Kind::Whole };
        let fault_at = now + self.learned.get(deployment)?.patience(timeouts, kind, now);
        let lease_end = now.checked_add(timeouts.total)? + LEASE_MARGIN;
        let leave = match self.circuits.acquire(deployment, lease_end, now) {
            Ok(leave) => leave,
            Err(_) if self.circuits.may_try_early(deployment, now) && self.has_nobody(model, stream, now) => {
                self.circuits.bring_forward(deployment, now);
                self.circuits.acquire(deployment, lease_end, now).ok()?
            }
            Err(_) => return None,
        };
        self.notice_transitions(deployment, now, actions);
        let in_flight = self.registry.begin(id, now);
        if let Some(counters) = self.counters.get_mut(deployment) {
            counters.attempts += 1;
        }
        let attempt = Attempt {
            ordinal: 0,
            span: None,
            deployment,
            mode: Mode::Fresh,
            leave,
            in_flight,
            beside_it: self.registry.in_flight(id),
            kind,
            started: now,
            fault_at,
            first_token: None,
            beside: None,
            answers: false,
        };
        Some(Recorded { model, attempt })
    }

    /// The first content of a stream came.
    pub fn recorded_content(&mut self, recorded: &mut Recorded, now: Instant, actions: &mut Vec<Action>) {
        let attempt = &mut recorded.attempt;
        let reached = Report::new(Verdict::Success);
        self.circuits.report_endpoint(attempt.deployment, &mut attempt.leave, reached, now);
        self.spoke(&mut recorded.attempt, now);
        self.notice_transitions(recorded.attempt.deployment, now, actions);
    }

    /// The attempt ended: as `failure` says, or well. `draw` spreads an open time that is jittered.
    pub fn recorded_end(
        &mut self,
        recorded: Recorded,
        failure: Option<&AttemptFailure>,
        now: Instant,
        draw: u64,
        actions: &mut Vec<Action>,
    ) {
        let Recorded { model, mut attempt } = recorded;
        let mut tab = Tab::unknown(model);
        match failure {
            Some(failure) if failure.class == Class::Cancelled => {
                self.let_go(&mut tab, attempt, Heard::default(), Class::Cancelled, now, actions);
            }
            Some(failure) => self.charge_failure(&mut tab, attempt, failure, now, draw, actions),
            None => {
                let reached = Report::new(Verdict::Success);
                self.circuits.report_endpoint(attempt.deployment, &mut attempt.leave, reached, now);
                self.succeed(&mut tab, attempt, Heard::default(), now, actions);
            }
        }
    }

    /// Whether a call to a model would find nobody to ask.
    fn has_nobody(&self, model: usize, stream: bool, now: Instant) -> bool {
        let tiers = self.explain(&Ask::new(model, stream), 0, now);
        tiers.iter().all(|tier| matches!(tier.outcome, Some(Err(_))))
    }
}
