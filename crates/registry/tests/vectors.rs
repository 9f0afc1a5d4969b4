//! Language-neutral cases: sequences of facts with the decisions and values expected after them.
//!
//! `OUTRIGGER_VECTORS=DIR cargo test -p outrigger-registry --test vectors -- --nocapture` runs another folder's.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a helper of a test may panic: that is how a test fails"
)]

mod common;

use common::t0;
use outrigger_registry::{
    Deployment, DeploymentId, Ewma, Query, Registry, RegistryConfig, Sample, Scoring, Why,
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

type Object = Map<String, Value>;

/// Runs each case of a file through `run`, and prints how many there were.
fn run_file(name: &str, component: &str, run: fn(&Object, &[Value])) {
    let folder = std::env::var("OUTRIGGER_VECTORS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors").to_owned());
    let path = format!("{folder}/{name}");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let file: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let file = file.as_object().expect("a file is an object");
    known(file, &["component", "format", "cases"], name);
    assert_eq!(file["component"], component, "{name}");
    assert_eq!(file["format"], 1, "{name}");
    let cases = file["cases"].as_array().expect("cases is a list");
    assert!(!cases.is_empty(), "{name} holds no case");
    let mut steps_run = 0;
    for case in cases {
        let case = case.as_object().expect("a case is an object");
        known(case, &["id", "semantics", "source", "origin", "config", "steps", "note"], name);
        let steps = case["steps"].as_array().expect("steps is a list");
        assert!(!steps.is_empty(), "{name} {}: no step", case["id"]);
        println!("{name} {}", case["id"]);
        run(case["config"].as_object().expect("config is an object"), steps);
        steps_run += steps.len();
    }
    println!("{name}: {} cases, {steps_run} steps", cases.len());
}

fn known(object: &Object, keys: &[&str], place: &str) {
    for key in object.keys() {
        assert!(keys.contains(&key.as_str()), "{place}: key `{key}` is not one of {keys:?}");
    }
}

fn number(object: &Object, key: &str) -> f64 {
    object.get(key).and_then(Value::as_f64).unwrap_or_else(|| panic!("`{key}` is no number in {object:?}"))
}

fn text<'a>(object: &'a Object, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("`{key}` is no text in {object:?}"))
}

fn at(step: &Object) -> Instant {
    t0() + Duration::from_millis(step["at_ms"].as_u64().expect("at_ms is a whole number"))
}

fn same(found: f64, expected: f64, step: &Object) {
    let off = (found - expected).abs();
    let allowed = step.get("tolerance").and_then(Value::as_f64).unwrap_or_else(|| 1e-9 * expected.abs());
    assert!(off <= allowed, "found {found}, expected {expected}, in {step:?}");
}

fn ewma(config: &Object, steps: &[Value]) {
    known(config, &["decay_ms"], "ewma config");
    let mut average = Ewma::new(Duration::from_secs_f64(number(config, "decay_ms") / 1e3));
    for step in steps {
        let step = step.as_object().expect("a step is an object");
        let value = match text(step, "op") {
            op @ ("add" | "add_peak") => {
                known(step, &["at_ms", "op", "x", "value", "tolerance"], op);
                let sample = number(step, "x");
                if op == "add" {
                    average.add(sample, at(step));
                } else {
                    average.add_peak(sample, at(step));
                }
                average.value()
            }
            op @ ("get" | "get_at") => {
                known(step, &["at_ms", "op", "value", "tolerance"], op);
                if op == "get" { average.value() } else { average.value_at(at(step)) }
            }
            op => panic!("ewma: op `{op}` is not known"),
        };
        match step.get("value") {
            Some(Value::String(unset)) if unset == "unset" => assert_eq!(value, None, "{step:?}"),
            Some(_) => same(value.expect("a value"), number(step, "value"), step),
            None => {}
        }
    }
}

fn registry(config: &Object, steps: &[Value]) {
    known(config, &["endpoints"], "registry config");
    let mut registry = Registry::new(RegistryConfig::article()).expect("the article's numbers are valid");
    assert_eq!(registry.config().scoring, Scoring::Composite);
    let mut ids: BTreeMap<String, DeploymentId> = BTreeMap::new();
    let mut candidates = Vec::new();
    for endpoint in config["endpoints"].as_array().expect("endpoints is a list") {
        let endpoint = endpoint.as_object().expect("an endpoint is an object");
        known(endpoint, &["region", "avg_latency_ms"], "endpoint");
        let region = text(endpoint, "region");
        let mut deployment = Deployment::new("holysheep", region, "gpt-4.1");
        deployment.numbers.initial_latency = endpoint
            .get("avg_latency_ms")
            .map(|_| Duration::from_secs_f64(number(endpoint, "avg_latency_ms") / 1e3));
        let id = registry.insert(deployment);
        ids.insert(region.to_owned(), id);
        candidates.push(id);
    }
    for step in steps {
        let step = step.as_object().expect("a step is an object");
        let now = at(step);
        match text(step, "op") {
            op @ ("success" | "failure") => {
                let keys: &[&str] = if op == "success" {
                    &["at_ms", "op", "region", "latency_ms"]
                } else {
                    &["at_ms", "op", "region"]
                };
                known(step, keys, op);
                let in_flight = registry.begin(ids[text(step, "region")], now);
                let sample = match op {
                    "success" => Sample::answer(Duration::from_secs_f64(number(step, "latency_ms") / 1e3)),
                    _ => Sample::Failure,
                };
                registry.finish(in_flight, sample, now);
            }
            "pick" => pick(&mut registry, &candidates, &ids, step),
            "inspect" => {
                known(step, &["at_ms", "op", "region", "expect", "tolerance"], "inspect");
                let view = registry.view(ids[text(step, "region")], now).expect("it is configured");
                let expect = step["expect"].as_object().expect("expect is an object");
                let keys = ["health_score", "consecutive_failures", "avg_latency_ms", "failover_advised"];
                known(expect, &keys, "inspect expect");
                same(view.health, number(expect, "health_score"), step);
                same(view.average_ms, number(expect, "avg_latency_ms"), step);
                assert_eq!(expect["consecutive_failures"], view.consecutive_failures, "{step:?}");
                assert_eq!(expect["failover_advised"], view.failover_advised, "{step:?}");
            }
            op => panic!("registry: op `{op}` is not known"),
        }
    }
}

fn pick(
    registry: &mut Registry,
    candidates: &[DeploymentId],
    ids: &BTreeMap<String, DeploymentId>,
    step: &Object,
) {
    known(step, &["at_ms", "op", "preferred_region", "expect"], "pick");
    let mut query = Query::new(candidates);
    query.preferred_region = step.get("preferred_region").and_then(Value::as_str);
    let expect = step["expect"].as_object().expect("expect is an object");
    known(expect, &["region", "error"], "pick expect");
    let found = registry.pick(&query, 0, at(step));
    match expect.get("error").and_then(Value::as_str) {
        Some("all_unhealthy") => {
            assert_eq!(found.map_err(|nobody| nobody.why), Err(Why::AllUnhealthy), "{step:?}");
        }
        Some(error) => panic!("pick: error `{error}` is not known"),
        None => assert_eq!(found.map(|pick| pick.id), Ok(ids[text(expect, "region")]), "{step:?}"),
    }
}

#[test]
fn averages_follow_the_vectors() {
    run_file("ewma.json", "registry", ewma);
}

#[test]
fn the_articles_registry_follows_the_vectors() {
    run_file("seed_registry.json", "registry", registry);
}
