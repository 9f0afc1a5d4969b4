//! The JSON Schema of a configuration file, for editors and for whoever generates files.
//!
//! It is written by hand beside the types, because what a file may say is not what the types say: a region may
//! leave its URL to a preset, a model's table lies over a common one, any string may come from elsewhere.
//! Defaults are read from the code, and tests hold the keys to those that the reader knows. The schema takes
//! every file that the reader takes and refuses every key that it refuses; what spans values (names that must
//! lead somewhere, numbers that must fit together) is the reader's alone to judge.

mod tables;
pub mod words;

use serde_json::{Map, Value, json};

use words::{each, list, or, table, text};

/// The schema of a whole file; `others` are the tables that belong to somebody else, by name. They may refer
/// to the definitions `duration` and `elsewhere`.
pub fn schema<'k>(others: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    let tables = own().into_iter().chain(others);
    let properties: Map<String, Value> = tables.map(|(name, form)| (name.to_owned(), form)).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Outrigger's configuration",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "$defs": definitions(),
    })
}

/// The client's own tables.
fn own() -> Vec<(&'static str, Value)> {
    let common =
        |name: &str| words::defined(&format!("For the models that have no `{name}` of their own."), name);
    vec![
        ("timeouts", common("timeouts")),
        ("retry", common("retry")),
        ("hedge", common("hedge")),
        ("breaker", common("breaker")),
        ("routing", common("routing")),
        ("near", {
            let regions = list("Regions, in order of preference.", text("A region."));
            each("Names that callers may use for places.", regions)
        }),
        ("providers", each("Companies and their dialects, by a name of your own.", tables::provider())),
        ("models", each("What callers may ask for, by the name that they use.", tables::model())),
    ]
}

fn definitions() -> Value {
    // The units of humantime; a number and its unit may be parted by spaces.
    const UNITS: &str = "nanos|nsec|ns|usec|us|µs|micros|millis|msec|ms|seconds|second|secs|sec|s|minutes|minute|mins|min|m|\
                         hours|hour|hrs|hr|h|days|day|d|weeks|week|wks|wk|w|months|month|M|years|year|yrs|yr|y";
    let duration = format!(r"^\s*([0-9][0-9\s]*(\.[0-9\s]*)?({UNITS})\s*)+$");
    json!({
        "duration": words::pattern("A duration, such as \"500ms\", \"30s\" or \"1h 30m\".", &duration),
        "elsewhere": {
            "type": "string",
            "description": "A variable, `${VAR}` or `${VAR:-default}`, or a file's content, `file:/run/secrets/key`.",
            "pattern": r"\$\{|^file:/",
        },
        "secret": text("A credential: `${VAR}`, or a file, `file:/run/secrets/key`. It is never shown."),
        "limit": {
            "description": "\"auto\", learned per deployment; or a duration.",
            "anyOf": [{ "const": "auto" }, { "$ref": "#/$defs/duration" }],
        },
        "timeouts": tables::timeouts(),
        "retry": tables::retry(),
        "hedge": table("Attempts beside a slow one.", [(
            "enabled",
            or(words::flag("Whether a request that is slower than most may be asked elsewhere too."), false),
        )]),
        "breaker": tables::breaker(),
        "thresholds": tables::thresholds(),
        "routing": tables::routing(),
        "region": tables::region(),
        "target": tables::target(),
    })
}
