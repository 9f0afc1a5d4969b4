//! From a document to a [`Config`]: which table becomes what, and what lies over what.

use serde::{Deserialize, de::IgnoredAny};

use super::{
    Config, Document, Faults, Model, Target, Warning, authorities, check,
    fault::{Fault, Path, Step},
    nearest, provider_table,
    read::Keys,
    source::Tables,
};

/// The tables that a client reads.
pub(super) const TABLES: Keys =
    &["timeouts", "retry", "hedge", "breaker", "routing", "near", "providers", "models"];

/// The tables that a model may have its own of.
const OF_MODELS: Keys = &["timeouts", "retry", "hedge", "breaker", "routing"];

/// `[models.NAME]` without its tables, which are read over those of the whole configuration.
#[derive(Deserialize)]
pub(super) struct ModelTable {
    #[serde(default)]
    residency: Option<Vec<String>>,
    #[serde(default)]
    targets: Vec<Target>,
    #[serde(default, rename = "timeouts")]
    _timeouts: IgnoredAny,
    #[serde(default, rename = "retry")]
    _retry: IgnoredAny,
    #[serde(default, rename = "hedge")]
    _hedge: IgnoredAny,
    #[serde(default, rename = "breaker")]
    _breaker: IgnoredAny,
    #[serde(default, rename = "routing")]
    _routing: IgnoredAny,
}

/// Reads a configuration; `others` are the tables that belong to somebody else.
pub(super) fn config(document: &Document<'_>, others: &[&str]) -> Result<(Config, Vec<Warning>), Faults> {
    let mut tables = document.tables();
    let known: Vec<&str> = TABLES.iter().chain(others).copied().collect();
    for (key, _) in document.top().into_iter().filter(|(key, _)| !known.contains(key)) {
        let help = nearest::help(key, known.iter().copied());
        tables.fault(Fault::new(Path::new([key]), "unknown table").help(help));
    }
    let mut config = Config {
        timeouts: tables.read(&["timeouts"]).unwrap_or_default(),
        retry: tables.read(&["retry"]).unwrap_or_default(),
        hedge: tables.read(&["hedge"]).unwrap_or_default(),
        breaker: tables.read(&["breaker"]).unwrap_or_default(),
        routing: tables.read(&["routing"]).unwrap_or_default(),
        near: each(&mut tables, &["near"], |tables, path| tables.read(path)),
        providers: each(&mut tables, &["providers"], provider_table::provider),
        models: each(&mut tables, &["models"], model),
    };
    let mut faults = tables.faults(TABLES);
    let is_sound = |table: &str| !faults.iter().any(|fault| top_of(&fault.path) == Some(table));
    // A rule about names would blame what is only missing because of a fault told already; so would one about
    // numbers.
    let names_are_sound = ["providers", "models", "near"].into_iter().all(is_sound);
    let numbers_are_sound =
        faults.iter().all(|fault| top_of(&fault.path).is_none_or(|top| !TABLES.contains(&top)));
    let mut warnings = Vec::new();
    let place = |fault: Fault| -> Fault {
        let mut placed = document.place(Fault { path: in_file(document, &fault.path), ..fault.clone() });
        placed.path = fault.path;
        placed
    };
    if names_are_sound {
        let (wrong, odd) = check::names(&config);
        faults.extend(wrong.into_iter().map(place));
        warnings.extend(odd.into_iter().map(place));
    }
    if names_are_sound {
        faults.extend(authorities::read(&mut config, document.files()).into_iter().map(place));
    }
    if numbers_are_sound {
        let (wrong, odd) = check::numbers(&config);
        faults.extend(wrong.into_iter().map(place));
        warnings.extend(odd.into_iter().map(place));
    }
    match Faults::of(faults) {
        Some(faults) => Err(faults),
        None => Ok((config, warnings)),
    }
}

/// Reads each entry of a table, in the order of the file; faulty ones are left out.
pub(super) fn each<'d, T>(
    tables: &mut Tables<'d>,
    path: &[&str],
    read: impl Fn(&mut Tables<'d>, &[&str]) -> Option<T>,
) -> Vec<(String, T)> {
    let keys = tables.keys(path);
    keys.into_iter()
        .filter_map(|key| {
            let path: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
            let value = read(tables, &path)?;
            Some((key, value))
        })
        .collect()
}

fn model(tables: &mut Tables<'_>, path: &[&str]) -> Option<Model> {
    let ModelTable { residency, targets, .. } = tables.read(path)?;
    let [timeouts, retry, hedge, breaker, routing] =
        ["timeouts", "retry", "hedge", "breaker", "routing"].map(|key| [path, &[key]].concat());
    Some(Model {
        residency,
        targets,
        timeouts: tables.over(&timeouts, &["timeouts"], None).unwrap_or_default(),
        retry: tables.over(&retry, &["retry"], None).unwrap_or_default(),
        hedge: tables.over(&hedge, &["hedge"], None).unwrap_or_default(),
        breaker: tables.over(&breaker, &["breaker"], None).unwrap_or_default(),
        routing: tables.over(&routing, &["routing"], None).unwrap_or_default(),
    })
}

fn top_of(path: &Path) -> Option<&str> {
    match path.steps().first() {
        Some(Step::Key(key)) => Some(key),
        _ => None,
    }
}

/// Where a final value is written: a model's number may be that of the whole configuration, a region's that
/// of its provider.
fn in_file(document: &Document<'_>, path: &Path) -> Path {
    let steps = path.steps();
    let shared: Vec<Step> = match steps {
        [Step::Key(top), _, Step::Key(table), rest @ ..]
            if top == "models" && OF_MODELS.contains(&table.as_str()) =>
        {
            [Step::Key(table.clone())].iter().chain(rest).cloned().collect()
        }
        [top, provider, Step::Key(regions), _, rest @ ..] if regions == "regions" => {
            [top, provider].into_iter().chain(rest).cloned().collect()
        }
        _ => return path.clone(),
    };
    let mut elsewhere = Path::default();
    elsewhere.extend(shared);
    let is_there = |path: &Path| document.depth(path) == path.steps().len();
    if !is_there(path) && is_there(&elsewhere) { elsewhere } else { path.clone() }
}
