//! A configuration made up from the places that a trace names, for who has the trace and no file.

use outrigger::{
    Config,
    config::{Faults, Model, Provider, Target},
};

use super::{
    history::Trace,
    trace::{Ended, Line},
};

/// Nobody is asked there.
const NOWHERE: &str = "http://127.0.0.1:1/v1";

/// Defaults, the trace's providers and regions, and the models that are picked in it: each served by the deployments that bear its name
/// at their provider, or by all that there are.
///
/// # Errors
/// A name that no configuration can have.
pub(crate) fn config_for(trace: &Trace) -> Result<Config, Faults> {
    let mut config = Config::new();
    let mut providers: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut deployments: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for Ended { provider, region, model, .. } in trace.ended() {
        let known = entry(&mut providers, |one| one.0 == provider, || (provider, Vec::new()));
        note(&mut known.1, region);
        let known = entry(
            &mut deployments,
            |one| (one.0, one.1) == (provider, model),
            || (provider, model, Vec::new()),
        );
        note(&mut known.2, region);
    }
    for (name, regions) in providers {
        let mut provider = Provider::openai();
        for region in regions {
            provider = provider.region(region, NOWHERE)?;
        }
        config = config.provider(name, provider);
    }
    for picked in picked(trace) {
        let bears_it = |one: &&(&str, &str, Vec<&str>)| one.1 == picked;
        let targets = |chosen: Vec<&(&str, &str, Vec<&str>)>| {
            let target =
                |one: &(&str, &str, Vec<&str>)| Target::new(one.0, one.1).regions(one.2.iter().copied());
            chosen.into_iter().map(target).collect::<Vec<_>>()
        };
        let own: Vec<_> = deployments.iter().filter(bears_it).collect();
        let targets = targets(if own.is_empty() { deployments.iter().collect() } else { own });
        config = config.model(picked, Model::new(targets));
    }
    Ok(config)
}

/// The public models, as they come. A trace without picks has one that all deployments serve, so that there are any.
fn picked(trace: &Trace) -> Vec<&str> {
    let mut models = Vec::new();
    for line in &trace.lines {
        if let Line::Pick(pick) = line {
            note(&mut models, &pick.model);
        }
    }
    // Every deployment belongs to a model, or it would not be there.
    if !models.iter().any(|model| trace.ended().all(|ended| ended.model != *model)) {
        models.push("*");
    }
    models
}

fn note<'a>(names: &mut Vec<&'a str>, name: &'a str) {
    if !names.contains(&name) {
        names.push(name);
    }
}

fn entry<T>(all: &mut Vec<T>, is_meant: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> &mut T {
    let place = all.iter().position(is_meant).unwrap_or_else(|| {
        all.push(make());
        all.len() - 1
    });
    #[expect(clippy::indexing_slicing, reason = "it was found there, or put there just now")]
    &mut all[place]
}
