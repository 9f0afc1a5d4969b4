//! Weighted: by chance, in proportion to weight x ramp.
//!
//! Looks at all candidates twice: to add up, and to find the one at the drawn point.

use crate::draw::Draws;
use crate::selector::{Candidate, Choices};

pub(super) fn decide<'a>(choices: &'a Choices<'a>, draws: &mut Draws) -> Option<Candidate<'a>> {
    let total: f64 = choices.iter().map(|candidate| candidate.share()).sum();
    let mut point = draws.unit() * total;
    let mut last = None;
    for candidate in choices.iter() {
        point -= candidate.share();
        last = Some(candidate);
        if point < 0.0 {
            break;
        }
    }
    // Rounding can leave the point a hair above nothing after the last: it is the last one's.
    last
}
