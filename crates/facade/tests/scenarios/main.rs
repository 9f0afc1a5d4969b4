//! Incidents, played in virtual time: each says what went wrong, what the caller saw, and what each provider received.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod attribution;
mod azure;
mod bills;
mod context;
mod cordons;
mod costs;
mod credentials;
mod deadlines;
mod dialects;
mod endings;
mod fallback;
mod faults;
mod halves;
mod hedges;
mod kinds;
mod life;
mod limits;
mod missing;
mod numbers;
mod outage;
mod places;
mod reach;
mod recovery;
mod refusals;
mod reload;
mod rescue;
mod stateful;
mod streams;
mod support;
mod swap;
mod tiers;
mod torn;
mod traces;
mod translated;
mod unrescued;
mod voyages;
mod watching;
mod wishes;
