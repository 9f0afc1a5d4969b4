//! How many attempts a request may cost: retries after one ended, hedges beside a running one.

use serde::Deserialize;

/// The most attempts that one request may be given.
pub const MOST_ATTEMPTS: u8 = 16;

/// Attempts after the first: table `[retry]`, and `[models.NAME.retry]` for one model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Retry {
    /// Attempts of one request, the first included: 1 to [`MOST_ATTEMPTS`]. Default 4.
    pub max_attempts: u8,
    /// Capacity of the retry budget, one budget a model; 0 leaves first failovers only. Default 500.
    pub budget: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: 4, budget: 500 }
    }
}

/// Attempts beside a slow one: table `[hedge]`, and `[models.NAME.hedge]` for one model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Hedge {
    /// Whether a request that is slower than most may be asked elsewhere too. Default no.
    pub enabled: bool,
}
