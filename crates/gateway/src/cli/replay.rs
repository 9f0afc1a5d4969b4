//! `outrigger replay`: a recorded trace through the engine, a line for each of its lines.

use std::{fs::File as Opened, io::BufReader, path::PathBuf, process::ExitCode};

use clap::{Args as ClapArgs, ValueEnum};
use outrigger::config::Strategy;
use serde::Serialize;

use super::{Env, Failed, configuration, out};
use crate::replay::{Replay, Trace, config_for};

/// Run a recorded trace through the engine: how each place stood, and who would have been asked
///
/// `serve --record FILE` writes such traces.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The trace: JSON Lines
    file: PathBuf,
    /// The configuration; without one the places that the trace names, with the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Another strategy, whose choices are told beside the configured ones
    #[arg(long, value_name = "STRATEGY")]
    strategy: Option<Named>,
    /// The seed of all chance
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// A strategy by its name in a file.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Named {
    Adaptive,
    Composite,
    Cheapest,
    Weighted,
}

impl From<Named> for Strategy {
    fn from(named: Named) -> Self {
        match named {
            Named::Adaptive => Self::Adaptive,
            Named::Composite => Self::Composite,
            Named::Cheapest => Self::Cheapest,
            Named::Weighted => Self::Weighted,
        }
    }
}

pub(super) fn run(args: &Args, env: Env<'_>) -> Result<ExitCode, Failed> {
    let name = args.file.display().to_string();
    let opened = Opened::open(&args.file).map_err(|error| format!("cannot read {name}: {error}"))?;
    let trace = Trace::read(BufReader::new(opened), &name)?;
    if trace.lines.is_empty() {
        return Err(
            format!("{name}: there is nothing in it; `outrigger serve --record FILE` writes traces").into()
        );
    }
    if args.config.is_none() && trace.ended().next().is_none() {
        return Err(format!(
            "{name}: it tells of no attempt, so no place is known; --config FILE says which there are"
        )
        .into());
    }
    let config = match &args.config {
        Some(path) => configuration(path, env)?.config,
        None => config_for(&trace)?,
    };
    let replay = Replay::new(trace, &config, args.strategy.map(Strategy::from), args.seed)?;
    if !args.json {
        let summary = replay.run(|told| out::result(told));
        out::result(format_args!("\n{}", summary.to_string().trim_end()));
        return Ok(ExitCode::SUCCESS);
    }
    // One document; each line of the trace is a line of it.
    out::result(format_args!("{{\"file\":{},\"seed\":{},\"lines\":[", text(&name), args.seed));
    let mut comma = "";
    let summary = replay.run(|told| {
        out::result(format_args!("{comma}{}", text(told)));
        comma = ",";
    });
    out::result(format_args!("],\"summary\":{}}}", text(&summary)));
    Ok(ExitCode::SUCCESS)
}

/// Words and numbers under names: nothing in them cannot be written.
fn text(told: &impl Serialize) -> String {
    serde_json::to_string(told).unwrap_or_default()
}
