//! An answer that broke off after its first content: who may give the rest of it, and in which order.
//!
//! # The order
//! First a *continuation*: a deployment that goes on from an assistant's message is given what the caller has and writes on.
//! It costs the input once more, and nearly always works. Then a *restart*: the answer from its beginning, held until it has
//! repeated what was given; that seldom repeats itself to the letter, so it comes second. Each goes through the tiers in
//! order, past all deployments that the call has asked already. The deployment that broke comes last of its kind, and only
//! where its failure may pass at once: a cut connection often is nobody's illness, and who has one deployment has no other.
//!
//! # What it may cost
//! Every such attempt is paid by the budget, at the price of one that was billed, and counts among the call's attempts. One
//! runs at a time. One that has not spoken within its patience is given up, since the caller waits in the middle of a
//! sentence; after two such there is no third.

use std::time::Instant;

use crate::{
    call::{Call, Phase},
    step::{Broken, Failed, Finish, Key, Mode, Step},
};

/// So many silent attempts end the search for the rest of an answer.
const MOST_SILENT: u8 = 2;

/// What is known of the broken answer whose rest is sought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rescue {
    mode: Mode,
    /// Who broke, and how.
    broken: Key,
    failed: Failed,
    /// Whether it may continue the answer itself, or give it anew: each once at most, in this order.
    may_continue: bool,
    may_restart: bool,
    silent: u8,
}

impl Call {
    /// The answer's attempt broke off after its first content. Where the rest may be sought, the call goes on; else it is
    /// over, and truncated.
    pub fn on_broke(&mut self, attempt: u8, broken: Broken) {
        let Phase::Done(Finish::Answered { attempt: answering }) = self.phase else { return };
        if attempt != answering {
            return;
        }
        let deployment = self.answering.filter(|_| self.plan.budget && broken.failed.elsewhere);
        let (Some(rescue_by), Some(deployment)) = (broken.rescue_by, deployment) else {
            self.phase = Phase::Done(Finish::Truncated);
            return;
        };
        if self.attempts >= self.plan.max_attempts {
            self.phase = Phase::Done(Finish::Truncated);
            return;
        }
        let may_repeat = broken.failed.again.is_some();
        self.rescue = Some(Rescue {
            mode: Mode::Continue,
            broken: deployment,
            failed: broken.failed,
            may_continue: may_repeat && broken.continues,
            may_restart: may_repeat,
            silent: 0,
        });
        self.plan.deadline = rescue_by;
        self.tier = 0;
        self.phase = Phase::Seek;
    }

    /// A restart has begun to speak: it is given the time that it needs to repeat what was given.
    pub fn on_speaking(&mut self, attempt: u8) {
        for running in self.running.iter_mut().filter(|running| running.attempt == attempt) {
            running.patience = None;
        }
    }

    /// An attempt was given up, as [`Step::GiveUp`] asked.
    pub fn on_silent(&mut self, attempt: u8) {
        self.running.retain(|running| running.attempt != attempt);
        let Some(rescue) = &mut self.rescue else { return };
        rescue.silent += 1;
        if rescue.silent >= MOST_SILENT || self.attempts >= self.plan.max_attempts {
            self.end(Finish::Truncated);
        } else if matches!(self.phase, Phase::Await) {
            self.phase = Phase::Seek;
        }
    }

    /// Whether the rest of a broken answer is being sought.
    pub fn is_rescuing(&self) -> bool {
        self.rescue.is_some()
    }

    pub(crate) fn mode(&self) -> Mode {
        self.rescue.map_or(Mode::Fresh, |rescue| rescue.mode)
    }

    pub(crate) fn watch_rescue(&self, now: Instant) -> Step {
        let next = self.running.iter().filter_map(|running| Some((running.patience?, running.attempt))).min();
        match next {
            Some((at, attempt)) if now >= at => Step::GiveUp { attempt },
            Some((at, _)) => Step::Wait(at.min(self.plan.deadline)),
            None => Step::Wait(self.plan.deadline),
        }
    }

    pub(crate) fn on_rescue_failed(&mut self, mut rescue: Rescue, deployment: Key, failed: Failed) {
        if self.attempts >= self.plan.max_attempts {
            self.end(Finish::Truncated);
        } else if failed.elsewhere {
            self.phase = Phase::Seek;
        } else if rescue.mode == Mode::Continue {
            // It will not go on from an assistant's message, and is well: it may give the answer anew.
            self.excluded.retain(|excluded| *excluded != deployment || *excluded == rescue.broken);
            rescue.mode = Mode::Restart;
            self.rescue = Some(rescue);
            self.tier = 0;
            self.phase = Phase::Seek;
        } else {
            self.end(Finish::Truncated);
        }
    }

    /// A tier has nobody for the rest of the answer: the next tier, then the one that broke, then the next way.
    pub(crate) fn after_an_empty_rescue(&mut self, mut rescue: Rescue, now: Instant) -> Phase {
        let next_tier = self.tier.saturating_add(1);
        if next_tier < self.plan.tiers {
            self.tier = next_tier;
            return Phase::Seek;
        }
        let continuing = rescue.mode == Mode::Continue;
        let same = if continuing { &mut rescue.may_continue } else { &mut rescue.may_restart };
        let may_repeat = std::mem::take(same);
        self.rescue = Some(rescue);
        if may_repeat
            && let Some(pause) = rescue.failed.again.filter(|pause| *pause <= self.plan.cheap_wait)
            && let Some(until) = now.checked_add(pause)
        {
            return Phase::Pause { deployment: rescue.broken, until };
        }
        if continuing {
            self.rescue = Some(Rescue { mode: Mode::Restart, ..rescue });
            self.tier = 0;
            return Phase::Seek;
        }
        self.end(Finish::Truncated);
        self.phase
    }
}
