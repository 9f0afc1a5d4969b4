//! The program `outrigger`: an OpenAI-compatible gateway that fails over between regions and providers before its callers
//! notice, with the tools to try it, check it and run it.
//!
//! A request's way: [`listener`] (a connection), [`entrance`] (its host, its name), [`routes`] (what is asked), the client of
//! the crate `outrigger` (who answers), and back as bytes. Operators come in by [`admin`].

mod activity;
mod admin;
mod auth;
mod chronicle;
mod clerk;
mod cli;
mod connections;
mod dashboard;
mod demo;
mod descriptors;
mod entrance;
mod explained;
mod file;
mod fleet;
mod hosts;
mod ledger;
mod listener;
mod litellm;
mod live;
mod load;
mod log;
mod metrics;
#[cfg(feature = "otel")]
mod otel;
mod outflow;
mod phase;
mod query;
mod refusal;
mod reload;
mod replay;
mod request_id;
mod routes;
mod schema;
mod server;
mod settings;
mod signals;
mod simulate;
mod story;
mod supervisor;
mod untaken;
#[cfg(not(feature = "otel"))]
mod untraced;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(&|name| std::env::var(name).ok())
}
