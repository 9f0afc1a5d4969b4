//! A call's way through the tiers: when a tier is left, when it is passed over, and when one place is asked again.
//!
//! A tier is left when nobody in it is left. But attempts are counted, and a tier of many regions could use them all up while
//! the provider behind it is ill as a whole. So the last attempt of several goes to a tier that was not asked, where that
//! has somebody; only when none has does it come back.
//!
//! A call that waits on for a silent attempt, because all others are full, cooling down or behind open circuits, asks the tiers
//! anew when one of them may be there again.

use std::time::{Duration, Instant};

use crate::{
    call::{Call, Phase, earliest},
    step::Failed,
};

/// The least time until a call that waits on for a silent attempt asks the tiers anew: a caller that has waited for a whole
/// patience hardly notices a second more, and coming back more often would find out nothing else.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

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
        self.come_back();
        self.phase
    }

    /// Somebody may be there again at an instant: who is full now, who is cooling down, whose circuit is open.
    pub(crate) fn look_again(&mut self, at: Instant, now: Instant) {
        let at = now.checked_add(LOOK_AGAIN_AFTER).map(|soon| soon.max(at));
        self.look_again = earliest(self.look_again, at);
    }

    /// What runs is waited for, and has been silent for its patience: the tiers are asked anew when somebody may be there.
    fn come_back(&mut self) {
        let at = self.look_again.take().filter(|at| *at < self.plan.deadline);
        if let (Some(at), Some(newest)) = (at, self.running.last_mut()) {
            newest.patience = Some(at);
            self.passed_over = PassedOver::None;
            self.enter_tier(0);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::{CallPlan, Finish, Mode, Picked, Step};

    #[expect(
        clippy::disallowed_methods,
        reason = "an instant can only be made from a clock; its value is never looked at"
    )]
    fn t0() -> Instant {
        Instant::now()
    }

    fn start(call: &mut Call, deployment: u32, now: Instant) -> u8 {
        assert_eq!(call.next(now), Step::Pick { tier: 0, mode: Mode::Fresh });
        call.on_pick(Picked::Found { deployment, sound: true }, now);
        assert!(matches!(call.next(now), Step::Start { .. }));
        call.on_start(now + Duration::from_secs(1))
    }

    /// **A silence is not waited out beside somebody who is back.** The others are full, or behind a circuit that opens later:
    /// the tiers are asked anew a second on, or when they may be there. Fails if a call that waits on never looks again.
    #[test]
    fn a_silence_is_left_for_somebody_who_is_there_again() {
        let (now, second) = (t0(), Duration::from_secs(1));
        let later = now + second;
        let waits = Picked::Nothing { retry_at: Some(later + second * 3), limited: false };
        for (seen, again) in [(Picked::Full, later + second), (waits, later + second * 3)] {
            let mut call = Call::new(CallPlan::new(2, 4, now + second * 60));
            let _silent = start(&mut call, 1, now);
            assert_eq!(call.next(later), Step::Pick { tier: 0, mode: Mode::Fresh });
            call.on_pick(seen, later);
            assert_eq!(call.next(later), Step::Pick { tier: 1, mode: Mode::Fresh });
            call.on_pick(Picked::Nothing { retry_at: None, limited: false }, later);
            assert_eq!(call.next(later), Step::Wait(again));
            let attempt = start(&mut call, 2, again);
            call.on_answer(attempt);
            assert_eq!(call.next(again), Step::Finish(Finish::Answered { attempt }));
        }
    }
}
