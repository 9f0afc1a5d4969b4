//! Adaptive: expected wait, as load and failures make it.
//!
//! cost = latency x (in flight + 1) x failure penalty / (weight x ramp), the form of Finagle's and linkerd's peak EWMA. Up
//! to eight candidates all are compared; above, two random ones (*the power of two choices*, Mitzenmacher 2001): as good
//! for the load, at a price that does not grow, and without the herd that runs to the one best.
//!
//! Why is a fast failure not attractive? It counts as a latency of 5 s (`failure_penalty`), and failures in a row multiply
//! the cost until the next success. How does it come back, when its neighbours are well and cheaper? Idle for a `forgive`, it
//! is tried once, like a newcomer; if that fails, too, it waits anew. Why is a newcomer not flooded? Idle and unknown, it goes first, once; from then on it counts as dear as a
//! failure until it has answered.

use super::{Decision, least};
use crate::draw::{Draws, mix};
use crate::selector::{Candidate, Choices};

/// Up to so many candidates, all are compared: cheaper than drawing, and exact.
const COMPARED: usize = 8;
/// So many draws find two of at least half eligible but once in 30,000 picks; then all are looked at.
const DRAWS: u32 = 20;
/// Below a millisecond, differences are noise of the clock.
const FLOOR_MS: f64 = 1.0;
/// More failures in a row make nothing dearer: the circuit has long spoken.
const MOST_FAILURES: u32 = 9;

/// How two candidates compare: the untried first, then the cheaper.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rank {
    pub(crate) untried: bool,
    pub(crate) cost: f64,
}

impl Rank {
    #[inline]
    pub(crate) fn of(candidate: &Candidate<'_>) -> Self {
        let usual_ms = candidate.usual_ms();
        let untried = candidate.is_untried_knowing(usual_ms);
        let initial = candidate.deployment().numbers.initial_latency;
        let latency_ms = match initial {
            // An assumption is good enough to order those of whom nothing is known.
            Some(initial) if untried => crate::latency::millis(initial),
            _ => candidate.latency_knowing(usual_ms),
        };
        let latency_ms = latency_ms.max(FLOOR_MS);
        let near_ms = latency_ms - candidate.preference_ms(latency_ms);
        let load = f64::from(candidate.in_flight()) + 1.0;
        let cost = near_ms * load * penalty(candidate.consecutive_failures()) / candidate.share();
        Self { untried, cost }
    }

    fn before(&self, other: &Self) -> bool {
        if self.untried == other.untried { self.cost < other.cost } else { self.untried }
    }
}

/// What failures in a row multiply the cost by: 1 without, then one more each, at most ten.
pub(crate) fn penalty(failures: u32) -> f64 {
    f64::from(failures.min(MOST_FAILURES)) + 1.0
}

pub(super) fn decide<'a>(choices: &'a Choices<'a>, draws: &mut Draws) -> Option<Decision<'a>> {
    let best = if choices.len() <= COMPARED {
        Decision::of_all(least(choices.iter(), Rank::of, Rank::before, draws)?)
    } else {
        two_choices(choices, draws)?
    };
    Some(habitual(choices, &best.chosen).map_or(best, |chosen| Decision { chosen, ..best }))
}

/// The cheaper of two random ones; of equals the first drawn.
fn two_choices<'a>(choices: &'a Choices<'a>, draws: &mut Draws) -> Option<Decision<'a>> {
    let (first, second) = pair(choices, draws).or_else(|| pair_of_all(choices, draws))?;
    let chosen = if Rank::of(&second).before(&Rank::of(&first)) { second } else { first };
    Some(Decision { chosen, drawn: Some([first.place(), second.place()]) })
}

/// Two different ones by rejection sampling; `None` when the draws are used up first.
fn pair<'a>(choices: &'a Choices<'a>, draws: &mut Draws) -> Option<(Candidate<'a>, Candidate<'a>)> {
    let bound = u32::try_from(choices.len()).unwrap_or(u32::MAX);
    let mut first: Option<Candidate<'a>> = None;
    for _ in 0..DRAWS {
        let Some(drawn) = choices.get(draws.below(bound) as usize) else { continue };
        match first {
            None => first = Some(drawn),
            Some(first) if first.id() == drawn.id() => {}
            Some(first) => return Some((first, drawn)),
        }
    }
    None
}

/// Two random ones of all that may be asked, by one walk (reservoir sampling); the same one twice when it is alone.
fn pair_of_all<'a>(choices: &'a Choices<'a>, draws: &mut Draws) -> Option<(Candidate<'a>, Candidate<'a>)> {
    let mut walk = choices.iter();
    let mut first = walk.next()?;
    let Some(mut second) = walk.next() else { return Some((first, first)) };
    for (seen, candidate) in (3_u32..).zip(walk) {
        match draws.below(seen) {
            0 => first = candidate,
            1 => second = candidate,
            _ => {}
        }
    }
    Some((first, second))
}

/// The deployment that calls of this key usually get, while it costs little more than the best.
///
/// Rendezvous hashing (Thaler and Ravishankar 1998): the highest hash of key and deployment among those that may be asked,
/// so that one that leaves moves its own calls only. An untried one goes before any habit: it is one call.
fn habitual<'a>(choices: &'a Choices<'a>, best: &Candidate<'a>) -> Option<Candidate<'a>> {
    let key = choices.query().affinity?;
    let best_rank = Rank::of(best);
    if best_rank.untried {
        return None;
    }
    let mut home: Option<(u64, Candidate<'a>)> = None;
    for place in 0..choices.len() {
        let Some(known) = choices.known(place) else { continue };
        let hash = mix(key ^ known.state.fingerprint);
        // Whether it may be asked is dearer to know than its hash: it is asked of those that would win.
        if home.is_none_or(|(highest, _)| hash > highest) {
            home = choices.get(place).map(|candidate| (hash, candidate)).or(home);
        }
    }
    let (_, home) = home?;
    let bearable = best_rank.cost * (1.0 + choices.config.affinity.get());
    (Rank::of(&home).cost <= bearable).then_some(home)
}
