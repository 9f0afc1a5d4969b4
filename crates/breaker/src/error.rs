//! What can be wrong with a config, found once, before a machine exists.

use std::fmt;
use std::time::Duration;

/// Why a config was refused. No machine exists with a bad one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A ratio outside 0 to 1, or not a number.
    Ratio {
        /// The value given.
        value: f64,
    },
    /// A number that must be at least 1 is 0.
    Zero {
        /// The field's name.
        field: &'static str,
    },
    /// A number is above what memory and sense allow.
    TooLarge {
        /// The field's name.
        field: &'static str,
        /// The value given.
        value: u64,
        /// The largest allowed.
        limit: u64,
    },
    /// The cap of the open time is below its start.
    MaxBelowBase {
        /// `recovery_timeout`.
        base: Duration,
        /// `recovery_timeout_max`.
        max: Duration,
    },
    /// The open time's growth is below 1 or not finite.
    Factor {
        /// The value given.
        value: f64,
    },
    /// More successes are asked for than trials are admitted: the circuit could never close.
    SuccessesAboveTrials {
        /// `success_threshold`.
        successes: u32,
        /// `half_open_max_calls`.
        trials: u32,
    },
    /// A slow-call rate without the duration above which a call is slow.
    SlowRateWithoutDuration,
    /// A window shorter than one nanosecond a bucket.
    BucketsTooNarrow {
        /// The window's length.
        length: Duration,
        /// Its buckets.
        buckets: u32,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio { value } => write!(f, "{value} is not a ratio between 0 and 1"),
            Self::Zero { field } => write!(f, "{field} must not be zero"),
            Self::TooLarge { field, value, limit } => write!(f, "{field} ({value}) is above {limit}"),
            Self::MaxBelowBase { base, max } => {
                write!(f, "recovery_timeout ({base:?}) is above recovery_timeout_max ({max:?})")
            }
            Self::Factor { value } => write!(f, "recovery_factor ({value}) is not a number of at least 1"),
            Self::SuccessesAboveTrials { successes, trials } => {
                write!(f, "success_threshold ({successes}) is above half_open_max_calls ({trials})")
            }
            Self::SlowRateWithoutDuration => f.write_str("slow_rate needs slow_above"),
            Self::BucketsTooNarrow { length, buckets } => {
                write!(f, "a window of {length:?} is too short for {buckets} buckets")
            }
        }
    }
}

impl std::error::Error for ConfigError {}
