//! A scenario's file, as `demo`, `sim` and `simulate` read it: what is wrong with it is told the way the configuration's faults are,
//! `file:line:column: path: message`.

use std::{io, path};

use outrigger::config::{Document, Fault, Faults, Path, did_you_mean};
use sim::{Scenario, ScenarioError, WorldError};

use super::{Failed, read};

/// Reads a scenario.
pub(super) fn scenario(file: &path::Path) -> Result<Scenario, Failed> {
    let text = read(file)?;
    Scenario::parse(&text).map_err(|error| Failed::over(&faults(&text, &file.display().to_string(), &error)))
}

/// What is wrong, and where.
fn faults(text: &str, name: &str, error: &ScenarioError) -> Faults {
    // It is parsed once more, for the places; values are what is written, so nothing else is looked at.
    let elsewhere = |_: &path::Path| Err(io::ErrorKind::Unsupported.into());
    let document = match Document::parse_with(text, name, &|_| None, &elsewhere) {
        Ok(document) => document,
        // It is no TOML.
        Err(faults) => return faults,
    };
    if let ScenarioError::Toml(error) = error {
        let offset = error.span().map_or(0, |span| span.start);
        return document.place_at(offset, in_words(error.message())).into();
    }
    let (path, error) = way(error);
    document.place(Fault::new(path, error.to_string())).into()
}

/// What the parser says; of a key that nobody knows, in the words of the configuration's faults, with the nearest name.
fn in_words(message: &str) -> Fault {
    let mut names = message.strip_prefix("unknown field").unwrap_or_default().split('`').skip(1).step_by(2);
    match names.next() {
        Some(key) => {
            Fault::new(Path::default(), format!("unknown key `{key}`")).help(did_you_mean(key, names))
        }
        None => Fault::new(Path::default(), message),
    }
}

/// The way to the value at fault, and what is wrong with it.
fn way(error: &ScenarioError) -> (Path, &ScenarioError) {
    match error {
        ScenarioError::Entry { table, index, error, .. } => {
            let entry = Path::new([*table]).index(*index);
            let path = match &**error {
                ScenarioError::Parameter { parameter, .. } | ScenarioError::Range { parameter, .. } => {
                    entry.key(parameter)
                }
                ScenarioError::Fault(_) => entry.key("fault"),
                ScenarioError::World(WorldError::UnknownRegion { .. }) => {
                    entry.key(if *table == "act" { "sick" } else { "region" })
                }
                _ => entry,
            };
            (path, error)
        }
        // Two of one name, or a name that is none.
        error => (Path::new(["region"]), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// **A fault has a place.** Fails if the line, the column or the way to the value is lost.
    #[test]
    fn a_fault_of_a_scenario_is_told_with_its_place() {
        for (text, place, words) in [
            (
                "seed = 1\n[[region]]\nname = \"a\"\nlatnecy = \"1s\"",
                "x.toml:4:1: ",
                "unknown key `latnecy`; did you mean `latency`?",
            ),
            ("[[regoin]]\nname = \"a\"", "x.toml:1:3: ", "unknown key `regoin`; did you mean `region`?"),
            ("[[act]]\nname = \"a\"\nhue = 1", "x.toml:3:1: ", "; known: `name`, `at`, `for`, `sick`"),
            ("seed = \"one\"", "x.toml:1:8: ", "invalid type"),
            ("seed = 1\n[[region]\nname = \"a\"", "x.toml:2:", "]"),
            ("[[region]]\nname = \"a\"\ntokens = 100001", "x.toml:3:10: region[0].tokens: ", "0 to 100000"),
            ("[[region]]\nname = \"A\"", "x.toml:1:1: region: ", "small letters"),
            (
                "[[fault]]\nregion = \"us-east\"\nfault = \"cut\"\n[[fault]]\nregion = \"us-east\"\nfault = \"cuts\"",
                "x.toml:6:9: fault[1].fault: ",
                "faults are",
            ),
            (
                "[[fault]]\nregion = \"us-east\"\nfault = \"cut\"\nstatus = 500",
                "x.toml:4:10: fault[0].status: ",
                "takes no",
            ),
            ("[[fault]]\nregion = \"us-eats\"\nfault = \"cut\"", "x.toml:2:10: fault[0].region: ", "us-east"),
            (
                "[[act]]\nname = \"a\"\nfor = \"1s\"\nsick = [\"mars\"]",
                "x.toml:4:8: act[0].sick: ",
                "us-east",
            ),
        ] {
            let told = faults(text, "x.toml", &Scenario::parse(text).unwrap_err()).to_string();
            assert!(told.starts_with(place) && told.contains(words), "{text}:\n{told}");
            assert_eq!(told.lines().count(), 1, "{told}");
        }
    }
}
