//! Strategies and a naive model (feature `proptest`), to property-test your own use of a registry, or your own registry.
//!
//! A history is a list of [`Step`]s. [`Bench`] plays it on a [`Registry`] and on a [`Model`] of each deployment, which keeps
//! every event and adds up anew whenever it is asked: slow, short, and easy to believe. The module `model` says what it
//! expects of latency, cost and choice.

mod model;

pub use model::Model;

use crate::config::{RegistryConfig, Scoring};
use crate::deployment::{Deployment, DeploymentId, Numbers};
use crate::load::Used;
use crate::number::{Price, Ratio, Weight};
use crate::query::Kind;
use crate::quota::CooldownOrigin;
use crate::registry::{InFlight, Registry};
use crate::sample::Sample;
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// One thing that happens to one of a few deployments.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// Time passes.
    Wait(Duration),
    /// An attempt begins at a deployment.
    Begin(usize),
    /// The oldest attempt at a deployment ends.
    Finish(usize, Sample),
    /// The oldest attempt at a deployment is dropped.
    Abandon(usize),
    /// A deployment is to be left alone for so long from now.
    Cooldown(usize, Duration, CooldownOrigin),
    /// An operator takes a deployment out, or back.
    Cordon(usize, bool),
    /// A deployment's circuit has closed again.
    Recovered(usize),
    /// Others tell what they used of a deployment.
    UsedElsewhere(usize, Vec<Used>),
}

fn millis(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

/// Any sample, its latencies up to 20 s.
pub fn samples() -> impl Strategy<Value = Sample> {
    let kind = prop_oneof![Just(Kind::Stream), Just(Kind::Whole)];
    prop_oneof![
        4 => millis(1..20_000).prop_map(Sample::first_token),
        2 => millis(1..20_000).prop_map(Sample::answer),
        3 => Just(Sample::Failure),
        1 => Just(Sample::RateLimited),
        1 => Just(Sample::Neutral),
        1 => (0_u64..1_000).prop_map(|tokens| Sample::Success { first_token: None, answer: None, tokens }),
        1 => (kind, millis(1..20_000), any::<bool>())
            .prop_map(|(kind, waited, content)| Sample::Cancelled { kind, waited, content }),
    ]
}

/// What others may tell: up to five parts of a minute, and now and then of more than one.
pub fn used() -> impl Strategy<Value = Vec<Used>> {
    let part = (millis(0..70_000), 0_u64..5, 0_u64..1_000).prop_map(|(left, requests, tokens)| Used {
        left,
        requests,
        tokens,
    });
    proptest::collection::vec(part, 0..=5)
}

/// Histories of up to `length` steps over so many deployments, at least one.
pub fn histories(deployments: usize, length: usize) -> impl Strategy<Value = Vec<Step>> {
    let place = || 0..deployments.max(1);
    let origin = prop_oneof![Just(CooldownOrigin::Named), Just(CooldownOrigin::Inferred)];
    let step = prop_oneof![
        6 => millis(0..30_000).prop_map(Step::Wait),
        12 => place().prop_map(Step::Begin),
        12 => (place(), samples()).prop_map(|(place, sample)| Step::Finish(place, sample)),
        3 => place().prop_map(Step::Abandon),
        2 => (place(), millis(1..60_000), origin)
            .prop_map(|(place, wait, origin)| Step::Cooldown(place, wait, origin)),
        1 => (place(), any::<bool>()).prop_map(|(place, cordoned)| Step::Cordon(place, cordoned)),
        1 => place().prop_map(Step::Recovered),
        2 => (place(), used()).prop_map(|(place, parts)| Step::UsedElsewhere(place, parts)),
    ];
    proptest::collection::vec(step, 0..=length)
}

/// Any configuration that is valid.
pub fn configs() -> impl Strategy<Value = RegistryConfig> {
    let scoring = prop_oneof![
        Just(Scoring::Adaptive),
        Just(Scoring::Composite),
        Just(Scoring::Cheapest),
        Just(Scoring::Weighted),
    ];
    let times =
        (millis(1..60_000), millis(0..600_000), millis(0..20_000), millis(1..120_000), millis(0..120_000));
    let shares = (0.0..=1.0, millis(0..1_000), 0.0..=1.0);
    (scoring, any::<bool>(), times, shares).prop_map(|(scoring, composite_failover, times, shares)| {
        let (decay, more, failure_penalty, forgive, ramp) = times;
        let (preference, preference_max, affinity) = shares;
        RegistryConfig {
            scoring,
            composite_failover,
            decay,
            memory: decay + more,
            failure_penalty,
            forgive,
            ramp,
            preference: Ratio::constant(preference),
            preference_max,
            affinity: Ratio::constant(affinity),
        }
    })
}

/// Any numbers of a deployment, without limits.
pub fn numbers() -> impl Strategy<Value = Numbers> {
    let price = proptest::option::of((0_u32..4).prop_map(f64::from));
    (0.1..10.0, price, proptest::option::of(millis(1..10_000))).prop_map(
        |(weight, price, initial_latency)| Numbers {
            weight: Weight::new(weight).unwrap_or_default(),
            price: price.and_then(|price| Price::new(price).ok()),
            initial_latency,
            ..Numbers::default()
        },
    )
}

/// A registry and a model of each of its deployments, played side by side.
#[derive(Debug)]
pub struct Bench {
    /// The machine.
    pub registry: Registry,
    /// Its deployments.
    pub ids: Vec<DeploymentId>,
    /// The models, in the same order.
    pub models: Vec<Model>,
    /// The time.
    pub now: Instant,
    /// The latest time that the registry was handed.
    handed: Option<Instant>,
    running: Vec<Vec<InFlight>>,
}

impl Bench {
    /// So many equal deployments, each in a region of its own, `r0` and so on, and nothing has happened.
    pub fn new(registry: Registry, deployments: usize, t0: Instant) -> Self {
        Self::with_numbers(registry, &vec![Numbers::default(); deployments], t0)
    }

    /// A deployment for each of these numbers, each in a region of its own, and nothing has happened.
    pub fn with_numbers(mut registry: Registry, numbers: &[Numbers], t0: Instant) -> Self {
        let deploy = |(place, &numbers): (usize, &Numbers)| {
            registry.insert(Deployment::new("p", format!("r{place}"), "m").with(numbers))
        };
        let ids = numbers.iter().enumerate().map(deploy).collect();
        let models = numbers.iter().map(|&numbers| Model::new(numbers)).collect();
        let running = numbers.iter().map(|_| Vec::new()).collect();
        Self { registry, ids, models, now: t0, handed: None, running }
    }

    /// Plays one step; one that names no deployment or no attempt does nothing.
    pub fn play(&mut self, step: &Step) {
        match *step {
            Step::Wait(time) => self.now += time,
            Step::Begin(place) => {
                let now = self.now;
                let Some((id, model)) = self.at(place) else { return };
                model.begin(now);
                self.handed = Some(now);
                let in_flight = self.registry.begin(id, now);
                if let Some(list) = self.running.get_mut(place) {
                    list.push(in_flight);
                }
            }
            Step::Finish(place, sample) => {
                let Some(in_flight) = self.end(place, self.now, Some(sample)) else { return };
                self.handed = Some(self.now);
                self.registry.finish(in_flight, sample, self.now);
            }
            Step::Abandon(place) => {
                let at = self.handed.unwrap_or(self.now);
                if let Some(in_flight) = self.end(place, at, None) {
                    self.registry.abandon(in_flight);
                }
            }
            Step::Cooldown(place, wait, origin) => {
                let until = self.now + wait;
                let Some((id, model)) = self.at(place) else { return };
                model.cool(until, origin);
                self.registry.cooldown(id, until, origin);
            }
            Step::Cordon(place, cordoned) => {
                let Some((id, model)) = self.at(place) else { return };
                model.cordoned = cordoned;
                if cordoned { self.registry.cordon(id) } else { self.registry.uncordon(id) }
            }
            Step::Recovered(place) => {
                let now = self.now;
                let Some((id, model)) = self.at(place) else { return };
                model.recovered = Some(now);
                self.handed = Some(now);
                self.registry.recovered(id, now);
            }
            Step::UsedElsewhere(place, ref parts) => {
                let now = self.now;
                let Some((id, model)) = self.at(place) else { return };
                model.hear(parts.clone(), now);
                self.handed = Some(now);
                self.registry.used_elsewhere(id, parts, now);
            }
        }
    }

    /// Drops whatever is in flight.
    pub fn drain(&mut self) {
        for place in 0..self.ids.len() {
            while self.running.get(place).is_some_and(|list| !list.is_empty()) {
                self.play(&Step::Abandon(place));
            }
        }
    }

    fn at(&mut self, place: usize) -> Option<(DeploymentId, &mut Model)> {
        Some((*self.ids.get(place)?, self.models.get_mut(place)?))
    }

    /// Takes the oldest attempt of a deployment out.
    fn end(&mut self, place: usize, at: Instant, sample: Option<Sample>) -> Option<InFlight> {
        let list = self.running.get_mut(place).filter(|list| !list.is_empty())?;
        self.models.get_mut(place)?.end(at, sample);
        Some(list.remove(0))
    }
}
