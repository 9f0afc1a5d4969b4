//! A call's way through the tiers: when a tier is left, when it is passed over, and when one place is asked again.
//!
//! A tier is left when nobody in it is left. But attempts are counted, and a tier of many regions could use them all up while
//! the provider behind it is ill as a whole. So the last attempt of several goes to a tier that was not asked, where that
//! has somebody; only when none has does it come back.

use std::time::Instant;

use crate::{
    call::{Call, Phase},
    step::Failed,
};

/// The tier that was left before it was empty, for the sake of one that was not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PassedOver {
    /// None was.
    #[default]
    None,
    /// This one.
    Tier(u8),
    /// It is asked after all: nobody was there beyond it.
    Returned,
}

impl Call {
    /// The tier has no candidate left: the same deployment again if that is cheap, else the next tier, else the end.
    pub(crate) fn after_an_empty_tier(&mut self, now: Instant) -> Phase {
        let next_tier = self.tier.saturating_add(1);
        let is_last_tier = next_tier >= self.plan.tiers || self.passed_over == PassedOver::Returned;
        if let (true, Some((deployment, failed))) = (self.running.is_empty(), self.last)
            && let Some(pause) = failed.again
            && !self.repeated.contains(&deployment)
            // With nowhere else to go, a limit is told to the caller at once: it knows better than we whether to wait.
            && !(failed.limited && is_last_tier)
            // The last attempt that is left is worth more where nothing has failed yet.
            && (is_last_tier || !self.is_last_attempt())
            && pause <= self.plan.cheap_wait
            && let Some(until) = now.checked_add(pause)
            && until < self.plan.deadline
        {
            return Phase::Pause { deployment, until };
        }
        if !is_last_tier {
            self.enter_tier(next_tier);
            return Phase::Seek;
        }
        // Nobody was there for whom a tier was passed over: it has the last attempt after all.
        if let PassedOver::Tier(tier) = self.passed_over {
            self.passed_over = PassedOver::Returned;
            self.enter_tier(tier);
            self.tier_was_asked = true;
            return Phase::Seek;
        }
        self.settle_or_wait_on();
        self.phase
    }

    /// Another attempt is wanted: in the present tier, or with the last of several in one that was not asked.
    pub(crate) fn seek_another(&mut self) {
        let next_tier = self.tier.saturating_add(1);
        if self.is_last_attempt()
            && self.attempts > 1
            && self.tier_was_asked
            && self.passed_over == PassedOver::None
            && next_tier < self.plan.tiers
        {
            self.passed_over = PassedOver::Tier(self.tier);
            self.enter_tier(next_tier);
        }
        self.phase = Phase::Seek;
    }

    fn is_last_attempt(&self) -> bool {
        self.plan.max_attempts.saturating_sub(self.attempts) <= 1
    }

    fn enter_tier(&mut self, tier: u8) {
        self.tier = tier;
        self.tier_was_asked = false;
        self.queue_until = None;
        self.last = self.last.map(|(deployment, failed)| (deployment, Failed { again: None, ..failed }));
    }
}
