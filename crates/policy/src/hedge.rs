//! How many attempts may be started beside one that is only slow.
//!
//! A hedge is sent before anything has failed, so no failure bounds it: when a provider grows slow as a whole, every call would
//! be late and every call would be hedged, at the worst moment. So hedges have an allowance that only requests earn (Dean and
//! Barroso, *The Tail at Scale*, 2013, bound theirs the same way), beside the retry budget, which must pay as well.

use std::time::Instant;

use crate::{
    call::{Call, Phase},
    step::{Key, Step},
};

/// So many requests earn one hedge: at most 2 % of the requests are hedged.
pub const REQUESTS_PER_HEDGE: u32 = 50;
/// The most hedges that are saved up: the slow minute after a quiet hour is not doubled.
const MOST_SAVED: u32 = 10;

/// Decides whether one more hedge may be sent.
///
/// Inputs are [`on_request`](Self::on_request) and [`withdraw`](Self::withdraw), which is the decision too. There is no clock.
///
/// Invariant: over any history there is at most one hedge to fifty requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HedgeBudget {
    /// Requests that have earned no hedge yet, or one that was not taken.
    earned: u32,
}

impl HedgeBudget {
    /// Nothing earned yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { earned: 0 }
    }

    /// A request has come.
    pub fn on_request(&mut self) {
        self.earned = (self.earned + 1).min(MOST_SAVED * REQUESTS_PER_HEDGE);
    }

    /// Whether a hedge could be sent now.
    #[must_use]
    pub const fn affords(&self) -> bool {
        self.earned >= REQUESTS_PER_HEDGE
    }

    /// Takes one hedge. Says whether it was earned; a refused withdrawal changes nothing.
    #[must_use = "a hedge that was refused must not be sent"]
    pub const fn withdraw(&mut self) -> bool {
        let affords = self.affords();
        if affords {
            self.earned -= REQUESTS_PER_HEDGE;
        }
        affords
    }
}

impl Call {
    /// A running attempt may get another one beside it from this instant on, before it has been silent for its patience. It
    /// counts among the call's attempts, and is asked for once, while nothing else runs.
    pub fn hedge_from(&mut self, attempt: u8, at: Instant) {
        for running in self.running.iter_mut().filter(|running| running.attempt == attempt) {
            running.hedge = Some(at);
        }
    }

    /// What came of a [`Step::Hedge`]: who is to run beside the slow one, if anybody.
    pub fn on_hedge(&mut self, deployment: Option<Key>) {
        if !matches!(self.phase, Phase::Await) || self.rescue.is_some() {
            return;
        }
        for running in &mut self.running {
            running.hedge = None;
        }
        if let Some(deployment) =
            deployment.filter(|key| !self.excluded.contains(key) && !self.repeated.contains(key))
        {
            self.hedging = true;
            self.phase = Phase::Chosen { deployment, sound: true };
        }
    }

    /// The hedge is not to be: the slow attempt goes on as if it had never been asked for.
    pub(crate) fn unhedge(&mut self) {
        self.hedging = false;
        self.phase = Phase::Await;
    }

    /// When a hedge is due; `None` when none is to come.
    pub(crate) fn hedge_at(&self) -> Option<Instant> {
        match self.running.as_slice() {
            [only] if self.plan.budget && self.attempts < self.plan.max_attempts => only.hedge,
            _ => None,
        }
    }

    pub(crate) fn hedge(&self) -> Step {
        Step::Hedge { tier: self.tier }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::step::{CallPlan, Picked};

    #[expect(
        clippy::disallowed_methods,
        reason = "the one reading of the clock: all times are relative to it"
    )]
    fn t0() -> Instant {
        Instant::now()
    }

    #[test]
    fn without_a_budget_nothing_is_hedged() {
        let now = t0();
        let patience = now + Duration::from_secs(2);
        for budget in [true, false] {
            let mut plan = CallPlan::new(1, 4, now + Duration::from_secs(60));
            plan.budget = budget;
            let mut call = Call::new(plan);
            call.next(now);
            call.on_pick(Picked::Found { deployment: 0, sound: true }, now);
            let attempt = call.on_start(patience);
            let slow = now + Duration::from_secs(1);
            call.hedge_from(attempt, slow);
            let expected = if budget { Step::Hedge { tier: 0 } } else { Step::Wait(patience) };
            assert_eq!(call.next(slow), expected);
        }
    }
}
