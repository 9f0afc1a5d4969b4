//! What a request may cost at each deployment that could serve it.

use std::time::Instant;

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
}
