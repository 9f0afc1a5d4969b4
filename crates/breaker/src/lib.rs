//! A circuit breaker as a pure state machine.

mod breaker;
mod clock;
mod config;
#[cfg(feature = "serde")]
mod durations;
mod error;
mod gate;
mod rule;
mod shared;
mod state;
mod sync;
mod trials;
mod window;

pub use breaker::Breaker;
pub use config::BreakerConfig;
pub use error::ConfigError;
pub use gate::Gate;
pub use rule::{Counts, RateRule, Ratio, Thresholds, TripRule};
pub use shared::{Guard, SharedBreaker};
pub use state::{Event, Permit, Rejected, Report, State, TripReason, Verdict};
