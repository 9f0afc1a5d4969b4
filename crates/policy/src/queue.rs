//! Waiting for a place: every candidate of a tier is merely full, and one may soon be free.
//!
//! A place is free again as soon as any attempt ends, so a short wait is worth more than a worse tier or an error; a long one is
//! a queue, which helps nobody when more comes in than goes out. So the wait has a bound, once in each tier.

use std::time::{Duration, Instant};

use crate::{
    call::{Call, Phase},
    step::Step,
};

/// The longest wait for a place in a tier: about what a failover costs when a deployment is silent.
pub const LONGEST_QUEUE: Duration = Duration::from_secs(1);
/// The share of what is left to the deadline that a wait may take, as a divisor: what comes after it needs the rest.
const SHARE: u32 = 4;

impl Call {
    /// A place is free, and kept for this call: it seeks again. Without effect on a call that waits for none.
    pub fn on_place(&mut self) {
        if matches!(self.phase, Phase::Queue { .. }) {
            self.phase = Phase::Seek;
        }
    }

    /// Whether the call waits for a place.
    pub fn is_queued(&self) -> bool {
        matches!(self.phase, Phase::Queue { .. })
    }

    /// Every candidate is full: wait, once in a tier and while nothing else is to be waited for. `None` when the wait is over,
    /// or is not to be.
    pub(crate) fn queue(&mut self, now: Instant) -> Option<Phase> {
        if !self.running.is_empty() || self.rescue.is_some() {
            return None;
        }
        let left = self.plan.deadline.saturating_duration_since(now);
        let until = *self.queue_until.get_or_insert_with(|| now + LONGEST_QUEUE.min(left / SHARE));
        (until > now).then_some(Phase::Queue { until })
    }

    /// The wait for a place goes on, or was in vain. Then the tier is asked once more before it is left: what time alone brings
    /// back, the end of a cooldown or of a circuit's open time, frees a place that nobody tells of.
    pub(crate) fn queued(&mut self, until: Instant, now: Instant) -> Step {
        if now < until {
            return Step::Queue { until };
        }
        self.only_limits = false;
        self.phase = Phase::Seek;
        self.next(now)
    }

    /// The tier has nobody who could be asked, now or soon.
    pub(crate) fn after_nobody(&mut self, limited: bool, now: Instant) -> Phase {
        self.only_limits &= limited || self.tier_was_asked;
        match self.rescue {
            Some(rescue) => self.after_an_empty_rescue(rescue, now),
            None => self.after_an_empty_tier(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::{CallPlan, Mode, Picked};

    #[expect(
        clippy::disallowed_methods,
        reason = "the one reading of the clock: all times are relative to it"
    )]
    fn t0() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_wait_in_vain_asks_its_tier_once_more_before_the_next() {
        let now = t0();
        let mut call = Call::new(CallPlan::new(2, 4, now + Duration::from_secs(60)));
        let pick = |tier| Step::Pick { tier, mode: Mode::Fresh };
        assert_eq!(call.next(now), pick(0));
        call.on_pick(Picked::Full, now);
        let until = now + LONGEST_QUEUE;
        assert_eq!(call.next(now), Step::Queue { until });
        assert_eq!(call.next(until), pick(0));
        call.on_pick(Picked::Full, until);
        assert_eq!(call.next(until), pick(1));
    }
}
