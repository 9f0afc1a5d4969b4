//! Strategies and a naive model (feature `proptest`), to property-test your own use of a registry, or your own registry.
//!
//! A history is a list of [`Step`]s. [`Bench`] plays it on a [`Registry`] and on a [`Model`], which keeps every event and
//! adds up anew whenever it is asked: slow, short, and easy to believe.

use crate::deployment::{Deployment, DeploymentId};
use crate::query::Kind;
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
}

/// Any sample, its latencies up to 20 s.
pub fn samples() -> impl Strategy<Value = Sample> {
    let latency = || (1_u64..20_000).prop_map(Duration::from_millis);
    prop_oneof![
        4 => latency().prop_map(Sample::first_token),
        2 => latency().prop_map(Sample::answer),
        3 => Just(Sample::Failure),
        1 => Just(Sample::RateLimited),
        1 => Just(Sample::Neutral),
        1 => (latency(), any::<bool>())
            .prop_map(|(waited, content)| Sample::Cancelled { kind: Kind::Stream, waited, content }),
    ]
}

/// Histories of up to `length` steps over so many deployments, at least one.
pub fn histories(deployments: usize, length: usize) -> impl Strategy<Value = Vec<Step>> {
    let place = 0..deployments.max(1);
    let step = prop_oneof![
        2 => (0_u64..30_000).prop_map(|ms| Step::Wait(Duration::from_millis(ms))),
        4 => place.clone().prop_map(Step::Begin),
        4 => (place.clone(), samples()).prop_map(|(place, sample)| Step::Finish(place, sample)),
        1 => place.prop_map(Step::Abandon),
    ];
    proptest::collection::vec(step, 0..=length)
}

/// What one deployment should look like, from all that ever happened to it.
#[derive(Clone, Debug, Default)]
pub struct Model {
    begun: Vec<Instant>,
    ended: usize,
    /// Successes and failures, in order.
    verdicts: Vec<bool>,
}

impl Model {
    /// Attempts in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.begun.len() - self.ended
    }

    /// Attempts begun within the minute before `now`, by whole seconds since the first one.
    #[must_use]
    pub fn requests_per_minute(&self, now: Instant) -> usize {
        let Some(&origin) = self.begun.first() else { return 0 };
        let second = |at: Instant| at.saturating_duration_since(origin).as_secs();
        self.begun.iter().filter(|&&at| second(at) + 60 > second(now)).count()
    }

    /// Failures since the last success.
    #[must_use]
    pub fn consecutive_failures(&self) -> usize {
        self.verdicts.iter().rev().take_while(|success| !**success).count()
    }

    /// The article's health: ten points for a success, at most 100; 95 % left by a failure.
    #[must_use]
    pub fn health(&self) -> f64 {
        self.verdicts.iter().fold(
            100.0,
            |health: f64, &success| if success { (health + 10.0).min(100.0) } else { health * 0.95 },
        )
    }
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
    running: Vec<Vec<InFlight>>,
}

impl Bench {
    /// So many equal deployments, each in a region of its own, and nothing has happened.
    pub fn new(mut registry: Registry, deployments: usize, t0: Instant) -> Self {
        let ids =
            (0..deployments).map(|n| registry.insert(Deployment::new("p", format!("r{n}"), "m"))).collect();
        let running = (0..deployments).map(|_| Vec::new()).collect();
        Self { registry, ids, models: vec![Model::default(); deployments], now: t0, running }
    }

    /// Plays one step; one that names no deployment or no attempt does nothing.
    pub fn play(&mut self, step: &Step) {
        match *step {
            Step::Wait(time) => self.now += time,
            Step::Begin(place) => {
                let (Some(&id), Some(model)) = (self.ids.get(place), self.models.get_mut(place)) else {
                    return;
                };
                model.begun.push(self.now);
                let in_flight = self.registry.begin(id, self.now);
                if let Some(list) = self.running.get_mut(place) {
                    list.push(in_flight);
                }
            }
            Step::Finish(place, sample) => {
                let Some((in_flight, model)) = self.end(place) else { return };
                match sample {
                    Sample::Success { .. } => model.verdicts.push(true),
                    Sample::Failure => model.verdicts.push(false),
                    Sample::RateLimited | Sample::Neutral | Sample::Cancelled { .. } => {}
                }
                self.registry.finish(in_flight, sample, self.now);
            }
            Step::Abandon(place) => {
                if let Some((in_flight, _)) = self.end(place) {
                    self.registry.abandon(in_flight);
                }
            }
        }
    }

    /// Takes the oldest attempt of a deployment out.
    fn end(&mut self, place: usize) -> Option<(InFlight, &mut Model)> {
        let list = self.running.get_mut(place).filter(|list| !list.is_empty())?;
        let model = self.models.get_mut(place)?;
        model.ended += 1;
        Some((list.remove(0), model))
    }
}
