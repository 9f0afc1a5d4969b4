//! One plan after another: what stays keeps its number, so that all that is known by a number lives on.
//!
//! What a plan does not have any more leaves its number behind, and what stood there stays readable under it: a call that began
//! before may still run there. No tier leads to it. The number is given to something new once nobody is left who began by a
//! plan that had it, which is known by who still holds such a plan.

use super::plan::{Deployment, Endpoint, ModelPlan, Plan};

/// The numbers of one kind of thing in a plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    /// Those in use, in the order of the file.
    pub live: Vec<usize>,
    /// Those of them that the plan before did not have.
    pub fresh: Vec<usize>,
    /// Those that are not in use any more, each with the generation of the first plan that did without it.
    retired: Vec<(usize, u64)>,
}

impl Numbers {
    /// Those of a plan that comes after none.
    pub(super) fn first(count: usize) -> Self {
        Self { live: (0..count).collect(), fresh: (0..count).collect(), retired: Vec::new() }
    }

    /// Those in use that `after` has no more.
    pub(super) fn without(&self, after: &Self) -> impl Iterator<Item = usize> {
        self.live.iter().copied().filter(|number| !after.live.contains(number))
    }

    /// Those in use that the plan before had too.
    pub(super) fn kept(&self) -> impl Iterator<Item = usize> {
        self.live.iter().copied().filter(|number| !self.fresh.contains(number))
    }
}

/// Which plans there are.
#[derive(Clone, Copy, Debug)]
struct Ages {
    /// The new one's generation.
    new: u64,
    /// The oldest that anybody goes by.
    oldest: u64,
}

impl Plan {
    /// This plan as the one that follows `before`. `oldest` is the generation of the oldest plan that anybody goes by.
    #[must_use]
    pub(super) fn succeeding(mut self, before: &Self, oldest: u64) -> Self {
        let ages = Ages { new: before.generation + 1, oldest };
        self.generation = ages.new;
        let endpoint_of = follow(
            &mut self.endpoints,
            &mut self.endpoint_numbers,
            ages,
            (&before.endpoints, &before.endpoint_numbers),
        );
        for deployment in &mut self.deployments {
            deployment.endpoint = at(&endpoint_of, deployment.endpoint);
        }
        let deployment_of = follow(
            &mut self.deployments,
            &mut self.deployment_numbers,
            ages,
            (&before.deployments, &before.deployment_numbers),
        );
        for deployment in self.models.iter_mut().flat_map(|model| &mut model.tiers).flatten() {
            *deployment = at(&deployment_of, *deployment);
        }
        let model_of =
            follow(&mut self.models, &mut self.model_numbers, ages, (&before.models, &before.model_numbers));
        for &number in &self.deployment_numbers.live {
            if let Some(deployment) = self.deployments.get_mut(number) {
                deployment.model = at(&model_of, deployment.model);
            }
        }
        for number in self.by_name.values_mut() {
            *number = at(&model_of, *number);
        }
        // A call of a model that is gone may still look for another place, among those that are left.
        for (number, model) in self.models.iter_mut().enumerate() {
            if !self.model_numbers.live.contains(&number) {
                let is_live = |deployment: &usize| self.deployment_numbers.live.contains(deployment);
                model.tiers.iter_mut().for_each(|tier| tier.retain(is_live));
            }
        }
        self
    }
}

fn at(numbers: &[usize], place: usize) -> usize {
    numbers.get(place).copied().unwrap_or(usize::MAX)
}

/// What is the same thing in two plans.
trait Same {
    fn is_same(&self, before: &Self) -> bool;
}

impl Same for Endpoint {
    fn is_same(&self, before: &Self) -> bool {
        (&self.provider, &self.region, &self.base_url) == (&before.provider, &before.region, &before.base_url)
    }
}

impl Same for Deployment {
    fn is_same(&self, before: &Self) -> bool {
        (self.endpoint, &self.route.model) == (before.endpoint, &before.route.model)
    }
}

impl Same for ModelPlan {
    fn is_same(&self, before: &Self) -> bool {
        self.name == before.name
    }
}

/// Puts things, which are numbered in the order of the file, where those before them leave room. Returns the new number of each.
fn follow<T: Same + Clone>(
    things: &mut Vec<T>,
    numbers: &mut Numbers,
    ages: Ages,
    (before, known): (&[T], &Numbers),
) -> Vec<usize> {
    let mut leaving = known.live.clone();
    let same: Vec<Option<usize>> = things
        .iter()
        .map(|thing| {
            let is_same = |number: &usize| before.get(*number).is_some_and(|old| thing.is_same(old));
            let place = leaving.iter().position(is_same)?;
            Some(leaving.swap_remove(place))
        })
        .collect();
    let (mut free, mut retired): (Vec<_>, Vec<_>) =
        known.retired.iter().copied().partition(|(_, since)| *since <= ages.oldest);
    let mut all = before.to_vec();
    let mut fresh = Vec::new();
    let mut place = |thing: T, same: Option<usize>| {
        let number = same.unwrap_or_else(|| {
            let number = free.pop().map_or(all.len(), |(number, _)| number);
            fresh.push(number);
            number
        });
        match all.get_mut(number) {
            Some(old) => *old = thing,
            None => all.push(thing),
        }
        number
    };
    let live: Vec<usize> = things.drain(..).zip(same).map(|(thing, same)| place(thing, same)).collect();
    retired.append(&mut free);
    retired.extend(leaving.into_iter().map(|number| (number, ages.new)));
    *things = all;
    *numbers = Numbers { live: live.clone(), fresh, retired };
    live
}

/// A state for each number: what is new begins anew.
pub(super) fn renew<T>(states: &mut Vec<T>, numbers: &Numbers, mut make: impl FnMut(usize) -> T) {
    // Those beyond the end come in order.
    for &number in &numbers.fresh {
        let state = make(number);
        match states.get_mut(number) {
            Some(old) => *old = state,
            None => states.push(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::config::{Config, Model, Provider, Target};

    /// Regions, and of each whether its base URL is the other one; models, and the regions of each.
    type Shape = (Vec<(u8, bool)>, Vec<(u8, Vec<u8>)>);

    fn config((regions, models): &Shape) -> Config {
        let mut provider = Provider::openai();
        for (region, moved) in regions {
            let url = format!("http://{region}-{moved}.invalid/v1");
            provider = provider.region(format!("r{region}"), &url).expect("a URL");
        }
        let mut config = Config::new().provider("p", provider);
        for (model, places) in models {
            let target = Target::new("p", "m").regions(places.iter().map(|place| format!("r{place}")));
            config = config.model(format!("m{model}"), Model::new([target]));
        }
        config
    }

    fn shapes() -> impl Strategy<Value = Shape> {
        let regions = proptest::collection::btree_map(0_u8..5, any::<bool>(), 0..5);
        let places = proptest::collection::vec(0_u8..5, 0..4);
        let models = proptest::collection::btree_map(0_u8..3, places, 0..3);
        (regions, models)
            .prop_map(|(regions, models)| (regions.into_iter().collect(), models.into_iter().collect()))
    }

    fn name(plan: &Plan, number: usize) -> String {
        let deployment = plan.deployments.get(number).expect("a number of the plan");
        let url = plan.endpoints.get(deployment.endpoint).map(|endpoint| endpoint.base_url.to_string());
        format!("{} {url:?}", deployment.route)
    }

    proptest! {
        /// **A number means one thing to whoever may know it.** Over any series of plans, of which some are still gone by: what a
        /// held plan calls by a number is under that number in every later one, live or left behind; live numbers are distinct and
        /// say what a plan made at once of the same configuration says; and with nobody holding on, numbers are used again.
        #[test]
        fn a_number_means_the_same_to_all_who_hold_on_to_it(
            shapes in proptest::collection::vec((shapes(), any::<bool>()), 1..12),
        ) {
            let mut plan = Arc::new(Plan::new(&config(&shapes[0].0)));
            let mut held: Vec<Arc<Plan>> = Vec::new();
            let mut most = 0;
            for (shape, hold) in &shapes {
                held.extend(hold.then(|| Arc::clone(&plan)));
                let oldest = held.iter().map(|plan| plan.generation).min().unwrap_or(plan.generation);
                let alone = Plan::new(&config(shape));
                plan = Arc::new(Plan::new(&config(shape)).succeeding(&plan, oldest));
                for old in &held {
                    for &number in &old.deployment_numbers.live {
                        prop_assert_eq!(name(old, number), name(&plan, number));
                    }
                    for &number in &old.model_numbers.live {
                        prop_assert_eq!(&old.models[number].name, &plan.models[number].name);
                    }
                }
                let tiers = |plan: &Plan| -> Vec<_> {
                    let models = plan.model_names().map(|name| &plan.models[plan.model(name).expect("known")]);
                    models.map(|model| (Arc::clone(&model.name), model.tiers.iter().map(|tier|
                        tier.iter().map(|&number| name(plan, number)).collect::<Vec<_>>()).collect::<Vec<_>>())).collect()
                };
                prop_assert_eq!(tiers(&plan), tiers(&alone));
                let mut live = plan.deployment_numbers.live.clone();
                prop_assert_eq!(live.len(), alone.deployments.len());
                live.sort_unstable();
                live.dedup();
                prop_assert_eq!(live.len(), alone.deployments.len());
                most = most.max(live.len());
            }
            if held.is_empty() {
                // Those of the last plan are still its own when the next is made.
                prop_assert!(plan.deployments.len() <= 2 * most, "{} for {most}", plan.deployments.len());
            }
        }
    }
}
