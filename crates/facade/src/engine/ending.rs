//! How a call ends within the engine: its last step, what it pays back, and what becomes of attempts that nobody needs.

use std::{sync::Arc, time::Instant};

use policy::Finish;
use registry::Sample;
use wire::Class;

use super::{
    CallState, Engine,
    attempt::Attempt,
    bill::{Heard, Tab},
    event::{Action, AttemptFailure, CallId},
};
use crate::observe::{HedgeResult, Notice, Outcome, RescueResult};

/// What has come of a call that is cut off.
pub(super) fn of_cut_off(state: &CallState) -> Outcome {
    match (state.first_token, state.machine.attempts()) {
        (Some(_), _) => Outcome::Truncated,
        (None, 0) => Outcome::Refused,
        (None, _) => Outcome::Error,
    }
}

impl Engine {
    /// The call's last step: the winner stays, all others are abandoned, and what was paid comes back on success.
    pub(super) fn finish(
        &mut self,
        call: CallId,
        mut state: CallState,
        finish: Finish,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let winner = match finish {
            Finish::Answered { attempt } => Some(attempt),
            _ => None,
        };
        // What the deadline stops has been silent to the end, whether or not that is its fault; that of a rescue ends as truncated.
        let is_late = match finish {
            Finish::Deadline => true,
            Finish::Truncated => now >= state.machine.deadline(),
            _ => false,
        };
        let class = if is_late { Class::Timeout } else { Class::Cancelled };
        for attempt in state.attempts.extract_if(.., |attempt| Some(attempt.ordinal) != winner) {
            self.abandon(&mut state.tab, attempt, class, now, actions);
        }
        if state.is_held_back && winner.is_none() {
            actions.push(Action::HeldBack);
        }
        actions.push(Action::Finish(finish));
        if winner.is_some() {
            self.reward(&mut state);
            state.decided = true;
            self.calls.insert(call, state);
            return;
        }
        let outcome = match (finish, state.machine.attempts()) {
            (Finish::Truncated, _) => Outcome::Truncated,
            (_, 0) => Outcome::Refused,
            _ => Outcome::Error,
        };
        if let (Finish::Truncated, Some((from, class))) = (finish, state.broken) {
            self.notice_rescue(&state, from, None, class, RescueResult::Failed, actions);
        }
        self.notice_end(&state, outcome, state.answered_by, now, actions);
    }

    /// A success gives the last price back, once.
    pub(super) fn reward(&mut self, state: &mut CallState) {
        if let Some(budget) = self.budgets.get_mut(state.ask.model) {
            match (state.paid.take(), state.machine.attempts()) {
                (Some(paid), _) => budget.deposit(paid),
                (None, 1) => budget.deposit(policy::FIRST_TRY_REWARD),
                (None, _) => {}
            }
        }
    }

    pub(super) fn notice_end(
        &self,
        state: &CallState,
        outcome: Outcome,
        deployment: Option<usize>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(model) = self.plan.models.get(state.ask.model) else { return };
        actions.push(Action::Notice(Notice::CallEnded {
            model: Arc::clone(&model.name),
            outcome,
            route: deployment.and_then(|number| self.route(number)),
            attempts: u32::from(state.machine.attempts()),
            took: now.saturating_duration_since(state.began),
            first_token: state.first_token,
            usage: state.tab.usage,
            bill: state.tab.bill,
        }));
    }

    /// The caller went away, or whoever runs the client has no more time for it: no provider's fault. `reading` is the attempt whose
    /// answer it read, and what that had used by then.
    pub(super) fn on_given_up(
        &mut self,
        call: CallId,
        reading: Option<(u8, Heard)>,
        outcome: fn(&CallState) -> Outcome,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(mut state) = self.calls.remove(&call) else { return };
        let outcome = outcome(&state);
        self.places.leave(call);
        state.machine.on_cancelled();
        let mut deployment = state.answered_by;
        for attempt in std::mem::take(&mut state.attempts) {
            deployment = Some(attempt.deployment);
            self.notice_hedge(state.ask.model, &attempt, HedgeResult::Lost, actions);
            let heard = reading.filter(|(ordinal, _)| *ordinal == attempt.ordinal);
            let heard = heard.map(|(_, heard)| heard).unwrap_or_default();
            self.let_go(&mut state.tab, attempt, heard, Class::Cancelled, now, actions);
        }
        self.notice_end(&state, outcome, deployment, now, actions);
    }

    /// Another attempt won, or the call ended: what was silent beyond its patience has failed, what was not is let go as `class`.
    pub(super) fn abandon(
        &mut self,
        tab: &mut Tab,
        attempt: Attempt,
        class: Class,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.notice_hedge(tab.model, &attempt, HedgeResult::Lost, actions);
        if now >= attempt.fault_at && attempt.first_token.is_none() {
            let failure = AttemptFailure::new(Class::Timeout);
            self.charge_failure(tab, attempt, &failure, now, 0, actions);
        } else {
            self.let_go(tab, attempt, Heard::default(), class, now, actions);
        }
    }

    /// No verdict; the time it waited without content still says that the place is no faster than that.
    pub(super) fn let_go(
        &mut self,
        tab: &mut Tab,
        attempt: Attempt,
        heard: Heard,
        class: Class,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let made = attempt.made(now);
        let bill = self.bill(tab, made, heard, None, now);
        let sample =
            Sample::Cancelled { kind: attempt.kind, waited: made.took, content: made.first_token.is_some() };
        self.registry.finish(attempt.in_flight, sample, now);
        self.circuits.release(made.deployment, attempt.leave);
        self.places.on_freed(made.deployment);
        let failure = AttemptFailure::new(class);
        self.notice_attempt(tab.model, made, Some(&failure), false, bill, actions);
    }
}
