//! What can be wrong with a configuration, and why a pick found nobody.

use crate::quota::CooldownOrigin;
use std::fmt;
use std::time::{Duration, Instant};

/// A number that no registry can be built from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A share outside 0 to 1.
    Ratio {
        /// What was given.
        value: f64,
    },
    /// A weight outside 0.000001 to 1,000,000.
    Weight {
        /// What was given.
        value: f64,
    },
    /// A price outside 0 to 1,000,000,000.
    Price {
        /// What was given.
        value: f64,
    },
    /// `decay` is below a millisecond: every estimate would be its last sample.
    DecayTooShort {
        /// What was given.
        decay: Duration,
    },
    /// `memory` is below `decay`: an estimate would be forgotten before it has settled.
    MemoryBelowDecay {
        /// What was given.
        memory: Duration,
        /// What it must not be below.
        decay: Duration,
    },
    /// `forgive` is zero: one that just failed would go first at once.
    ForgiveZero,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio { value } => write!(f, "a share must be within 0 and 1, not {value}"),
            Self::Weight { value } => write!(f, "a weight must be within 0.000001 and 1000000, not {value}"),
            Self::Price { value } => write!(f, "a price must be within 0 and 1000000000, not {value}"),
            Self::DecayTooShort { decay } => write!(f, "decay ({decay:?}) is below 1ms"),
            Self::MemoryBelowDecay { memory, decay } => {
                write!(f, "memory ({memory:?}) is below decay ({decay:?})")
            }
            Self::ForgiveZero => f.write_str("forgive must be above 0s"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// The hard constraint that kept one candidate out. Constraints are asked in this order; the first that says no is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The registry does not know the id (any more).
    NotConfigured,
    /// Its region is not one where the request may go.
    Residency,
    /// An operator has taken it out.
    Cordoned,
    /// The query excludes it, as having been tried.
    Excluded,
    /// It is to be left alone until an instant.
    Cooling {
        /// When it may be asked again.
        until: Instant,
        /// Whether the provider said so, or we concluded it.
        origin: CooldownOrigin,
    },
    /// A limit per minute, ours or the provider's, leaves no room for this request.
    Quota {
        /// When that can change.
        until: Instant,
    },
    /// A limit per minute of ours leaves no room because of what others used of it.
    SharedQuota {
        /// When that can change.
        until: Instant,
    },
    /// Its circuit does not admit.
    Circuit,
    /// As many attempts are in flight as it may have.
    Concurrency,
}

impl Refusal {
    /// When the refusal ends by itself; `None` when time alone does not end it.
    #[must_use]
    pub const fn until(&self) -> Option<Instant> {
        match *self {
            Self::Cooling { until, .. } | Self::Quota { until } | Self::SharedQuota { until } => Some(until),
            Self::NotConfigured
            | Self::Residency
            | Self::Cordoned
            | Self::Excluded
            | Self::Concurrency
            | Self::Circuit => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConfigured => "not configured",
            Self::Residency => "outside the residency",
            Self::Cordoned => "cordoned",
            Self::Excluded => "excluded",
            Self::Cooling { origin: CooldownOrigin::Named, .. } => "cooling down, as the provider asked",
            Self::Cooling { origin: CooldownOrigin::Inferred, .. } => "cooling down, as we concluded",
            Self::Quota { .. } => "no quota left",
            Self::SharedQuota { .. } => "no quota left by what others used",
            Self::Concurrency => "at its concurrent limit",
            Self::Circuit => "circuit does not admit",
        })
    }
}

/// Why a pick found nobody, in the order in which they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// No candidate is known to the registry: the article's 'provider not configured'.
    NotConfigured,
    /// Candidates exist, but none where the request may go.
    Residency,
    /// Some may be asked, but the choice takes none: with `Scoring::Composite`, all are below health 30, the article's 'all
    /// unhealthy'.
    AllUnhealthy,
    /// Some may be asked, but the caller's own selector took none of them.
    Declined,
    /// All that are not out for another reason wait for a cooldown or a quota to end.
    Waiting,
    /// Each is out for a reason that time alone does not end: cordoned, excluded, full, or its circuit is not closed.
    NoneEligible,
}

/// A pick found nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoPick {
    /// Why.
    pub why: Why,
    /// The soonest end of a cooldown or a quota among the candidates; `None` when waiting is no help.
    pub retry_at: Option<Instant>,
    /// Whether somebody lacks nothing but a place: as soon as an attempt there ends, there is one.
    pub full: bool,
}

impl fmt::Display for NoPick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.why {
            Why::NotConfigured => "no candidate is configured",
            Why::Residency => "no candidate is within the residency",
            Why::AllUnhealthy => "all candidates are unhealthy",
            Why::Declined => "the selector took no candidate",
            Why::Waiting => "all candidates are cooling down or out of quota",
            Why::NoneEligible => "no candidate is eligible",
        })
    }
}

impl std::error::Error for NoPick {}
