//! Cheapest: the lowest price; among equal prices, the lowest adaptive cost.
//!
//! Looks at all candidates: two random ones would seldom hold the cheapest.

use super::{Rank, least};
use crate::draw::Draws;
use crate::selector::{Candidate, Choices};

pub(super) fn decide<'a>(choices: &'a Choices<'a>, draws: &mut Draws) -> Option<Candidate<'a>> {
    // An unknown price is last; a checked price is finite.
    let price = |candidate: &Candidate<'a>| {
        candidate.deployment().numbers.price.map_or(f64::INFINITY, |price| price.get())
    };
    least(choices.iter(), |candidate| (price(candidate), Rank::of(candidate).cost), |a, b| a < b, draws)
}
