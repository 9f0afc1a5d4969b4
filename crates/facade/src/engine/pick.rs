//! A tier's question put to the registry, and its answer in the words of the call's machine.

use std::time::Instant;

use policy::{Mode, Picked};
use registry::DeploymentId;

use super::{Ask, CallState, Engine, circuits::Circuits, plan::Plan};

impl Engine {
    pub(super) fn pick(
        &mut self,
        state: &CallState,
        tier: u8,
        mode: Mode,
        draw: u64,
        now: Instant,
    ) -> Picked {
        let nothing = Picked::Nothing { retry_at: None, limited: false };
        let candidates = self.candidates.of(&state.ask, usize::from(tier));
        let excluded = self.excluded(state);
        let (circuits, numbers, plan) = (&self.circuits, &self.numbers, &self.plan);
        let refuse_to_continue = &self.refuse_to_continue;
        let suits = |number| mode != Mode::Continue || continues(plan, refuse_to_continue, number);
        let admits = |id: DeploymentId| {
            numbers.get(&id).is_some_and(|&number| suits(number) && circuits.admits(number, now))
        };
        let mut query = self.plan.query(&state.ask, candidates, self.own_selector);
        let places = &self.places;
        let limit = |id: DeploymentId| numbers.get(&id).map_or(u32::MAX, |&number| places.limit(number));
        query.excluded = &excluded;
        query.admits = &admits;
        query.places = &limit;
        // Another tier may have somebody who is not cooling down: see `last_resort`.
        query.waive_cooldowns = false;
        match self.registry.pick(&query, draw, now) {
            Ok(pick) => {
                let Some(&number) = self.numbers.get(&pick.id) else { return nothing };
                let Ok(deployment) = u32::try_from(number) else { return nothing };
                let sound = self.circuits.is_sound(number, now);
                Picked::Found { deployment, sound }
            }
            Err(none) if none.full => Picked::Full,
            Err(none) => {
                let retry_at = match none.retry_at {
                    Some(at) => Some(at),
                    None => candidates
                        .iter()
                        .filter(|id| !excluded.contains(id))
                        .filter_map(|id| self.numbers.get(id))
                        .filter(|number| self.resides(&state.ask, **number))
                        .filter_map(|&number| self.circuits.retry_at(number, now))
                        .min(),
                };
                Picked::Nothing { retry_at, limited: none.why == registry::Why::Waiting }
            }
        }
    }

    /// Nobody is left in any tier. Cooldowns that we inferred are waived, soonest first in the best tier that has one; and a call
    /// that has asked nobody yet may bring one circuit forward to its trials (see `early`).
    pub(super) fn last_resort(
        &mut self,
        state: &CallState,
        tier: u8,
        draw: u64,
        now: Instant,
    ) -> Option<Picked> {
        let is_last = usize::from(tier) + 1 >= self.candidates.tiers(&state.ask).len();
        if !is_last || state.machine.is_rescuing() {
            return None;
        }
        let excluded = self.excluded(state);
        if let Some(number) = self.pick_of_all(state, &excluded, Circuits::admits, true, draw, now) {
            return Some(Picked::Found { deployment: u32::try_from(number).ok()?, sound: false });
        }
        if state.machine.attempts() > 0 {
            return None;
        }
        let number = self.pick_of_all(state, &excluded, Circuits::may_try_early, false, draw, now)?;
        self.circuits.bring_forward(number, now);
        Some(Picked::Found { deployment: u32::try_from(number).ok()?, sound: false })
    }

    /// The best of the first tier that has anybody whom `admits` admits.
    fn pick_of_all(
        &mut self,
        state: &CallState,
        excluded: &[DeploymentId],
        admits: fn(&Circuits, usize, Instant) -> bool,
        waive_cooldowns: bool,
        draw: u64,
        now: Instant,
    ) -> Option<usize> {
        let (numbers, circuits) = (&self.numbers, &self.circuits);
        let admits = |id: DeploymentId| numbers.get(&id).is_some_and(|&number| admits(circuits, number, now));
        let places = &self.places;
        let limit = |id: DeploymentId| numbers.get(&id).map_or(u32::MAX, |&number| places.limit(number));
        for candidates in self.candidates.tiers(&state.ask) {
            let mut query = self.plan.query(&state.ask, candidates, self.own_selector);
            query.excluded = excluded;
            query.admits = &admits;
            query.places = &limit;
            query.waive_cooldowns = waive_cooldowns;
            if let Ok(pick) = self.registry.pick(&query, draw, now) {
                return self.numbers.get(&pick.id).copied();
            }
        }
        None
    }

    /// The registry's names of those that the call leaves out.
    fn excluded(&self, state: &CallState) -> Vec<DeploymentId> {
        let excluded = state.machine.excluded().iter().map(|&key| key as usize);
        let left_out = excluded.chain(state.too_dear.iter().copied());
        left_out.filter_map(|number| self.ids.get(number).copied()).collect()
    }

    /// Whether a deployment lies where the ask may go.
    pub(super) fn resides(&self, ask: &Ask, number: usize) -> bool {
        let own = self.plan.models.get(ask.model).and_then(|model| model.residency.as_ref());
        match (ask.residency.as_ref().or(own), self.plan.deployments.get(number)) {
            (Some(allowed), Some(deployment)) => allowed.contains(&deployment.route.region),
            (None, _) => true,
            (Some(_), None) => false,
        }
    }

    /// A request was too long for a deployment: those of the same model are left out wherever they are, and those whose
    /// context is known to be no larger.
    pub(super) fn exclude_no_larger(&self, state: &mut CallState, deployment: usize) {
        let Some(failed) = self.plan.deployments.get(deployment) else { return };
        for (number, other) in self.plan.live_deployments() {
            let no_larger = other.context.zip(failed.context).is_some_and(|(other, failed)| other <= failed);
            if no_larger || other.route.model == failed.route.model {
                state.machine.exclude(u32::try_from(number).unwrap_or(u32::MAX));
            }
        }
    }

    /// Whether a deployment goes on from an assistant's message: it is said to, and has not refused.
    pub(super) fn continues(&self, number: usize) -> bool {
        continues(&self.plan, &self.refuse_to_continue, number)
    }
}

fn continues(plan: &Plan, refuse_to_continue: &[bool], number: usize) -> bool {
    plan.deployments.get(number).is_some_and(|deployment| deployment.continues)
        && !refuse_to_continue.get(number).is_some_and(|refuses| *refuses)
}
