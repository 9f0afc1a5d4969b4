//! A tier's question put to the registry, and its answer in the words of the call's machine.

use std::time::Instant;

use policy::{Mode, Picked};
use registry::DeploymentId;

use super::{Ask, CallState, Engine, plan::Plan};

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
        let excluded: Vec<DeploymentId> =
            state.machine.excluded().iter().filter_map(|&key| self.ids.get(key as usize).copied()).collect();
        let (circuits, numbers, plan) = (&self.circuits, &self.numbers, &self.plan);
        let refuse_to_continue = &self.refuse_to_continue;
        let suits = |number| mode != Mode::Continue || continues(plan, refuse_to_continue, number);
        let admits = |id: DeploymentId| {
            numbers.get(&id).is_some_and(|&number| suits(number) && circuits.admits(number, now))
        };
        let mut query = self.plan.query(&state.ask, candidates, self.own_selector);
        query.excluded = &excluded;
        query.admits = &admits;
        match self.registry.pick(&query, draw, now) {
            Ok(pick) => {
                let Some(&number) = self.numbers.get(&pick.id) else { return nothing };
                let Ok(deployment) = u32::try_from(number) else { return nothing };
                let sound = !pick.waived_cooldown && self.circuits.is_sound(number, now);
                Picked::Found { deployment, sound }
            }
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

    /// A call for which nobody is left in any tier, before it has asked anybody, may bring one circuit forward to its trials,
    /// in the best tier that has such a place. See `early`.
    pub(super) fn try_early(
        &mut self,
        state: &CallState,
        tier: u8,
        draw: u64,
        now: Instant,
    ) -> Option<Picked> {
        let tiers = self.candidates.tiers(&state.ask);
        if usize::from(tier) + 1 != tiers.len() || state.machine.attempts() > 0 {
            return None;
        }
        for candidates in tiers {
            let (circuits, numbers) = (&self.circuits, &self.numbers);
            let admits = |id: DeploymentId| {
                numbers.get(&id).is_some_and(|&number| circuits.may_try_early(number, now))
            };
            let mut query = self.plan.query(&state.ask, candidates, self.own_selector);
            query.admits = &admits;
            if let Ok(pick) = self.registry.pick(&query, draw, now)
                && let Some(&number) = self.numbers.get(&pick.id)
            {
                self.circuits.bring_forward(number, now);
                let deployment = u32::try_from(number).ok()?;
                return Some(Picked::Found { deployment, sound: false });
            }
        }
        None
    }

    /// Whether a deployment lies where the ask may go.
    fn resides(&self, ask: &Ask, number: usize) -> bool {
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
        for (number, other) in self.plan.deployments.iter().enumerate() {
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
