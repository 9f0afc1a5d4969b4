//! What a key has used of its minute and what its calls on their way hold: the pure half of a [`Pass`](super::pass::Pass).

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{
    entry::Budget,
    window::{Full, Taken, Window},
};

/// The most that one call holds, in millionths of a USD: so much that no budget has it, and so little that the sum over all calls on
/// their way stays a number. A sum that had stopped at the largest one would forget the others when one of them ends.
const MOST_HELD: u64 = u64::MAX >> 24;

/// What a key may use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// Requests in any minute.
    pub(super) requests: Option<u64>,
    /// Tokens in any minute.
    pub(super) tokens: Option<u64>,
    /// Millionths of a USD that are left of its budget, what is on its way not counted.
    pub(super) left: Option<u64>,
}

/// What a key has used and holds.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// What it may spend, as the file says now: calls that began by another file are booked by this one too.
    pub(super) budget: Option<Budget>,
    requests: Window,
    tokens: Window,
    /// Millionths of a USD that calls on their way may cost.
    held: u64,
    /// What calls on their way elsewhere may cost.
    held_elsewhere: u64,
}

/// What a key has used of its minute and holds, as other replicas are to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Used {
    /// Requests: for how many more milliseconds each part counts, and how many they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) requests: Vec<(u64, u64)>,
    /// Tokens, likewise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tokens: Vec<(u64, u64)>,
    /// Millionths of a USD that calls on their way may cost.
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) held: u64,
}

/// For how many milliseconds a part of a minute still counts, as it is told: one that has begun counts whole.
pub(crate) fn millis_left(left: Duration) -> u64 {
    u64::try_from(left.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_nothing(held: &u64) -> bool {
    *held == 0
}

/// What a key has used and holds at all other replicas together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// Until when each part counts, and how many requests they are.
    pub(crate) requests: Vec<(Instant, u64)>,
    /// Tokens, likewise.
    pub(crate) tokens: Vec<(Instant, u64)>,
    /// Millionths of a USD that calls on their way may cost.
    pub(crate) held: u64,
}

/// What a call may take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish {
    /// Tokens.
    pub(super) tokens: u64,
    /// Millionths of a USD, if one attempt answers it.
    pub(super) once: u64,
    /// Millionths of a USD, all attempts together that may be made.
    pub(super) in_all: u64,
}

/// What one call holds until it is settled.
#[derive(Debug, Default)]
pub(super) struct Held {
    tokens: Option<Taken>,
    /// Millionths of a USD: what all its attempts together may cost.
    pub(super) micro_usd: u64,
}

/// Why a call may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too many requests: so many in a minute are allowed, and there is room after this wait.
    Requests(u64, Duration),
    /// Too many tokens, likewise.
    Tokens(u64, Duration),
    /// It may take more tokens than a whole minute has.
    TooManyTokens(u64),
    /// The budget is spent.
    Spent,
    /// The budget will be spent by what is on its way.
    Held,
}

impl Meter {
    /// Lets a call begin that may take so many tokens and cost so much, or none of it.
    ///
    /// A call holds what all its attempts may cost where that leaves half of what is left free. Where it does not it holds what one
    /// may, so that many can begin near the end of a budget, and it is to make no attempts that this does not pay for.
    ///
    /// # Errors
    /// Nothing is taken, and the longest wait is told.
    pub(super) fn enter(&mut self, limits: Limits, wish: Wish, now: Instant) -> Result<Held, Refused> {
        let Wish { tokens, once, in_all } = wish;
        let held = self.held.saturating_add(self.held_elsewhere);
        let micro_usd = match limits.left {
            Some(0) => return Err(Refused::Spent),
            Some(left) if held >= left => return Err(Refused::Held),
            Some(left) if held.saturating_add(in_all) > left / 2 => once,
            Some(_) | None => in_all,
        };
        let of_requests = limits.requests.map(|limit| (limit, self.requests.room(1, limit, now)));
        let of_tokens = limits.tokens.map(|limit| (limit, self.tokens.room(tokens, limit, now)));
        match (of_requests, of_tokens) {
            (_, Some((limit, Err(Full::Forever)))) => return Err(Refused::TooManyTokens(limit)),
            (Some((limit, Err(Full::For(wait)))), Some((_, Err(Full::For(other))))) if wait >= other => {
                return Err(Refused::Requests(limit, wait));
            }
            (_, Some((limit, Err(Full::For(wait))))) => return Err(Refused::Tokens(limit, wait)),
            (Some((limit, Err(Full::For(wait)))), _) => return Err(Refused::Requests(limit, wait)),
            // A limit of requests is at least one.
            (Some((_, Ok(()) | Err(Full::Forever))) | None, Some((_, Ok(()))) | None) => {}
        }
        if limits.requests.is_some() {
            self.requests.take(1, now);
        }
        let micro_usd = micro_usd.min(MOST_HELD);
        self.held = self.held.saturating_add(micro_usd);
        Ok(Held { tokens: limits.tokens.map(|_| self.tokens.take(tokens, now)), micro_usd })
    }

    /// What others used and hold, as it is known now.
    pub(super) fn hear(&mut self, elsewhere: Elsewhere) {
        self.requests.hear(elsewhere.requests);
        self.tokens.hear(elsewhere.tokens);
        self.held_elsewhere = elsewhere.held;
    }

    /// What was used here, for others to know.
    pub(super) fn told(&mut self, now: Instant) -> Used {
        let parts = |window: &mut Window| {
            window.told(now).into_iter().map(|(left, amount)| (millis_left(left), amount)).collect()
        };
        Used { requests: parts(&mut self.requests), tokens: parts(&mut self.tokens), held: self.held }
    }

    /// The call took so many tokens. Its cost is booked elsewhere by now, and no longer
    /// held here.
    pub(super) fn settle(&mut self, held: Held, tokens: u64, now: Instant) {
        self.held = self.held.saturating_sub(held.micro_usd);
        if let Some(taken) = held.tokens {
            self.tokens.settle(taken, tokens, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of a call that makes one attempt.
    fn wish(tokens: u64, cost: u64) -> Wish {
        Wish { tokens, once: cost, in_all: cost }
    }

    fn left(left: u64) -> Limits {
        Limits { left: Some(left), ..Limits::default() }
    }

    #[test]
    fn whoever_is_refused_for_one_limit_has_taken_nothing_of_another() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        let limits = Limits { requests: Some(2), tokens: Some(100), left: Some(10) };
        let minute = Duration::from_secs(60);
        assert_eq!(meter.enter(limits, wish(101, 1), now).err(), Some(Refused::TooManyTokens(100)));
        let first = meter.enter(limits, wish(90, 1), now).unwrap();
        for _ in 0..5 {
            assert_eq!(meter.enter(limits, wish(11, 1), now).err(), Some(Refused::Tokens(100, minute)));
        }
        let second = meter.enter(limits, wish(10, 1), now).unwrap();
        assert_eq!(meter.enter(limits, wish(1, 1), now).err(), Some(Refused::Requests(2, minute)));
        assert_eq!(meter.held, 2);
        meter.settle(first, 0, now);
        meter.settle(second, 10, now);
        assert_eq!(meter.held, 0);
        assert_eq!(
            meter.enter(limits, wish(1, 1), now + minute - Duration::from_secs(1)).err(),
            Some(Refused::Requests(2, Duration::from_secs(1)))
        );
        assert!(meter.enter(limits, wish(100, 1), now + minute).is_ok());
    }

    #[test]
    fn a_budget_is_refused_when_it_is_spent_and_when_it_will_be() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        assert_eq!(meter.enter(left(0), wish(0, 0), now).err(), Some(Refused::Spent));
        let held = meter.enter(left(5), wish(0, 7), now).unwrap();
        assert_eq!(meter.enter(left(5), wish(0, 1), now).err(), Some(Refused::Held));
        meter.settle(held, 0, now);
        assert!(meter.enter(left(5), wish(0, 1), now).is_ok());
    }

    /// **Near the end of a budget a call has one attempt's worth**, and many can still begin. Fails if whoever comes first holds all that
    /// is left, or if all attempts are held for when half of it is.
    #[test]
    fn a_call_holds_all_its_attempts_while_half_is_free_and_one_after_that() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        let wish = Wish { tokens: 0, once: 1, in_all: 4 };
        let held = std::iter::from_fn(|| meter.enter(left(20), wish, now).ok()).map(|held| held.micro_usd);
        let held: Vec<u64> = held.collect();
        assert_eq!(held, [&[4, 4][..], &[1; 12]].concat());
        assert_eq!(meter.enter(Limits::default(), wish, now).unwrap().micro_usd, 4, "without a budget");
    }

    #[test]
    fn what_is_held_elsewhere_is_held() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        meter.hear(Elsewhere { held: 3, ..Elsewhere::default() });
        let held = meter.enter(left(5), wish(0, 2), now).unwrap();
        assert_eq!(meter.told(now), Used { held: 2, ..Used::default() }, "each tells its own alone");
        assert_eq!(meter.enter(left(5), wish(0, 1), now).err(), Some(Refused::Held));
        meter.hear(Elsewhere::default());
        meter.settle(held, 0, now);
        assert!(meter.enter(left(5), wish(0, 1), now).is_ok());
    }

    /// **One call's absurd bound is its own alone.** Fails if, once it has ended, what the others hold is forgotten.
    #[test]
    fn a_call_that_may_cost_everything_hides_no_other() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        let held = meter.enter(left(9), wish(0, 7), now).unwrap();
        let absurd = meter.enter(left(9), wish(0, u64::MAX), now).unwrap();
        assert_eq!(meter.enter(left(9), wish(0, 1), now).err(), Some(Refused::Held));
        meter.settle(absurd, 0, now);
        assert_eq!(meter.held, 7);
        meter.settle(held, 0, now);
        assert_eq!(meter.held, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// **A crowd overshoots a budget by one attempt at most.** However many begin and end in whatever order, and however many attempts
        /// each makes of what it holds, what is spent stays below the budget and the dearest attempt, when attempts cost no more than
        /// they were thought to. Fails if what is on its way is not held, is let go before its cost is booked, or is held for one attempt
        /// of several.
        #[test]
        fn a_crowd_overshoots_by_one_attempt_at_most(
            steps in prop::collection::vec((any::<bool>(), 1..50_u64, 1..=4_u64, any::<prop::sample::Index>()), 1..300),
            budget in 1..500_u64,
        ) {
            let (mut meter, now) = (Meter::default(), Instant::now());
            let (mut spent, mut running) = (0_u64, Vec::new());
            for (begins, estimate, attempts, which) in steps {
                if begins {
                    let limits = left(budget.saturating_sub(spent));
                    if let Ok(held) = meter.enter(limits, Wish { tokens: 0, once: estimate, in_all: estimate * attempts }, now) {
                        // It makes the attempts that what it holds pays for, and at least one.
                        let made = (held.micro_usd / estimate).clamp(1, attempts);
                        running.push((held, estimate * made));
                    }
                } else if !running.is_empty() {
                    let (held, cost) = running.swap_remove(which.index(running.len()));
                    spent += cost;
                    meter.settle(held, 0, now);
                }
            }
            for (held, cost) in running {
                spent += cost;
                meter.settle(held, 0, now);
            }
            prop_assert!(spent < budget + 50, "{spent} of {budget}");
            prop_assert_eq!(meter.held, 0);
        }
    }
}
