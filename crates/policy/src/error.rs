//! The one error: a configuration that no machine can be built from.

use std::{fmt, time::Duration};

/// A configuration that cannot be. No machine exists with one: the constructors check.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number is outside of its range (NaN is outside of all).
    #[non_exhaustive]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
        /// The range, as text: `0 to 1`.
        range: &'static str,
    },
    /// A duration that starts a series is above the one that ends it.
    #[non_exhaustive]
    Above {
        /// The field that is too large.
        field: &'static str,
        /// Its value.
        value: Duration,
        /// The field that bounds it.
        bound: &'static str,
        /// That one's value.
        limit: Duration,
    },
    /// A count is not between its bounds.
    #[non_exhaustive]
    NotWithin {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u32,
        /// The lower bound.
        min: u32,
        /// The upper bound.
        max: u32,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { field, value, range } => write!(f, "{field} ({value}) is not within {range}"),
            Self::Above { field, value, bound, limit } => {
                write!(f, "{field} ({value:?}) is above {bound} ({limit:?})")
            }
            Self::NotWithin { field, value, min, max } => {
                write!(f, "{field} ({value}) is not between min ({min}) and max ({max})")
            }
        }
    }
}

impl std::error::Error for ConfigError {}
