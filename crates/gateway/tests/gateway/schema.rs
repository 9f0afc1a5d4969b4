//! The JSON Schema judges a file as the program does.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

use crate::{
    commands::{check, run},
    support::file,
};

/// The page that editors are pointed at.
const PAGE: &str = include_str!("../../../../docs/config.schema.json");

/// Every documented table and key.
fn whole() -> String {
    hashed(include_str!("../../../facade/tests/config/whole.toml"))
}

/// A page's file with a whole hash where the page cuts it short.
fn hashed(text: &str) -> String {
    text.replace("sha256:...", &format!("sha256:{}", "0".repeat(64)))
}

/// What the schema has against a file, a line each; empty for nothing.
pub(crate) fn faults(text: &str) -> String {
    static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
        let schema: Value = serde_json::from_str(PAGE).unwrap();
        jsonschema::draft202012::new(&schema).unwrap()
    });
    let file: Value = toml::from_str(text).unwrap();
    let faults = SCHEMA.iter_errors(&file).map(|error| format!("{}: {error}", error.instance_path()));
    faults.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_schema_in_docs_is_the_programs() {
    let run = run(&["schema"]).await;
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out == PAGE, "docs/config.schema.json is to be what `outrigger schema` prints");
}

#[test]
fn the_schema_is_one() {
    jsonschema::meta::validate(&serde_json::from_str(PAGE).unwrap()).unwrap();
}

#[test]
fn every_documented_file_is_within_the_schema() {
    let files = [
        include_str!("../../../facade/tests/config/whole.toml"),
        include_str!("../../../facade/tests/config/article.toml"),
        include_str!("../../examples/tiny.toml"),
        include_str!("../../examples/composed.toml"),
        include_str!("../../examples/real.toml"),
    ];
    let pages = [
        include_str!("../../../../README.md"),
        include_str!("../../README.md"),
        include_str!("../../../../docs/presets.md"),
    ];
    let shown: Vec<&str> = pages.iter().flat_map(|page| blocks(page)).collect();
    assert!(shown.len() >= 4, "the pages show configurations: {shown:#?}");
    for file in files.into_iter().chain(shown) {
        assert_eq!(faults(&hashed(file)), "", "{file}");
    }
}

/// The configurations that a page shows.
fn blocks(page: &str) -> Vec<&str> {
    let fenced = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    fenced.filter(|block| block.contains("[providers.") || block.contains("[keys.")).collect()
}

/// The ways to all tables in a value.
fn tables(value: &Value, way: &str) -> Vec<String> {
    match value {
        Value::Object(map) => {
            let inner = map.iter().flat_map(|(key, value)| tables(value, &format!("{way}/{key}")));
            std::iter::once(way.to_owned()).chain(inner).collect()
        }
        Value::Array(list) => {
            list.iter().enumerate().flat_map(|(n, value)| tables(value, &format!("{way}/{n}"))).collect()
        }
        _ => Vec::new(),
    }
}

/// **A key that the program refuses the schema refuses**, in every table that there is. Fails if a table of the schema
/// is left open.
#[tokio::test]
async fn an_unknown_key_is_refused_by_both_in_every_table() {
    let whole: Value = toml::from_str(&whole().replace("${OPENAI_API_KEY}", "sk-1")).unwrap();
    let ways = tables(&whole, "");
    assert!(ways.len() > 25, "{ways:?}");
    let sound = check(&toml::to_string(&whole).unwrap(), &[]).await;
    assert_eq!(sound.code, Some(0), "{}", sound.out);
    for way in &ways {
        let mut file = whole.clone();
        file.pointer_mut(way).unwrap().as_object_mut().unwrap().insert("no_such_key".to_owned(), 1.into());
        let text = toml::to_string(&file).unwrap();
        assert_ne!(faults(&text), "", "the schema takes an unknown key in `{way}`");
        assert_eq!(check(&text, &[]).await.code, Some(1), "the program takes an unknown key in `{way}`");
    }
}

/// **What the program takes the schema takes**: every form of a value, and what stands for one.
#[tokio::test]
async fn every_form_of_a_value_is_taken_by_both() {
    let sound = "[providers.a]\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n\
                 [models.chat]\ntargets = [{ provider = \"a\", model = \"gpt-4.1\" }]\n";
    let authorities = file("-----BEGIN CERTIFICATE-----\n").display().to_string();
    let forms = [
        "[timeouts]\nidle = \"1m 30s\"\nfirst_token = \"1.5s\"\nanswer = \"2 minutes\"\nconnect = \"500ms\"",
        "[timeouts]\nidle = \"${NO:-7s}\"\nfirst_token = \"${NO:-auto}\"",
        "[server]\nlisten = \"${NO:-127.0.0.1:0}\"\nmax_body = \"${NO:-7KiB}\"\nearly_status = \"${NO:-off}\"",
        "[server]\nearly_status = \"5s\"",
        "[server]\nmax_body = \"7 KiB\"\nhosts = [\"a.example\"]\nheader_timeout = \"3s\"",
        "[routing]\nstrategy = \"${NO:-cheapest}\"",
        "[breaker]\nrules = [{ kind = \"consecutive\", failures = 3 }, { kind = \"count_window\", size = 9, min_calls = 3, \
         thresholds = { slow_rate = 1, slow_above = \"1s\" } }, { kind = \"time_window\", length = \"1m\", buckets = 6, \
         min_calls = 3, thresholds = { failure_rate = 0.5 } }]\nrecovery_list = [\"1s\"]\njitter = 1\n\
         half_open_rate = { success_rate_below = 0.5 }\ntrial_lease = \"9s\"\nhalf_open_max_stay = \"9s\"",
        "[providers.b]\npreset = \"openai\"\nregions.us = {}\nregions.tokyo = { preset = \"jp\", connections = 2 }",
        "[providers.b]\npreset = { name = \"alibaba\", workspace = \"ws\" }\nregions.us-east-1 = { weight = 2 }",
        "[providers.b]\npreset = \"${NO:-groq}\"\nheaders = { x-team = \"${NO:-a}\" }\nca_file = \"CA_FILE\"",
        "[providers.b]\ndialect = \"${NO:-azure}\"\nbase_url = \"http://127.0.0.1:2/openai\"\napi_version = \"2024-10-21\"",
    ];
    for form in forms {
        let text = format!("{sound}{form}\n").replace("CA_FILE", &authorities);
        assert_eq!(faults(&text), "", "{text}");
        let run = check(&text, &[]).await;
        assert_eq!(run.code, Some(0), "{text}{}", run.out);
    }
}

/// A slip that an editor can find by the schema.
#[test]
fn a_value_of_another_form_is_refused() {
    for slip in [
        "[timeouts]\nidle = 15",
        "[timeouts]\nidle = \"15sek\"",
        "[server]\nmax_body = \"32MB\"",
        "[routing]\nstrategy = \"fastest\"",
        "[retry]\nmax_attempts = 17",
        "[breaker]\njitter = 1.5",
        "[providers.b]\nbase_url = \"http://127.0.0.1:1/v1\"",
        "[providers.b]\npreset = \"opnai\"",
        "[providers.b]\npreset = { workspace = \"ws\" }",
        "[models.m]\nresidency = [\"us-east\"]",
        "[models.m]\ntargets = []",
        "[models.m]\ntargets = [{ provider = \"a\" }]",
        "[fleet]\nname = \"x\"",
        "[keys.a]\nhash = \"sk-plain\"",
    ] {
        assert_ne!(faults(slip), "", "{slip}");
    }
}
