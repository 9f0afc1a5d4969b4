//! The circuits of all endpoints and deployments, and what the provider has closed for good.
//!
//! An attempt needs the leave of both its circuits. The endpoint's is fed only by what never reached the provider; the
//! deployment's by the rest. Beside them stands what no circuit can mend: a credential that is dead, a model that is not
//! there; such a place is out until the configuration changes.

use std::time::{Duration, Instant};

use breaker::{Breaker, BreakerConfig, Event, Gate, Permit, Rejected, Report, State, Verdict};

use super::{early::EarlyTrials, plan::Plan};
use crate::error::BuildError;

/// Leave for one attempt, from both its circuits.
#[derive(Debug)]
pub(super) struct Leave {
    pub endpoint: Option<Permit>,
    pub deployment: Permit,
}

#[derive(Debug)]
pub(super) struct Circuits {
    endpoint_of: Vec<usize>,
    endpoints: Vec<Box<dyn Gate>>,
    deployments: Vec<Box<dyn Gate>>,
    /// A credential that the provider refuses, and until when, where it said so; a model that is missing there, by
    /// deployment. A credential is known by its endpoint: the configuration gives each endpoint one key, so that two
    /// keys at one base URL are two providers' endpoints.
    dead_credentials: Vec<Option<(wire::Class, Option<Instant>)>>,
    missing_models: Vec<bool>,
    /// When places may be tried early: by endpoint, by deployment.
    early_endpoints: EarlyTrials,
    early_deployments: EarlyTrials,
}

impl Circuits {
    pub(super) fn new(plan: &Plan, gate: Option<&dyn Fn() -> Box<dyn Gate>>) -> Result<Self, BuildError> {
        let make = |config: &BreakerConfig, path: String| -> Result<Box<dyn Gate>, BuildError> {
            match gate {
                Some(gate) => Ok(gate()),
                None => Breaker::new(config.clone())
                    .map(|breaker| Box::new(breaker) as Box<dyn Gate>)
                    .map_err(|error| BuildError::Machine { path, message: error.to_string() }),
            }
        };
        let mut endpoints = Vec::with_capacity(plan.endpoints.len());
        for (number, endpoint) in plan.endpoints.iter().enumerate() {
            // An endpoint's rules are those of the first model that uses it: what refuses connections is found out the
            // same way whatever was to be asked.
            let config = plan
                .deployments
                .iter()
                .find(|deployment| deployment.endpoint == number)
                .and_then(|deployment| plan.models.get(deployment.model))
                .map_or_else(BreakerConfig::default, |model| model.breaker.clone());
            endpoints
                .push(make(&config, format!("providers.{}.regions.{}", endpoint.provider, endpoint.region))?);
        }
        let mut deployments = Vec::with_capacity(plan.deployments.len());
        for deployment in &plan.deployments {
            let (config, name) = plan.models.get(deployment.model).map_or_else(
                || (BreakerConfig::default(), ""),
                |model| (model.breaker.clone(), &*model.name),
            );
            deployments.push(make(&config, format!("models.{name}.breaker"))?);
        }
        Ok(Self {
            endpoint_of: plan.deployments.iter().map(|deployment| deployment.endpoint).collect(),
            dead_credentials: vec![None; endpoints.len()],
            missing_models: vec![false; deployments.len()],
            early_endpoints: EarlyTrials::new(endpoints.len()),
            early_deployments: EarlyTrials::new(deployments.len()),
            endpoints,
            deployments,
        })
    }

    fn endpoint_of(&self, deployment: usize) -> usize {
        self.endpoint_of.get(deployment).copied().unwrap_or(usize::MAX)
    }

    fn gates(&self, deployment: usize) -> Option<(&dyn Gate, &dyn Gate)> {
        let endpoint = self.endpoints.get(self.endpoint_of(deployment))?;
        Some((&**endpoint, &**self.deployments.get(deployment)?))
    }

    /// Whether an attempt would be admitted now.
    pub(super) fn admits(&self, deployment: usize, now: Instant) -> bool {
        !self.is_out(deployment, now)
            && self
                .gates(deployment)
                .is_some_and(|(endpoint, own)| endpoint.admits(now).is_ok() && own.admits(now).is_ok())
    }

    /// Whether both circuits are closed.
    pub(super) fn is_sound(&self, deployment: usize, now: Instant) -> bool {
        self.gates(deployment)
            .is_some_and(|(endpoint, own)| is_closed(endpoint.state(now)) && is_closed(own.state(now)))
    }

    /// Whether nothing but open circuits keeps a deployment from being asked, and they may be brought forward.
    pub(super) fn may_try_early(&self, deployment: usize, now: Instant) -> bool {
        let waits = |gate: &dyn Gate| match gate.admits(now) {
            Ok(()) => true,
            Err(_) => gate.state(now) == State::Open,
        };
        !self.is_out(deployment, now)
            && self.early_from(deployment).is_some_and(|from| now >= from)
            && self.gates(deployment).is_some_and(|(endpoint, own)| waits(endpoint) && waits(own))
    }

    /// Ends the open time of a deployment's circuits: the next to ask is a trial.
    pub(super) fn bring_forward(&mut self, deployment: usize, now: Instant) {
        let endpoint = self.endpoint_of(deployment);
        let gates = self.endpoints.get_mut(endpoint).into_iter().chain(self.deployments.get_mut(deployment));
        for gate in gates.filter(|gate| gate.admits(now).is_err() && gate.state(now) == State::Open) {
            gate.open_for(Duration::ZERO, now);
        }
    }

    /// From when on both circuits of a deployment may be brought forward; `None` when neither has failed.
    fn early_from(&self, deployment: usize) -> Option<Instant> {
        self.early_endpoints.from(self.endpoint_of(deployment)).max(self.early_deployments.from(deployment))
    }

    /// When circuits that refuse now may admit, where that is known; `None` when it is not for them that nothing starts.
    pub(super) fn retry_at(&self, deployment: usize, now: Instant) -> Option<Instant> {
        if self.is_out(deployment, now) {
            return None;
        }
        let (endpoint, own) = self.gates(deployment)?;
        let until = |gate: &dyn Gate| gate.admits(now).err().map(|rejected| rejected.retry_at);
        let at = match (until(endpoint), until(own)) {
            (None, None) => None,
            (Some(at), None) | (None, Some(at)) => at,
            (Some(a), Some(b)) => a.zip(b).map(|(a, b)| a.max(b)),
        }?;
        Some(self.early_from(deployment).filter(|from| *from > now).map_or(at, |from| from.min(at)))
    }

    /// Leave for one attempt, whose trial permits end at `lease_end` at the latest.
    pub(super) fn acquire(
        &mut self,
        deployment: usize,
        lease_end: Instant,
        now: Instant,
    ) -> Result<Leave, Rejected> {
        let endpoint = self.endpoint_of(deployment);
        let permit = self.acquire_endpoint(endpoint, lease_end, now)?;
        match self.acquire_own(deployment, lease_end, now) {
            Ok(own) => Ok(Leave { endpoint: Some(permit), ..own }),
            Err(rejected) => {
                self.release_endpoint(endpoint, permit);
                Err(rejected)
            }
        }
    }

    /// Leave of an endpoint alone.
    pub(super) fn acquire_endpoint(
        &mut self,
        endpoint: usize,
        lease_end: Instant,
        now: Instant,
    ) -> Result<Permit, Rejected> {
        let gate = self.endpoints.get_mut(endpoint).ok_or_else(|| Rejected::new(None))?;
        gate.acquire_until(lease_end, now)
    }

    /// Leave of a deployment alone.
    pub(super) fn acquire_own(
        &mut self,
        deployment: usize,
        lease_end: Instant,
        now: Instant,
    ) -> Result<Leave, Rejected> {
        let gate = self.deployments.get_mut(deployment).ok_or_else(|| Rejected::new(None))?;
        Ok(Leave { endpoint: None, deployment: gate.acquire_until(lease_end, now)? })
    }

    /// An endpoint's part of what was admitted is known.
    pub(super) fn settle_endpoint(&mut self, endpoint: usize, permit: Permit, report: Report, now: Instant) {
        if report.verdict == Verdict::Failure {
            self.early_endpoints.on_failure(endpoint, report.retry_after, now);
        }
        if let Some(gate) = self.endpoints.get_mut(endpoint) {
            gate.report(permit, report, now);
        }
    }

    /// An endpoint's permit is given back without a verdict.
    pub(super) fn release_endpoint(&mut self, endpoint: usize, permit: Permit) {
        if let Some(gate) = self.endpoints.get_mut(endpoint) {
            gate.release(permit);
        }
    }

    /// The endpoint's part of an attempt is known.
    pub(super) fn report_endpoint(
        &mut self,
        deployment: usize,
        leave: &mut Leave,
        report: Report,
        now: Instant,
    ) {
        if let Some(permit) = leave.endpoint.take() {
            self.settle_endpoint(self.endpoint_of(deployment), permit, report, now);
        }
    }

    /// The attempt has ended.
    pub(super) fn report(&mut self, deployment: usize, leave: Leave, report: Report, now: Instant) {
        if report.verdict == Verdict::Failure {
            self.early_deployments.on_failure(deployment, report.retry_after, now);
        }
        if let Some(gate) = self.deployments.get_mut(deployment) {
            gate.report(leave.deployment, report, now);
        }
        if let Some(permit) = leave.endpoint {
            self.release_endpoint(self.endpoint_of(deployment), permit);
        }
    }

    /// The attempt is given up without a verdict.
    pub(super) fn release(&mut self, deployment: usize, leave: Leave) {
        if let Some(gate) = self.deployments.get_mut(deployment) {
            gate.release(leave.deployment);
        }
        if let Some(permit) = leave.endpoint {
            self.release_endpoint(self.endpoint_of(deployment), permit);
        }
    }

    /// A long trial has gone well so far.
    pub(super) fn confirm(&mut self, deployment: usize, leave: &mut Leave, now: Instant) {
        if let Some(gate) = self.deployments.get_mut(deployment) {
            gate.confirm(&mut leave.deployment, now);
        }
    }

    /// The provider refuses the credential, or has no such model: out until the instant it named, else until the
    /// configuration changes.
    pub(super) fn take_out(&mut self, deployment: usize, class: wire::Class, until: Option<Instant>) {
        let endpoint = self.endpoint_of(deployment);
        if class == wire::Class::ModelMissing {
            if let Some(missing) = self.missing_models.get_mut(deployment) {
                *missing = true;
            }
        } else if let Some(dead) = self.dead_credentials.get_mut(endpoint) {
            *dead = Some((class, until));
        }
    }

    /// Why a deployment is out beyond what its circuits can mend, if it is.
    pub(super) fn out(&self, deployment: usize, now: Instant) -> Option<wire::Class> {
        let missing = self.missing_models.get(deployment).is_some_and(|missing| *missing);
        let dead = self.dead_credentials.get(self.endpoint_of(deployment)).copied().flatten();
        let dead = dead.filter(|(_, until)| until.is_none_or(|until| now < until)).map(|(class, _)| class);
        if missing { Some(wire::Class::ModelMissing) } else { dead }
    }

    fn is_out(&self, deployment: usize, now: Instant) -> bool {
        self.out(deployment, now).is_some()
    }

    /// The worse of a deployment's circuits, and whether it is the endpoint's.
    pub(super) fn worst(&self, deployment: usize, now: Instant) -> (State, bool) {
        let Some((endpoint, own)) = self.gates(deployment) else { return (State::Closed, false) };
        let (endpoint, own) = (endpoint.state(now), own.state(now));
        if severity(endpoint) > severity(own) { (endpoint, true) } else { (own, false) }
    }

    /// Why the worse circuit tripped last, if it is open.
    pub(super) fn reason(&self, deployment: usize) -> Option<&'static str> {
        let (endpoint, own) = self.gates(deployment)?;
        own.reason().or_else(|| endpoint.reason()).map(breaker::TripReason::as_str)
    }

    /// What has happened at a deployment's circuits since the last look: the endpoint's first.
    pub(super) fn poll_events(&mut self, deployment: usize) -> (Option<Event>, Option<Event>) {
        let endpoint = self.endpoint_of(deployment);
        let endpoint = self.endpoints.get_mut(endpoint).and_then(|gate| gate.poll_event());
        let own = self.deployments.get_mut(deployment).and_then(|gate| gate.poll_event());
        (endpoint, own)
    }
}

fn is_closed(state: State) -> bool {
    matches!(state, State::Closed | State::Disabled)
}

fn severity(state: State) -> u8 {
    match state {
        State::ForcedOpen => 3,
        State::Open => 2,
        State::HalfOpen => 1,
        _ => 0,
    }
}
