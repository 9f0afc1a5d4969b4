//! The choice among those that may be asked, and how to bring your own.
//!
//! The registry keeps the facts and the hard constraints; a [`Selector`] is left with the taste. It cannot pick what may
//! not be asked: the registry looks at its answer again.
//!
//! ```
//! use outrigger_registry::{Choices, DeploymentId, Selector};
//!
//! /// Each in its turn.
//! #[derive(Debug, Default)]
//! struct RoundRobin(usize);
//!
//! impl Selector for RoundRobin {
//!     fn select(&mut self, choices: &Choices<'_>, _draw: u64) -> Option<DeploymentId> {
//!         let places = (self.0..choices.len()).chain(0..self.0.min(choices.len()));
//!         let chosen = places.filter_map(|place| choices.get(place)).next()?;
//!         self.0 = chosen.place() + 1;
//!         Some(chosen.id())
//!     }
//! }
//! ```

use crate::config::{RegistryConfig, Scoring};
use crate::deployment::{Deployment, DeploymentId};
use crate::latency::millis;
use crate::pick::{Cooldowns, admit};
use crate::query::Query;
use crate::score::Rank;
use crate::state::{State, Table};
use std::fmt;
use std::time::Instant;

/// Chooses among those that may be asked. The built-in [`Scoring`] is one.
pub trait Selector: fmt::Debug + Send {
    /// The chosen one; `None` declines all. `draw` is the decision's chance: the same state and draw should give the same.
    fn select(&mut self, choices: &Choices<'_>, draw: u64) -> Option<DeploymentId>;
}

impl Selector for Scoring {
    fn select(&mut self, choices: &Choices<'_>, draw: u64) -> Option<DeploymentId> {
        self.decide(choices, draw).map(|decision| decision.chosen.id())
    }
}

/// The candidates of one query. Whether one may be asked is found out when it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Choices<'a> {
    pub(crate) table: &'a Table,
    pub(crate) config: &'a RegistryConfig,
    pub(crate) query: &'a Query<'a>,
    pub(crate) now: Instant,
}

impl<'a> Choices<'a> {
    /// How many candidates the query names, those that may not be asked included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.query.candidates.len()
    }

    /// Whether the query names nobody.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.query.candidates.is_empty()
    }

    /// The candidate at a place of the query's list, if it may be asked now.
    #[must_use]
    #[inline(always)]
    pub fn get(&'a self, place: usize) -> Option<Candidate<'a>> {
        let candidate = self.known(place)?;
        admit(candidate.state, candidate.id, self.query, Cooldowns::Kept, self.now).ok()?;
        Some(candidate)
    }

    /// Those that may be asked, in the query's order.
    pub fn iter(&'a self) -> impl Iterator<Item = Candidate<'a>> {
        (0..self.len()).filter_map(|place| self.get(place))
    }

    /// The candidate at a place, whether or not it may be asked.
    #[inline]
    pub(crate) fn known(&'a self, place: usize) -> Option<Candidate<'a>> {
        let id = *self.query.candidates.get(place)?;
        let state = self.table.get(id)?;
        Some(Candidate { id, place, state, choices: self })
    }

    /// The query that is asked.
    #[must_use]
    pub const fn query(&self) -> &'a Query<'a> {
        self.query
    }
}

/// One that may be asked, with the facts that choices are made of.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    id: DeploymentId,
    place: usize,
    pub(crate) state: &'a State,
    choices: &'a Choices<'a>,
}

impl<'a> Candidate<'a> {
    /// Who it is.
    #[must_use]
    #[inline]
    pub const fn id(&self) -> DeploymentId {
        self.id
    }

    /// Its place in the query's list.
    #[must_use]
    pub const fn place(&self) -> usize {
        self.place
    }

    /// Its identity and numbers.
    #[must_use]
    #[inline]
    pub const fn deployment(&self) -> &'a Deployment {
        &self.state.deployment
    }

    /// Health, 0 to 100.
    #[must_use]
    pub const fn health(&self) -> f64 {
        self.state.health.score
    }

    /// Failures in a row.
    #[must_use]
    #[inline]
    pub const fn consecutive_failures(&self) -> u32 {
        self.state.health.failures
    }

    /// Attempts in flight.
    #[must_use]
    #[inline]
    pub const fn in_flight(&self) -> u32 {
        self.state.in_flight
    }

    /// Whether it deserves one try for the query's kind, before all others. It is idle, and of that kind nothing was tried
    /// within [`memory`](RegistryConfig::memory); or it is in doubt (its last news is a failure, or no latency is known) and
    /// has waited: a [`forgive`](RegistryConfig::forgive) since its last attempt ended, or until the end of a wait that the
    /// provider named after it.
    #[must_use]
    #[inline]
    pub fn is_untried(&self) -> bool {
        self.is_untried_knowing(self.usual_ms())
    }

    /// The latency that the adaptive score compares, in milliseconds, before the region's preference: of the query's kind,
    /// with penalties; as long as nothing is known, that of a failure.
    #[must_use]
    #[inline]
    pub fn latency_ms(&self) -> f64 {
        self.latency_knowing(self.usual_ms())
    }

    /// What is usual for the query's kind, while it is remembered. Most terms need it: a score asks once.
    #[inline]
    pub(crate) fn usual_ms(&self) -> Option<f64> {
        self.state.latency(self.choices.query.kind).usual_ms(self.choices.now, self.choices.config.memory)
    }

    #[inline]
    pub(crate) fn is_untried_knowing(&self, usual_ms: Option<f64>) -> bool {
        let Choices { query, now, config, .. } = *self.choices;
        self.state.is_untried(query.kind, usual_ms.is_some(), now, config)
    }

    #[inline]
    pub(crate) fn latency_knowing(&self, usual_ms: Option<f64>) -> f64 {
        let base_ms = usual_ms.unwrap_or_else(|| {
            let penalty = self.choices.config.failure_penalty;
            let initial = self.state.deployment.numbers.initial_latency;
            millis(initial.map_or(penalty, |initial| initial.max(penalty)))
        });
        self.state.latency(self.choices.query.kind).estimate_ms(base_ms, self.choices.now)
    }

    /// By how many milliseconds the query's preference lowers a latency here: at most a share of it, at most so much.
    #[must_use]
    #[inline]
    pub fn preference_ms(&self, latency_ms: f64) -> f64 {
        let nearness = self.choices.query.nearness(&self.state.deployment.region);
        if nearness <= 0.0 {
            return 0.0;
        }
        let config = self.choices.config;
        nearness * (latency_ms * config.preference.get()).min(millis(config.preference_max))
    }

    /// The share of its traffic that it may have after a recovery, 0.1 to 1.
    #[must_use]
    #[inline]
    pub fn ramp(&self) -> f64 {
        self.state.ramp(self.choices.now, self.choices.config.ramp)
    }

    /// Weight x ramp.
    #[must_use]
    #[inline]
    pub fn share(&self) -> f64 {
        self.state.deployment.numbers.weight.get() * self.ramp()
    }

    /// How dear the adaptive score finds it: latency x (in flight + 1) x failure penalty / (weight x ramp), in milliseconds.
    #[must_use]
    pub fn cost(&self) -> f64 {
        Rank::of(self).cost
    }
}
