//! The machine: deployments, what is known of them, and the choice.

use crate::config::RegistryConfig;
use crate::deployment::{Deployment, DeploymentId, Numbers};
use crate::error::{ConfigError, NoPick, Why};
use crate::load::{Count, Minute, Used};
use crate::pick::{Cooldowns, Pick, admit, last_resort};
use crate::query::Query;
use crate::quota::{CooldownOrigin, Quota};
use crate::sample::Sample;
use crate::selector::{Choices, Selector};
use crate::state::{State, Table};
use crate::view::View;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many events wait to be polled; then the oldest goes.
const EVENTS: usize = 1024;

/// News of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A deployment failed three times in a row: the article's advice to fail over. Once in a run of failures.
    FailoverAdvised {
        /// Which.
        id: DeploymentId,
    },
}

/// An attempt that has begun and not ended.
///
/// The count of attempts in flight falls when it is given back by [`Registry::finish`] or [`Registry::abandon`]; each
/// consumes it, so that none is counted twice. It has no `Drop`: who wants that uses [`SharedRegistry`](crate::SharedRegistry).
#[must_use = "an attempt that is never finished nor abandoned stays in flight for ever"]
#[derive(Debug)]
pub struct InFlight {
    id: DeploymentId,
    told: bool,
}

impl InFlight {
    /// Which deployment is asked.
    #[must_use]
    pub const fn id(&self) -> DeploymentId {
        self.id
    }
}

/// Knows the deployments and chooses among them.
///
/// Inputs are what happened ([`begin`](Self::begin), [`finish`](Self::finish), [`cooldown`](Self::cooldown) and their like);
/// the one decision is [`pick`](Self::pick). `now` should not go back between calls; where it does, it is read as 'no time
/// has passed'. What concerns an id that was removed changes nothing.
///
/// Invariant: a pick satisfies every hard constraint of its query, save that an inferred cooldown is waived when nobody else
/// is left. A score only orders those that may be asked.
#[derive(Debug)]
pub struct Registry {
    config: RegistryConfig,
    selector: Option<Box<dyn Selector>>,
    table: Table,
    events: VecDeque<Event>,
    latest: Option<Instant>,
}

impl Registry {
    /// An empty registry.
    ///
    /// # Errors
    /// Those of [`RegistryConfig::validate`].
    pub fn new(config: RegistryConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config, selector: None, table: Table::default(), events: VecDeque::new(), latest: None })
    }

    /// The same registry with a choice of the caller's own. A query's own scoring goes before it.
    #[must_use]
    pub fn with_selector(self, selector: Box<dyn Selector>) -> Self {
        Self { selector: Some(selector), ..self }
    }

    /// How it chooses and how long it remembers.
    #[must_use]
    pub const fn config(&self) -> &RegistryConfig {
        &self.config
    }

    /// Adds a deployment, of which nothing is known yet.
    pub fn insert(&mut self, deployment: Deployment) -> DeploymentId {
        self.table.insert(State::new(deployment, &self.config))
    }

    /// Forgets a deployment. Attempts in flight there may still be finished; that changes nothing.
    pub fn remove(&mut self, id: DeploymentId) -> Option<Deployment> {
        self.table.remove(id).map(|state| state.deployment)
    }

    /// Changes a deployment's numbers; all that is known of it stays.
    pub fn update(&mut self, id: DeploymentId, numbers: Numbers) {
        if let Some(state) = self.table.get_mut(id) {
            state.deployment.numbers = numbers;
        }
    }

    /// An attempt begins: one more in flight, and one more request of this minute.
    pub fn begin(&mut self, id: DeploymentId, now: Instant) -> InFlight {
        let now = self.on_time(now);
        if let Some(state) = self.table.get_mut(id) {
            state.in_flight = state.in_flight.saturating_add(1);
            state.minute.record(Count { requests: 1, tokens: 0 }, now);
            state.headroom.spend(1, 0);
        }
        InFlight { id, told: false }
    }

    /// The first content of an attempt has come: an early sample, so that others learn before the stream ends. Told once;
    /// the token remembers it, and what [`finish`](Self::finish) says of the first token is then not counted again.
    pub fn first_token(&mut self, in_flight: &mut InFlight, after: Duration, now: Instant) {
        let now = self.on_time(now);
        if let Some(state) = self.table.get_mut(in_flight.id).filter(|_| !in_flight.told) {
            state.learn_first_token(after, self.config.forgive, now);
            in_flight.told = true;
        }
    }

    /// An attempt ended: one less in flight, and what it taught.
    pub fn finish(&mut self, in_flight: InFlight, sample: Sample, now: Instant) {
        let now = self.on_time(now);
        let Some(state) = self.table.get_mut(in_flight.id) else { return };
        state.in_flight = state.in_flight.saturating_sub(1);
        if state.learn(&sample, in_flight.told, &self.config, now) {
            if self.events.len() == EVENTS {
                self.events.pop_front();
            }
            self.events.push_back(Event::FailoverAdvised { id: in_flight.id });
        }
    }

    /// An attempt ended and taught nothing. Needs no clock: it can be called where something is dropped.
    /// Where it matters when it ended, that is the latest time that the registry was handed.
    pub fn abandon(&mut self, in_flight: InFlight) {
        if let Some(state) = self.table.get_mut(in_flight.id) {
            state.in_flight = state.in_flight.saturating_sub(1);
            if let Some(latest) = self.latest {
                state.told_nothing(latest);
            }
        }
    }

    /// A deployment is to be left alone until an instant.
    ///
    /// The provider's word replaces what we had concluded; what we conclude later counts when its wait is over. Of two waits
    /// of one origin the longer holds.
    pub fn cooldown(&mut self, id: DeploymentId, until: Instant, origin: CooldownOrigin) {
        let Some(state) = self.table.get_mut(id) else { return };
        match origin {
            CooldownOrigin::Named => (state.named, state.inferred) = (state.named.max(Some(until)), None),
            CooldownOrigin::Inferred => state.inferred = state.inferred.max(Some(until)),
        }
    }

    /// Others say that a deployment fails. For a while it looks no cheaper than if it had failed here; its health, and whether it may be
    /// asked, stay as they are.
    pub fn suspect(&mut self, id: DeploymentId, now: Instant) {
        let now = self.on_time(now);
        if let Some(state) = self.table.get_mut(id) {
            state.ttft.raise(self.config.failure_penalty, now);
            state.answer.raise(self.config.failure_penalty, now);
        }
    }

    /// What others used of a deployment's last minute, as they tell it now: all of it, in place of what was heard before. It counts
    /// beside what was used here in limits per minute, and each part no longer than it says; an empty list forgets.
    pub fn used_elsewhere(&mut self, id: DeploymentId, parts: &[Used], now: Instant) {
        let now = self.on_time(now);
        if let Some(state) = self.table.get_mut(id) {
            state.elsewhere = (!parts.is_empty()).then(|| Box::new(Minute::heard(parts, now)));
        }
    }

    /// An operator takes a deployment out.
    pub fn cordon(&mut self, id: DeploymentId) {
        if let Some(state) = self.table.get_mut(id) {
            state.cordoned = true;
        }
    }

    /// An operator takes a deployment back.
    pub fn uncordon(&mut self, id: DeploymentId) {
        if let Some(state) = self.table.get_mut(id) {
            state.cordoned = false;
        }
    }

    /// Whether an operator took a deployment out.
    #[must_use]
    pub fn is_cordoned(&self, id: DeploymentId) -> bool {
        self.table.get(id).is_some_and(|state| state.cordoned)
    }

    /// A provider's headers said what is left.
    pub fn note_quota(&mut self, id: DeploymentId, quota: Quota, now: Instant) {
        let now = self.on_time(now);
        if let Some(state) = self.table.get_mut(id) {
            state.headroom.note(&quota, now);
        }
    }

    /// A deployment's circuit has closed again: its share of the traffic rises from a tenth to all of it.
    pub fn recovered(&mut self, id: DeploymentId, now: Instant) {
        let now = self.on_time(now);
        if let Some(state) = self.table.get_mut(id) {
            state.recovered = Some(now);
        }
    }

    /// The oldest news not yet taken. At most 1,024 wait; then the oldest goes.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Chooses one of the query's candidates.
    ///
    /// The same state, query, `draw` and `now` give the same choice. It allocates nothing. Choosing does not begin an attempt.
    ///
    /// # Errors
    /// [`NoPick`] says why nobody may be asked, and when asking again can help.
    pub fn pick(&mut self, query: &Query<'_>, draw: u64, now: Instant) -> Result<Pick, NoPick> {
        let now = self.on_time(now);
        let choices = Choices { table: &self.table, config: &self.config, query, now };
        match (&mut self.selector, query.scoring) {
            (Some(selector), None) => match selector.select(&choices, draw) {
                Some(id) if is_admitted(&choices, id) => Ok(Pick { id, waived_cooldown: false }),
                _ => last_resort(known(&choices), query, Why::Declined, now),
            },
            (_, scoring) => match scoring.unwrap_or(self.config.scoring).decide(&choices, draw) {
                Some(decision) => Ok(Pick { id: decision.chosen.id(), waived_cooldown: false }),
                None => last_resort(known(&choices), query, Why::AllUnhealthy, now),
            },
        }
    }

    /// Attempts in flight at a deployment; none at one that is not known.
    #[must_use]
    pub fn in_flight(&self, id: DeploymentId) -> u32 {
        self.table.get(id).map_or(0, |state| state.in_flight)
    }

    /// What was used here of a deployment's last minute, for others to know: at most thirteen parts, the oldest first. What was heard
    /// from others is not told on.
    #[must_use]
    pub fn used(&self, id: DeploymentId, now: Instant) -> Vec<Used> {
        let now = self.time(now);
        self.table.get(id).map_or_else(Vec::new, |state| state.minute.told(now))
    }

    /// The facts of a deployment; `None` when it is not known.
    #[must_use]
    pub fn view(&self, id: DeploymentId, now: Instant) -> Option<View> {
        let now = self.time(now);
        let state = self.table.get(id)?;
        let (used, memory) = (state.minute.total_at(now), self.config.memory);
        let elsewhere = state.used_elsewhere(now);
        let (remaining_requests, remaining_tokens) = state.headroom.left(now);
        Some(View {
            id,
            deployment: state.deployment.clone(),
            health: state.health.score,
            consecutive_failures: state.health.failures,
            failover_advised: state.health.failover_advised(),
            last_success: state.health.last_success,
            ttft_ms: state.ttft.usual_ms(now, memory),
            answer_ms: state.answer.usual_ms(now, memory),
            average_ms: state.health.average_ms,
            in_flight: state.in_flight,
            requests_per_minute: used.requests,
            tokens_per_minute: used.tokens,
            requests_elsewhere: elsewhere.requests,
            tokens_elsewhere: elsewhere.tokens,
            remaining_requests,
            remaining_tokens,
            cooldown: state.cooldown_at(now),
            cordoned: state.cordoned,
            ramp: state.ramp(now, self.config.ramp),
        })
    }

    /// The candidates of a query as they stand, for a look without a choice.
    pub(crate) fn choices<'a>(&'a self, query: &'a Query<'a>, now: Instant) -> Choices<'a> {
        Choices { table: &self.table, config: &self.config, query, now: self.time(now) }
    }

    /// Whether a selector of the caller's own decides a query.
    pub(crate) fn selects(&self, query: &Query<'_>) -> bool {
        self.selector.is_some() && query.scoring.is_none()
    }

    /// Time does not go back.
    fn time(&self, now: Instant) -> Instant {
        self.latest.map_or(now, |latest| latest.max(now))
    }

    fn on_time(&mut self, now: Instant) -> Instant {
        *self.latest.insert(self.time(now))
    }
}

/// The query's candidates with their states.
pub(crate) fn known<'a>(choices: &Choices<'a>) -> impl Iterator<Item = (DeploymentId, Option<&'a State>)> {
    let table = choices.table;
    choices.query.candidates.iter().map(move |&id| (id, table.get(id)))
}

/// Whether a selector's answer is a candidate that may be asked.
fn is_admitted(choices: &Choices<'_>, id: DeploymentId) -> bool {
    choices.query.candidates.contains(&id)
        && choices
            .table
            .get(id)
            .is_some_and(|state| admit(state, id, choices.query, Cooldowns::Kept, choices.now).is_ok())
}
