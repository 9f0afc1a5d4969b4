//! A registry of regional endpoints: health, latency, load and quota, and the choice among them, as a pure machine.
//!
//! **Every call goes to the best place that is left, and each choice can be explained.** The registry is told what
//! happened, is handed the time and one random number a decision, and answers with a deployment. It reads no clock,
//! draws no number, does no I/O and knows nothing of circuits: the caller says by a closure which deployments may be asked.
//!
//! ```
//! use outrigger_registry::{Deployment, Query, Registry, RegistryConfig, Sample};
//! use std::time::{Duration, Instant};
//! # #[expect(clippy::disallowed_methods, reason = "a made-up origin of time")]
//! # let t0 = Instant::now();
//!
//! let mut registry = Registry::new(RegistryConfig::default())?;
//! let places = ["us-east", "eu-west"].map(|region| registry.insert(Deployment::new("openai", region, "gpt-4.1")));
//!
//! let pick = registry.pick(&Query::new(&places), 7, t0)?;
//! let in_flight = registry.begin(pick.id, t0);
//! registry.finish(in_flight, Sample::first_token(Duration::from_millis(320)), t0 + Duration::from_secs(4));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The grammar of methods
//! - *Who is there*: [`insert`](Registry::insert), [`update`](Registry::update), [`remove`](Registry::remove).
//! - *What happened*: [`begin`](Registry::begin), then [`finish`](Registry::finish) or [`abandon`](Registry::abandon), each
//!   of which consumes the token; [`first_token`](Registry::first_token) in between.
//! - *What was said*: [`cooldown`](Registry::cooldown) and [`note_quota`](Registry::note_quota) by a provider,
//!   [`cordon`](Registry::cordon) by an operator, [`recovered`](Registry::recovered) by a circuit; by others who ask the same
//!   places [`suspect`](Registry::suspect) and [`used_elsewhere`](Registry::used_elsewhere), which is their [`used`](Registry::used).
//! - *The decision*: [`pick`](Registry::pick). *Its reasons*: [`explain`](Registry::explain). *The facts*:
//!   [`view`](Registry::view). *The news*: [`poll_event`](Registry::poll_event).
//!
//! # What is left out
//! Circuits (`outrigger-breaker`), retries and tiers (`outrigger-policy`), what a status code means (`outrigger-wire`), and
//! any clock, thread, socket or global. [`Registry`] is `&mut`; [`SharedRegistry`] is the same behind one short lock.
//!
//! # Features
//! - `serde`: configuration and limits can be read and written.
//! - `proptest`: strategies for configurations, numbers and histories, and a naive model that keeps everything (module
//!   `testing`).

mod config;
mod deployment;
mod draw;
mod error;
mod ewma;
mod explain;
mod health;
mod latency;
mod load;
mod number;
mod pick;
mod query;
mod quota;
mod registry;
mod sample;
mod score;
mod selector;
mod shared;
mod state;

#[cfg(feature = "proptest")]
pub mod testing;
#[cfg(test)]
mod testing_time;
mod view;

pub use crate::config::{RegistryConfig, Scoring};
pub use crate::deployment::{Deployment, DeploymentId, Limits, Numbers};
pub use crate::error::{ConfigError, NoPick, Refusal, Why};
pub use crate::ewma::Ewma;
pub use crate::explain::{Explanation, Row, Terms, Verdict};
pub use crate::load::Used;
pub use crate::number::{Price, Ratio, Weight};
pub use crate::pick::Pick;
pub use crate::query::{Kind, Query};
pub use crate::quota::{CooldownOrigin, Quota};
pub use crate::registry::{Event, InFlight, Registry};
pub use crate::sample::Sample;
pub use crate::selector::{Candidate, Choices, Selector};
pub use crate::shared::{Attempt, SharedRegistry};
pub use crate::view::{Cooldown, View};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
