//! Prices, as data: a text of one row a line with its source and its date.
//!
//! A price is not a constant of a model. It has a date from which it holds, at some providers hours of the day, at some a
//! surcharge for the region that works, and it is wrong a year later; so the table is a file that anyone can read, correct and
//! replace ([`PriceTable::parse`]), and a price is asked for a model, a place and an instant. The file that comes with the crate
//! is `data/prices.txt`; its head explains its columns.
//!
//! A place is the host of a base URL, because a region's name is its user's invention and a host is not. It is a hint: where a
//! host does not tell where the work is done (`*.openai.azure.com` does not), no surcharge is known.
//!
//! Two things depend on the request as well. Above some length of input the *whole* request costs more, so a [`Price`] is two
//! sets of rates and [`cost_usd`](Price::cost_usd) chooses by usage. And reading from a cache and writing to it have rates of
//! their own.
//!
//! Limits: what a request asks for by a field of its own is not seen: batch, flex and priority tiers, Anthropic's
//! `inference_geo` (1.1 times the price in `us`) and its caches of one hour (priced as those of five minutes). Audio, images and
//! calls of a provider's tools have no price here.

mod parse;
mod place;
mod table;

pub use table::{BadPrices, PriceTable};

use crate::usage::Usage;

/// What tokens cost, in USD per million.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Rates {
    /// What is read.
    pub input: f64,
    /// What is read from the provider's prompt cache.
    pub cached_input: f64,
    /// What is read and written to that cache.
    pub cache_write: f64,
    /// What is written, reasoning included.
    pub output: f64,
}

impl Rates {
    /// Rates at which a cache neither saves nor costs anything.
    #[must_use]
    pub const fn new(input: f64, output: f64) -> Self {
        Self { input, cached_input: input, cache_write: input, output }
    }

    /// The cost in USD: the sum of tokens times rate, over a million. The parts of the input are priced each at its own rate.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 tokens, nine thousand million millions")]
    fn cost_usd(&self, usage: &Usage) -> f64 {
        let cached = usage.cached_input.min(usage.input);
        let written = usage.cache_write.min(usage.input - cached);
        let fresh = usage.input - cached - written;
        let read =
            fresh as f64 * self.input + cached as f64 * self.cached_input + written as f64 * self.cache_write;
        (read + usage.output as f64 * self.output) / 1e6
    }
}

/// The rates of a long request.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// They hold for a request of more than so many tokens of input, cached ones included.
    pub above: u64,
    /// They hold for all of its tokens, not only for those above the mark.
    pub rates: Rates,
}

/// A model's price at a place and an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Price {
    /// Usually.
    pub rates: Rates,
    /// For a long request, where that is priced otherwise.
    pub step: Option<Step>,
}

impl Price {
    /// A price without a discount for cached input.
    #[must_use]
    pub const fn new(input: f64, output: f64) -> Self {
        Self { rates: Rates::new(input, output), step: None }
    }

    /// The same with a rate of its own for cached input.
    #[must_use]
    pub const fn with_cached_input(mut self, cached_input: f64) -> Self {
        self.rates.cached_input = cached_input;
        self
    }

    /// What an answer of so many tokens costs, in USD: the sum over fresh, cached, cache-writing and written tokens of tokens
    /// times rate, over a million. The rates are the step's when `usage.input` is above it.
    ///
    /// Never NaN and never negative where the rates are neither; a table's are not.
    #[must_use]
    pub fn cost_usd(&self, usage: &Usage) -> f64 {
        let step = self.step.as_ref().filter(|step| usage.input > step.above);
        step.map_or(&self.rates, |step| &step.rates).cost_usd(usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(price: Price, usage: Usage, expected: f64) {
        let cost = price.cost_usd(&usage);
        assert!((cost - expected).abs() < 1e-12, "{cost} and not {expected}");
    }

    #[test]
    fn each_part_of_the_input_is_counted_once_at_its_own_rate() {
        let mut price = Price::new(2.0, 8.0).with_cached_input(0.5);
        price.rates.cache_write = 2.5;
        let usage = Usage::new(1_000_000, 500_000);
        check(price, usage, 2.0 + 4.0);
        check(price, usage.with_cached_input(400_000), 1.2 + 0.2 + 4.0);
        check(price, usage.with_cached_input(400_000).with_cache_write(200_000), 0.8 + 0.2 + 0.5 + 4.0);
    }

    #[test]
    fn above_the_step_the_whole_request_costs_more() {
        let mut price = Price::new(2.0, 10.0);
        price.step = Some(Step { above: 272_000, rates: Rates::new(4.0, 15.0) });
        check(price, Usage::new(272_000, 1_000), 0.544 + 0.01);
        check(price, Usage::new(272_001, 1_000), 1.088_004 + 0.015);
        check(price, Usage::new(272_001, 1_000).with_cached_input(272_001), 1.088_004 + 0.015);
    }

    #[test]
    fn a_part_that_claims_more_than_its_whole_is_cut_to_it() {
        let mut usage = Usage::new(1_000_000, 0);
        (usage.cached_input, usage.cache_write) = (u64::MAX, u64::MAX);
        check(Price::new(2.0, 8.0).with_cached_input(0.5), usage, 0.5);
    }
}
