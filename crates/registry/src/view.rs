//! The facts of one deployment, for a status page.

use crate::deployment::{Deployment, DeploymentId};
use crate::quota::CooldownOrigin;
use std::time::Instant;

/// A stay away from a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cooldown {
    /// Its end.
    pub until: Instant,
    /// Who said so.
    pub origin: CooldownOrigin,
}

/// The facts of one deployment at one time.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct View {
    /// Which.
    pub id: DeploymentId,
    /// Its identity and numbers.
    pub deployment: Deployment,
    /// Health, 0 to 100.
    pub health: f64,
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// Whether three or more failures in a row advise failover.
    pub failover_advised: bool,
    /// When it last succeeded.
    pub last_success: Option<Instant>,
    /// The usual time to first token in milliseconds, while it is remembered; without penalties.
    pub ttft_ms: Option<f64>,
    /// The usual time to a whole answer in milliseconds, while it is remembered; without penalties.
    pub answer_ms: Option<f64>,
    /// The article's average latency in milliseconds: of all calls, nine parts old and one part new.
    pub average_ms: f64,
    /// Attempts in flight.
    pub in_flight: u32,
    /// Attempts begun within the last minute.
    pub requests_per_minute: u64,
    /// Tokens of attempts that finished within the last minute.
    pub tokens_per_minute: u64,
    /// Attempts that others began within the last minute, as far as they told.
    pub requests_elsewhere: u64,
    /// Tokens of others' attempts that finished within the last minute, as far as they told.
    pub tokens_elsewhere: u64,
    /// What the provider's last word leaves of requests, less what was used since.
    pub remaining_requests: Option<u64>,
    /// What the provider's last word leaves of tokens, less what was used since.
    pub remaining_tokens: Option<u64>,
    /// The cooldown that is on, if any.
    pub cooldown: Option<Cooldown>,
    /// Whether an operator has taken it out.
    pub cordoned: bool,
    /// The share of its traffic that it may have after a recovery, 0.1 to 1.
    pub ramp: f64,
}
