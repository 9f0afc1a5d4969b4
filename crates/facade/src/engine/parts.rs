//! How the engine's parts are made from a plan, and how an ask is put to the registry.

use std::{sync::Arc, time::SystemTime};

use policy::{Budget, BudgetConfig};
use registry::{
    Deployment as Entry, DeploymentId, Kind, Price, Query, Registry, RegistryConfig, Scoring, Selector,
    Weight,
};
use wire::PriceTable;

use super::{Ask, plan::Plan};
use crate::{
    config::{Retry, Strategy},
    error::BuildError,
};

pub(super) fn registry(selector: Option<Box<dyn Selector>>) -> Result<Registry, BuildError> {
    let registry = Registry::new(RegistryConfig::default())
        .map_err(|error| BuildError::Machine { path: "routing".to_owned(), message: error.to_string() })?;
    Ok(match selector {
        Some(selector) => registry.with_selector(selector),
        None => registry,
    })
}

/// What the registry is to know of each deployment in use, by its number. `wall` is when: prices may depend on it.
pub(super) fn entries(
    plan: &Plan,
    prices: &PriceTable,
    wall: SystemTime,
) -> Result<Vec<(usize, Entry)>, BuildError> {
    let entry = |(number, deployment): (usize, &super::plan::Deployment)| {
        let route = &deployment.route;
        let refused = |error: registry::ConfigError| BuildError::Machine {
            path: format!("target {route}"),
            message: error.to_string(),
        };
        let mut entry =
            Entry::new(Arc::clone(&route.provider), Arc::clone(&route.region), Arc::clone(&route.model));
        entry.numbers.weight = Weight::new(deployment.weight).map_err(refused)?;
        entry.numbers.limits.requests_per_minute = deployment.limits.requests_per_minute;
        entry.numbers.limits.tokens_per_minute = deployment.limits.tokens_per_minute.map(Into::into);
        entry.numbers.limits.concurrent = deployment.limits.concurrent;
        entry.numbers.price =
            deployment.blended_price(prices, wall).map(Price::new).transpose().map_err(refused)?;
        Ok((number, entry))
    };
    plan.live_deployments().map(entry).collect()
}

pub(super) fn budget(retry: &Retry) -> Budget {
    let mut config = BudgetConfig::default();
    config.capacity = retry.budget;
    Budget::new(config)
}

impl Plan {
    /// Leaves out of the regions that an ask allows those that its model does not allow by this plan: it may have been made by
    /// another.
    pub(super) fn narrow(&self, ask: &mut Ask) {
        let own = self.models.get(ask.model).and_then(|model| model.residency.as_ref());
        if let (Some(allowed), Some(own)) = (&mut ask.residency, own) {
            allowed.retain(|region| own.contains(region));
        }
    }

    /// The question to the registry that an ask amounts to. With `own_selector` the model's scoring is left out, since a
    /// query's scoring goes before the registry's selector.
    pub(super) fn query<'a>(
        &'a self,
        ask: &'a Ask,
        candidates: &'a [DeploymentId],
        own_selector: bool,
    ) -> Query<'a> {
        let mut query = Query::new(candidates);
        query.kind = if ask.stream { Kind::Stream } else { Kind::Whole };
        query.tokens = ask.tokens;
        let Some(model) = self.models.get(ask.model) else { return query };
        let routing = &model.routing;
        let scoring = match routing.strategy {
            Strategy::Adaptive => Scoring::Adaptive,
            Strategy::Composite => Scoring::Composite,
            Strategy::Cheapest => Scoring::Cheapest,
            Strategy::Weighted => Scoring::Weighted,
        };
        query.scoring = (!own_selector).then_some(scoring);
        query.composite_failover = Some(routing.composite_failover);
        query.preferred_region =
            ask.prefer.first().map(|first| &**first).or(routing.preferred_region.as_deref());
        query.near = &ask.prefer;
        query.residency = ask.residency.as_deref().or(model.residency.as_deref());
        query.affinity = ask.affinity.filter(|_| routing.affinity);
        query
    }
}
