//! What a call may cost: at each deployment that could serve it, and over all its attempts.
//!
//! # What is held?
//! A bound is for the call. Before an attempt begins, what the call has cost so far (the bills of its attempts that are over), what those
//! that run may cost and what the new one may cost are added up; where that is more than the bound, the deployment is left out. No
//! attempt is excepted: neither the free failover, nor one beside a silent or a slow one, nor one that goes on with a broken answer.
//!
//! # Limits
//! What runs is counted by its estimate, so an attempt that turns out dearer than it was thought to be (more tokens than four
//! bytes each, an answer without a bound of its own) can still overstep.

use std::time::Instant;

use policy::{Call, Mode};
use wire::Usage;

use super::{Ask, CallState, Engine};

/// More than what a few prices lose by being binary fractions, and less than anybody is paid.
const NOISE: f64 = 1e-12;

/// The most that a call may cost, all its attempts together.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct CostBound {
    /// USD.
    pub usd: f64,
    /// What one attempt may use.
    pub usage: Usage,
    /// Whether those may be asked whose price is not known; they are then taken to cost nothing.
    pub unpriced: bool,
}

impl CostBound {
    /// So many USD for attempts that may use so much each, at known prices only.
    pub fn new(usd: f64, usage: Usage) -> Self {
        Self { usd, usage, unpriced: false }
    }

    /// What an attempt is thought to cost, by its price where that is known; none where it may not be made without one.
    pub(crate) fn cost(&self, cost: Option<f64>) -> Option<f64> {
        cost.or_else(|| self.unpriced.then_some(0.0))
    }
}

impl Engine {
    /// Each deployment that could serve `ask`, with what `usage` would cost there, where its price is known.
    pub(crate) fn costs(&self, ask: &Ask, usage: &Usage, now: Instant) -> Vec<(usize, Option<f64>)> {
        let candidates = self.candidates.tiers(ask).flatten();
        let numbers = candidates.filter_map(|id| self.numbers.get(id).copied());
        let able = numbers.filter(|&number| self.resides(ask, number));
        able.map(|number| (number, self.cost(number, usage, now))).collect()
    }

    /// Leaves out of a call for good those where one attempt may cost more than all of it is allowed, and those whose price is not known
    /// where it must be.
    pub(super) fn hold_to_cost(&self, ask: &Ask, call: &mut Call, now: Instant) {
        let Some(bound) = ask.at_most else { return };
        for number in self.candidates.tiers(ask).flatten().filter_map(|id| self.numbers.get(id).copied()) {
            let cost = bound.cost(self.cost(number, &bound.usage, now));
            if !cost.is_some_and(|cost| cost <= bound.usd) {
                call.exclude(u32::try_from(number).unwrap_or(u32::MAX));
            }
        }
    }

    /// Notes which deployments that a call has not asked yet are too dear for another attempt now. What an attempt was thought to cost
    /// comes back when its bill is lower, so this is asked before each pick.
    pub(super) fn find_too_dear(&self, state: &mut CallState, mode: Mode, now: Instant) {
        state.too_dear.clear();
        // Where nothing has been spent yet, whoever is too dear is left out already.
        if state.ask.at_most.is_none() || (state.attempts.is_empty() && state.tab.bill.is_none()) {
            return;
        }
        let mut too_dear = std::mem::take(&mut state.too_dear);
        let candidates = self.candidates.tiers(&state.ask).flatten();
        for number in candidates.filter_map(|id| self.numbers.get(id).copied()) {
            let key = u32::try_from(number).unwrap_or(u32::MAX);
            let is_open = !state.machine.excluded().contains(&key) && self.resides(&state.ask, number);
            if is_open && !self.can_pay(state, number, mode, now) {
                too_dear.push(number);
            }
        }
        state.too_dear = too_dear;
    }

    /// Whether a call may pay for one more attempt there, beside what it has cost and what its attempts that run may cost.
    pub(super) fn can_pay(&self, state: &CallState, deployment: usize, mode: Mode, now: Instant) -> bool {
        let Some(bound) = state.ask.at_most else { return true };
        let cost = |deployment, mode| bound.cost(self.cost(deployment, &usage(state, &bound, mode), now));
        let Some(next) = cost(deployment, mode) else { return false };
        let billed = state.tab.bill.and_then(|bill| bill.cost_usd).unwrap_or(0.0);
        // Where one runs whose price is gone, nobody knows what is left.
        let running = state
            .attempts
            .iter()
            .map(|running| cost(running.deployment, running.mode).unwrap_or(f64::INFINITY));
        billed + running.sum::<f64>() + next <= bound.usd * (1.0 + NOISE)
    }
}

/// What an attempt of a call may use. One that goes on with a broken answer reads what was said as well, and writes the rest.
fn usage(state: &CallState, bound: &CostBound, mode: Mode) -> Usage {
    match (mode, &state.tab.bill) {
        (Mode::Continue, Some(bill)) => Usage::new(
            bound.usage.input.saturating_add(bill.usage.output),
            bound.usage.output.saturating_sub(bill.usage.output),
        ),
        _ => bound.usage,
    }
}
