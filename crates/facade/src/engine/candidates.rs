//! Who may serve which kind of request: each tier's candidates, listed once, so that a pick asks nobody who cannot serve.

use registry::DeploymentId;
use wire::Api;

use super::{Ask, plan::Plan};

/// A tier's candidates for each kind of request, with and without translation.
#[derive(Debug)]
struct Tier {
    by_kind: Vec<(Api, bool, Serving)>,
}

/// Candidates, by the registry's names and by their numbers in the plan, side by side.
#[derive(Debug)]
struct Serving {
    ids: Vec<DeploymentId>,
    numbers: Vec<usize>,
}

/// The candidates of every model, tier by tier.
#[derive(Debug)]
pub(super) struct Candidates {
    models: Vec<Vec<Tier>>,
}

impl Candidates {
    pub(super) fn new(plan: &Plan, ids: &[DeploymentId]) -> Self {
        let list = |tier: &[usize], api, translates| {
            let serving = tier.iter().copied().filter(|&number| plan.serves(number, api, translates));
            let (ids, numbers) = serving.filter_map(|number| Some((*ids.get(number)?, number))).unzip();
            Serving { ids, numbers }
        };
        let tier = |tier: &Vec<usize>| {
            let kinds = Api::ALL.into_iter().flat_map(|api| [(api, false), (api, true)]);
            let by_kind = kinds.map(|(api, translates)| (api, translates, list(tier, api, translates)));
            Tier { by_kind: by_kind.collect() }
        };
        Self { models: plan.models.iter().map(|model| model.tiers.iter().map(tier).collect()).collect() }
    }

    /// The candidates of a tier for an ask; none where there is no such tier.
    pub(super) fn of(&self, ask: &Ask, tier: usize) -> &[DeploymentId] {
        let tier = self.models.get(ask.model).and_then(|tiers| tiers.get(tier));
        tier.map_or(&[], |tier| tier.candidates(ask))
    }

    /// The candidates for an ask, tier by tier.
    pub(super) fn tiers<'a>(&'a self, ask: &'a Ask) -> impl ExactSizeIterator<Item = &'a [DeploymentId]> {
        let tiers = self.models.get(ask.model).map_or(&[][..], Vec::as_slice);
        tiers.iter().map(|tier| tier.candidates(ask))
    }
}

impl Tier {
    fn candidates(&self, ask: &Ask) -> &[DeploymentId] {
        let mut kinds = self.by_kind.iter();
        let kind = kinds.find(|(api, translates, _)| (*api, *translates) == (ask.api, ask.translates));
        let Some((_, _, Serving { ids, numbers })) = kind else { return &[] };
        let Some(only) = ask.only else { return ids };
        let place = numbers.iter().position(|number| *number == only);
        place.and_then(|place| ids.get(place..=place)).unwrap_or_default()
    }
}
