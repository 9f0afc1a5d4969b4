//! What a request may cost at each deployment that could serve it.

use std::time::Instant;

use policy::Call;
use wire::Usage;

use super::{Ask, Engine};

impl Engine {
    /// Each deployment that could serve `ask`, with what `usage` would cost there, where its price is known.
    pub(crate) fn costs(&self, ask: &Ask, usage: &Usage, now: Instant) -> Vec<(usize, Option<f64>)> {
        let candidates = self.candidates.tiers(ask).flatten();
        let numbers = candidates.filter_map(|id| self.numbers.get(id).copied());
        let able = numbers.filter(|&number| self.resides(ask, number));
        able.map(|number| (number, self.cost(number, usage, now))).collect()
    }

    /// Leaves out of a call those where it may cost more than it is allowed, and those whose price is not known.
    pub(super) fn hold_to_cost(&self, ask: &Ask, call: &mut Call, now: Instant) {
        let Some((most, usage)) = ask.at_most else { return };
        let costs = self.costs(ask, &usage, now).into_iter();
        for (number, _) in costs.filter(|(_, cost)| !cost.is_some_and(|cost| cost <= most)) {
            call.exclude(u32::try_from(number).unwrap_or(u32::MAX));
        }
    }
}
