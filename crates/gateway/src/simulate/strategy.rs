//! The strategies that are compared, and the configuration of each.

use std::time::Duration;

use outrigger::{
    Config,
    config::{Faults, Model, Price, Provider, Strategy as Scored, Target},
    registry::{Choices, DeploymentId, Selector},
};
use sim::Scenario;

/// The provider's and the model's names; nobody sees them.
const PROVIDER: &str = "provider";
pub(super) const MODEL: &str = "chat";
/// Nobody is asked there.
const NOWHERE: &str = "http://127.0.0.1:1/v1";
/// USD per million tokens in the first region; each one after it is a tenth of this dearer.
const PRICE: f64 = 1.0;

/// How a client chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    Adaptive,
    Composite,
    Weighted,
    Cheapest,
    /// Each region in its turn.
    RoundRobin,
    /// The caller's own region while it may be asked, else the next in the list.
    Static,
    /// No engine at all: the caller's own region, and what an SDK brings along.
    Naive,
}

impl Strategy {
    pub(crate) const ALL: [Self; 7] = [
        Self::Adaptive,
        Self::Composite,
        Self::Weighted,
        Self::Cheapest,
        Self::RoundRobin,
        Self::Static,
        Self::Naive,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Adaptive => "adaptive",
            Self::Composite => "composite",
            Self::Weighted => "weighted",
            Self::Cheapest => "cheapest",
            Self::RoundRobin => "round_robin",
            Self::Static => "static",
            Self::Naive => "naive",
        }
    }

    /// A client's configuration at a place.
    ///
    /// # Errors
    /// A region's name that no configuration can have.
    pub(super) fn config(self, scenario: &Scenario, place: usize) -> Result<Config, Faults> {
        let mut provider = Provider::openai();
        let mut targets = Vec::new();
        let mut price = PRICE;
        for region in &scenario.regions {
            provider = provider.region(&region.name, NOWHERE)?;
            let target = Target::new(PROVIDER, MODEL).regions([&region.name]).price(Price::new(price, price));
            targets.push(target);
            price += PRICE / 10.0;
        }
        let mut config = Config::new();
        config.routing.strategy = match self {
            Self::Composite => Scored::Composite,
            Self::Weighted => Scored::Weighted,
            Self::Cheapest => Scored::Cheapest,
            Self::Adaptive | Self::RoundRobin | Self::Static | Self::Naive => Scored::Adaptive,
        };
        config.routing.preferred_region = scenario.regions.get(place).map(|region| region.name.clone());
        Ok(config.provider(PROVIDER, provider).model(MODEL, Model::new(targets)))
    }

    /// Who chooses in place of the configured scoring.
    pub(super) fn selector(self, place: usize) -> Option<Box<dyn Selector>> {
        match self {
            // Not all begin at the same region.
            Self::RoundRobin => Some(Box::new(RoundRobin { next: place })),
            Self::Static => Some(Box::new(Static { place })),
            _ => None,
        }
    }

    /// How often each endpoint is checked when it carries no traffic: the article's scoring lives by it.
    pub(super) fn health_check(self) -> Option<Duration> {
        (self == Self::Composite).then_some(Duration::from_secs(30))
    }
}

/// Each in its turn.
#[derive(Debug)]
struct RoundRobin {
    next: usize,
}

impl Selector for RoundRobin {
    fn select(&mut self, choices: &Choices<'_>, _draw: u64) -> Option<DeploymentId> {
        let places = (self.next..choices.len()).chain(0..self.next.min(choices.len()));
        let chosen = places.filter_map(|place| choices.get(place)).next()?;
        self.next = chosen.place() + 1;
        Some(chosen.id())
    }
}

/// Its own while it may be asked, else the first that may.
#[derive(Debug)]
struct Static {
    place: usize,
}

impl Selector for Static {
    fn select(&mut self, choices: &Choices<'_>, _draw: u64) -> Option<DeploymentId> {
        let chosen = choices.get(self.place).or_else(|| choices.iter().next())?;
        Some(chosen.id())
    }
}
