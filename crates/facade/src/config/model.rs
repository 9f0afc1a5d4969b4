//! What callers may ask for, and what may serve it.

use breaker::BreakerConfig;
use serde::Deserialize;

use super::{Hedge, Retry, Routing, Timeouts};

/// A model by the name that callers use: table `[models.NAME]`.
///
/// The numbers are final: what the model's own tables leave out has been taken from the tables of the whole
/// configuration.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Model {
    /// The regions that may serve it, a hard constraint. Absent: any.
    pub residency: Option<Vec<String>>,
    /// What may serve it, in the order of the file. At least one.
    pub targets: Vec<Target>,
    /// Its limits.
    pub timeouts: Timeouts,
    /// Its attempts and its budget.
    pub retry: Retry,
    /// Its hedges.
    pub hedge: Hedge,
    /// The circuits of its deployments.
    pub breaker: BreakerConfig,
    /// The choice among its deployments.
    pub routing: Routing,
}

impl Model {
    /// A model that these targets serve, anywhere, with the numbers of the configuration it is added to.
    pub fn new(targets: impl IntoIterator<Item = Target>) -> Self {
        Self { targets: targets.into_iter().collect(), ..Self::default() }
    }

    /// Allows these regions only.
    #[must_use]
    pub fn residency(mut self, regions: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.residency = Some(regions.into_iter().map(Into::into).collect());
        self
    }
}

/// One provider's model that may serve a public name: an entry of `targets`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Target {
    /// The provider, by its name in the configuration.
    pub provider: String,
    /// The provider's own name of the model.
    pub model: String,
    /// The provider's regions to use. Absent: all.
    #[serde(default)]
    pub regions: Option<Vec<String>>,
    /// Its tier: a tier is asked when those below it have nobody left. Default 0.
    #[serde(default)]
    pub tier: u8,
    /// Its share beside others of its tier; above 0. Default 1.
    #[serde(default = "one")]
    pub weight: f64,
    /// Whether the model goes on from an assistant message, so that it can continue another's broken stream.
    /// Default no.
    #[serde(default)]
    pub continues: bool,
    /// The longest context in tokens that it takes. Absent: not known.
    #[serde(default)]
    pub context: Option<u32>,
    /// What it costs. Absent: the built-in table's word.
    #[serde(default)]
    pub price: Option<Price>,
}

const fn one() -> f64 {
    1.0
}

impl Target {
    /// All regions of `provider`, tier 0, weight 1.
    pub fn new(provider: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            provider: provider.into(),
            model: model.into(),
            regions: None,
            tier: 0,
            weight: one(),
            continues: false,
            context: None,
            price: None,
        }
    }

    /// Uses these regions of the provider only.
    #[must_use]
    pub fn regions(mut self, regions: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.regions = Some(regions.into_iter().map(Into::into).collect());
        self
    }

    /// Stands in this tier.
    #[must_use]
    pub fn tier(mut self, tier: u8) -> Self {
        self.tier = tier;
        self
    }

    /// Takes this share beside others of its tier.
    #[must_use]
    pub fn weight(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// Goes on from an assistant message, or does not.
    #[must_use]
    pub fn continues(mut self, continues: bool) -> Self {
        self.continues = continues;
        self
    }

    /// Takes this many tokens of context.
    #[must_use]
    pub fn context(mut self, tokens: u32) -> Self {
        self.context = Some(tokens);
        self
    }

    /// Costs this much.
    #[must_use]
    pub fn price(mut self, price: Price) -> Self {
        self.price = Some(price);
        self
    }
}

/// A price in USD per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Price {
    /// Tokens read.
    pub input: f64,
    /// Tokens written.
    pub output: f64,
    /// Tokens read from the provider's prompt cache. Absent: as `input`.
    #[serde(default)]
    pub cached_input: Option<f64>,
}

impl Price {
    /// A price without a discount for cached tokens.
    pub const fn new(input: f64, output: f64) -> Self {
        Self { input, output, cached_input: None }
    }
}
