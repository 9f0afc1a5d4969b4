//! Places: how many attempts a deployment is given at a time, and who waits for one.
//!
//! A deployment's limit is learned from what it refuses (`policy::AimdLimit`), beside the one that the configuration may set. It
//! starts far above what any healthy client has in flight, so that nobody meets it who was never refused.
//!
//! # Who is next?
//! Calls wait in the order in which they came. When an attempt ends, the first of them that could use its deployment is nudged,
//! and the place is kept for it until it says that it has heard: a newcomer does not overtake it, and a nudge that meets a
//! call that has just gone away passes the place on. Nobody polls; a wait that nothing ends is ended by the call's own wake-up.

use std::{collections::VecDeque, time::Instant};

use policy::{AimdConfig, AimdLimit};
use registry::DeploymentId;

use super::{
    Engine,
    event::{Action, CallId},
    plan::Plan,
    succession::renew,
};
use crate::error::BuildError;

/// The limit before anything was refused, and the most it grows to: what the gateway has in progress in all.
const MOST: u32 = 4096;

/// The places of one deployment.
#[derive(Debug)]
struct Place {
    limit: AimdLimit,
    /// The limit that the configuration sets.
    configured: Option<u32>,
    /// When it was lowered last: refusals of attempts that had started by then tell nothing new.
    lowered: Option<Instant>,
    /// Places kept for calls that were nudged.
    kept: u32,
}

/// Limits and waiters.
#[derive(Debug)]
pub(super) struct Places {
    /// The limit of a deployment of which nothing was learned.
    unlearned: AimdLimit,
    places: Vec<Place>,
    waiters: VecDeque<CallId>,
    /// Nudged, and not heard of yet: each with the deployment whose place is kept.
    nudged: Vec<(CallId, usize)>,
    /// Where an attempt has ended or a limit has grown since places were offered last.
    freed: Vec<usize>,
}

impl Places {
    pub(super) fn new(plan: &Plan) -> Result<Self, BuildError> {
        let mut config = AimdConfig::default();
        (config.initial, config.max) = (MOST, MOST);
        let unlearned = AimdLimit::new(config)
            .map_err(|error| BuildError::Machine { path: "places".to_owned(), message: error.to_string() })?;
        let (waiters, nudged, freed) = (VecDeque::new(), Vec::new(), Vec::new());
        let mut places = Self { unlearned, places: Vec::new(), waiters, nudged, freed };
        places.follow(plan);
        Ok(places)
    }

    /// Goes by another plan: what is new has nothing learned of it, and what the configuration sets holds from now on. Those
    /// who wait may find a place where there was none.
    pub(super) fn follow(&mut self, plan: &Plan) {
        let unlearned = &self.unlearned;
        let place = |_| Place { limit: unlearned.clone(), configured: None, lowered: None, kept: 0 };
        renew(&mut self.places, &plan.deployment_numbers, place);
        for (number, deployment) in plan.live_deployments() {
            if let Some(place) = self.places.get_mut(number) {
                place.configured = deployment.limits.concurrent.map(Into::into);
            }
            self.on_freed(number);
        }
    }

    /// How many attempts may be in flight there, those aside for whom a place is kept.
    pub(super) fn limit(&self, deployment: usize) -> u32 {
        self.places.get(deployment).map_or(u32::MAX, |place| {
            let limit = place.limit.limit().min(place.configured.unwrap_or(u32::MAX));
            limit.saturating_sub(place.kept)
        })
    }

    /// An attempt that was one of `in_flight` was refused for load.
    pub(super) fn on_refusal(&mut self, deployment: usize, started: Instant, in_flight: u32, now: Instant) {
        let Some(place) = self.places.get_mut(deployment) else { return };
        // Many refusals of one instant are one: what had started before the limit fell was not held to it.
        if place.lowered.is_none_or(|lowered| started >= lowered) {
            place.limit.on_refusal(in_flight);
            place.lowered = Some(now);
        }
    }

    /// An attempt that was one of `in_flight` when it started was served.
    pub(super) fn on_success(&mut self, deployment: usize, in_flight: u32) {
        let Some(place) = self.places.get_mut(deployment) else { return };
        let before = place.limit.limit();
        if place.limit.on_success(in_flight) > before {
            self.on_freed(deployment);
        }
    }

    /// An attempt has ended there.
    pub(super) fn on_freed(&mut self, deployment: usize) {
        if !self.waiters.is_empty() {
            self.freed.push(deployment);
        }
    }

    /// A call waits, behind all that do.
    pub(super) fn enrol(&mut self, call: CallId) {
        if !self.waiters.contains(&call) {
            self.waiters.push_back(call);
        }
    }

    /// Whether a call waits.
    pub(super) fn is_waiting(&self, call: CallId) -> bool {
        self.waiters.contains(&call)
    }

    /// A call has heard of the place that was kept for it: where that is.
    pub(super) fn take_kept(&mut self, call: CallId) -> Option<usize> {
        let index = self.nudged.iter().position(|(nudged, _)| *nudged == call)?;
        let (_, deployment) = self.nudged.swap_remove(index);
        if let Some(place) = self.places.get_mut(deployment) {
            place.kept = place.kept.saturating_sub(1);
        }
        Some(deployment)
    }

    /// A call waits no more. What was kept for it is free.
    pub(super) fn leave(&mut self, call: CallId) {
        if !self.waiters.is_empty() {
            self.waiters.retain(|waiter| *waiter != call);
        }
        if let Some(deployment) = self.take_kept(call) {
            self.on_freed(deployment);
        }
    }

    /// A place is kept for a waiter.
    fn keep(&mut self, call: CallId, deployment: usize) {
        self.waiters.retain(|waiter| *waiter != call);
        self.nudged.push((call, deployment));
        if let Some(place) = self.places.get_mut(deployment) {
            place.kept += 1;
        }
    }
}

impl Engine {
    /// Offers what has become free to those who wait, the first first.
    pub(super) fn offer_places(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while let Some(deployment) = self.places.freed.pop() {
            while let Some(call) = self.next_for(deployment, now) {
                self.places.keep(call, deployment);
                actions.push(Action::Nudge { call });
            }
        }
    }

    /// The first waiter that could use a place of this deployment, if it has one.
    fn next_for(&self, deployment: usize, now: Instant) -> Option<CallId> {
        let id = *self.ids.get(deployment)?;
        let is_free = self.has_place(deployment) && self.may_be_asked(deployment, now);
        let mut waiters = self.places.waiters.iter().filter(|_| is_free);
        waiters.find(|call| self.could_use(**call, deployment, id)).copied()
    }

    /// Whether fewer attempts are in flight there than may be.
    pub(super) fn has_place(&self, deployment: usize) -> bool {
        let in_flight = self.ids.get(deployment).map_or(0, |&id| self.registry.in_flight(id));
        in_flight < self.places.limit(deployment)
    }

    /// Whether a deployment may be asked at all: its circuits admit, it is not cooling down, and no operator took it out.
    pub(super) fn may_be_asked(&self, deployment: usize, now: Instant) -> bool {
        let view = self.ids.get(deployment).and_then(|&id| self.registry.view(id, now));
        self.circuits.admits(deployment, now)
            && view.is_some_and(|view| view.cooldown.is_none() && !view.cordoned)
    }

    fn could_use(&self, call: CallId, deployment: usize, id: DeploymentId) -> bool {
        self.calls.get(&call).is_some_and(|state| {
            let tier = usize::from(state.machine.tier());
            self.candidates.of(&state.ask, tier).contains(&id)
                && self.resides(&state.ask, deployment)
                && !state.machine.excluded().iter().any(|excluded| *excluded as usize == deployment)
                && !state.too_dear.contains(&deployment)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Config, Model, Provider, Target};

    fn places() -> (Places, Instant) {
        let provider = Provider::openai().region("r", "http://r.invalid/v1").expect("a URL");
        let model = Model::new([Target::new("p", "m")]);
        let plan = Plan::new(&Config::new().provider("p", provider).model("chat", model));
        (Places::new(&plan).expect("its numbers are sound"), Instant::now())
    }

    #[test]
    fn refusals_of_one_instant_count_once() {
        let (mut places, now) = places();
        let later = now + Duration::from_secs(1);
        for _ in 0..50 {
            places.on_refusal(0, now, 50, later);
        }
        assert_eq!(places.limit(0), MOST / 2);
        places.on_refusal(0, later, 50, later);
        assert_eq!(places.limit(0), MOST / 4, "one that started after the limit fell tells something new");
    }

    #[test]
    fn a_kept_place_is_nobody_elses_until_it_is_taken_or_left() {
        let (mut places, _) = places();
        let call = CallId(7);
        places.enrol(call);
        places.enrol(call);
        assert_eq!(places.waiters.len(), 1);
        places.keep(call, 0);
        assert!(!places.is_waiting(call));
        assert_eq!(places.limit(0), MOST - 1);
        places.leave(call);
        assert_eq!(places.limit(0), MOST);
        assert_eq!(places.take_kept(call), None);
    }
}
