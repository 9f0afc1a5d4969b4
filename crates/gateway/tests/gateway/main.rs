//! The program itself, driven from outside: the real binary on loopback sockets, before simulated regions in this process.
//!
//! Every name that users' programs, files and dashboards lean on is asserted here, so that changing one breaks a test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; the configuration excuses only the tests themselves"
)]

mod access;
mod beginnings;
mod bounds;
mod budgets;
mod callers;
mod chaos;
mod commands;
mod dashboard;
mod documents;
mod early;
mod errors;
mod fleet;
mod hands;
mod hostile;
mod keys;
mod kinds;
mod lifecycle;
mod limits;
mod litellm;
mod logs;
mod manager;
#[cfg(target_os = "linux")]
mod memory;
mod operators;
mod ops;
mod prompts;
mod reload;
mod replay;
mod rotation;
mod schema;
mod simulate;
mod spend;
mod streams;
mod support;
#[cfg(unix)]
mod terminal;
#[cfg(feature = "otel")]
mod traces;
