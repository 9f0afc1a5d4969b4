//! The built-in ways to choose.

mod adaptive;
mod cheapest;
mod composite;
mod weighted;

pub(crate) use adaptive::{Rank, penalty};
pub(crate) use composite::score as composite_score;

use crate::config::Scoring;
use crate::draw::Draws;
use crate::selector::{Candidate, Choices};

/// What was chosen, and who was looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision<'a> {
    pub(crate) chosen: Candidate<'a>,
    /// The two that chance took to compare; `None` when all were compared.
    pub(crate) drawn: Option<[usize; 2]>,
}

impl<'a> Decision<'a> {
    const fn of_all(chosen: Candidate<'a>) -> Self {
        Self { chosen, drawn: None }
    }
}

impl Scoring {
    /// Chooses among those that may be asked.
    pub(crate) fn decide<'a>(self, choices: &'a Choices<'a>, draw: u64) -> Option<Decision<'a>> {
        let mut draws = Draws::new(draw);
        match self {
            Self::Adaptive => adaptive::decide(choices, &mut draws),
            Self::Composite => composite::decide(choices).map(Decision::of_all),
            Self::Cheapest => cheapest::decide(choices, &mut draws).map(Decision::of_all),
            Self::Weighted => weighted::decide(choices, &mut draws).map(Decision::of_all),
        }
    }
}

/// The least by `before`; among equals chance decides, each with the same share.
fn least<'a, K>(
    candidates: impl Iterator<Item = Candidate<'a>>,
    key: impl Fn(&Candidate<'a>) -> K,
    before: impl Fn(&K, &K) -> bool,
    draws: &mut Draws,
) -> Option<Candidate<'a>> {
    let mut best: Option<(K, Candidate<'a>)> = None;
    let mut equals = 1_u32;
    for candidate in candidates {
        let new = key(&candidate);
        let takes = match &best {
            None => true,
            Some((old, _)) if before(&new, old) => {
                equals = 1;
                true
            }
            Some((old, _)) if before(old, &new) => false,
            Some(_) => {
                // The n-th of equals replaces the one held with a chance of 1/n: all n end up with the same.
                equals += 1;
                draws.below(equals) == 0
            }
        };
        if takes {
            best = Some((new, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}
