//! A circuit breaker that can neither be closed by a late success nor stand half-open for ever.
//!
//! ```
//! # use std::time::{Duration, Instant};
//! use outrigger_breaker::{Breaker, BreakerConfig, State, Verdict};
//! # fn run(t0: Instant) -> Result<(), Box<dyn std::error::Error>> {
//! let mut breaker = Breaker::new(BreakerConfig::article())?;
//! for _ in 0..5 {
//!     let permit = breaker.acquire(t0)?;
//!     breaker.report(permit, Verdict::Failure, t0);
//! }
//! let refusal = breaker.acquire(t0).unwrap_err();
//! assert_eq!(refusal.retry_at, Some(t0 + Duration::from_secs(30)));
//! assert_eq!(breaker.state(t0), State::Open);
//! # Ok(()) }
//! ```
//!
//! # Grammar
//! `acquire` decides; `report`, `confirm` and `release` say what became of the call; `advance` says that time
//! passed; `force_open`, `disable`, `reset` and `open_for` are commands; nouns are getters that change nothing.
//! Time and randomness are arguments: no clock is read here, nothing waits, nothing is logged.
//!
//! # Choose
//! [`Breaker`] is the machine. [`SharedBreaker`] shares one between threads, lock-light, with a [`Guard`] that
//! gives itself back and `call` around a future. [`KeyedBreakers`] holds one per host, bounded. [`ArticleBreaker`]
//! has the article's three methods. [`Gate`] is what a client asks of any of them.
//!
//! # Left out
//! Retries, timeouts, fallbacks, metrics: they belong to the caller. A ramp after recovery: to who spreads the load.
//!
//! # Features
//! `serde`: configs from files, durations as strings. `proptest`: strategies, histories and the naive model,
//! to test one's own use, or one's own breaker.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod article;
mod breaker;
mod call;
mod clock;
mod config;
#[cfg(feature = "serde")]
mod durations;
mod error;
mod gate;
mod keyed;
#[cfg(test)]
#[expect(clippy::duplicate_mod, reason = "the shared handle is compiled again over shuttle's primitives")]
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

pub use article::ArticleBreaker;
pub use breaker::Breaker;
pub use config::BreakerConfig;
pub use error::ConfigError;
pub use gate::Gate;
pub use keyed::KeyedBreakers;
#[cfg(feature = "proptest")]
pub use model::Model;
pub use rule::{Counts, RateRule, Ratio, Thresholds, TripRule};
pub use shared::{Guard, SharedBreaker};
pub use state::{Event, Permit, Rejected, Report, State, TripReason, Verdict};
