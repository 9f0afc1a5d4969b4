//! An answer that broke off after its first content, within the engine: whether the rest may be sought, and what came of it.
//!
//! The order in which it is sought is the call's machine's ([`policy::Call`]); here the rules that allow it are joined:
//! the configuration's, the request's, and those of what was given.

use std::{sync::Arc, time::Instant};

use policy::Broken;
use wire::Class;

use super::{
    CallState, Engine, attribute,
    event::{Action, AttemptFailure, CallId},
};
use crate::observe::{Notice, RescueResult};

impl Engine {
    /// The answer broke off. It is charged as any failure is; where all allow it, the call's machine seeks the rest.
    #[expect(
        clippy::too_many_arguments,
        reason = "the event's facts, and the engine's time, chance and actions"
    )]
    pub(super) fn on_broke(
        &mut self,
        call: CallId,
        ordinal: u8,
        failure: AttemptFailure,
        rescuable: bool,
        now: Instant,
        draw: u64,
        actions: &mut Vec<Action>,
    ) {
        let Some(state) = self.calls.get(&call) else { return };
        let answering = state.attempts.iter().find(|attempt| attempt.ordinal == ordinal && attempt.answers);
        let Some(deployment) = answering.map(|attempt| attempt.deployment) else {
            return self.on_failed(call, ordinal, failure, now, draw, actions);
        };
        let Some(mut state) = self.calls.remove(&call) else { return };
        for attempt in state.attempts.extract_if(.., |attempt| attempt.ordinal == ordinal) {
            self.charge_failure(&mut state.tab, attempt, &failure, now, draw, actions);
        }
        let model = self.plan.models.get(state.ask.model);
        let allowed = model.filter(|model| {
            model.routing.rescue_streams && state.ask.stream && state.ask.rescuable && rescuable
        });
        let mut broken = Broken::new(attribute::way_on(&failure, now, draw));
        broken.rescue_by = allowed.and_then(|model| state.began.checked_add(model.timeouts.stream_max));
        broken.continues = self.continues(deployment);
        state.broken = broken.rescue_by.map(|_| (deployment, failure.class));
        state.failed = Some((deployment, failure.class));
        state.decided = false;
        state.machine.on_broke(ordinal, broken);
        self.calls.insert(call, state);
    }

    /// A restart begins to repeat what was given.
    pub(super) fn on_speaking(&mut self, call: CallId, ordinal: u8, now: Instant, actions: &mut Vec<Action>) {
        let Some(state) = self.calls.get_mut(&call) else { return };
        let Some(attempt) = state.attempts.iter().find(|attempt| attempt.ordinal == ordinal) else { return };
        let deployment = attempt.deployment;
        state.machine.on_speaking(ordinal);
        self.speaks(call, ordinal, now);
        self.notice_transitions(deployment, now, actions);
    }

    /// An attempt that was to go on with a broken answer has been silent for its whole patience.
    pub(super) fn give_up(
        &mut self,
        state: &mut CallState,
        ordinal: u8,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        for attempt in state.attempts.extract_if(.., |attempt| attempt.ordinal == ordinal) {
            let failure = AttemptFailure::new(Class::Timeout);
            self.charge_failure(&mut state.tab, attempt, &failure, now, 0, actions);
        }
        actions.push(Action::Stop { attempt: ordinal });
        state.machine.on_silent(ordinal);
    }

    /// A deployment did not go on from an assistant's message. It is not asked to again.
    pub(super) fn refuses_to_continue(&mut self, deployment: usize) {
        if let Some(refuses) = self.refuse_to_continue.get_mut(deployment) {
            *refuses = true;
        }
    }

    pub(super) fn notice_rescue(
        &self,
        state: &CallState,
        from: usize,
        to: Option<usize>,
        class: Class,
        result: RescueResult,
        actions: &mut Vec<Action>,
    ) {
        if let (Some(model), Some(from)) = (self.plan.models.get(state.ask.model), self.route(from)) {
            let (model, to) = (Arc::clone(&model.name), to.and_then(|to| self.route(to)));
            actions.push(Action::Notice(Notice::Rescue { model, from, to, class, result }));
        }
    }
}
