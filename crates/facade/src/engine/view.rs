//! The engine seen from outside: its state for operators, and its choices explained.

use std::{sync::Arc, time::Instant};

use breaker::State;
use registry::Explanation;

use super::{Ask, Engine};

/// What is counted of a deployment since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub attempts: u64,
    pub failures: u64,
    pub cost_usd: f64,
    pub estimated_usd: f64,
}

/// One deployment's state, as an operator wants to see it.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct DeploymentStatus {
    /// The provider's name in the configuration.
    pub provider: Arc<str>,
    /// The region's name in the configuration.
    pub region: Arc<str>,
    /// The provider's name of the model.
    pub model: Arc<str>,
    /// The worse of its two circuits: `closed`, `open`, `half_open`, `forced_open` or `disabled`.
    pub breaker: &'static str,
    /// Why it is out beyond its circuits: `credential`, `quota_spent`, `model_missing`.
    pub reason: Option<&'static str>,
    /// Which circuit that is: `endpoint` or `deployment`. Where both are closed, the level of what takes it out: `credential`, or
    /// `deployment` of a model that is missing.
    pub level: &'static str,
    /// Health, 0 to 100.
    pub health: f64,
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// Whether three in a row advise to prefer another place.
    pub failover_advised: bool,
    /// Milliseconds since the last success.
    pub last_success_ms: Option<u64>,
    /// Estimate of the time to first token, milliseconds.
    pub ttft_ms: Option<f64>,
    /// Estimate of the time of a whole plain answer, milliseconds.
    pub answer_ms: Option<f64>,
    /// Attempts running.
    pub in_flight: u32,
    /// Attempts begun within the last minute.
    pub requests_per_minute: u64,
    /// Attempts that other clients began within the last minute, as far as they told
    /// ([`Client::used_elsewhere`](crate::Client::used_elsewhere)).
    pub requests_elsewhere: u64,
    /// Milliseconds that the place is still left alone at the provider's wish; 0 for none.
    pub cooldown_ms: u64,
    /// Whether an operator took it out.
    pub cordoned: bool,
    /// Attempts since the start.
    pub attempts: u64,
    /// Failed attempts since the start.
    pub failures: u64,
    /// USD since the start, where the price is known; what no provider counted is estimated.
    pub cost_usd: f64,
    /// The part of it that is estimated.
    pub estimated_usd: f64,
}

/// A retry budget's state.
#[derive(Clone, Copy, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct RetryBudgetStatus {
    /// Tokens left.
    pub balance: u32,
    /// Tokens at most.
    pub capacity: u32,
}

impl Engine {
    /// The state of every deployment, in the plan's order.
    pub fn deployments(&self, now: Instant) -> Vec<DeploymentStatus> {
        let numbers = self.plan.deployment_numbers.live.iter();
        numbers.filter_map(|&number| self.deployment_status(number, now)).collect()
    }

    /// The state of one deployment, by its number in the plan.
    pub fn deployment_status(&self, number: usize, now: Instant) -> Option<DeploymentStatus> {
        let route = &self.plan.deployments.get(number)?.route;
        let view = self.registry.view(*self.ids.get(number)?, now)?;
        let counters = self.counters.get(number).copied().unwrap_or_default();
        let (state, at_endpoint) = self.circuits.worst(number, now);
        let out = self.circuits.out(number, now);
        let lacks_credential = out.is_some_and(|class| class.level() == wire::Level::Credential);
        Some(DeploymentStatus {
            provider: Arc::clone(&route.provider),
            region: Arc::clone(&route.region),
            model: Arc::clone(&route.model),
            breaker: state.as_str(),
            reason: out.map(wire::Class::as_str).or_else(|| self.circuits.reason(number)),
            level: match state {
                State::Closed | State::Disabled if lacks_credential => "credential",
                _ if at_endpoint => "endpoint",
                _ => "deployment",
            },
            health: view.health,
            consecutive_failures: view.consecutive_failures,
            failover_advised: view.failover_advised,
            last_success_ms: view.last_success.map(|at| millis(now.saturating_duration_since(at))),
            ttft_ms: view.ttft_ms,
            answer_ms: view.answer_ms,
            in_flight: view.in_flight,
            requests_per_minute: view.requests_per_minute,
            requests_elsewhere: view.requests_elsewhere,
            cooldown_ms: view
                .cooldown
                .map_or(0, |cooldown| millis(cooldown.until.saturating_duration_since(now))),
            cordoned: view.cordoned,
            attempts: counters.attempts,
            failures: counters.failures,
            cost_usd: counters.cost_usd,
            estimated_usd: counters.estimated_usd,
        })
    }

    /// The retry budget of every model, by its public name.
    pub fn retry_budgets(&self) -> Vec<(Arc<str>, RetryBudgetStatus)> {
        let status = |budget: &policy::Budget| RetryBudgetStatus {
            balance: budget.balance(),
            capacity: budget.capacity(),
        };
        let numbers = self.plan.model_numbers.live.iter();
        let models = numbers.filter_map(|&number| self.plan.models.get(number).zip(self.budgets.get(number)));
        models.map(|(model, budget)| (Arc::clone(&model.name), status(budget))).collect()
    }

    /// Every candidate with the terms of its score, the choice, and why the others lost; tier by tier. Changes nothing.
    pub fn explain(&self, ask: &Ask, draw: u64, now: Instant) -> Vec<Explanation> {
        let admits = |id| self.numbers.get(&id).is_some_and(|&number| self.circuits.admits(number, now));
        let explain = |tier| {
            let mut query = self.plan.query(ask, tier, self.own_selector);
            query.admits = &admits;
            self.registry.explain(&query, draw, now)
        };
        self.candidates.tiers(ask).map(explain).collect()
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
