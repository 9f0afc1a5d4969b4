//! Another configuration while calls run: what did not change lives on, and what is gone vanishes without harm.
//!
//! # What is the same?
//! An endpoint: provider, region and base URL. A deployment: its endpoint and the provider's model. A public model: its name. Of
//! these all that was learned stays, whatever numbers change: circuits, scores, times, cooldowns, what is in flight, what was
//! counted, and retry budgets. What is in no plan before begins afresh; but a cordon is about a name, and holds for whatever comes to
//! bear it (`cordons`).

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use policy::HedgeBudget;

use super::{
    Engine, Plan,
    candidates::Candidates,
    circuits::{Made, MakeGate},
    event::Action,
    limits::Learned,
    parts,
    succession::renew,
    view,
};
use crate::{config::Config, error::BuildError};

impl Engine {
    /// Goes by another configuration from now on. Calls in progress go on, and may find their next attempt by it. `gate` makes the
    /// circuits of what is new, where they are not to be the built-in ones.
    ///
    /// # Errors
    /// [`BuildError`] as when the engine was made; then nothing has changed.
    pub fn reload(
        &mut self,
        config: &Config,
        gate: Option<&MakeGate<'_>>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Result<(), BuildError> {
        config.check()?;
        let oldest = self.oldest();
        let plan = Plan::new(config).succeeding(&self.plan, oldest);
        // What may refuse comes first.
        let entries = parts::entries(&plan, &self.prices, self.wall(now))?;
        let made = Made::new(&plan, gate)?;

        let before = std::mem::replace(&mut self.plan, Arc::new(plan));
        self.enter(entries, &before);
        self.circuits.follow(&self.plan, Some(&before), made, now);
        self.candidates = Candidates::new(&self.plan, &self.ids);
        // What calls in progress may not do, they may not do where they are led now either.
        let mut calls = std::mem::take(&mut self.calls);
        for state in calls.values_mut() {
            self.plan.narrow(&mut state.ask);
            self.hold_to_cost(&state.ask, &mut state.machine, now);
        }
        self.calls = calls;
        self.begin_anew();
        for number in self.plan.model_numbers.kept() {
            if let (Some(budget), Some(model)) = (self.budgets.get_mut(number), self.plan.models.get(number))
            {
                budget.set_capacity(model.retry.budget);
            }
        }
        self.places.follow(&self.plan);
        self.former.push(Arc::downgrade(&before));
        drop(before);
        self.offer_places(now, actions);
        Ok(())
    }

    /// The generation of the oldest plan that anybody goes by.
    fn oldest(&mut self) -> u64 {
        self.former.retain(|plan| plan.strong_count() > 0);
        let former = self.former.iter().filter_map(Weak::upgrade).map(|plan| plan.generation);
        former.min().unwrap_or(self.plan.generation).min(self.plan.generation)
    }

    /// Tells the registry who is there now.
    fn enter(&mut self, entries: Vec<(usize, registry::Deployment)>, before: &Plan) {
        let numbers = &self.plan.deployment_numbers;
        let gone: Vec<usize> = before.deployment_numbers.without(numbers).collect();
        for number in gone {
            let Some(&id) = self.ids.get(number) else { continue };
            self.numbers.remove(&id);
            self.registry.remove(id);
        }
        let mut ids = Vec::new();
        for (number, entry) in entries {
            match self.ids.get(number).filter(|_| !numbers.fresh.contains(&number)) {
                Some(&id) => self.registry.update(id, entry.numbers),
                None => {
                    let id = self.registry.insert(entry);
                    let route = self.plan.deployments.get(number).map(|deployment| &deployment.route);
                    if route.is_some_and(|route| self.cordons.is_out(route)) {
                        self.registry.cordon(id);
                    }
                    self.numbers.insert(id, number);
                    ids.push((number, id));
                }
            }
        }
        for (number, id) in ids {
            match self.ids.get_mut(number) {
                Some(old) => *old = id,
                None => self.ids.push(id),
            }
        }
    }

    /// Of what is new in the plan nothing is known yet.
    pub(super) fn begin_anew(&mut self) {
        let (deployments, models) = (&self.plan.deployment_numbers, &self.plan.model_numbers);
        renew(&mut self.learned, deployments, |_| Learned::new());
        renew(&mut self.counters, deployments, |_| view::Counters::default());
        renew(&mut self.refuse_to_continue, deployments, |_| false);
        renew(&mut self.hedges, models, |_| HedgeBudget::new());
        let budget = |number: usize| {
            let retry = self.plan.models.get(number).map(|model| &model.retry);
            retry.map_or_else(policy::Budget::default, parts::budget)
        };
        renew(&mut self.budgets, models, budget);
    }
}
