//! All that is known of one deployment, and the table that holds it by id.
//!
//! Apart from the registry, whose methods say what may happen: here is what then changes.

use crate::config::RegistryConfig;
use crate::deployment::{Deployment, DeploymentId};
use crate::error::Refusal;
use crate::health::Health;
use crate::latency::{Latency, is_older};
use crate::load::{Count, Minute};
use crate::query::Kind;
use crate::quota::{CooldownOrigin, Headroom};
use crate::sample::Sample;
use crate::view::Cooldown;
use std::time::{Duration, Instant};

/// What a just recovered deployment starts with.
const RAMP_FLOOR: f64 = 0.1;

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
    pub(crate) named: Option<Instant>,
    pub(crate) inferred: Option<Instant>,
    pub(crate) recovered: Option<Instant>,
    pub(crate) headroom: Headroom,
    /// Boxed: a thousand bytes that only limits need would spread the rest over the cache.
    pub(crate) minute: Box<Minute>,
    /// What others used, where they told of any.
    pub(crate) elsewhere: Option<Box<Minute>>,
}

impl State {
    pub(crate) fn new(deployment: Deployment, config: &RegistryConfig) -> Self {
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
            elsewhere: None,
            deployment,
        }
    }

    #[inline]
    pub(crate) fn is_cooling(&self, now: Instant) -> bool {
        // Both are none for most: then one look at each tag is all.
        let on = |until: Option<Instant>| until.is_some_and(|until| now < until);
        on(self.named) | on(self.inferred)
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

    /// What others used within the last minute.
    pub(crate) fn used_elsewhere(&self, now: Instant) -> Count {
        self.elsewhere.as_ref().map_or_else(Count::default, |minute| minute.total_at(now))
    }

    /// Why a request of `tokens` has no room within the limits; `None` when it has.
    pub(crate) fn quota_lacks(&self, tokens: u64, now: Instant) -> Option<Refusal> {
        let ours = self.limits_lack(tokens, now);
        match (ours, self.headroom.lacks(tokens, now)) {
            (ours, None) => ours,
            (Some(Refusal::Quota { until } | Refusal::SharedQuota { until }), Some(theirs)) => {
                Some(Refusal::Quota { until: until.max(theirs) })
            }
            (_, Some(until)) => Some(Refusal::Quota { until }),
        }
    }

    /// Until when our own limits have no room, and whether that is for what others used.
    fn limits_lack(&self, tokens: u64, now: Instant) -> Option<Refusal> {
        let limits = &self.deployment.numbers.limits;
        if limits.requests_per_minute.is_none() && limits.tokens_per_minute.is_none() {
            return None;
        }
        let own = self.minute.total_at(now);
        let all = own.plus(self.used_elsewhere(now));
        if limits.has_room(all.requests, all.tokens.saturating_add(tokens)) {
            return None;
        }
        let minutes = [Some(&self.minute), self.elsewhere.as_ref()];
        let frees_at = minutes.into_iter().flatten().filter_map(|minute| minute.frees_at(now)).min();
        let until = frees_at.unwrap_or(now);
        let is_shared = limits.has_room(own.requests, own.tokens.saturating_add(tokens));
        Some(if is_shared { Refusal::SharedQuota { until } } else { Refusal::Quota { until } })
    }

    pub(crate) const fn latency(&self, kind: Kind) -> &Latency {
        match kind {
            Kind::Stream => &self.ttft,
            Kind::Whole => &self.answer,
        }
    }

    /// Whether it deserves one try: idle, and never tried, or not for a `memory`; or in doubt, and either a `forgive` has
    /// passed since its last attempt ended, or the wait that the provider named since then is over. `known` says whether
    /// its usual latency is remembered.
    #[inline]
    pub(crate) fn is_untried(&self, kind: Kind, known: bool, now: Instant, config: &RegistryConfig) -> bool {
        if self.in_flight > 0 {
            return false;
        }
        let Some(tried) = self.latency(kind).tried() else { return true };
        let waited = || self.named.is_some_and(|until| tried < until && until <= now);
        let in_doubt = self.health.failures > 0 || !known;
        is_older(tried, config.memory, now)
            || (in_doubt && (is_older(tried, config.forgive, now) || waited()))
    }

    pub(crate) fn told_nothing(&mut self, now: Instant) {
        self.ttft.told_nothing(now);
        self.answer.told_nothing(now);
    }

    #[inline]
    pub(crate) fn ramp(&self, now: Instant, over: Duration) -> f64 {
        let Some(since) = self.recovered else { return 1.0 };
        let age = now.saturating_duration_since(since);
        if age >= over { 1.0 } else { age.div_duration_f64(over).max(RAMP_FLOOR) }
    }

    pub(crate) fn learn_first_token(&mut self, after: Duration, forgive: Duration, now: Instant) {
        self.ttft.add(after, forgive, now);
        self.health.on_latency(after);
    }

    fn learn_answer(&mut self, after: Duration, forgive: Duration, now: Instant) {
        self.answer.add(after, forgive, now);
        self.health.on_latency(after);
    }

    /// Takes a sample; says whether it advises failover.
    pub(crate) fn learn(
        &mut self,
        sample: &Sample,
        told: bool,
        config: &RegistryConfig,
        now: Instant,
    ) -> bool {
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

    pub(crate) fn get_mut(&mut self, id: DeploymentId) -> Option<&mut State> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        slot.state.as_mut()
    }

    pub(crate) fn insert(&mut self, state: State) -> DeploymentId {
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

    pub(crate) fn remove(&mut self, id: DeploymentId) -> Option<State> {
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
