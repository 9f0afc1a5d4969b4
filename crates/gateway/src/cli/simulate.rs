//! `outrigger simulate`: many clients, many regions, virtual time; strategies compared on one seed.

use std::{fs, io::IsTerminal, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args as ClapArgs;
use serde_json::Number;

use super::{
    Env, Failed, out,
    paint::Paint,
    scenario::scenario,
    table::{Side, Table},
};
use crate::simulate::{Numbers, Report, Settings, plot};

/// How long the built-in acts take, all five.
const SECONDS: u64 = 300;

/// Compare strategies: many clients before simulated regions, in virtual time, on one seed
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Regions, faults, limits and acts with their times, as `sim --scenario` takes them; without one the article's four acts, and a
    /// fifth in which every region refuses
    file: Option<PathBuf>,
    /// How long callers ask, in virtual time; 300, or as long as the scenario
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// The seed of all chance, instead of the scenario's; 1 where none is given
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Clients in all; each learns by itself
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
    /// Questions a second of all callers together, where an act says no other load
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Draw it too: an SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

pub(super) fn run(args: &Args, env: Env<'_>) -> Result<ExitCode, Failed> {
    let settings = args.settings()?;
    let progress = !args.json && std::io::stderr().is_terminal();
    let (report, played) = settings.run(&|strategy| {
        if progress {
            out::note(format_args!("played {}", strategy.name()));
        }
    })?;
    if let Some(path) = &args.plot {
        let svg = plot(&settings.scenario, settings.length, &played);
        fs::write(path, svg).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    if args.json {
        out::result(serde_json::to_string(&report)?);
    } else {
        tell(&report, Paint::new(env));
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn settings(&self) -> Result<Settings, Failed> {
        let seconds = self.seconds.map(Duration::from_secs);
        let (clients, rate) = (usize::try_from(self.clients)?, f64::from(self.rate));
        let Some(path) = &self.file else {
            let total = seconds.unwrap_or(Duration::from_secs(SECONDS));
            return Ok(Settings::five_acts(total, self.seed.unwrap_or(1), clients, rate));
        };
        let mut scenario = scenario(path)?;
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        let own = Some(scenario.duration()).filter(|own| !own.is_zero());
        let length = seconds.or(own).unwrap_or(Duration::from_secs(60)).min(Duration::from_secs(86_400));
        Ok(Settings { scenario, length, clients, rate })
    }
}

fn tell(report: &Report, paint: Paint) {
    out::result("all of it");
    let all = report.strategies.iter().map(|outcome| (outcome.strategy, &outcome.numbers));
    let mut table = heads();
    for ((strategy, numbers), outcome) in all.zip(&report.strategies) {
        let shares =
            outcome.regions.iter().map(|region| format!("{} {}", region.region, per_cent(&region.share)));
        let mut cells = row(strategy, numbers);
        cells.push(shares.collect::<Vec<_>>().join(", "));
        table.row(cells, false);
    }
    table.tell(paint);
    let acts = report.strategies.first().map_or(&[][..], |outcome| outcome.acts.as_slice());
    for (index, act) in acts.iter().enumerate() {
        out::result(format_args!("\n{}", act.name));
        let mut table = heads();
        for outcome in &report.strategies {
            if let Some(act) = outcome.acts.get(index) {
                table.row(row(outcome.strategy, &act.numbers), false);
            }
        }
        table.tell(paint);
    }
}

fn heads() -> Table {
    use Side::{Left, Right};
    Table::new([
        ("strategy", Left),
        ("requests", Right),
        ("failed", Right),
        ("truncated", Right),
        ("p50 ms", Right),
        ("p99 ms", Right),
        ("attempts a request", Right),
        ("calls to sick", Right),
        ("share of answers", Left),
    ])
}

fn row(strategy: &str, numbers: &Numbers) -> Vec<String> {
    let time = |ms: &Option<Number>| {
        ms.as_ref().and_then(Number::as_f64).map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"))
    };
    vec![
        strategy.to_owned(),
        numbers.requests.to_string(),
        numbers.failed.to_string(),
        numbers.truncated.to_string(),
        time(&numbers.p50_ms),
        time(&numbers.p99_ms),
        numbers.attempts_per_request.as_f64().map_or_else(String::new, |ratio| format!("{ratio:.3}")),
        numbers.calls_to_sick.to_string(),
    ]
}

fn per_cent(share: &Number) -> String {
    format!("{:.0} %", share.as_f64().unwrap_or(0.0) * 100.0)
}
