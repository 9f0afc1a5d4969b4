//! The topology that a configuration describes: endpoints, deployments, models and their tiers, named by small numbers.
//!
//! A plan is made once per configuration and never changes. The engine's state runs beside it, index by index, and outlives
//! it: the next plan calls by the same numbers what it keeps (`succession`). The driver finds in it what a request needs to
//! leave (URL, headers, pool), prepared so that nothing is formatted a call.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use transport::Pool;
use url::Url;
use wire::{Api, Dialect, PriceTable};

use super::succession::Numbers;
use crate::{
    config::{
        Config, HealthCheck, Hedge, Limits, Model, Price, Provider, Region, Retry, Routing, Strategy, Target,
        Timeouts,
    },
    observe::Route,
};

/// Everything a configuration says, resolved.
#[derive(Debug, Default)]
pub struct Plan {
    /// Provider times region.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Endpoint times the provider's model.
    pub(crate) deployments: Vec<Deployment>,
    /// Public models, in the order of the file.
    pub(crate) models: Vec<ModelPlan>,
    /// Which numbers of these three are in use.
    pub(crate) endpoint_numbers: Numbers,
    pub(crate) deployment_numbers: Numbers,
    pub(crate) model_numbers: Numbers,
    /// How many plans came before it.
    pub(crate) generation: u64,
    pub(super) by_name: HashMap<Arc<str>, usize>,
    near: HashMap<String, Vec<Arc<str>>>,
    regions: Vec<Arc<str>>,
}

/// An endpoint: where requests go, with what.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub provider: Arc<str>,
    pub region: Arc<str>,
    pub base_url: Url,
    pub dialect: Dialect,
    pub pool: Arc<Pool>,
    /// The credential and the configured headers; its sensitive values are marked.
    pub headers: HeaderMap,
    /// URL of the list of models.
    pub models: Url,
    /// Callers' headers that may pass, beside those that always may.
    pub forward: Vec<HeaderName>,
    /// Headers that the configuration sets here.
    pub own_headers: Vec<HeaderName>,
    pub health_check: Option<HealthCheck>,
}

/// A deployment: a model at an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    pub endpoint: usize,
    pub route: Route,
    /// URLs of the kinds of request that can be sent here.
    urls: Vec<(Api, Url)>,
    /// The provider's model name as a JSON string, ready to be put into a body.
    pub model_json: bytes::Bytes,
    pub weight: f64,
    pub limits: Limits,
    pub price: Option<Price>,
    /// Whether it is said to go on from an assistant's message.
    pub continues: bool,
    /// The longest context in tokens that it takes, where that is known.
    pub context: Option<u32>,
    /// The public model that named it first: its breaker rules are that model's.
    pub model: usize,
}

/// A public model.
#[derive(Clone, Debug)]
pub(crate) struct ModelPlan {
    pub name: Arc<str>,
    /// Deployments by tier, tier 0 first.
    pub tiers: Vec<Vec<usize>>,
    pub residency: Option<Vec<Arc<str>>>,
    pub timeouts: Timeouts,
    pub retry: Retry,
    pub hedge: Hedge,
    pub routing: Routing,
    pub breaker: breaker::BreakerConfig,
}

impl Plan {
    /// Resolves a configuration that has passed [`Config::check`]; what a check would have refused is left out.
    pub fn new(config: &Config) -> Self {
        let mut plan = Self::default();
        let mut endpoint_of: HashMap<(&str, &str), usize> = HashMap::new();
        for (provider_name, provider) in &config.providers {
            for (region_name, region) in &provider.regions {
                let region_name_shared = plan.intern_region(region_name);
                let endpoint =
                    Endpoint::new(provider_name, provider, region_name_shared, region, &config.timeouts);
                endpoint_of.insert((provider_name, region_name), plan.endpoints.len());
                plan.endpoints.push(endpoint);
            }
        }
        let mut deployment_of: HashMap<(usize, &str), usize> = HashMap::new();
        for (name, model) in &config.models {
            let index = plan.models.len();
            let mut tiers: Vec<Vec<usize>> = Vec::new();
            let mut targets: Vec<&Target> = model.targets.iter().collect();
            targets.sort_by_key(|target| target.tier);
            let mut last_tier = None;
            for target in targets {
                if last_tier != Some(target.tier) {
                    last_tier = Some(target.tier);
                    tiers.push(Vec::new());
                }
                let Some((_, provider)) = config.providers.iter().find(|(name, _)| *name == target.provider)
                else {
                    continue;
                };
                for (region_name, region) in &provider.regions {
                    if target.regions.as_ref().is_some_and(|regions| !regions.contains(region_name)) {
                        continue;
                    }
                    let Some(&endpoint) = endpoint_of.get(&(target.provider.as_str(), region_name.as_str()))
                    else {
                        continue;
                    };
                    let deployment =
                        *deployment_of.entry((endpoint, target.model.as_str())).or_insert_with(|| {
                            plan.deployments.push(Deployment::new(
                                endpoint,
                                &plan.endpoints,
                                target,
                                region,
                                index,
                            ));
                            plan.deployments.len() - 1
                        });
                    if let Some(tier) = tiers.last_mut() {
                        tier.push(deployment);
                    }
                }
            }
            plan.push_model(name, model, tiers);
        }
        plan.name_places(config);
        plan.check_composite_endpoints();
        plan.number();
        plan
    }

    /// In the order of the file, as long as no plan came before.
    fn number(&mut self) {
        self.endpoint_numbers = Numbers::first(self.endpoints.len());
        self.deployment_numbers = Numbers::first(self.deployments.len());
        self.model_numbers = Numbers::first(self.models.len());
    }

    fn name_places(&mut self, config: &Config) {
        for (place, regions) in &config.near {
            let regions = regions.iter().map(|region| self.intern_region(region)).collect();
            self.near.insert(place.clone(), regions);
        }
    }

    /// Composite scoring lives by its health loop: without one, a region below health 30 never returns. Its endpoints are
    /// checked unless the configuration says how.
    fn check_composite_endpoints(&mut self) {
        let composite = self.models.iter().filter(|model| model.routing.strategy == Strategy::Composite);
        for &deployment in composite.flat_map(|model| model.tiers.iter().flatten()) {
            let endpoint = self.deployments.get(deployment).map(|deployment| deployment.endpoint);
            if let Some(endpoint) = endpoint.and_then(|endpoint| self.endpoints.get_mut(endpoint)) {
                endpoint.health_check.get_or_insert_default();
            }
        }
    }

    fn push_model(&mut self, name: &str, model: &Model, tiers: Vec<Vec<usize>>) {
        let name: Arc<str> = name.into();
        self.by_name.insert(Arc::clone(&name), self.models.len());
        let residency = model
            .residency
            .as_ref()
            .map(|regions| regions.iter().map(|region| self.intern_region(region)).collect());
        self.models.push(ModelPlan {
            name,
            tiers,
            residency,
            timeouts: model.timeouts.clone(),
            retry: model.retry.clone(),
            hedge: model.hedge.clone(),
            routing: model.routing.clone(),
            breaker: model.breaker.clone(),
        });
    }

    fn intern_region(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.regions.iter().find(|region| &***region == name) {
            return Arc::clone(known);
        }
        let shared: Arc<str> = name.into();
        self.regions.push(Arc::clone(&shared));
        shared
    }

    /// The number of a public model.
    pub(crate) fn model(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// A region by its name, shared.
    pub(crate) fn region(&self, name: &str) -> Option<&Arc<str>> {
        self.regions.iter().find(|region| &***region == name)
    }

    /// The regions near a place: those of `[near]`, or the region of that name.
    pub(crate) fn near(&self, place: &str) -> Option<Vec<Arc<str>>> {
        match self.near.get(place) {
            Some(regions) => Some(regions.clone()),
            None => self.region(place).map(|region| vec![Arc::clone(region)]),
        }
    }

    /// Whether a deployment can be sent this kind of request: as it is, or translated where that is allowed.
    pub(crate) fn serves(&self, deployment: usize, api: Api, translates: bool) -> bool {
        let deployment = self.deployments.get(deployment);
        let endpoint = deployment.and_then(|deployment| self.endpoints.get(deployment.endpoint));
        let sent = endpoint.and_then(|endpoint| api.at(endpoint.dialect));
        sent.is_some_and(|sent| sent == api || translates)
    }

    /// The deployments in use with their numbers, in the order of the file.
    pub(crate) fn live_deployments(&self) -> impl Iterator<Item = (usize, &Deployment)> {
        let numbers = self.deployment_numbers.live.iter();
        numbers.filter_map(|&number| Some((number, self.deployments.get(number)?)))
    }

    /// The endpoints in use with their numbers, in the order of the file.
    pub(crate) fn live_endpoints(&self) -> impl Iterator<Item = (usize, &Endpoint)> {
        let numbers = self.endpoint_numbers.live.iter();
        numbers.filter_map(|&number| Some((number, self.endpoints.get(number)?)))
    }

    /// The names of the public models, in the order of the file.
    pub fn model_names(&self) -> impl Iterator<Item = &Arc<str>> {
        let models = self.model_numbers.live.iter().filter_map(|&number| self.models.get(number));
        models.map(|model| &model.name)
    }
}

impl Endpoint {
    fn new(
        provider_name: &str,
        provider: &Provider,
        region_name: Arc<str>,
        region: &Region,
        timeouts: &Timeouts,
    ) -> Self {
        let mut pool = Pool::new(format!("{provider_name}/{region_name}"));
        pool.connect_timeout = timeouts.connect;
        pool.connections = region.connections;
        pool.ca_file.clone_from(&region.ca_file);
        pool.ca_edition = region.ca_edition;
        pool.proxy.clone_from(&region.proxy);
        let mut headers = HeaderMap::new();
        if provider.dialect == Dialect::Anthropic {
            // Required there; a caller's own takes its place.
            headers.insert(VERSION, HeaderValue::from_static(wire::ANTHROPIC_VERSION));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if let Some(key) = region.api_key.as_ref().or(provider.api_key.as_ref()) {
            let (name, before) = provider.dialect.credential_header();
            let name = HeaderName::from_static(name);
            let value = HeaderValue::from_str(&format!("{before}{}", key.expose()));
            insert_sensitive(&mut headers, name, value.ok());
        }
        let mut own_headers = Vec::new();
        for (name, value) in &region.headers {
            if let Ok(name) = HeaderName::try_from(name.as_str()) {
                own_headers.push(name.clone());
                insert_sensitive(&mut headers, name, HeaderValue::from_str(value.expose()).ok());
            }
        }
        Self {
            provider: provider_name.into(),
            region: region_name,
            base_url: region.base_url.clone(),
            dialect: provider.dialect,
            pool: Arc::new(pool),
            headers,
            models: url(provider.dialect, region, "models", ""),
            forward: provider
                .forward_headers
                .iter()
                .filter_map(|name| HeaderName::try_from(name.as_str()).ok())
                .collect(),
            own_headers,
            health_check: provider.health_check.clone(),
        }
    }
}

impl Deployment {
    fn new(endpoint: usize, endpoints: &[Endpoint], target: &Target, region: &Region, model: usize) -> Self {
        let (provider, region_name) = endpoints
            .get(endpoint)
            .map_or_else(|| ("".into(), "".into()), |at| (Arc::clone(&at.provider), Arc::clone(&at.region)));
        let dialect = endpoints.get(endpoint).map(|at| at.dialect).unwrap_or_default();
        let sent = Api::ALL.into_iter().filter(|api| api.at(dialect) == Some(*api));
        Self {
            endpoint,
            route: Route::new(provider, region_name, target.model.as_str()),
            urls: sent.map(|api| (api, url(dialect, region, api.path(), &target.model))).collect(),
            model_json: serde_json::Value::String(target.model.clone()).to_string().into(),
            weight: target.weight * region.weight,
            limits: region.limits.clone(),
            price: target.price,
            continues: target.continues,
            context: target.context,
            model,
        }
    }
}

impl Deployment {
    /// Where a request of a kind goes that can be sent here.
    pub(crate) fn url(&self, sent: Api) -> Option<&Url> {
        self.urls.iter().find(|(api, _)| *api == sent).map(|(_, url)| url)
    }

    /// What an answer costs, as the configuration says or else the table. A price of the user's own is taken as it is: no
    /// surcharge of the place is put on it.
    pub(crate) fn price(&self, table: &PriceTable, wall: SystemTime) -> Option<wire::Price> {
        let Some(own) = &self.price else {
            let host = self.urls.first().and_then(|(_, url)| url.host_str());
            return table.price(&self.route.model, host, wall);
        };
        let price = wire::Price::new(own.input, own.output);
        Some(own.cached_input.map_or(price, |cached| price.with_cached_input(cached)))
    }

    /// One number to compare prices by, USD per million tokens: three tokens of input for one of output, about what chats
    /// use, in requests too short for a step. Only the order matters.
    pub(crate) fn blended_price(&self, table: &PriceTable, wall: SystemTime) -> Option<f64> {
        self.price(table, wall).map(|price| price.rates.input.mul_add(3.0, price.rates.output) / 4.0)
    }
}

/// Which version of Anthropic's API a body is written for.
pub(crate) const VERSION: HeaderName = HeaderName::from_static("anthropic-version");

const USER_AGENT: &str = concat!("outrigger/", env!("CARGO_PKG_VERSION"));

fn insert_sensitive(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    if let Some(mut value) = value {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}

/// Where a request for a provider's model goes, below a region's base URL.
fn url(dialect: Dialect, region: &Region, path: &str, model: &str) -> Url {
    let mut url = region.base_url.clone();
    let place = dialect.place(url.path(), path, model, region.api_version.as_deref());
    url.set_path(&place.path);
    url.set_query(place.query.as_deref());
    url
}
