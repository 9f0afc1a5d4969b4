//! Hedges within the engine: when one is due, who may be asked, and what came of it.
//!
//! A hedge is a luxury: it is sent only where it is switched on, where it costs no one else anything, and where it is paid
//! twice, by the hedges' own allowance and by the retry budget. The order of conditions is from the cheapest to ask.

use std::{sync::Arc, time::Instant};

use policy::{Picked, RETRY_COST_BILLED};

use super::{
    CallState, Engine,
    attempt::Attempt,
    event::{Action, CallId},
};
use crate::observe::{HedgeResult, Notice};

impl Engine {
    /// From when on an attempt that starts now is slow enough for a hedge; `None` where none is to be sent.
    pub(super) fn hedge_from(&self, state: &CallState, deployment: usize, now: Instant) -> Option<Instant> {
        let model = self.plan.models.get(state.ask.model)?;
        if !model.hedge.enabled || state.ask.single {
            return None;
        }
        now.checked_add(self.learned.get(deployment)?.hedge_after(state.kind(), now)?)
    }

    /// A hedge is due: who is asked, if it can be paid, no deployment of the model is cooling down, and another one is sound.
    pub(super) fn hedge(&mut self, state: &mut CallState, tier: u8, draw: u64, now: Instant) {
        let model = state.ask.model;
        let affords = self.hedges.get(model).is_some_and(policy::HedgeBudget::affords)
            && self.budgets.get(model).is_some_and(|budget| budget.balance() >= RETRY_COST_BILLED);
        let slow = state.attempts.first().map(|attempt| attempt.deployment);
        let picked = match slow {
            Some(_) if affords && !self.is_cooling(state, now) => {
                self.find_too_dear(state, policy::Mode::Fresh, now);
                self.pick(state, tier, policy::Mode::Fresh, draw, now)
            }
            _ => Picked::Nothing { retry_at: None, limited: false },
        };
        let beside = match picked {
            Picked::Found { deployment, sound: true } => Some(deployment),
            _ => None,
        };
        state.hedge = slow.filter(|_| beside.is_some());
        state.machine.on_hedge(beside);
    }

    /// Whether any deployment that the call could use was told to wait, or is taken to have been.
    fn is_cooling(&self, state: &CallState, now: Instant) -> bool {
        let mut all = self.candidates.tiers(&state.ask).flatten();
        all.any(|&id| self.registry.view(id, now).is_some_and(|view| view.cooldown.is_some()))
    }

    /// The attempt that answers may have been a hedge. It is told once, whatever becomes of the answer.
    pub(super) fn notice_won(&mut self, call: CallId, ordinal: u8, actions: &mut Vec<Action>) {
        let Some(state) = self.calls.get(&call) else { return };
        let model = state.ask.model;
        if let Some(attempt) = state.attempts.iter().find(|attempt| attempt.ordinal == ordinal) {
            self.notice_hedge(model, attempt, HedgeResult::Won, actions);
        }
        let attempts = self.calls.get_mut(&call).map(|state| &mut state.attempts);
        for attempt in attempts.into_iter().flatten().filter(|attempt| attempt.ordinal == ordinal) {
            attempt.beside = None;
        }
    }

    pub(super) fn notice_hedge(
        &self,
        model: usize,
        attempt: &Attempt,
        result: HedgeResult,
        actions: &mut Vec<Action>,
    ) {
        let Some(beside) = attempt.beside.and_then(|beside| self.route(beside)) else { return };
        if let (Some(model), Some(to)) = (self.plan.models.get(model), self.route(attempt.deployment)) {
            let model = Arc::clone(&model.name);
            actions.push(Action::Notice(Notice::Hedge { model, beside, to, result }));
        }
    }
}
