//! The machine: deployments, what is known of them, and the choice.

use crate::config::RegistryConfig;
use crate::deployment::{Deployment, DeploymentId, Numbers};
use crate::error::{ConfigError, NoPick, Why};
use crate::health::Health;
use crate::latency::{Latency, is_older};
use crate::load::{Count, Minute};
use crate::pick::{Cooldowns, Pick, admit, last_resort};
use crate::query::{Kind, Query};
use crate::quota::{CooldownOrigin, Headroom, Quota};
use crate::sample::Sample;
use crate::selector::{Choices, Selector};
use crate::view::{Cooldown, View};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many events wait to be polled; then the oldest goes.
const EVENTS: usize = 1024;
/// What a just recovered deployment starts with.
const RAMP_FLOOR: f64 = 0.1;

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

/// All that is known of one deployment.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) deployment: Deployment,
    pub(crate) fingerprint: u64,
    pub(crate) in_flight: u32,
    pub(crate) cordoned: bool,
    pub(crate) health: Health,
    pub(crate) ttft: Latency,
    pub(crate) answer: Latency,
    named: Option<Instant>,
    inferred: Option<Instant>,
    recovered: Option<Instant>,
    headroom: Headroom,
    /// Boxed: a thousand bytes that only limits need would spread the rest over the cache.
    minute: Box<Minute>,
}

impl State {
    fn new(deployment: Deployment, config: &RegistryConfig) -> Self {
        Self {
            fingerprint: deployment.fingerprint(),
            in_flight: 0,
            cordoned: false,
            health: Health::new(deployment.numbers.initial_latency),
            ttft: Latency::new(config.decay),
            answer: Latency::new(config.decay),
            named: None,
            inferred: None,
            recovered: None,
            headroom: Headroom::default(),
            minute: Box::new(Minute::new()),
            deployment,
        }
    }

    #[inline]
    pub(crate) fn is_cooling(&self, now: Instant) -> bool {
        self.named.is_some_and(|until| now < until) || self.inferred.is_some_and(|until| now < until)
    }

    pub(crate) fn cooldown_at(&self, now: Instant) -> Option<Cooldown> {
        let on = |until: Option<Instant>, origin| {
            until.filter(|&until| now < until).map(|until| Cooldown { until, origin })
        };
        on(self.named, CooldownOrigin::Named).or_else(|| on(self.inferred, CooldownOrigin::Inferred))
    }

    /// Whether anything at all is known that could lack.
    #[inline]
    pub(crate) const fn has_quota(&self) -> bool {
        let limits = &self.deployment.numbers.limits;
        limits.requests_per_minute.is_some() || limits.tokens_per_minute.is_some() || self.headroom.is_noted()
    }

    /// Until when a request of `tokens` has no room within the limits; `None` when it has.
    pub(crate) fn quota_lacks(&self, tokens: u64, now: Instant) -> Option<Instant> {
        let limits = &self.deployment.numbers.limits;
        let ours = (limits.requests_per_minute.is_some() || limits.tokens_per_minute.is_some()).then(|| {
            let used = self.minute.total_at(now);
            let full =
                limits.requests_per_minute.is_some_and(|limit| used.requests >= u64::from(limit.get()))
                    || limits
                        .tokens_per_minute
                        .is_some_and(|limit| used.tokens.saturating_add(tokens) > limit.get());
            full.then(|| self.minute.frees_at(now))
        });
        ours.flatten().max(self.headroom.lacks(tokens, now))
    }

    pub(crate) const fn latency(&self, kind: Kind) -> &Latency {
        match kind {
            Kind::Stream => &self.ttft,
            Kind::Whole => &self.answer,
        }
    }

    /// Whether it deserves one try: idle, and never tried, or not for a `memory`; or in doubt, and either a `forgive` has
    /// passed since its last attempt ended, or the wait that the provider named since then is over.
    #[inline]
    pub(crate) fn is_untried(&self, kind: Kind, now: Instant, config: &RegistryConfig) -> bool {
        if self.in_flight > 0 {
            return false;
        }
        let latency = self.latency(kind);
        let Some(tried) = latency.tried() else { return true };
        let waited = || self.named.is_some_and(|until| tried < until && until <= now);
        let in_doubt = self.health.failures > 0 || latency.usual_ms(now, config.memory).is_none();
        is_older(tried, config.memory, now)
            || (in_doubt && (is_older(tried, config.forgive, now) || waited()))
    }

    fn told_nothing(&mut self, now: Instant) {
        self.ttft.told_nothing(now);
        self.answer.told_nothing(now);
    }

    #[inline]
    pub(crate) fn ramp(&self, now: Instant, over: Duration) -> f64 {
        let Some(since) = self.recovered else { return 1.0 };
        let age = now.saturating_duration_since(since);
        if age >= over { 1.0 } else { age.div_duration_f64(over).max(RAMP_FLOOR) }
    }

    fn learn_first_token(&mut self, after: Duration, forgive: Duration, now: Instant) {
        self.ttft.add(after, forgive, now);
        self.health.on_latency(after);
    }

    fn learn_answer(&mut self, after: Duration, forgive: Duration, now: Instant) {
        self.answer.add(after, forgive, now);
        self.health.on_latency(after);
    }

    /// Takes a sample; says whether it advises failover.
    fn learn(&mut self, sample: &Sample, told: bool, config: &RegistryConfig, now: Instant) -> bool {
        match *sample {
            Sample::Success { first_token, answer, tokens } => {
                self.health.on_success(now);
                if let Some(after) = first_token.filter(|_| !told) {
                    self.learn_first_token(after, config.forgive, now);
                }
                if let Some(after) = answer {
                    self.learn_answer(after, config.forgive, now);
                }
                self.minute.record(Count { requests: 0, tokens }, now);
                self.headroom.spend(0, tokens);
            }
            Sample::Failure => {
                self.told_nothing(now);
                self.ttft.raise(config.failure_penalty, now);
                self.answer.raise(config.failure_penalty, now);
                return self.health.on_failure();
            }
            Sample::Cancelled { kind, waited, content: false } => {
                self.told_nothing(now);
                // A whole answer takes at least as long as its first token, so a stream's wait bounds both.
                self.answer.raise(waited, now);
                if kind == Kind::Stream {
                    self.ttft.raise(waited, now);
                }
            }
            Sample::Cancelled { content: true, .. } | Sample::RateLimited | Sample::Neutral => {
                self.told_nothing(now);
            }
        }
        false
    }
}

/// A place for a deployment, and how many have had it.
#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    state: Option<State>,
}

/// Deployments by id: an index into a table, and the generation that must agree.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Table {
    #[inline]
    pub(crate) fn get(&self, id: DeploymentId) -> Option<&State> {
        let slot = self.slots.get(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        slot.state.as_ref()
    }

    fn get_mut(&mut self, id: DeploymentId) -> Option<&mut State> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        slot.state.as_mut()
    }

    fn insert(&mut self, state: State) -> DeploymentId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let generation = self.slots.get_mut(index as usize).map_or(0, |slot| {
            slot.state = Some(state);
            slot.generation
        });
        DeploymentId { index, generation }
    }

    fn remove(&mut self, id: DeploymentId) -> Option<State> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        let state = slot.state.take()?;
        // After four thousand million lives a place is retired, so that no id ever returns.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(id.index);
        }
        Some(state)
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

    /// The facts of a deployment; `None` when it is not known.
    #[must_use]
    pub fn view(&self, id: DeploymentId, now: Instant) -> Option<View> {
        let now = self.time(now);
        let state = self.table.get(id)?;
        let (used, memory) = (state.minute.total_at(now), self.config.memory);
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
