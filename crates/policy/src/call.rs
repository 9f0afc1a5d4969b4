//! One request's life as a machine: which tier is asked next, who is left out, when to wait, when to give up.
//!
//! # Why a machine?
//! Failover logic is where clients go wrong, and it goes wrong in histories that nobody reproduces: a late answer beside a
//! failed one, a limit that ends within the deadline, the last deployment of the last tier. Written as a loop around
//! awaits, those histories need sockets and luck. Written as a value that is told what happened and says what to do, each
//! of them is a list of inputs.
//!
//! # How it is driven
//! Ask [`Call::next`] for a [`Step`], do it, report what came of it, ask again. A step stays the same until something is
//! reported or time passes. The machine names deployments by a number of the driver's, picks none itself, and holds no
//! balance: it says what a start costs ([`Price`]) and is told when that was refused.
//!
//! # The order of rescue
//! Another deployment of the same tier at once; the same deployment again only when it is the tier's last and waiting is
//! cheap; then the next tier. The last attempt of several goes to a tier that was not asked, where there is one with
//! somebody: a whole provider may be ill. An attempt that has been silent
//! for its patience is not thrown away: the next one starts beside it, and whichever speaks first wins. With nowhere else
//! to go, the call waits on until its deadline.
//!
//! What happens when an answer breaks off after its first content is told in `rescue`.

use std::time::Instant;

use crate::{
    budget::{RETRY_COST_BILLED, RETRY_COST_UNPROCESSED},
    rescue::Rescue,
    step::{CallPlan, Failed, Finish, Key, Mode, Picked, Price, Step},
    tiers::PassedOver,
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    pub(crate) attempt: u8,
    pub(crate) deployment: Key,
    /// When its silence justifies another beside it; `None` once it has one, or there is nowhere to go.
    pub(crate) patience: Option<Instant>,
    /// When its slowness alone justifies another beside it.
    pub(crate) hedge: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// A deployment of `tier` is wanted.
    Seek,
    /// One is chosen, and is to be paid for and started.
    Chosen { deployment: Key, sound: bool },
    /// The same deployment is asked again at `until`.
    Pause { deployment: Key, until: Instant },
    /// Every candidate is full: a place is waited for.
    Queue { until: Instant },
    /// Attempts are running.
    Await,
    /// Over.
    Done(Finish),
}

/// One request, from its first pick to its answer or its end.
///
/// Inputs are the `on_*` methods; the one decision is [`next`](Self::next). Inputs that come after the end, or name an
/// attempt that is not running, change nothing.
///
/// Invariant: it ends by its deadline, starts at most [`CallPlan::max_attempts`] attempts, and starts none after its end. An
/// answer is an end; only one that breaks off where a rescue is allowed opens the call again, and then until the instant
/// that was given with it.
#[derive(Clone, Debug)]
pub struct Call {
    pub(crate) plan: CallPlan,
    pub(crate) phase: Phase,
    pub(crate) tier: u8,
    pub(crate) attempts: u8,
    pub(crate) running: Vec<Running>,
    pub(crate) excluded: Vec<Key>,
    /// The last failure that was reported, and where.
    pub(crate) last: Option<(Key, Failed)>,
    /// Whether the free failover is spent. A second try at the same deployment is none.
    failed_over: bool,
    /// Deployments that were asked a second time, or refused it, or are left out for good: they are not asked again.
    pub(crate) repeated: Vec<Key>,
    soonest: Option<Instant>,
    /// Whether every refusal and failure so far was a rate limit.
    pub(crate) only_limits: bool,
    /// When the wait for a place in the present tier is over, once there was one.
    pub(crate) queue_until: Option<Instant>,
    /// Whether any deployment of the present tier was asked: then an empty tier only means that all of it was.
    pub(crate) tier_was_asked: bool,
    /// The tier that was left before it was empty, for the sake of one that was not asked.
    pub(crate) passed_over: PassedOver,
    /// When somebody may be there again, as far as the tiers that were just asked know.
    pub(crate) look_again: Option<Instant>,
    /// Whether what is chosen is to run beside an attempt that is only slow.
    pub(crate) hedging: bool,
    /// Where the answer came from, once there is one.
    pub(crate) answering: Option<Key>,
    /// The rest of a broken answer that is being sought.
    pub(crate) rescue: Option<Rescue>,
}

impl Call {
    /// A call about to begin.
    pub fn new(plan: CallPlan) -> Self {
        let phase =
            if plan.tiers == 0 { Phase::Done(Finish::Unavailable { retry_at: None }) } else { Phase::Seek };
        let plan = CallPlan { max_attempts: plan.max_attempts.max(1), ..plan };
        Self {
            plan,
            phase,
            tier: 0,
            attempts: 0,
            running: Vec::new(),
            excluded: Vec::new(),
            last: None,
            failed_over: false,
            repeated: Vec::new(),
            soonest: None,
            only_limits: true,
            queue_until: None,
            tier_was_asked: false,
            passed_over: PassedOver::default(),
            look_again: None,
            hedging: false,
            answering: None,
            rescue: None,
        }
    }

    /// What to do now.
    pub fn next(&mut self, now: Instant) -> Step {
        if let Phase::Done(finish) = self.phase {
            return Step::Finish(finish);
        }
        if now >= self.plan.deadline {
            return self.end(Finish::Deadline);
        }
        match self.phase {
            Phase::Seek => Step::Pick { tier: self.tier, mode: self.mode() },
            Phase::Chosen { deployment, sound } => self.start(deployment, sound),
            Phase::Pause { deployment, until } if now >= until => {
                self.phase = Phase::Chosen { deployment, sound: false };
                self.start(deployment, false)
            }
            Phase::Pause { until, .. } => Step::Wait(until.min(self.plan.deadline)),
            Phase::Queue { until } => self.queued(until, now),
            Phase::Await if self.rescue.is_some() => self.watch_rescue(now),
            Phase::Await => self.watch(now),
            Phase::Done(finish) => Step::Finish(finish),
        }
    }

    /// Deployments that the next pick must leave out: those already asked, and those that were [excluded](Self::exclude).
    pub fn excluded(&self) -> &[Key] {
        &self.excluded
    }

    /// Leaves a deployment out for the rest of the call, from a second try too: it cannot do better than one that failed.
    pub fn exclude(&mut self, deployment: Key) {
        for left_out in [&mut self.excluded, &mut self.repeated] {
            if !left_out.contains(&deployment) {
                left_out.push(deployment);
            }
        }
    }

    /// The tier that is asked, from 0.
    pub fn tier(&self) -> u8 {
        self.tier
    }

    /// Attempts started so far.
    pub fn attempts(&self) -> u8 {
        self.attempts
    }

    /// The instant by which the call is over.
    pub fn deadline(&self) -> Instant {
        self.plan.deadline
    }

    /// A pick was made, or could not be.
    pub fn on_pick(&mut self, picked: Picked, now: Instant) {
        if !matches!(self.phase, Phase::Seek) {
            return;
        }
        match picked {
            Picked::Found { deployment, sound } => self.phase = Phase::Chosen { deployment, sound },
            Picked::Full => {
                self.look_again(now, now);
                self.phase = self.queue(now).unwrap_or_else(|| self.after_nobody(false, now));
            }
            Picked::Nothing { retry_at, limited } => {
                self.soonest = earliest(self.soonest, retry_at);
                if let Some(retry_at) = retry_at {
                    self.look_again(retry_at, now);
                }
                self.phase = self.after_nobody(limited, now);
            }
        }
    }

    /// The chosen attempt has started, and is given until `patience` to speak before another may start beside it.
    /// Returns its ordinal.
    pub fn on_start(&mut self, patience: Instant) -> u8 {
        let attempt = self.attempts;
        if let Phase::Chosen { deployment, .. } = self.phase {
            let hedging = std::mem::take(&mut self.hedging);
            if self.excluded.contains(&deployment) {
                self.repeated.push(deployment);
            } else {
                self.excluded.push(deployment);
                self.failed_over |= self.attempts > 0 && !hedging;
            }
            // A hedge takes nothing from the patience with the slow one: it has not been silent for it yet.
            for earlier in self.running.iter_mut().filter(|_| !hedging) {
                earlier.patience = None;
            }
            self.attempts = self.attempts.saturating_add(1);
            self.tier_was_asked = true;
            self.running.push(Running { attempt, deployment, patience: Some(patience), hedge: None });
            self.phase = Phase::Await;
        }
        attempt
    }

    /// The chosen deployment refused to take the attempt (its circuit closed the door between pick and start, or its
    /// last slot went). It is left out, and the tier is asked again.
    pub fn on_refused(&mut self, retry_at: Option<Instant>) {
        if self.hedging {
            // It may still be failed over to; asked three times it is not.
            if let Phase::Chosen { deployment, .. } = self.phase {
                self.repeated.push(deployment);
            }
            self.unhedge();
        } else if let Phase::Chosen { deployment, .. } = self.phase {
            self.soonest = earliest(self.soonest, retry_at);
            self.only_limits = false;
            if self.excluded.contains(&deployment) {
                self.repeated.push(deployment);
            } else {
                self.excluded.push(deployment);
            }
            self.phase = Phase::Seek;
        }
    }

    /// The budget refused to pay for the chosen attempt. A second try that it does not pay for is none, and the call goes on
    /// to where its free failover may take it.
    pub fn on_unpaid(&mut self) {
        if self.hedging {
            self.unhedge();
        } else if let Phase::Chosen { deployment, .. } = self.phase {
            if self.rescue.is_none() && !self.failed_over && self.excluded.contains(&deployment) {
                self.repeated.push(deployment);
                self.phase = Phase::Seek;
            } else {
                self.settle_or_wait_on();
            }
        }
    }

    /// An attempt gave its first content, or its whole answer: it is the call's answer.
    pub fn on_answer(&mut self, attempt: u8) {
        let answering = self.running.iter().find(|running| running.attempt == attempt);
        if let (false, Some(answering)) = (self.is_done(), answering) {
            self.answering = Some(answering.deployment);
            self.end(Finish::Answered { attempt });
        }
    }

    /// An attempt failed.
    pub fn on_failed(&mut self, attempt: u8, failed: Failed) {
        let Some(index) = self.running.iter().position(|running| running.attempt == attempt) else { return };
        let ended = self.running.remove(index);
        if self.is_done() {
            return;
        }
        if let Some(rescue) = self.rescue {
            self.on_rescue_failed(rescue, ended.deployment, failed);
            return;
        }
        self.last = Some((ended.deployment, failed));
        self.only_limits &= failed.limited;
        self.soonest = earliest(self.soonest, failed.limited_until);
        if !failed.elsewhere {
            self.end(Finish::Rejected);
        } else if self.attempts >= self.plan.max_attempts {
            self.settle_or_wait_on();
        } else if matches!(self.phase, Phase::Await) && !self.is_another_awaited() {
            self.seek_another();
        }
    }

    /// Whether an attempt runs that has not been silent for its patience: then nothing more is needed for now.
    fn is_another_awaited(&self) -> bool {
        self.running.iter().any(|running| running.patience.is_some())
    }

    /// The caller went away: nothing more is started.
    pub fn on_cancelled(&mut self) {
        if !self.is_done() {
            self.end(Finish::Exhausted);
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done(_))
    }

    pub(crate) fn end(&mut self, finish: Finish) -> Step {
        self.running.clear();
        // Whatever ended the search for the rest of an answer: the caller has a part of it.
        let finish = match (finish, self.rescue.take()) {
            (Finish::Answered { .. }, _) | (_, None) => finish,
            (_, Some(_)) => Finish::Truncated,
        };
        self.phase = Phase::Done(finish);
        Step::Finish(finish)
    }

    /// Attempts are running: another beside them when the newest has been silent for its patience, else patience.
    fn watch(&mut self, now: Instant) -> Step {
        let patience = self.running.iter().filter_map(|running| running.patience).min();
        let hedge = self.hedge_at().filter(|hedge| patience.is_none_or(|patience| *hedge < patience));
        match (patience, hedge) {
            (Some(at), _) if now >= at && self.attempts < self.plan.max_attempts => {
                self.seek_another();
                Step::Pick { tier: self.tier, mode: Mode::Fresh }
            }
            (_, Some(at)) if now >= at => self.hedge(),
            (_, Some(at)) => Step::Wait(at.min(self.plan.deadline)),
            (Some(at), None) if now < at => Step::Wait(at.min(self.plan.deadline)),
            _ => Step::Wait(self.plan.deadline),
        }
    }

    fn start(&mut self, deployment: Key, sound: bool) -> Step {
        let first = self.attempts == 0;
        let free =
            first || (sound && !self.hedging && !self.failed_over && !self.excluded.contains(&deployment));
        let price = if free && self.rescue.is_none() {
            Price::Free
        } else if self.plan.budget {
            // Silence may be billed as well as a failure that says nothing else.
            let billed = self.rescue.is_some()
                || self.last.is_none_or(|(_, failed)| failed.billed)
                || !self.running.is_empty();
            Price::Budget(if billed { RETRY_COST_BILLED } else { RETRY_COST_UNPROCESSED })
        } else {
            self.settle_or_wait_on();
            return match self.phase {
                Phase::Done(finish) => Step::Finish(finish),
                _ => Step::Wait(self.plan.deadline),
            };
        };
        Step::Start { deployment, price, mode: self.mode() }
    }

    /// Nothing more can be started: wait for what runs, or say how it ended.
    pub(crate) fn settle_or_wait_on(&mut self) {
        if self.running.is_empty() {
            let retry_at = self.soonest;
            let finish = match (self.only_limits, self.attempts) {
                _ if self.last.is_some_and(|(_, failed)| failed.refused) => Finish::Rejected,
                (true, _) => Finish::Limited { retry_at },
                (false, 0) => Finish::Unavailable { retry_at },
                (false, _) => Finish::Exhausted,
            };
            self.end(finish);
        } else {
            for running in &mut self.running {
                running.patience = None;
            }
            self.phase = Phase::Await;
        }
    }
}

pub(crate) fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
