//! A circuit breaker as a pure state machine.

mod breaker;
mod clock;
mod config;
#[cfg(feature = "serde")]
mod durations;
mod error;
mod gate;
#[cfg(test)]
mod linearizable;
#[cfg(feature = "proptest")]
mod model;
mod rule;
mod shared;
mod state;
#[cfg(feature = "proptest")]
pub mod strategies;
mod sync;
mod trials;
mod window;

pub use breaker::Breaker;
pub use config::BreakerConfig;
pub use error::ConfigError;
pub use gate::Gate;
#[cfg(feature = "proptest")]
pub use model::Model;
pub use rule::{Counts, RateRule, Ratio, Thresholds, TripRule};
pub use shared::{Guard, SharedBreaker};
pub use state::{Event, Permit, Rejected, Report, State, TripReason, Verdict};
