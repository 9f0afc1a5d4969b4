//! Runs the test vectors of `tests/vectors/`, or of the folder that `OUTRIGGER_VECTORS` names.
//!
//! A file that is missing or holds no case, an op or a key that is not known, and any difference fail, with case, step and
//! difference named.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use outrigger_wire::retry_after;
use serde::{Deserialize, de::Error as _};
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    component: String,
    format: u32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    #[serde(rename = "semantics")]
    _semantics: String,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "origin")]
    _origin: String,
    #[serde(rename = "note", default)]
    _note: Option<String>,
    config: Config,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    max_ms: u64,
    now: String,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    Parse {
        status: u16,
        value: Option<String>,
        #[serde(deserialize_with = "expectation")]
        expect_ms: Option<Option<u64>>,
    },
}

/// A key that is there, be it null.
fn expectation<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(Some(None)),
        value => {
            value.as_u64().map(|ms| Some(Some(ms))).ok_or_else(|| D::Error::custom("expect_ms is a count"))
        }
    }
}

fn load(name: &str) -> File {
    let folder = std::env::var_os("OUTRIGGER_VECTORS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"), PathBuf::from);
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: File =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!((file.component.as_str(), file.format), ("wire", 1), "{name}");
    assert!(!file.cases.is_empty(), "{name} holds no case");
    file
}

/// The vectors' wall time, `2026-01-01T00:00:00Z` and its like: read by asking the crate how long it is until then.
fn wall(text: &str) -> SystemTime {
    let epoch = SystemTime::UNIX_EPOCH;
    let header = |name: &str| (name == "retry-after").then_some(text);
    epoch + retry_after(429, header, epoch, Duration::MAX).unwrap_or_else(|| panic!("no time: {text}"))
}

#[test]
fn every_wait_of_the_vectors_is_read() {
    let file = load("retry_after.json");
    let mut differences = Vec::new();
    let mut steps = BTreeMap::<&str, usize>::new();
    for case in &file.cases {
        let now = wall(&case.config.now);
        for (index, Step::Parse { status, value, expect_ms }) in case.steps.iter().enumerate() {
            let header = |name: &str| value.as_deref().filter(|_| name == "retry-after");
            let cap = Duration::from_millis(case.config.max_ms);
            let wait = retry_after(*status, header, now, cap);
            let expected = expect_ms.flatten().map(Duration::from_millis);
            *steps.entry(&case.id).or_default() += 1;
            if wait != expected {
                differences.push(format!(
                    "{} step {index}: {status} {value:?} gave {wait:?}, expected {expected:?}",
                    case.id
                ));
            }
        }
    }
    println!("retry_after: {} cases, {} steps", file.cases.len(), steps.values().sum::<usize>());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
