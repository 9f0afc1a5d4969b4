//! `outrigger demo`: see it work, without a key, a configuration or a server.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args as ClapArgs;
use sim::Scenario;

use super::{Env, Failed, address, block_on, scenario::scenario};
use crate::{
    demo::{self, Play},
    log,
};

/// How long the eight acts take unless told otherwise.
const SECONDS: u64 = 60;
/// No run is longer; a fault without an end must not make one.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Play eight acts of trouble with simulated regions, a gateway and its callers
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Where callers come in
    #[arg(long, env = "OUTRIGGER_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS", value_parser = address)]
    listen: SocketAddr,
    /// Where operators come in
    #[arg(long, env = "OUTRIGGER_ADMIN", default_value = "127.0.0.1:8081", value_name = "ADDRESS", value_parser = address)]
    admin: SocketAddr,
    /// How long callers ask, at least 8; 60, or as long as the scenario
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(8..=86_400))]
    seconds: Option<u64>,
    /// The seed of all chance, instead of the scenario's; 1 where none is given
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Regions, faults, limits and acts with their times, instead of the eight acts
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Go on serving afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

pub(super) fn run(args: &Args, env: Env<'_>) -> Result<ExitCode, Failed> {
    log::start(&log::Options::default(), env);
    let (scenario, length) = args.scenario()?;
    let &Args { listen, admin, json, keep, .. } = args;
    block_on(demo::run(&Play { scenario, length, listen, admin, json, keep }))
}

impl Args {
    /// What is played, and for how long.
    fn scenario(&self) -> Result<(Scenario, Duration), Failed> {
        let wanted = self.seconds.map(Duration::from_secs);
        let default = Duration::from_secs(SECONDS);
        let Some(path) = &self.scenario else {
            let length = wanted.unwrap_or(default);
            return Ok((Scenario::eight_acts(length, self.seed.unwrap_or(1)), length));
        };
        let mut scenario = scenario(path)?;
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        let own = scenario.duration();
        let own = if own.is_zero() { default } else { own.min(LONGEST) };
        Ok((scenario, wanted.unwrap_or(own)))
    }
}
