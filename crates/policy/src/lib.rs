//! What a call that fails over may do next: budget, backoff, deadline, hedges, limits, and the call itself, as pure machines.
//!
//! Time and randomness are arguments; each machine is a value that is told what happened and says what may be done.
//!
//! ```
//! use outrigger_policy::{Budget, FIRST_TRY_REWARD, RETRY_COST_BILLED, RETRY_COST_UNPROCESSED};
//!
//! let mut budget = Budget::default();
//! let retries = (0..1_000).filter(|_| budget.withdraw(RETRY_COST_BILLED)).count();
//! assert_eq!(retries, 35); // a full outage is not stormed
//! assert!(budget.withdraw(RETRY_COST_UNPROCESSED)); // what was surely not billed is cheaper
//! budget.deposit(FIRST_TRY_REWARD); // and successes refill it
//! assert_eq!(budget.balance(), 6);
//! ```
//!
//! # Grammar
//! Nouns read (`balance`, `limit`, `remaining`), verbs command (`withdraw`, `deposit`, `split`, `reset`), `on_*` and `sample` tell what
//! happened. A constructor checks its configuration; no machine exists with a bad one.
//!
//! # What is left out
//! Which deployment to pick, circuits, I/O, clocks.
//!
//! # Features
//! `serde`: the configurations from files, durations as strings (`"50ms"`).

mod backoff;
mod budget;
mod call;
mod config;
mod deadline;
mod error;
mod hedge;
mod limit;
mod quantile;
mod queue;
mod rescue;
mod step;
mod tiers;

pub use backoff::Backoff;
pub use budget::{Budget, FIRST_TRY_REWARD, RETRY_COST_BILLED, RETRY_COST_UNPROCESSED};
pub use call::Call;
pub use config::{AimdConfig, BackoffConfig, BudgetConfig};
pub use deadline::Deadline;
pub use error::ConfigError;
pub use hedge::{HedgeBudget, REQUESTS_PER_HEDGE};
pub use limit::AimdLimit;
pub use quantile::Quantiles;
pub use queue::LONGEST_QUEUE;
pub use step::{Broken, CallPlan, Failed, Finish, Key, Mode, Picked, Price, Step};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
