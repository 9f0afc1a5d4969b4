//! `outrigger explain`: who would be asked, with the terms of every candidate's score, and why the others lost. Live, of a gateway
//! that runs; or offline, of a configuration alone, with nothing known of any deployment yet.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args as ClapArgs, CommandFactory, error::ErrorKind};
use outrigger::{
    Client,
    registry::{Scoring, Verdict},
};

use super::{
    Cli, Env, Failed, block_on, configuration, failed,
    operator::{self, Operator},
    out,
    paint::Paint,
    table::{Side, Table},
};
use crate::{
    explained::{Candidate, Explained, Numbers, Tier, known},
    query,
};

/// Say who would be asked for a model, and why the others would not
///
/// Of a gateway that runs (--admin), or of a configuration alone (--config). One of them is needed; the environment says them
/// as OUTRIGGER_ADMIN and OUTRIGGER_CONFIG.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The public model
    model: String,
    /// The configuration file; nothing is known of its deployments then
    #[arg(long, value_name = "FILE", conflicts_with = "admin")]
    config: Option<PathBuf>,
    /// The gateway's admin address: `http://HOST:PORT`, or without `http://`
    #[arg(long, value_name = "URL", value_parser = operator::base)]
    admin: Option<String>,
    /// For a caller near this region, or near a name of `[near]`
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, env: Env<'_>) -> Result<ExitCode, Failed> {
    let explained = match (&args.config, &args.admin) {
        (Some(file), _) => offline(file, args, env)?,
        (None, Some(admin)) => live(admin.clone(), args)?,
        (None, None) => match (env("OUTRIGGER_ADMIN"), env("OUTRIGGER_CONFIG")) {
            (Some(admin), _) => {
                live(operator::base(&admin).map_err(|error| format!("OUTRIGGER_ADMIN: {error}"))?, args)?
            }
            (None, Some(file)) => offline(Path::new(&file), args, env)?,
            (None, None) => {
                let message = "explain needs --admin URL (of a gateway that runs) or --config FILE";
                failed::refuse(&Cli::command().error(ErrorKind::MissingRequiredArgument, message), env)
            }
        },
    };
    if args.json {
        out::result(serde_json::to_string(&explained)?);
    } else {
        tell(&explained, args.region.as_deref(), Paint::new(env));
    }
    Ok(ExitCode::SUCCESS)
}

/// Explained by a gateway that runs, as it stands.
fn live(admin: String, args: &Args) -> Result<Explained, Failed> {
    let query = query::of(&[("model", Some(&args.model)), ("region", args.region.as_deref())]);
    block_on(async { Operator::at(admin).get(&format!("/explain{query}")).await })
}

/// Explained by a client that has asked nobody yet. Chance decides among equals; here it is always the same.
fn offline(path: &Path, args: &Args, env: Env<'_>) -> Result<Explained, Failed> {
    let client = Client::builder().config(configuration(path, env)?.config).seed(0).build()?;
    let tiers = client.explain(&args.model, args.region.as_deref()).map_err(|error| {
        let Some((what, names)) = known(&client, &error) else { return error.to_string() };
        let names: Vec<String> = names.into_iter().collect();
        format!("{error}; the {what} of {} are: {}", path.display(), names.join(", "))
    })?;
    Ok(Explained::new(&args.model, &tiers))
}

fn tell(explained: &Explained, region: Option<&str>, paint: Paint) {
    let near = region.map(|region| format!(" near {region}")).unwrap_or_default();
    let choice = match &explained.choice {
        Some(choice) => format!("{}/{}/{}", choice.provider, choice.region, choice.model),
        None => "nobody".to_owned(),
    };
    out::result(format_args!("{}{near}: {choice}", explained.model));
    for (number, tier) in explained.tiers.iter().enumerate() {
        out::result("");
        out::result(format_args!("tier {number}, {}", rule(tier)));
        let is_asked = explained.choice.as_ref().is_none_or(|choice| choice.tier == number);
        table(tier, is_asked).tell(paint);
        if let Some(refused) = &tier.refused {
            out::result(format_args!("nobody here: {refused}"));
        }
    }
}

/// By what a tier's candidates are compared.
fn rule(tier: &Tier) -> &'static str {
    match tier.scoring {
        Some(Scoring::Adaptive) => {
            "adaptive: the lowest cost = (latency - near) x (in flight + 1) x penalty / (weight x ramp)"
        }
        Some(Scoring::Composite) => {
            "composite: the preferred region above health 50, else the highest health / (latency / 50 ms)"
        }
        Some(Scoring::Cheapest) => "cheapest: the lowest price, then the lowest cost",
        Some(Scoring::Weighted) => "weighted: by chance, in proportion to weight x ramp",
        _ => "chosen by a selector of its own",
    }
}

fn table(tier: &Tier, is_asked: bool) -> Table {
    use Side::{Left, Right};
    let mut table = Table::new([
        ("deployment", Left),
        ("cost ms", Right),
        ("latency ms", Right),
        ("near ms", Right),
        ("in flight", Right),
        ("penalty", Right),
        ("weight", Right),
        ("ramp", Right),
        ("health", Right),
        ("composite", Right),
        ("USD/M", Right),
        ("why", Left),
    ]);
    let best = tier.candidates.iter().find(|one| one.chosen).and_then(|one| one.terms.as_ref());
    for one in &tier.candidates {
        let mut cells = vec![format!("{}/{}/{}", one.provider, one.region, one.model)];
        match &one.terms {
            Some(terms) => cells.extend(numbers(terms)),
            None => cells.extend(std::iter::repeat_n("-".to_owned(), 10)),
        }
        cells.push(why(one, best, tier.scoring, is_asked));
        table.row(cells, one.chosen && is_asked);
    }
    table
}

fn numbers(terms: &Numbers) -> [String; 10] {
    [
        format!("{:.1}", terms.cost),
        format!("{:.1}", terms.latency_ms),
        format!("{:.1}", terms.preference_ms),
        terms.in_flight.to_string(),
        format!("{:.1}", terms.penalty),
        format!("{:.2}", terms.weight),
        format!("{:.2}", terms.ramp),
        format!("{:.1}", terms.health),
        format!("{:.2}", terms.composite),
        terms.price.map_or_else(|| "-".to_owned(), |price| format!("{price:.2}")),
    ]
}

/// What became of a candidate, with the difference that decided.
fn why(one: &Candidate, best: Option<&Numbers>, scoring: Option<Scoring>, is_asked: bool) -> String {
    let lost = one.verdict == Verdict::Lost.to_string();
    let untried = match &one.terms {
        Some(terms) if terms.untried && (one.chosen || lost) => " (untried: such a one goes first, once)",
        _ => "",
    };
    if one.chosen && !is_asked {
        return format!("next, when the tiers before have nobody{untried}");
    }
    let by = match (&one.terms, best, scoring) {
        (Some(own), Some(best), Some(Scoring::Adaptive)) if lost && own.cost > best.cost => {
            format!(" by {:.1} ms", own.cost - best.cost)
        }
        _ => String::new(),
    };
    format!("{}{by}{untried}", one.verdict)
}
