//! What operators' tools lean on: the metrics by name and label, and that the dashboard and the alerts of docs/ops ask for nothing else.

mod promql;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use sim::{Fault, When};
use tokio::sync::OnceCell;

use crate::support::{Gateway, exchange, find, post, question, soon};

const CHAT: &str = "/v1/chat/completions";
const PLACE: &[&str] = &["provider", "region", "model"];
const GEN_AI: [&str; 3] = ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"];

const DASHBOARD: &str = include_str!("../../../../../docs/ops/grafana.json");
const ALERTS: &str = include_str!("../../../../../docs/ops/alerts.yml");
const ALERT_TESTS: &str = include_str!("../../../../../docs/ops/alerts_test.yml");
const CODES: &str = include_str!("../../../../../docs/troubleshooting.md");
const RUNBOOK: &str = include_str!("../../../../../docs/ops/README.md");

/// The metrics that are promised, with the labels that some series of each has.
fn promised() -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    let place = |more: &[&'static str]| [PLACE, more].concat();
    let gen_ai = |more: &'static str| [&GEN_AI[..], &[more]].concat();
    vec![
        ("outrigger_requests_total", "counter", vec!["model", "outcome"]),
        ("outrigger_errors_total", "counter", vec!["model", "outcome", "code", "due_to"]),
        ("outrigger_attempts_total", "counter", place(&["class"])),
        ("outrigger_failovers_total", "counter", vec!["from", "to", "class"]),
        ("outrigger_hedges_total", "counter", vec!["result"]),
        ("outrigger_rescues_total", "counter", vec!["result"]),
        ("outrigger_breaker_state", "gauge", place(&[])),
        ("outrigger_breaker_transitions_total", "counter", place(&["to"])),
        ("outrigger_health_score", "gauge", place(&[])),
        ("outrigger_in_flight", "gauge", place(&[])),
        ("outrigger_cordoned", "gauge", place(&[])),
        ("outrigger_taken_out", "gauge", place(&[])),
        ("outrigger_failover_advised_total", "counter", place(&[])),
        ("outrigger_retry_budget_tokens", "gauge", vec!["model"]),
        ("outrigger_overhead_seconds", "histogram", vec![]),
        ("outrigger_time_to_first_token_seconds", "histogram", place(&[])),
        ("outrigger_tokens_total", "counter", vec!["model", "kind"]),
        ("outrigger_cost_usd_total", "counter", vec!["provider", "model"]),
        ("outrigger_cost_estimated_usd_total", "counter", vec!["provider", "model"]),
        ("outrigger_config_reloads_total", "counter", vec!["result"]),
        ("gen_ai_client_operation_duration_seconds", "histogram", gen_ai("error_type")),
        ("gen_ai_client_token_usage", "histogram", gen_ai("gen_ai_token_type")),
    ]
}

/// The page of a gateway to which everything has happened that is counted.
async fn eventful() -> &'static str {
    static PAGE: OnceCell<String> = OnceCell::const_new();
    PAGE.get_or_init(play).await
}

async fn play() -> String {
    let settings = "[hedge]\nenabled = true\n[breaker]\nfailure_threshold = 3\n";
    let gateway = Gateway::start(settings).await;
    let world = gateway.world();
    let ask = async |stream| gateway.post(CHAT, "", &question(stream)).await.status;
    world.inject("us-east", Fault::Cut { after: 5 }, When::always().first(1)).unwrap();
    assert_eq!(ask(true).await, 200);
    world.clear_all();
    // A hedge needs a place whose answers are known, and an allowance.
    let streams = post(CHAT, "x-outrigger-region: us-east\r\n", &question(true));
    let (kept, last) = (streams.replace("connection: close\r\n", "").repeat(99), streams);
    exchange(gateway.listen, &(kept + &last)).await;
    let slow = Fault::SlowFirstToken { delay: Duration::from_secs(60) };
    soon(async {
        // Whichever region is chosen steadily is slow every other time.
        for region in ["us-east", "eu-west"].into_iter().cycle() {
            if gateway.metrics().await.contains("outrigger_hedges_total") {
                break;
            }
            world.clear_all();
            world.inject(region, slow.clone(), When::always().first(1)).unwrap();
            let asked = gateway.post(CHAT, "x-outrigger-region: us-east\r\n", &question(true)).await;
            assert_eq!(asked.status, 200);
        }
    })
    .await;
    world.clear_all();
    world.inject("us-east", Fault::Reset, When::always()).unwrap();
    for _ in 0..3 {
        assert_eq!(gateway.ask("x-outrigger-region: us-east\r\n").await.status, 200);
    }
    world.inject("eu-west", Fault::Reset, When::always()).unwrap();
    assert_eq!(ask(false).await, 502);
    assert_eq!(gateway.operate("POST", "/reload", "").await.status, 200);
    gateway.metrics().await
}

/// The families of a page: what they are, and the labels of their series.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    labels: BTreeSet<String>,
}

fn families(page: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some(described) = line.strip_prefix("# TYPE ") {
            let (name, kind) = described.split_once(' ').unwrap();
            name.clone_into(&mut current);
            families.entry(current.clone()).or_default().kind = kind.to_owned();
        } else if let Some((_, rest)) = line.split_once('{') {
            let labels =
                rest.rsplit_once('}').unwrap().0.split("\",").map(|pair| pair.split('=').next().unwrap());
            let labels = labels.filter(|label| *label != "le").map(str::to_owned);
            families.get_mut(&current).unwrap().labels.extend(labels);
        }
    }
    families
}

async fn exported() -> BTreeMap<String, Family> {
    families(eventful().await)
}

/// **A metric's name is a promise**, and so are its labels: dashboards break silently. Fails if one is renamed, gains a label or loses
/// one, or does not appear when what it counts has happened.
#[tokio::test]
async fn every_promised_metric_is_there_with_its_labels() {
    let page = eventful().await;
    let families = families(page);
    for (name, kind, labels) in promised() {
        let family = families.get(name).unwrap_or_else(|| panic!("no {name} in\n{page}"));
        let labels: BTreeSet<String> = labels.into_iter().map(str::to_owned).collect();
        assert_eq!((&*family.kind, &family.labels), (kind, &labels), "{name}");
    }
}

/// All queries of the dashboard, each with the templates that show its labels.
fn shown() -> Vec<(String, Vec<String>)> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut shown = Vec::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            shown.push((text(&target["expr"]), braced(&text(&target["legendFormat"]))));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        shown.push((text(&annotation["expr"]), braced(&text(&annotation["titleFormat"]))));
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(values) = variable["query"]["query"].as_str() {
            let inner = values.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
            let (query, label) = inner.rsplit_once(", ").unwrap();
            shown.push((query.to_owned(), vec![label.to_owned()]));
        }
    }
    shown
}

/// The labels that a legend shows.
fn braced(template: &str) -> Vec<String> {
    template.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap().trim().to_owned()).collect()
}

/// The labels that an annotation shows.
fn dollared(template: &str) -> Vec<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let name = |rest: &str| rest[..rest.find(|letter| !is_part(letter)).unwrap_or(rest.len())].to_owned();
    template.split("$labels.").skip(1).map(name).collect()
}

/// All alerts: their name, their query and the labels that their words show.
fn alerts() -> Vec<(String, String, Vec<String>)> {
    let alert = |text: &str| {
        let name = text.lines().next().unwrap().to_owned();
        let (_, after) = text.split_once("expr: ").unwrap();
        let (first, rest) = after.split_once('\n').unwrap();
        let indented = rest.lines().take_while(|line| line.starts_with("          "));
        let query = if first == "|" { indented.collect::<Vec<_>>().join("\n") } else { first.to_owned() };
        (name, query, dollared(text))
    };
    ALERTS.split("- alert: ").skip(1).map(alert).collect()
}

/// **No query asks for what is not there.** A panel without data looks like a quiet night. Fails if the dashboard or an alert names a
/// metric, a label, an outcome or a class that this program does not export.
#[tokio::test]
async fn dashboard_and_alerts_ask_for_what_is_exported() {
    let families = exported().await;
    let alerts = alerts().into_iter().map(|(_, query, labels)| (query, labels));
    for (query, shown) in shown().into_iter().chain(alerts) {
        let named = promql::read(&query);
        assert!(!named.metrics.is_empty(), "{query}");
        let mut known = BTreeSet::from(["le".to_owned()]);
        for (metric, labels) in &named.metrics {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end));
            let histogram =
                base.and_then(|base| families.get(base)).filter(|family| family.kind == "histogram");
            let family = histogram
                .or_else(|| families.get(metric))
                .filter(|family| histogram.is_some() || family.kind != "histogram");
            let family = family.unwrap_or_else(|| panic!("{metric} is not exported: {query}"));
            for label in labels {
                assert!(family.labels.contains(label), "{metric} has no label {label}: {query}");
            }
            known.extend(family.labels.iter().cloned());
        }
        for label in named.grouping.iter().chain(&shown) {
            assert!(known.contains(label), "nothing has a label {label}: {query}");
        }
        for (label, word) in &named.words {
            assert!(is_word(label, word), "{label} is never {word}: {query}");
        }
    }
}

/// Whether a label can have that value.
fn is_word(label: &str, word: &str) -> bool {
    const CLASSES: &str = "success transient unreachable reset timeout cut stalled malformed empty rate_limited overloaded \
                           credential quota_spent model_missing context_too_long content_refused caller_fault cancelled";
    let words = match label {
        "outcome" => "ok error truncated cancelled refused",
        "class" => CLASSES,
        "kind" => "input output cached_input cache_write reasoning",
        "result" => "ok won lost failed continued restarted",
        "to" => "closed open half_open",
        "due_to" => "caller gateway provider",
        // The page's entries are those of the program, by a test of its own.
        "code" => return CODES.contains(&format!("\n### `{word}`\n")),
        "model" if !word.starts_with('$') => "_unknown",
        _ => return word.starts_with('$'),
    };
    words.split(' ').any(|known| known == word)
}

#[test]
fn every_promised_metric_is_on_the_dashboard() {
    let shown = shown();
    for (name, ..) in promised() {
        assert!(shown.iter().any(|(query, _)| query.contains(name)), "nothing shows {name}");
    }
}

#[test]
fn every_alert_says_what_to_do_and_is_seen_to_fire() {
    let alerts = alerts();
    assert!(alerts.len() > 10, "{alerts:#?}");
    for (name, ..) in &alerts {
        assert!(RUNBOOK.contains(&format!("\n### {name}\n")), "{name} has no section");
        let link = format!("runbook: docs/ops/README.md#{}\n", name.to_lowercase());
        assert!(ALERTS.contains(&link), "{name} has no link");
        let fires = format!("alertname: {name}\n        exp_alerts:\n          - exp_labels:");
        assert!(ALERT_TESTS.contains(&fires), "no made-up series makes {name} fire");
    }
    let sections = RUNBOOK.lines().filter_map(|line| line.strip_prefix("### "));
    for section in sections {
        assert!(alerts.iter().any(|(name, ..)| name == section), "there is no alert {section}");
    }
}

/// **A place that is out until somebody acts is told for as long as that is.** It is not asked again, so no counter of attempts tells it
/// twice. Fails if the gauge forgets it, or readiness calls it available.
#[tokio::test]
async fn a_place_that_its_provider_refuses_is_told_while_it_is_out() {
    let gateway = Gateway::start("").await;
    gateway.world().inject("us-east", Fault::BadKey, When::always()).unwrap();
    for _ in 0..3 {
        assert_eq!(
            gateway.ask("x-outrigger-region: us-east\r\n").await.header("x-outrigger-region"),
            Some("eu-west")
        );
    }
    let page = gateway.metrics().await;
    for (region, is_out) in [("us-east", 1), ("eu-west", 0)] {
        let labels = format!("provider=\"holysheep\",region=\"{region}\",model=\"gpt-4.1\"");
        assert!(page.contains(&format!("outrigger_taken_out{{{labels}}} {is_out}\n")), "{page}");
    }
    assert!(page.contains("class=\"credential\"} 1\n"), "it is asked once:\n{page}");
    let ready = gateway.operate("GET", "/readyz", "").await.json();
    assert_eq!((&ready["deployments"], &ready["available"]), (&2.into(), &1.into()));
}

/// **Callers make no series.** Fails if a name that a caller made up becomes a label.
#[tokio::test]
async fn a_thousand_unknown_models_make_one_series() {
    let gateway = Gateway::start("").await;
    let mut requests = String::new();
    for number in 0..1000 {
        let body = question(false).replace("\"chat\"", &format!("\"made-up-{number}\\n\\\"}}\""));
        requests += &post(CHAT, "", &body).replace("connection: close\r\n", "");
    }
    requests += &post(CHAT, "x-outrigger-region: made-up\r\n", &question(false));
    let answers = soon(exchange(gateway.listen, &requests)).await;
    assert!(find(&answers, b"unknown_region").is_some(), "all were answered");
    let page = gateway.metrics().await;
    assert!(
        page.contains("outrigger_requests_total{model=\"_unknown\",outcome=\"refused\"} 1000\n"),
        "{page}"
    );
    assert!(!page.contains("made-up"), "{page}");
}
