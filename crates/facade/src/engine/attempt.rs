//! The life of one attempt within the engine: it starts, reaches, speaks, and ends in exactly one way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use breaker::{Report, Verdict};
use policy::{Broken, Deadline, Finish, HedgeBudget, Mode, Price};
use registry::{InFlight, Kind};
use wire::{Class, Headroom, Level};

use super::{
    CallState, Engine, attribute,
    bill::Heard,
    circuits::Leave,
    event::{Action, AttemptFailure, CallId},
};
use crate::{
    observe::{Bill, HedgeResult, Notice, Outcome, RescueResult},
    trace::SpanId,
};

/// How long after the call's deadline a trial's permit is given up for lost.
pub(super) const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// The least patience that a deadline's share may leave an attempt.
const LEAST_SHARE: Duration = Duration::from_millis(250);

/// An attempt that runs.
#[derive(Debug)]
pub(super) struct Attempt {
    pub ordinal: u8,
    /// Its name in its caller's trace.
    pub span: Option<SpanId>,
    pub deployment: usize,
    pub mode: Mode,
    pub leave: Leave,
    pub in_flight: InFlight,
    /// How many were in flight at its deployment when it started, itself included.
    pub beside_it: u32,
    pub kind: Kind,
    pub started: Instant,
    /// From here on its silence is a failure. A caller's short deadline may start another beside it sooner; that is the
    /// caller's haste, and not this deployment's fault.
    pub fault_at: Instant,
    pub first_token: Option<Duration>,
    /// The deployment that was slow, where this is a hedge beside it.
    pub beside: Option<usize>,
    /// Whether what it says is the call's answer.
    pub answers: bool,
}

/// Where an attempt was made, as what, and how long that took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub deployment: usize,
    pub mode: Mode,
    pub span: Option<SpanId>,
    /// From its start to its end.
    pub took: Duration,
    pub first_token: Option<Duration>,
}

impl Attempt {
    /// It is over now.
    pub(super) fn made(&self, now: Instant) -> Made {
        Made {
            deployment: self.deployment,
            mode: self.mode,
            span: self.span,
            took: now.saturating_duration_since(self.started),
            first_token: self.first_token,
        }
    }
}

impl Engine {
    /// Pays for an attempt, asks leave for it, and starts it.
    pub(super) fn start(
        &mut self,
        state: &mut CallState,
        deployment: usize,
        price: Price,
        mode: Mode,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(&id) = self.ids.get(deployment) else { return state.machine.on_refused(None) };
        let beside = state.hedge.take();
        let deadline = state.machine.deadline();
        let learned = self.learned.get(deployment).zip(self.plan.models.get(state.ask.model));
        let limit = learned
            .map_or(LEAST_SHARE, |(learned, model)| learned.patience(&model.timeouts, state.kind(), now));
        let fault_at = now + limit;
        let lease_end = match mode {
            Mode::Fresh => deadline,
            // The deadline of a rescue is that of the whole stream: no trial waits so long for its first content.
            Mode::Continue | Mode::Restart => deadline.min(fault_at),
        };
        let Some(leave) = self.admit(state, deployment, (price, mode), lease_end + LEASE_MARGIN, now) else {
            return;
        };
        self.notice_transitions(deployment, now, actions);
        let patience = match mode {
            // Half of what is left, so that a silent attempt leaves as much again for the next.
            Mode::Fresh => Deadline::at(deadline).split(now, 2, LEAST_SHARE, limit),
            Mode::Continue | Mode::Restart => fault_at,
        };
        let in_flight = self.registry.begin(id, now);
        let ordinal = state.machine.on_start(patience);
        (state.is_held_back, state.is_again_too_dear) = (false, false);
        if let Some(counters) = self.counters.get_mut(deployment) {
            counters.attempts += 1;
        }
        if beside.is_some() {
            let _earned = self.hedges.get_mut(state.ask.model).is_some_and(HedgeBudget::withdraw);
        } else {
            self.notice_failover(state, deployment, actions);
            // Should this one fall silent, the next is a failover from here.
            state.failed = Some((deployment, Class::Timeout));
            if let Some(at) = self.hedge_from(state, deployment, now).filter(|_| mode == Mode::Fresh) {
                state.machine.hedge_from(ordinal, at);
            }
        }
        state.attempts.push(Attempt {
            ordinal,
            span: state.ask.trail.map(|trail| trail.span(ordinal)),
            deployment,
            mode,
            leave,
            in_flight,
            beside_it: self.registry.in_flight(id),
            kind: state.kind(),
            started: now,
            fault_at,
            first_token: None,
            beside,
            answers: false,
        });
        actions.push(Action::Start { attempt: ordinal, deployment, mode });
    }

    /// Takes the price of an attempt and leave for it; the machine is told when there is none.
    fn admit(
        &mut self,
        state: &mut CallState,
        deployment: usize,
        (price, mode): (Price, Mode),
        lease_end: Instant,
        now: Instant,
    ) -> Option<Leave> {
        // A pick has looked at it just now; who asks the same one again after a pause has not picked, and meanwhile it may have
        // been taken out, cordoned, or told another call to stay away for longer.
        let key = u32::try_from(deployment).unwrap_or(u32::MAX);
        if !self.has_place(deployment)
            || (state.machine.excluded().contains(&key) && !self.may_be_asked(deployment, now))
        {
            state.machine.on_refused(self.circuits.retry_at(deployment, now));
            return None;
        }
        if !self.can_pay(state, deployment, mode, now) {
            state.is_again_too_dear = true;
            state.machine.on_refused(None);
            return None;
        }
        let mut earlier = state.paid;
        if let Price::Budget(cost) = price {
            let paid = self.budgets.get_mut(state.ask.model).is_some_and(|budget| budget.withdraw(cost));
            if !paid {
                state.machine.on_unpaid();
                return None;
            }
            earlier = state.paid.replace(cost);
        }
        match self.circuits.acquire(deployment, lease_end, now) {
            Ok(leave) => Some(leave),
            Err(rejected) => {
                if let (Price::Budget(cost), Some(budget)) = (price, self.budgets.get_mut(state.ask.model)) {
                    budget.deposit(cost);
                    state.paid = earlier;
                }
                state.machine.on_refused(rejected.retry_at);
                None
            }
        }
    }

    pub(super) fn on_head(
        &mut self,
        call: CallId,
        ordinal: u8,
        headroom: &Headroom,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(state) = self.calls.get_mut(&call) else { return };
        let tokens = state.ask.tokens;
        let Some(attempt) = state.attempts.iter_mut().find(|attempt| attempt.ordinal == ordinal) else {
            return;
        };
        let deployment = attempt.deployment;
        self.circuits.report_endpoint(deployment, &mut attempt.leave, Report::new(Verdict::Success), now);
        if let Some(&id) = self.ids.get(deployment) {
            self.registry.note_quota(id, attribute::quota(headroom, tokens, now), now);
        }
        self.notice_transitions(deployment, now, actions);
    }

    pub(super) fn on_content(&mut self, call: CallId, ordinal: u8, now: Instant, actions: &mut Vec<Action>) {
        let Some(state) = self.calls.get_mut(&call) else { return };
        let Some(attempt) = state.attempts.iter_mut().find(|attempt| attempt.ordinal == ordinal) else {
            return;
        };
        if attempt.answers {
            return;
        }
        attempt.answers = true;
        let (deployment, mode) = (attempt.deployment, attempt.mode);
        state.answered_by = Some(deployment);
        let since_asked = now.saturating_duration_since(state.began);
        state.first_token.get_or_insert(since_asked);
        state.machine.on_answer(ordinal);
        let broken = state.broken.take();
        self.speaks(call, ordinal, now);
        self.notice_won(call, ordinal, actions);
        if let (Some((from, class)), Some(state)) = (broken, self.calls.get(&call)) {
            let result = match mode {
                Mode::Restart => RescueResult::Restarted,
                Mode::Fresh | Mode::Continue => RescueResult::Continued,
            };
            self.notice_rescue(state, from, Some(deployment), class, result, actions);
        }
        self.notice_transitions(deployment, now, actions);
    }

    /// The first word of an attempt: a trial has gone well so far, and others learn how long it took.
    pub(super) fn speaks(&mut self, call: CallId, ordinal: u8, now: Instant) {
        // The state is taken out for the while, so that it and the rest of the engine can be changed side by side.
        let Some(mut state) = self.calls.remove(&call) else { return };
        if let Some(attempt) = state.attempts.iter_mut().find(|attempt| attempt.ordinal == ordinal) {
            self.spoke(attempt, now);
        }
        self.calls.insert(call, state);
    }

    /// The first word of an attempt, which is told once.
    pub(super) fn spoke(&mut self, attempt: &mut Attempt, now: Instant) {
        if attempt.first_token.is_some() {
            return;
        }
        let first_token = now.saturating_duration_since(attempt.started);
        attempt.first_token = Some(first_token);
        self.circuits.confirm(attempt.deployment, &mut attempt.leave, now);
        if attempt.kind == Kind::Stream {
            self.registry.first_token(&mut attempt.in_flight, first_token, now);
            if let Some(learned) = self.learned.get_mut(attempt.deployment) {
                learned.record(Kind::Stream, first_token, now);
            }
        }
    }

    /// A whole answer: the call is over, and so is the attempt.
    pub(super) fn on_answered(
        &mut self,
        call: CallId,
        ordinal: u8,
        heard: Heard,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(mut state) = self.calls.remove(&call) else { return };
        let Some(index) = state.attempts.iter().position(|attempt| attempt.ordinal == ordinal) else {
            self.calls.insert(call, state);
            return;
        };
        let attempt = state.attempts.swap_remove(index);
        let streamed = attempt.answers;
        if !streamed {
            self.notice_hedge(state.ask.model, &attempt, HedgeResult::Won, actions);
            state.machine.on_answer(ordinal);
            state.first_token = Some(now.saturating_duration_since(state.began));
            for loser in std::mem::take(&mut state.attempts) {
                self.abandon(&mut state.tab, loser, Class::Cancelled, now, actions);
            }
            self.reward(&mut state);
        }
        let deployment = attempt.deployment;
        self.succeed(&mut state.tab, attempt, heard, now, actions);
        if !streamed {
            actions.push(Action::Finish(Finish::Answered { attempt: ordinal }));
        }
        self.notice_end(&state, Outcome::Ok, Some(deployment), now, actions);
    }

    /// An attempt failed before it became the answer.
    pub(super) fn on_failed(
        &mut self,
        call: CallId,
        ordinal: u8,
        failure: AttemptFailure,
        now: Instant,
        draw: u64,
        actions: &mut Vec<Action>,
    ) {
        let Some(mut state) = self.calls.remove(&call) else { return };
        let Some(index) = state.attempts.iter().position(|attempt| attempt.ordinal == ordinal) else {
            self.calls.insert(call, state);
            return;
        };
        let attempt = state.attempts.swap_remove(index);
        let (deployment, mode, answers) = (attempt.deployment, attempt.mode, attempt.answers);
        self.notice_hedge(state.ask.model, &attempt, HedgeResult::Failed, actions);
        self.charge_failure(&mut state.tab, attempt, &failure, now, draw, actions);
        if mode == Mode::Continue && failure.class == Class::CallerFault {
            self.refuses_to_continue(deployment);
        }
        let mut way_on = attribute::way_on(&failure, now, draw);
        // Whatever it refuses in a continuation, it may take the request that it has taken before.
        way_on.elsewhere &= mode != Mode::Continue || failure.class.level() != Level::Nobody;
        if way_on.refused && way_on.elsewhere {
            self.exclude_no_larger(&mut state, deployment);
        }
        state.failed = Some((deployment, failure.class));
        if answers {
            state.decided = false;
            state.machine.on_broke(ordinal, Broken::new(way_on));
        } else {
            state.machine.on_failed(ordinal, way_on);
        }
        self.calls.insert(call, state);
    }

    pub(super) fn notice_attempt(
        &self,
        model: usize,
        made: Made,
        failure: Option<&AttemptFailure>,
        judged: bool,
        bill: Option<Bill>,
        actions: &mut Vec<Action>,
    ) {
        if let (Some(model), Some(route)) = (self.plan.models.get(model), self.route(made.deployment)) {
            actions.push(Action::Notice(Notice::AttemptEnded {
                model: Arc::clone(&model.name),
                route,
                span: made.span,
                class: failure.map(|failure| failure.class),
                judged,
                status: failure.and_then(|failure| failure.status),
                retry_after: failure.and_then(|failure| failure.retry_after),
                took: made.took,
                first_token: made.first_token,
                bill,
            }));
        }
    }
}
