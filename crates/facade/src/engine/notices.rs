//! What the engine lets others know: transitions of circuits, advice of the registry, failovers.

use std::{sync::Arc, time::Instant};

use breaker::{Event as CircuitEvent, State};

use super::{
    CallState, Engine,
    event::{Action, AttemptFailure},
};
use crate::observe::{Notice, Route};

impl Engine {
    /// Passes on what happened at a deployment's circuits and in the registry since the last look.
    pub(super) fn notice_transitions(&mut self, deployment: usize, now: Instant, actions: &mut Vec<Action>) {
        let Some(own) = self.plan.deployments.get(deployment) else { return };
        let route = own.route.clone();
        loop {
            let (endpoint, own) = self.circuits.poll_events(deployment);
            if endpoint.is_none() && own.is_none() {
                break;
            }
            if let Some(event) = endpoint {
                if event.to == State::Closed {
                    self.ramp_endpoint(deployment, now);
                }
                let whole = Route::new(Arc::clone(&route.provider), Arc::clone(&route.region), "*");
                actions.push(transition(whole, &event));
            }
            if let Some(event) = own {
                if event.to == State::Closed
                    && let Some(&id) = self.ids.get(deployment)
                {
                    self.registry.recovered(id, now);
                }
                actions.push(transition(route.clone(), &event));
            }
        }
        while let Some(event) = self.registry.poll_event() {
            if let registry::Event::FailoverAdvised { id, .. } = event
                && let Some(route) = self.numbers.get(&id).and_then(|&number| self.route(number))
            {
                actions.push(Action::Notice(Notice::FailoverAdvised { route }));
            }
        }
    }

    /// The provider refuses a credential, or has no such model: told once, and loudly, since somebody has to act.
    pub(super) fn take_out(
        &mut self,
        deployment: usize,
        failure: &AttemptFailure,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let was_out = self.circuits.out(deployment, now).is_some();
        let until = failure.retry_after.and_then(|wait| now.checked_add(wait));
        self.circuits.take_out(deployment, failure.class, until);
        if let (false, Some(route)) = (was_out, self.route(deployment)) {
            let (class, back_in) = (failure.class, failure.retry_after);
            actions.push(Action::Notice(Notice::TakenOut { route, class, back_in }));
        }
    }

    /// An attempt starts elsewhere than where one failed, or grew silent.
    pub(super) fn notice_failover(&self, state: &mut CallState, to: usize, actions: &mut Vec<Action>) {
        let Some((from, class)) = state.failed.take().filter(|(from, _)| *from != to) else { return };
        let model = self.plan.models.get(state.ask.model);
        if let (Some(model), Some(from), Some(to)) = (model, self.route(from), self.route(to)) {
            let model = Arc::clone(&model.name);
            actions.push(Action::Notice(Notice::Failover { model, from, to, class }));
        }
    }

    /// An endpoint is back: each of its deployments comes back gently.
    fn ramp_endpoint(&mut self, deployment: usize, now: Instant) {
        let endpoint_of =
            |number: usize| self.plan.deployments.get(number).map(|deployment| deployment.endpoint);
        let endpoint = endpoint_of(deployment);
        for number in (0..self.ids.len()).filter(|&number| endpoint_of(number) == endpoint) {
            if let Some(&id) = self.ids.get(number) {
                self.registry.recovered(id, now);
            }
        }
    }
}

fn transition(route: Route, event: &CircuitEvent) -> Action {
    Action::Notice(Notice::Transition { route, from: event.from, to: event.to, reason: event.reason })
}
