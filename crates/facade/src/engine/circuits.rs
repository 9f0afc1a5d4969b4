//! The circuits of all endpoints and deployments, and what the provider has closed for good.
//!
//! An attempt needs the leave of both its circuits. The endpoint's is fed only by what never reached the provider; the
//! deployment's by the rest. Beside them stands what no circuit can mend: a credential that is dead, a model that is not
//! there; such a place is out until the configuration changes.

use std::time::{Duration, Instant};

use breaker::{Breaker, BreakerConfig, Event, Gate, Permit, Rejected, Report, State, Verdict};

use super::{
    early::EarlyTrials,
    plan::Plan,
    succession::{Numbers, renew},
};
use crate::error::BuildError;

/// Leave for one attempt, from both its circuits.
#[derive(Debug)]
pub(super) struct Leave {
    pub endpoint: Option<Permit>,
    pub deployment: Permit,
}

/// Makes a gate of the user's own.
pub(super) type MakeGate<'a> = dyn Fn() -> Box<dyn Gate> + 'a;

/// The circuits of what is new in a plan, in the order of its fresh numbers.
#[derive(Debug)]
pub(super) struct Made {
    endpoints: Vec<Box<dyn Gate>>,
    deployments: Vec<Box<dyn Gate>>,
}

impl Made {
    /// Makes them, and looks at the numbers that all others are to go by, so that what would be refused is refused before anything
    /// has changed.
    pub(super) fn new(plan: &Plan, gate: Option<&MakeGate<'_>>) -> Result<Self, BuildError> {
        let refused = |path: &dyn Fn() -> String, error: breaker::ConfigError| BuildError::Machine {
            path: path(),
            message: error.to_string(),
        };
        let make = |config: BreakerConfig| -> Result<Box<dyn Gate>, breaker::ConfigError> {
            config.validate()?;
            Ok(match gate {
                Some(gate) => gate(),
                None => Box::new(Breaker::new(config)?),
            })
        };
        let (mut endpoints, mut deployments) = (Vec::new(), Vec::new());
        for (number, endpoint) in plan.live_endpoints() {
            let path = || format!("providers.{}.regions.{}", endpoint.provider, endpoint.region);
            let made = make(endpoint_config(plan, number)).map_err(|error| refused(&path, error))?;
            endpoints.extend(plan.endpoint_numbers.fresh.contains(&number).then_some(made));
        }
        for (number, deployment) in plan.live_deployments() {
            let model = plan.models.get(deployment.model).map_or("", |model| &*model.name);
            let path = || format!("models.{model}.breaker");
            let made = make(deployment_config(plan, number)).map_err(|error| refused(&path, error))?;
            deployments.extend(plan.deployment_numbers.fresh.contains(&number).then_some(made));
        }
        Ok(Self { endpoints, deployments })
    }
}

/// An endpoint's rules are those of the first model that uses it: what refuses connections is found out the same way whatever
/// was to be asked.
fn endpoint_config(plan: &Plan, number: usize) -> BreakerConfig {
    let mut deployments = plan.live_deployments();
    let first = deployments.find(|(_, deployment)| deployment.endpoint == number);
    first.map_or_else(BreakerConfig::default, |(first, _)| deployment_config(plan, first))
}

fn deployment_config(plan: &Plan, number: usize) -> BreakerConfig {
    let model = plan.deployments.get(number).and_then(|deployment| plan.models.get(deployment.model));
    model.map_or_else(BreakerConfig::default, |model| model.breaker.clone())
}

/// Puts circuits, made in the order of the fresh numbers, in their places.
fn replace(
    gates: &mut Vec<Box<dyn Gate>>,
    numbers: &Numbers,
    made: &mut impl Iterator<Item = Box<dyn Gate>>,
) {
    for &number in &numbers.fresh {
        match (gates.get_mut(number), made.next()) {
            (Some(old), Some(gate)) => *old = gate,
            (None, Some(gate)) => gates.push(gate),
            (_, None) => {}
        }
    }
}

#[derive(Debug, Default)]
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
    pub(super) fn new(plan: &Plan, gate: Option<&MakeGate<'_>>, now: Instant) -> Result<Self, BuildError> {
        let made = Made::new(plan, gate)?;
        let mut circuits = Self::default();
        circuits.follow(plan, None, made, now);
        Ok(circuits)
    }

    /// Goes by another plan, with circuits that were made for what is new in it. All others keep what they know and go by the
    /// plan's numbers; a credential that changed is not the one that was refused.
    pub(super) fn follow(&mut self, plan: &Plan, before: Option<&Plan>, made: Made, now: Instant) {
        for number in plan.endpoint_numbers.kept() {
            if let Some(gate) = self.endpoints.get_mut(number) {
                gate.set_config(&endpoint_config(plan, number), now);
            }
            let headers =
                |plan: &'_ Plan| plan.endpoints.get(number).map(|endpoint| endpoint.headers.clone());
            if before.and_then(headers) != headers(plan) {
                self.forgive(number);
            }
        }
        for number in plan.deployment_numbers.kept() {
            if let Some(gate) = self.deployments.get_mut(number) {
                gate.set_config(&deployment_config(plan, number), now);
            }
        }
        let (mut endpoints, mut deployments) = (made.endpoints.into_iter(), made.deployments.into_iter());
        replace(&mut self.endpoints, &plan.endpoint_numbers, &mut endpoints);
        replace(&mut self.deployments, &plan.deployment_numbers, &mut deployments);
        renew(&mut self.dead_credentials, &plan.endpoint_numbers, |_| None);
        renew(&mut self.missing_models, &plan.deployment_numbers, |_| false);
        self.early_endpoints.follow(&plan.endpoint_numbers);
        self.early_deployments.follow(&plan.deployment_numbers);
        self.endpoint_of = plan.deployments.iter().map(|deployment| deployment.endpoint).collect();
    }

    /// An endpoint is asked with another credential from now on.
    fn forgive(&mut self, endpoint: usize) {
        if let Some(dead) = self.dead_credentials.get_mut(endpoint) {
            *dead = None;
        }
        // What one account does not have, another may.
        for (missing, at) in self.missing_models.iter_mut().zip(&self.endpoint_of) {
            *missing &= *at != endpoint;
        }
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
